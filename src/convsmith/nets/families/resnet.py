"""Residual networks: ImageNet and CIFAR forms (He et al. 2016, "Deep residual learning")."""

from dataclasses import replace
from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, BatchNorm, MaxPool, PadChannels
from convsmith.nets.parts import RELU, conv_norm, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Node, Seq, add, seq

Block = Literal["basic", "bottleneck"]
Shortcut = Literal["projection", "pad"]


def resnet(
    *,
    depths: tuple[int, ...],
    block: Block,
    stride_in: Literal["3x3", "1x1"] = "3x3",
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """ResNet for ImageNet (table 1): a stem that divides the size by 4, then four stages of 64 to 512 planes.

    `stride_in` places a bottleneck's stride: in the 3x3 convolution (torchvision, "v1.5") or the first 1x1 (paper).
    """
    stem = seq(conv=padded_conv(64, 7, 2), norm=BatchNorm(), act=RELU, pool=MaxPool(3, 2, padding=1))
    stages: list[Seq] = []
    width_in = 64
    for i, depth in enumerate(depths):
        planes = 64 * 2**i
        width = planes * (4 if block == "bottleneck" else 1)
        units: list[Add] = []
        for j in range(depth):
            stride = 2 if i > 0 and j == 0 else 1
            branch = bottleneck(planes, width, stride, stride_in) if block == "bottleneck" else basic(planes, stride)
            units.append(residual(branch, width_in, width, stride, "projection"))
            width_in = width
        stages.append(residual_stage(units))
    return _resnet("resnet", Shape(channels, (size, size)), stem, stages, classes)


def resnet_cifar(
    *, depth: int, shortcut: Shortcut = "pad", classes: int = 10, channels: int = 3, size: int = 32
) -> Network:
    """ResNet for CIFAR (section 4.2): 6n + 2 layers, three stages of n basic blocks with 16, 32 and 64 planes.

    `shortcut` where the size changes: "pad" takes every other position and adds zero channels (option A, the paper's),
    "projection" is a 1x1 convolution (option B).
    """
    if depth < 8 or (depth - 2) % 6:
        raise UsageError(f"a CIFAR ResNet has 6n + 2 layers (8, 14, 20, 32, ...), received depth {depth}")
    stages: list[Seq] = []
    width_in = 16
    for i in range(3):
        width = 16 * 2**i
        units: list[Add] = []
        for j in range((depth - 2) // 6):
            stride = 2 if i > 0 and j == 0 else 1
            units.append(residual(basic(width, stride), width_in, width, stride, shortcut))
            width_in = width
        stages.append(residual_stage(units))
    stem = seq(conv=padded_conv(16, 3), norm=BatchNorm(), act=RELU)
    return _resnet("resnet_cifar", Shape(channels, (size, size)), stem, stages, classes)


def _resnet(family: str, input: Shape, stem: Seq, stages: list[Seq], classes: int) -> Network:
    named = (("stem", stem), *((f"stage{i}", stage) for i, stage in enumerate(stages, 1)))
    heads = ((MAIN, pooled_head(classes)),)
    return Network(name=family, family=family, input=input, init="he", stages=named, heads=heads)


def basic(planes: int, stride: int) -> Seq:
    """Two 3x3 convolutions (figure 5, left)."""
    return seq(
        conv1=padded_conv(planes, 3, stride), norm1=BatchNorm(), act1=RELU,
        conv2=padded_conv(planes, 3), norm2=BatchNorm(),
    )  # fmt: skip


def bottleneck(planes: int, width: int, stride: int, stride_in: Literal["3x3", "1x1"]) -> Seq:
    """A 1x1, a 3x3 and a 1x1 convolution (figure 5, right)."""
    first, second = (1, stride) if stride_in == "3x3" else (stride, 1)
    return seq(
        conv1=padded_conv(planes, 1, first), norm1=BatchNorm(), act1=RELU,
        conv2=padded_conv(planes, 3, second), norm2=BatchNorm(), act2=RELU,
        conv3=padded_conv(width, 1), norm3=BatchNorm(),
    )  # fmt: skip


def residual(branch: Seq, width_in: int, width: int, stride: int, shortcut: Shortcut) -> Add:
    """`branch` plus its input, which is brought to the branch's shape where they differ."""
    if stride == 1 and width_in == width:
        path = IDENTITY
    elif shortcut == "projection":
        path = conv_norm(width, 1, stride)
    else:
        more = width - width_in
        path = seq(subsample=AvgPool(1, stride), pad=PadChannels(more // 2, more - more // 2))
    return add(branch=branch, shortcut=path)


def residual_stage(units: list[Add]) -> Seq:
    """Units one after the other, each followed by its ReLU."""
    children: dict[str, Node | None] = {}
    for i, unit in enumerate(units, 1):
        children |= {f"unit{i}": unit, f"act{i}": RELU}
    return seq(**children)


def small_resnet(network: Network) -> Network:
    """ResNet for images of about 32 pixels: a 3x3 stem with stride 1 and no pooling; the stages stay."""
    (name, _), *stages = network.stages
    stem = seq(conv=padded_conv(64, 3), norm=BatchNorm(), act=RELU)
    return replace(network, stages=((name, stem), *stages))


_UNIT = r"(?:module\.)?layer(\d+)\.(\d+)"
_RULES = (
    (r"(?:module\.)?conv1\.(.*)", r"stem.conv.\1"),
    (r"(?:module\.)?bn1\.(.*)", r"stem.norm.\1"),
    (rf"{_UNIT}\.conv(\d)\.(.*)", r"stage\1.unit<\2>.branch.conv\3.\4"),
    (rf"{_UNIT}\.bn(\d)\.(.*)", r"stage\1.unit<\2>.branch.norm\3.\4"),
    (rf"{_UNIT}\.(?:downsample|shortcut)\.0\.(.*)", r"stage\1.unit<\2>.shortcut.conv.\3"),
    (rf"{_UNIT}\.(?:downsample|shortcut)\.1\.(.*)", r"stage\1.unit<\2>.shortcut.norm.\3"),
    (r"(?:module\.)?(?:fc|linear)\.(.*)", r"head.linear.\1"),
)
RESNET = Family("resnet", resnet, small_images=small_resnet, renamings=(Renaming("torchvision and timm", _RULES),))
RESNET_CIFAR = Family("resnet_cifar", resnet_cifar, renamings=(Renaming("akamaster/pytorch_resnet_cifar10", _RULES),))

_IMAGENET: dict[str, tuple[Block, tuple[int, ...]]] = {
    "18": ("basic", (2, 2, 2, 2)),
    "34": ("basic", (3, 4, 6, 3)),
    "50": ("bottleneck", (3, 4, 6, 3)),
    "101": ("bottleneck", (3, 4, 23, 3)),
    "152": ("bottleneck", (3, 8, 36, 3)),
}


def _imagenet_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (block, depths) in _IMAGENET.items():
        numbers = {"depths": depths, "block": block}
        stride = ", stride in the 3x3 (v1.5)" if block == "bottleneck" else ""
        rows[f"resnet{name}"] = Row(RESNET, 2015, f"{block} blocks{stride}", numbers)
        if block == "bottleneck":
            note = "bottleneck blocks, stride in the first 1x1 (the paper's v1)"
            rows[f"resnet{name}_v1"] = Row(RESNET, 2015, note, {**numbers, "stride_in": "1x1"})
    for name in ("18", "34"):
        block, depths = _IMAGENET[name]
        numbers = {"depths": depths, "block": block}
        rows[f"plain{name}"] = Row(RESNET, 2015, f"resnet{name} without shortcuts", numbers, ("plain",))
    return rows


def _cifar_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for depth in (20, 32, 44, 56, 110, 1202):
        a, b = {"depth": depth}, {"depth": depth, "shortcut": "projection"}
        rows[f"resnet{depth}_cifar"] = Row(RESNET_CIFAR, 2015, "option A shortcuts (padded, no parameters)", a)
        rows[f"resnet{depth}_b_cifar"] = Row(RESNET_CIFAR, 2015, "option B shortcuts (1x1 convolutions)", b)
        rows[f"plain{depth}_cifar"] = Row(RESNET_CIFAR, 2015, f"resnet{depth}_cifar without shortcuts", a, ("plain",))
    return rows


NETWORKS = {**_imagenet_rows(), **_cifar_rows()}
