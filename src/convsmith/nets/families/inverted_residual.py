"""The inverted residual: expand the channels, filter each by itself, project them back (Sandler et al. 2018)."""

from collections.abc import Sequence

from convsmith.nets.ops import Act, BatchNorm, DropPath
from convsmith.nets.parts import NORM, conv_norm, conv_norm_act
from convsmith.nets.tree import IDENTITY, Gate, Node, Seq, add, seq


def inverted_residual(
    width_in: int,
    width: int,
    *,
    expanded: int,
    act: Act,
    kernel: int = 3,
    stride: int = 1,
    norm: BatchNorm = NORM,
    se: Gate | None = None,
    drop_path: float = 0.0,
) -> Node:
    """From `width_in` channels to `expanded`, a depthwise convolution there, then to `width` with no activation.

    Sandler et al. 2018, figures 3 and 4; the gate `se` has the place of Howard et al. 2019, figure 4. There is no
    expansion if `expanded` is `width_in`.
    """
    branch = seq(
        expand=conv_norm_act(expanded, norm=norm, act=act) if expanded != width_in else None,
        depthwise=conv_norm_act(expanded, kernel, stride, groups=expanded, norm=norm, act=act),
        se=se,
        project=conv_norm(width, norm=norm),
    )
    return with_shortcut(branch, same_shape=stride == 1 and width_in == width, drop_path=drop_path)


def with_shortcut(branch: Seq, *, same_shape: bool, drop_path: float = 0.0) -> Node:
    """`branch` plus its input if both have the `same_shape`, else `branch` alone.

    In training the branch of a sum is dropped for each sample with probability `drop_path`.
    """
    if not same_shape:
        return branch
    if drop_path:
        branch = seq(**dict(branch.children), drop_path=DropPath(drop_path))
    return add(branch=branch, shortcut=IDENTITY)


def numbered(units: Sequence[Node]) -> Seq:
    """A stage of units one after the other: `unit1`, `unit2`, ..."""
    return seq(**{f"unit{i}": unit for i, unit in enumerate(units, 1)})
