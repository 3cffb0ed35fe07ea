"""ConvNeXt (Liu et al. 2022)."""

from convsmith.nets.families.residual import small_stem
from convsmith.nets.families.scaling import deeper_stages, wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveAvgPool, Affine, Conv, DropPath, Flatten, LayerNorm, Linear
from convsmith.nets.parts import padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Node, add, seq

_NORM = LayerNorm(eps=1e-6)


def convnext(
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    drop_path: float = 0.1,
    layer_scale: float = 1e-6,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """ConvNeXt (section 3, table 9): a 4x4 stem with stride 4, then stages of depthwise 7x7 units.

    Training drops branches with a probability from 0 (first unit) to `drop_path` (last). `layer_scale` is the initial
    value of the learnt scale of each branch's channels. Linear layers of a unit are 1x1 convolutions here, which
    compute the same.
    """
    rates = iter(_rates(sum(depths), drop_path))
    stages: list[tuple[str, Node]] = [("stem", seq(conv=Conv(widths[0], 4, 4), norm=_NORM))]
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        children: dict[str, Node | None] = {"downsample": seq(norm=_NORM, conv=Conv(width, 2, 2)) if i > 1 else None}
        children |= {f"unit{j}": _unit(width, layer_scale, next(rates)) for j in range(1, depth + 1)}
        stages.append((f"stage{i}", seq(**children)))
    head = seq(pool=AdaptiveAvgPool(1), norm=_NORM, flatten=Flatten(), linear=Linear(classes))
    return Network(
        name="convnext", family="convnext", input=Shape(channels, (size, size)), init="convnext",
        stages=tuple(stages), heads=((MAIN, head),),
    )  # fmt: skip


def _rates(units: int, last: float) -> list[float]:
    """Probabilities from 0 for the first unit to `last` for the last, in equal steps."""
    return [last * i / max(1, units - 1) for i in range(units)]


def _unit(width: int, layer_scale: float, drop: float) -> Add:
    """A depthwise 7x7, a normalization, a 1x1 to 4 times the width and one back (figure 4)."""
    branch = seq(
        conv1=padded_conv(width, 7, groups=width, bias=True), norm=_NORM,
        conv2=Conv(4 * width), act=Act("gelu"),
        conv3=Conv(width),
        scale=Affine(layer_scale, shift=False),
        drop_path=DropPath(drop) if drop else None,
    )  # fmt: skip
    return add(branch=branch, shortcut=IDENTITY)


CONVNEXT = Family("convnext", convnext, small_images=small_stem, widen=wider_stages, deepen=deeper_stages)

# Name: units of each stage, their widths, the last unit's rate of stochastic depth (section 3 and table 5).
_VARIANTS = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768), 0.1),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768), 0.4),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024), 0.5),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536), 0.5),
}
NETWORKS = {
    f"convnext_{name}": Row(
        CONVNEXT,
        2022,
        f"{sum(depths)} units, {widths[0]} to {widths[-1]} channels",
        {"depths": depths, "widths": widths, "drop_path": rate},
    )
    for name, (depths, widths, rate) in _VARIANTS.items()
}
