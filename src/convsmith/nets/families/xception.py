"""Xception (Chollet 2017): inception modules taken to the extreme, depthwise separable convolutions."""

from dataclasses import replace

from convsmith.nets.family import Family, Numbers, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, MaxPool
from convsmith.nets.parts import RELU, conv_norm, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Node, Seq, add, rewrite, seq

MIDDLE = 728  # channels of the middle flow


def xception(*, middle: int = 8, classes: int = 1000, channels: int = 3, size: int = 299) -> Network:
    """Xception (figure 5): residual units of separable convolutions, without a ReLU between depthwise and pointwise.

    The entry flow is the stem, stages 1 and 2 and the first unit of stage 3; the `middle` units that follow it are the
    middle flow, and stage 4 is the exit flow. Normalization has torch's constants, as in timm's `legacy_xception`.
    """
    stem = seq(
        conv1=Conv(32, 3, 2, bias=False), norm1=BatchNorm(), act1=RELU,
        conv2=Conv(64, 3, bias=False), norm2=BatchNorm(), act2=RELU,
    )  # fmt: skip
    middle_flow = {f"unit{i}": _keeping(MIDDLE) for i in range(2, middle + 2)}
    exit_flow = seq(
        unit1=_halving(MIDDLE, (MIDDLE, 1024)),
        conv1=separable(1024, 1536), norm1=BatchNorm(), act1=RELU,
        conv2=separable(1536, 2048), norm2=BatchNorm(), act2=RELU,
    )  # fmt: skip
    stages = (
        ("stem", stem),
        ("stage1", seq(unit1=_halving(64, (128, 128), act_first=False))),
        ("stage2", seq(unit1=_halving(128, (256, 256)))),
        ("stage3", seq(unit1=_halving(256, (MIDDLE, MIDDLE)), **middle_flow)),
        ("stage4", exit_flow),
    )
    return Network(
        name="xception",
        family="xception",
        input=Shape(channels, (size, size)),
        init="he",
        stages=stages,
        heads=((MAIN, pooled_head(classes, 0.5)),),
    )


def separable(width_in: int, width: int) -> Seq:
    """A depthwise 3x3 convolution, then a 1x1 to `width` channels."""
    return seq(depthwise=padded_conv(width_in, 3, groups=width_in), pointwise=padded_conv(width))


def _separables(width_in: int, widths: tuple[int, ...], act_first: bool = True) -> dict[str, Node | None]:
    """ReLU, separable convolution and normalization, once for each width; the first ReLU only if `act_first`."""
    children: dict[str, Node | None] = {}
    for i, width in enumerate(widths, 1):
        act = RELU if act_first or i > 1 else None
        children |= {f"act{i}": act, f"conv{i}": separable(width_in, width), f"norm{i}": BatchNorm()}
        width_in = width
    return children


def _halving(width_in: int, widths: tuple[int, int], act_first: bool = True) -> Add:
    """Two separable convolutions and max pooling with stride 2, beside a 1x1 convolution with stride 2."""
    branch = seq(**_separables(width_in, widths, act_first), pool=MaxPool(3, 2, padding=1))
    return add(branch=branch, shortcut=conv_norm(widths[-1], 1, 2))


def _keeping(width: int) -> Add:
    """Three separable convolutions that keep the shape."""
    return add(branch=seq(**_separables(width, (width,) * 3)), shortcut=IDENTITY)


def small_xception(network: Network) -> Network:
    """Xception for images of about 32 pixels: its first two strides become 1 and the stem is padded; 32 ends at 4."""

    def change(path: str, node: Node) -> Node:
        if isinstance(node, Conv) and isinstance(node.kernel, int):
            return replace(node, stride=1, padding=node.kernel // 2)
        return replace(node, stride=1) if isinstance(node, MaxPool) else node

    early, others = network.stages[:2], network.stages[2:]
    return replace(network, stages=(*((name, rewrite(stage, change)) for name, stage in early), *others))


def _deeper(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the units of the middle flow."""
    return {**numbers, "middle": round(numbers["middle"] * factor)}


# timm's block, our unit, and the place of its first separable convolution in timm's list.
_BLOCKS = (
    (r"block1", "stage1.unit1", 0),
    (r"block2", "stage2.unit1", 1),
    (r"block3", "stage3.unit1", 1),
    *((rf"block{i}", f"stage3.unit{i - 2}", 1) for i in range(4, 12)),
    (r"block12", "stage4.unit1", 1),
)


def _rules() -> tuple[tuple[str, str], ...]:
    rules: list[tuple[str, str]] = [
        (r"conv([12])\.weight", r"stem.conv\1.weight"),
        (r"bn([12])\.(.*)", r"stem.norm\1.\2"),
    ]
    for theirs, ours, first in _BLOCKS:
        for number, place in enumerate(range(first, 9, 3), 1):
            rules += [
                (rf"{theirs}\.rep\.{place}\.conv1\.(.*)", rf"{ours}.branch.conv{number}.depthwise.\1"),
                (rf"{theirs}\.rep\.{place}\.pointwise\.(.*)", rf"{ours}.branch.conv{number}.pointwise.\1"),
                (rf"{theirs}\.rep\.{place + 1}\.(.*)", rf"{ours}.branch.norm{number}.\1"),
            ]
        rules += [
            (rf"{theirs}\.skip\.(.*)", rf"{ours}.shortcut.conv.\1"),
            (rf"{theirs}\.skipbn\.(.*)", rf"{ours}.shortcut.norm.\1"),
        ]
    for theirs, ours in ((3, 1), (4, 2)):
        rules += [
            (rf"conv{theirs}\.conv1\.(.*)", rf"stage4.conv{ours}.depthwise.\1"),
            (rf"conv{theirs}\.pointwise\.(.*)", rf"stage4.conv{ours}.pointwise.\1"),
            (rf"bn{theirs}\.(.*)", rf"stage4.norm{ours}.\1"),
        ]
    return (*rules, (r"fc\.(.*)", r"head.linear.\1"))


XCEPTION = Family(
    "xception", xception, small_images=small_xception, deepen=_deeper, renamings=(Renaming("timm", _rules()),)
)
NETWORKS = {"xception": Row(XCEPTION, 2016, "separable convolutions, 299-pixel images (timm's legacy_xception)")}
