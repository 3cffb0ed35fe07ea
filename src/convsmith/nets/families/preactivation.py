"""Residual networks whose units begin with normalization and ReLU (He et al. 2016, "Identity mappings").

Two forms of the units that change the shape were published. This is the form of KaimingHe/resnet-1k-layers, which
TensorFlow-slim and timm have too: such a unit, the first of a stage, normalizes and activates once for both paths, and
its shortcut is a bare 1x1 convolution; nothing follows the first convolution of the network. (In
facebook/fb.resnet.torch the shortcut takes the raw input and has its own normalization, the stem ends with
normalization and ReLU, and the units of the first stage begin with a convolution.)
"""

from collections.abc import Callable, Sequence
from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.nets.families.residual import small_stem
from convsmith.nets.families.scaling import deeper_stages, wider_stages
from convsmith.nets.family import Family, Numbers, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, MaxPool
from convsmith.nets.parts import RELU, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Node, Seq, add, seq

Block = Literal["basic", "bottleneck"]
StrideIn = Literal["3x3", "1x1"]


def preactivation(
    *,
    depths: tuple[int, ...],
    block: Block = "bottleneck",
    stride_in: StrideIn = "3x3",
    widths: tuple[int, ...] = (64, 128, 256, 512),
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """Pre-activation ResNet for ImageNet (section 5): the stages of a ResNet, after a bare 7x7 and a pooling.

    `widths` are those of the 3x3 convolutions; bottlenecks give 4 times as many channels.
    """
    stem = seq(conv=padded_conv(64, 7, 2), pool=MaxPool(3, 2, padding=1))
    stages = _stages(64, depths, widths, block, stride_in)
    return preactivated("preactivation", Shape(channels, (size, size)), stem, stages, classes)


def preactivation_cifar(
    *,
    depth: int,
    block: Block = "bottleneck",
    stride_in: StrideIn = "1x1",
    widths: tuple[int, ...] = (16, 32, 64),
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
) -> Network:
    """Pre-activation ResNet for CIFAR (section 4): 9n + 2 layers in bottlenecks, or 6n + 2 in basic blocks."""
    layers = 9 if block == "bottleneck" else 6
    if depth < layers + 2 or (depth - 2) % layers:
        raise UsageError(
            f"a CIFAR pre-activation ResNet of {block} blocks has {layers}n + 2 layers "
            f"({layers + 2}, {2 * layers + 2}, {3 * layers + 2}, ...), received depth {depth}"
        )
    depths = ((depth - 2) // layers,) * len(widths)
    stages = _stages(16, depths, widths, block, stride_in)
    stem = seq(conv=padded_conv(16, 3))
    return preactivated("preactivation_cifar", Shape(channels, (size, size)), stem, stages, classes)


def _stages(
    width_in: int, depths: Sequence[int], widths: Sequence[int], block: Block, stride_in: StrideIn
) -> list[Seq]:
    def convolutions(i: int, stride: int) -> list[Conv]:
        width = widths[i]
        if block == "basic":
            return [padded_conv(width, 3, stride), padded_conv(width, 3)]
        first, second = (1, stride) if stride_in == "3x3" else (stride, 1)
        return [padded_conv(width, 1, first), padded_conv(width, 3, second), padded_conv(4 * width, 1)]

    return preactivation_stages(width_in, depths, convolutions)


def preactivation_stages(
    width_in: int, depths: Sequence[int], convolutions: Callable[[int, int], Sequence[Conv]]
) -> list[Seq]:
    """Stages of units; each but the first begins with stride 2, the last ends with normalization and ReLU.

    `convolutions(i, stride)` returns the convolutions of a unit's branch in stage `i`, counted from 0.
    """
    stages: list[Seq] = []
    for i, depth in enumerate(depths):
        children: dict[str, Node | None] = {}
        for j in range(depth):
            stride = 2 if i > 0 and j == 0 else 1
            convs = convolutions(i, stride)
            children[f"unit{j + 1}"] = preactivation_unit(convs, width_in, stride)
            width_in = convs[-1].channels
        last = i == len(depths) - 1
        ending = {"norm": BatchNorm(), "act": RELU} if last else {}
        stages.append(seq(**children, **ending))
    return stages


def preactivation_unit(convolutions: Sequence[Conv], width_in: int, stride: int) -> Add | Seq:
    """Convolutions, each after a normalization and ReLU, added to the input (figure 4e).

    If the shape changes, the first normalization and ReLU come before both paths.
    """
    first, *others = convolutions
    opening = {"norm1": BatchNorm(), "act1": RELU}
    rest: dict[str, Node | None] = {"conv1": first}
    for i, conv in enumerate(others, 2):
        rest |= {f"norm{i}": BatchNorm(), f"act{i}": RELU, f"conv{i}": conv}
    width = convolutions[-1].channels
    if stride == 1 and width == width_in:
        return add(branch=seq(**opening, **rest), shortcut=IDENTITY)
    return seq(**opening, sum=add(branch=seq(**rest), shortcut=seq(conv=padded_conv(width, 1, stride))))


def preactivated(family: str, input: Shape, stem: Seq, stages: Sequence[Seq], classes: int) -> Network:
    """A network of a stem, stages and a pooled head."""
    named = (("stem", stem), *((f"stage{i}", stage) for i, stage in enumerate(stages, 1)))
    return Network(
        name=family, family=family, input=input, init="he", stages=named, heads=((MAIN, pooled_head(classes)),)
    )


def _deeper_cifar(numbers: Numbers, factor: float) -> Numbers:
    layers = 9 if numbers["block"] == "bottleneck" else 6
    return {**numbers, "depth": layers * max(1, round((numbers["depth"] - 2) // layers * factor)) + 2}


_UNIT = r"stages\.(\d+)\.blocks\.(\d+)"
# The first unit of a stage has the other form.
_TIMM = (
    (r"stem\.conv\.(.*)", r"stem.conv.\1"),
    (r"stages\.(\d+)\.blocks\.0\.norm1\.(.*)", r"stage<\1>.unit1.norm1.\2"),
    (r"stages\.(\d+)\.blocks\.0\.downsample\.conv\.(.*)", r"stage<\1>.unit1.sum.shortcut.conv.\2"),
    (r"stages\.(\d+)\.blocks\.0\.(\w+)\.(.*)", r"stage<\1>.unit1.sum.branch.\2.\3"),
    (rf"{_UNIT}\.(\w+)\.(.*)", r"stage<\1>.unit<\2>.branch.\3.\4"),
    (r"norm\.(.*)", r"stage4.norm.\1"),
    (r"head\.fc\.(.*)", r"head.linear.\1"),
)
PREACTIVATION = Family(
    "preactivation",
    preactivation,
    small_images=small_stem,
    widen=wider_stages,
    deepen=deeper_stages,
    renamings=(Renaming("timm", _TIMM),),
)
PREACTIVATION_CIFAR = Family("preactivation_cifar", preactivation_cifar, widen=wider_stages, deepen=_deeper_cifar)

# Name: depths.
_IMAGENET = {
    "preresnet50": (3, 4, 6, 3),
    "preresnet101": (3, 4, 23, 3),
    "preresnet152": (3, 8, 36, 3),
    "preresnet200": (3, 24, 36, 3),
}
_CIFAR: dict[int, Block] = {110: "basic", 164: "bottleneck", 1001: "bottleneck"}


def _rows() -> dict[str, Row]:
    note = "normalization and ReLU before each convolution"
    rows = {
        name: Row(PREACTIVATION, 2016, f"{note}, stride in the 3x3", {"depths": depths})
        for name, depths in _IMAGENET.items()
    }
    for depth, block in _CIFAR.items():
        numbers = {"depth": depth, "block": block}
        rows[f"preresnet{depth}_cifar"] = Row(PREACTIVATION_CIFAR, 2016, f"{note}, {block} blocks", numbers)
    return rows


NETWORKS = _rows()
