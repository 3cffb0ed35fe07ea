"""The parts of residual families: stems, branches, shortcuts, stages, and their rules of scaling."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.nets.family import Numbers, Scale
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, BatchNorm, Conv, MaxPool, PadChannels
from convsmith.nets.parts import RELU, conv_norm, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Node, Seq, add, rewrite, seq

Shortcut = Literal["projection", "projection_3x3", "pooled", "pad"]


def assembled(family: str, input: Shape, stem: Seq, stages: Sequence[Seq], classes: int, drop: float = 0.0) -> Network:
    """A network of a stem, stages and a pooled head, with dropout if `drop` is above 0."""
    named = (("stem", stem), *((f"stage{i}", stage) for i, stage in enumerate(stages, 1)))
    heads = ((MAIN, pooled_head(classes, drop)),)
    return Network(name=family, family=family, input=input, init="he", stages=named, heads=heads)


def imagenet_stem(widths: tuple[int, ...], ceil_pool: bool = False) -> Seq:
    """Convolutions of `widths`, one 7x7 or several 3x3, the first with stride 2; then max pooling with stride 2."""
    pool = MaxPool(3, 2, ceil=True) if ceil_pool else MaxPool(3, 2, padding=1)
    if len(widths) == 1:
        return seq(conv=padded_conv(widths[0], 7, 2), norm=BatchNorm(), act=RELU, pool=pool)
    children: dict[str, Node | None] = {}
    for i, width in enumerate(widths, 1):
        conv = padded_conv(width, 3, 2 if i == 1 else 1)
        children |= {f"conv{i}": conv, f"norm{i}": BatchNorm(), f"act{i}": RELU}
    return seq(**children, pool=pool)


def cifar_stem(width: int) -> Seq:
    """A 3x3 convolution that keeps the size."""
    return seq(conv=padded_conv(width, 3), norm=BatchNorm(), act=RELU)


def basic(planes: int, stride: int, groups: int = 1) -> Seq:
    """Two 3x3 convolutions (figure 5, left)."""
    return seq(
        conv1=padded_conv(planes, 3, stride, groups=groups), norm1=BatchNorm(), act1=RELU,
        conv2=padded_conv(planes, 3, groups=groups), norm2=BatchNorm(),
    )  # fmt: skip


def bottleneck(planes: int, width: int, stride: int, stride_in: Literal["3x3", "1x1"], groups: int = 1) -> Seq:
    """A 1x1, a 3x3 and a 1x1 convolution (figure 5, right), the 3x3 in groups (Xie et al. 2017, figure 3c)."""
    first, second = (1, stride) if stride_in == "3x3" else (stride, 1)
    return seq(
        conv1=padded_conv(planes, 1, first), norm1=BatchNorm(), act1=RELU,
        conv2=padded_conv(planes, 3, second, groups=groups), norm2=BatchNorm(), act2=RELU,
        conv3=padded_conv(width, 1), norm3=BatchNorm(),
    )  # fmt: skip


def residual(branch: Seq, width_in: int, width: int, stride: int, shortcut: Shortcut) -> Add:
    """`branch` plus its input; the shortcut brings the input to the shape of the branch."""
    if stride == 1 and width_in == width:
        return add(branch=branch, shortcut=IDENTITY)
    return add(branch=branch, shortcut=_SHORTCUTS[shortcut](width_in, width, stride))


def _projection(width_in: int, width: int, stride: int) -> Seq:
    """Option B: a 1x1 convolution, which reads one of four positions if it halves the size."""
    return conv_norm(width, 1, stride)


def _projection_3x3(width_in: int, width: int, stride: int) -> Seq:
    """A 3x3 convolution if the size is halved, else a 1x1 (SENet-154)."""
    return conv_norm(width, 3 if stride > 1 else 1, stride)


def _pooled(width_in: int, width: int, stride: int) -> Seq:
    """Average pooling before the 1x1 convolution, so that every position counts (He et al. 2019, figure 2c)."""
    # As in timm: odd sizes are rounded up, and the mean of an incomplete window is over its existing positions.
    pool = AvgPool(2, stride, ceil=True, count_padding=False) if stride > 1 else None
    return seq(pool=pool, conv=padded_conv(width), norm=BatchNorm())


def _padded(width_in: int, width: int, stride: int) -> Seq:
    """Option A: every other position, and zero channels around."""
    more = width - width_in
    subsample = AvgPool(1, stride) if stride > 1 else None
    return seq(subsample=subsample, pad=PadChannels(more // 2, more - more // 2))


_SHORTCUTS: dict[Shortcut, Callable[[int, int, int], Seq]] = {
    "projection": _projection,
    "projection_3x3": _projection_3x3,
    "pooled": _pooled,
    "pad": _padded,
}


def residual_stages(
    width_in: int,
    depths: Sequence[int],
    widths: Sequence[int],
    branch: Callable[[int, int], Seq],
    shortcut: Shortcut,
) -> list[Seq]:
    """Stages of residual units; each stage but the first begins with stride 2.

    `branch(i, stride)` returns the branch of a unit of stage `i`, counted from 0.
    """
    stages: list[Seq] = []
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        units: list[Add] = []
        for j in range(depth):
            stride = 2 if i > 0 and j == 0 else 1
            units.append(residual(branch(i, stride), width_in, width, stride, shortcut))
            width_in = width
        stages.append(residual_stage(units))
    return stages


def residual_stage(units: Sequence[Add]) -> Seq:
    """Units one after the other, each followed by its ReLU."""
    children: dict[str, Node | None] = {}
    for i, unit in enumerate(units, 1):
        children |= {f"unit{i}": unit, f"act{i}": RELU}
    return seq(**children)


def with_biases(network: Network) -> Network:
    """The network with a bias in each convolution."""

    def change(path: str, node: Node) -> Node:
        return replace(node, bias=True) if isinstance(node, Conv) else node

    return replace(network, stages=tuple((name, rewrite(node, change)) for name, node in network.stages))


def small_stem(network: Network) -> Network:
    """The network for images of about 32 pixels: the stem begins with a 3x3 with stride 1 and has no pooling."""
    (name, stem), *stages = network.stages
    children = dict(stem.children) if isinstance(stem, Seq) else {}
    convs = [(child_name, child) for child_name, child in children.items() if isinstance(child, Conv)]
    if not convs:
        raise UsageError(f"small_images: the stem of {network.name} is not a sequence that begins with a convolution")
    first, conv = convs[0]
    children[first] = replace(conv, kernel=3, stride=1, padding=1)
    children.pop("pool", None)
    return replace(network, stages=((name, Seq(tuple(children.items()))), *stages))


def wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the width of the 3x3 convolutions; a bottleneck's output stays (Zagoruyko and Komodakis 2016)."""
    return {**numbers, "base_width": max(1, round(numbers["base_width"] * factor))}


def deeper(layers: int, others: int) -> Scale:
    """The rule for depths of `layers` * n + `others`: n is multiplied and is at least one."""

    def rule(numbers: Numbers, factor: float) -> Numbers:
        n = (numbers["depth"] - others) // layers
        return {**numbers, "depth": layers * max(1, round(n * factor)) + others}

    return rule
