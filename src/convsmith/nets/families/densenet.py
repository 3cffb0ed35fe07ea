"""DenseNet (Huang et al. 2017): each layer receives the outputs of all earlier layers of its block."""

from collections.abc import Sequence

from convsmith.base.errors import UsageError
from convsmith.nets.families.residual import small_stem
from convsmith.nets.families.scaling import deeper_stages
from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, BatchNorm, Dropout, MaxPool
from convsmith.nets.parts import RELU, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Cat, Node, Seq, cat, seq


def densenet(
    *,
    depths: tuple[int, ...],
    growth: int = 32,
    drop: float = 0.0,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """DenseNet-BC for ImageNet (table 1): a stem of 2 * `growth` channels that divides the size by 4, four blocks.

    `depths` counts the layers of the blocks; each adds `growth` channels. `drop` is the dropout after each convolution.
    """
    stem = seq(conv=padded_conv(2 * growth, 7, 2), norm=BatchNorm(), act=RELU, pool=MaxPool(3, 2, padding=1))
    stages = _dense_stages(2 * growth, depths, growth, bottleneck=True, drop=drop)
    return _densenet("densenet", Shape(channels, (size, size)), stem, stages, classes)


def densenet_cifar(
    *,
    depth: int,
    growth: int = 12,
    bottleneck: bool = False,
    drop: float = 0.0,
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
) -> Network:
    """DenseNet for CIFAR (section 3, "Implementation details"): three blocks of equal depth, `depth` layers in all.

    `bottleneck` makes it a DenseNet-BC: 1x1 convolutions before the 3x3, half the channels after each block and
    2 * `growth` in the stem instead of 16. The paper trains with `drop` 0.2 if it does not augment.
    """
    convs = 2 if bottleneck else 1
    layers, rest = divmod(depth - 4, 3 * convs)
    if rest or layers < 1:
        raise UsageError(f"a CIFAR DenseNet of this kind has {3 * convs}n + 4 layers, received depth {depth}")
    width = 2 * growth if bottleneck else 16
    stages = _dense_stages(width, (layers,) * 3, growth, bottleneck=bottleneck, drop=drop)
    return _densenet("densenet_cifar", Shape(channels, (size, size)), seq(conv=padded_conv(width, 3)), stages, classes)


def _densenet(family: str, input: Shape, stem: Seq, stages: list[Seq], classes: int) -> Network:
    named = (("stem", stem), *((f"stage{i}", stage) for i, stage in enumerate(stages, 1)))
    heads = ((MAIN, pooled_head(classes)),)
    return Network(name=family, family=family, input=input, init="densenet", stages=named, heads=heads)


def _dense_stages(width: int, depths: Sequence[int], growth: int, *, bottleneck: bool, drop: float) -> list[Seq]:
    """Blocks of `depths` layers; all but the first begin with a transition, the last ends with a normalization."""
    dropout = Dropout(drop) if drop else None
    stages: list[Seq] = []
    for i, depth in enumerate(depths):
        children: dict[str, Node | None] = {}
        if i > 0:
            width = width // 2 if bottleneck else width
            children["transition"] = _transition(width, dropout if not bottleneck else None)
        for j in range(1, depth + 1):
            children[f"unit{j}"] = _dense_unit(growth, bottleneck, dropout)
        width += depth * growth
        if i == len(depths) - 1:
            children |= {"norm": BatchNorm(), "act": RELU}
        stages.append(seq(**children))
    return stages


def _dense_unit(growth: int, bottleneck: bool, dropout: Dropout | None) -> Cat:
    """The input and `growth` new channels (section 3; DenseNet-B with a bottleneck of 4 * `growth` channels)."""
    narrow: dict[str, Node | None] = {"norm1": BatchNorm(), "act1": RELU, "conv1": padded_conv(4 * growth)}
    number = 2 if bottleneck else 1
    layer: dict[str, Node | None] = {
        f"norm{number}": BatchNorm(), f"act{number}": RELU, f"conv{number}": padded_conv(growth, 3),
    }  # fmt: skip
    return cat(earlier=IDENTITY, layer=seq(**(narrow if bottleneck else {}), **layer, dropout=dropout))


def _transition(width: int, dropout: Dropout | None) -> Seq:
    """A 1x1 convolution to `width` channels and average pooling, which halves the size."""
    return seq(norm=BatchNorm(), act=RELU, conv=padded_conv(width), dropout=dropout, pool=AvgPool(2, 2))


def _wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the growth rate, which scales every width."""
    return {**numbers, "growth": max(1, round(numbers["growth"] * factor))}


def _deeper(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the layers of each block, at least one."""
    step = 6 if numbers["bottleneck"] else 3
    return {**numbers, "depth": step * max(1, round((numbers["depth"] - 4) // step * factor)) + 4}


DENSENET = Family("densenet", densenet, small_images=small_stem, widen=_wider, deepen=deeper_stages)
DENSENET_CIFAR = Family("densenet_cifar", densenet_cifar, widen=_wider, deepen=_deeper)

NETWORKS = {
    "densenet121": Row(DENSENET, 2016, "blocks of 6, 12, 24 and 16 layers, growth 32", {"depths": (6, 12, 24, 16)}),
    "densenet161": Row(
        DENSENET, 2016, "blocks of 6, 12, 36 and 24 layers, growth 48", {"depths": (6, 12, 36, 24), "growth": 48}
    ),
    "densenet169": Row(DENSENET, 2016, "blocks of 6, 12, 32 and 32 layers, growth 32", {"depths": (6, 12, 32, 32)}),
    "densenet201": Row(DENSENET, 2016, "blocks of 6, 12, 48 and 32 layers, growth 32", {"depths": (6, 12, 48, 32)}),
    "densenet40_12_cifar": Row(DENSENET_CIFAR, 2016, "growth 12, without bottlenecks", {"depth": 40}),
    "densenet100_12_cifar": Row(DENSENET_CIFAR, 2016, "growth 12, without bottlenecks", {"depth": 100}),
    "densenet_bc100_12_cifar": Row(
        DENSENET_CIFAR, 2016, "growth 12, bottlenecks and compression", {"depth": 100, "bottleneck": True}
    ),
    "densenet_bc190_40_cifar": Row(
        DENSENET_CIFAR, 2016, "growth 40, bottlenecks and compression", {"depth": 190, "growth": 40, "bottleneck": True}
    ),
}
