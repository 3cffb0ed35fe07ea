"""Residual networks: ImageNet and CIFAR forms (He et al. 2016, "Deep residual learning"), and their variants.

ResNet-D (He et al. 2019, "Bag of tricks"), ResNeXt (Xie et al. 2017) and the wide ResNets of ImageNet (Zagoruyko and
Komodakis 2016) are `resnet` with other numbers.
"""

from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.nets.families.residual import (
    Shortcut,
    assembled,
    basic,
    bottleneck,
    cifar_stem,
    deeper,
    imagenet_stem,
    residual_stages,
    small_stem,
    wider,
    with_biases,
)
from convsmith.nets.families.scaling import deeper_stages, wider_stages
from convsmith.nets.family import Family, Numbers, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Seq

Block = Literal["basic", "bottleneck"]


def resnet(
    *,
    depths: tuple[int, ...],
    block: Block,
    stride_in: Literal["3x3", "1x1"] = "3x3",
    groups: int = 1,
    base_width: int = 64,
    stem: tuple[int, ...] = (64,),
    shortcut: Shortcut = "projection",
    ceil_pool: bool = False,
    bias: bool = False,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """ResNet for ImageNet (table 1): a stem that divides the size by 4, then four stages of 64 to 512 planes.

    `stride_in` places a bottleneck's stride: in the 3x3 convolution (torchvision, "v1.5") or the first 1x1 (paper).
    The 3x3 convolutions of the first stage have `groups` groups of `base_width` channels; each stage doubles
    the channels. 32 of 4 is ResNeXt's 32x4d, 1 of 128 a ResNet twice as wide. The output of a bottleneck stays 4 times
    the planes; the output of a basic block grows with `base_width`.
    `stem` holds the widths of the stem's convolutions: one is 7x7, several are 3x3 (ResNet-C and -D). `ceil_pool` pools
    after the stem as Caffe does: without padding, sizes rounded up. `bias` adds a bias to each convolution.
    """
    inner = [base_width * groups * 2**i for i in range(len(depths))]
    outer = [256 * 2**i for i in range(len(depths))] if block == "bottleneck" else inner

    def branch(i: int, stride: int) -> Seq:
        if block == "basic":
            return basic(inner[i], stride, groups)
        return bottleneck(inner[i], outer[i], stride, stride_in, groups)

    stages = residual_stages(stem[-1], depths, outer, branch, shortcut)
    tree = assembled("resnet", Shape(channels, (size, size)), imagenet_stem(stem, ceil_pool), stages, classes)
    return with_biases(tree) if bias else tree


def resnet_cifar(
    *,
    depth: int,
    shortcut: Shortcut = "pad",
    widths: tuple[int, ...] = (16, 32, 64),
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
) -> Network:
    """ResNet for CIFAR (section 4.2): 6n + 2 layers, three stages of n basic blocks with 16, 32 and 64 planes.

    `shortcut`, if the size changes: "pad" takes every other position and adds zero channels (option A, the paper's),
    "projection" is a 1x1 convolution (option B).
    """
    if depth < 8 or (depth - 2) % 6:
        raise UsageError(f"a CIFAR ResNet has 6n + 2 layers (8, 14, 20, 32, ...), received depth {depth}")
    depths = ((depth - 2) // 6,) * len(widths)
    stages = residual_stages(16, depths, widths, lambda i, stride: basic(widths[i], stride), shortcut)
    return assembled("resnet_cifar", Shape(channels, (size, size)), cifar_stem(16), stages, classes)


def resnext_cifar(
    *,
    depth: int = 29,
    groups: int = 8,
    base_width: int = 64,
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
) -> Network:
    """ResNeXt for CIFAR (Xie et al. 2017, section 5.3): 9n + 2 layers, three stages of n bottlenecks.

    The first stage gives 256 channels, and its 3x3 convolutions have `groups` groups of `base_width` channels.
    """
    if depth < 11 or (depth - 2) % 9:
        raise UsageError(f"a CIFAR ResNeXt has 9n + 2 layers (11, 20, 29, 38, ...), received depth {depth}")
    inner, outer = [base_width * groups * 2**i for i in range(3)], (256, 512, 1024)

    def branch(i: int, stride: int) -> Seq:
        return bottleneck(inner[i], outer[i], stride, "3x3", groups)

    stages = residual_stages(64, ((depth - 2) // 9,) * 3, outer, branch, "projection")
    return assembled("resnext_cifar", Shape(channels, (size, size)), cifar_stem(64), stages, classes)


_UNIT = r"(?:module\.)?layer(\d+)\.(\d+)"
_UNITS = (
    (rf"{_UNIT}\.conv(\d)\.(.*)", r"stage\1.unit<\2>.branch.conv\3.\4"),
    (rf"{_UNIT}\.bn(\d)\.(.*)", r"stage\1.unit<\2>.branch.norm\3.\4"),
    (rf"{_UNIT}\.se(?:_module)?\.fc(\d)\.(.*)", r"stage\1.unit<\2>.branch.se.conv\3.\4"),
    (r"(?:module\.)?(?:fc|linear|last_linear)\.(.*)", r"head.linear.\1"),
)
_PROJECTION = (
    (rf"{_UNIT}\.(?:downsample|shortcut)\.0\.(.*)", r"stage\1.unit<\2>.shortcut.conv.\3"),
    (rf"{_UNIT}\.(?:downsample|shortcut)\.1\.(.*)", r"stage\1.unit<\2>.shortcut.norm.\3"),
)
_RULES = (
    (r"(?:module\.|layer0\.)?conv1\.(.*)", r"stem.conv.\1"),
    (r"(?:module\.|layer0\.)?bn1\.(.*)", r"stem.norm.\1"),
    *_UNITS,
    *_PROJECTION,
)
_D_RULES = (
    *((rf"conv1\.{3 * i}\.(.*)", rf"stem.conv{i + 1}.\1") for i in range(3)),
    *((rf"conv1\.{3 * i + 1}\.(.*)", rf"stem.norm{i + 1}.\1") for i in range(2)),
    (r"bn1\.(.*)", r"stem.norm3.\1"),
    *_UNITS,
    (rf"{_UNIT}\.downsample\.1\.(.*)", r"stage\1.unit<\2>.shortcut.conv.\3"),
    (rf"{_UNIT}\.downsample\.2\.(.*)", r"stage\1.unit<\2>.shortcut.norm.\3"),
)
_LAYER0_RULES = (
    (r"layer0\.conv(\d)\.(.*)", r"stem.conv\1.\2"),
    (r"layer0\.bn(\d)\.(.*)", r"stem.norm\1.\2"),
    *_UNITS,
    *_PROJECTION,
)
NAMES = Renaming("torchvision and timm", _RULES)
D_NAMES = Renaming("timm", _D_RULES)
SENET_NAMES = Renaming("timm", _LAYER0_RULES)

RESNET = Family(
    "resnet", resnet, small_images=small_stem, widen=wider, deepen=deeper_stages, renamings=(NAMES, D_NAMES)
)
RESNET_CIFAR = Family(
    "resnet_cifar",
    resnet_cifar,
    widen=wider_stages,
    deepen=deeper(6, 2),
    renamings=(Renaming("akamaster/pytorch_resnet_cifar10", _RULES),),
)
RESNEXT_CIFAR = Family("resnext_cifar", resnext_cifar, widen=wider, deepen=deeper(9, 2))

IMAGENET: dict[str, tuple[Block, tuple[int, ...]]] = {
    "18": ("basic", (2, 2, 2, 2)),
    "34": ("basic", (3, 4, 6, 3)),
    "50": ("bottleneck", (3, 4, 6, 3)),
    "101": ("bottleneck", (3, 4, 23, 3)),
    "152": ("bottleneck", (3, 8, 36, 3)),
}
# Name: the ResNet's depth, groups, base width, year.
_GROUPED = {
    "resnext50_32x4d": ("50", 32, 4, 2016),
    "resnext101_32x4d": ("101", 32, 4, 2016),
    "resnext101_32x8d": ("101", 32, 8, 2016),
    "resnext101_64x4d": ("101", 64, 4, 2016),
    "resnext152_32x4d": ("152", 32, 4, 2016),
    "wide_resnet50_2": ("50", 1, 128, 2016),
    "wide_resnet101_2": ("101", 1, 128, 2016),
}


def imagenet_numbers(depth: str) -> Numbers:
    """The numbers of the ResNet of that depth: "18" to "152"."""
    block, depths = IMAGENET[depth]
    return {"depths": depths, "block": block}


def _imagenet_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (block, depths) in IMAGENET.items():
        numbers = {"depths": depths, "block": block}
        stride = ", stride in the 3x3 (v1.5)" if block == "bottleneck" else ""
        rows[f"resnet{name}"] = Row(RESNET, 2015, f"{block} blocks{stride}", numbers)
        if block == "bottleneck":
            note = "bottleneck blocks, stride in the first 1x1 (the paper's v1)"
            rows[f"resnet{name}_v1"] = Row(RESNET, 2015, note, {**numbers, "stride_in": "1x1"})
    note = "convolutions with a bias, as in much teaching code"
    rows["resnet50_bias"] = Row(RESNET, 2015, note, {**imagenet_numbers("50"), "bias": True})
    for name in ("18", "34"):
        rows[f"plain{name}"] = Row(RESNET, 2015, f"resnet{name} without shortcuts", imagenet_numbers(name), ("plain",))
    for name in IMAGENET:
        numbers = {**imagenet_numbers(name), "stem": (32, 32, 64), "shortcut": "pooled"}
        rows[f"resnet{name}_d"] = Row(RESNET, 2018, "a stem of three 3x3, average pooling in the shortcuts", numbers)
    return rows


def _grouped_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (depth, groups, base_width, year) in _GROUPED.items():
        note = f"resnet{depth}, its 3x3 in {groups} groups of {base_width}"
        if groups == 1:
            note = f"resnet{depth}, its 3x3 twice as wide"
        numbers = {**imagenet_numbers(depth), "groups": groups, "base_width": base_width}
        rows[name] = Row(RESNET, year, note, numbers)
    return rows


def _cifar_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for depth in (20, 32, 44, 56, 110, 1202):
        a, b = {"depth": depth}, {"depth": depth, "shortcut": "projection"}
        rows[f"resnet{depth}_cifar"] = Row(RESNET_CIFAR, 2015, "option A shortcuts (padded, no parameters)", a)
        rows[f"resnet{depth}_b_cifar"] = Row(RESNET_CIFAR, 2015, "option B shortcuts (1x1 convolutions)", b)
        rows[f"plain{depth}_cifar"] = Row(RESNET_CIFAR, 2015, f"resnet{depth}_cifar without shortcuts", a, ("plain",))
    for depth in (110, 1202):
        note = f"resnet{depth}_cifar with stochastic depth: in training half of the last branches are left out"
        edits = ("drop_path(0.5, 'batch')",)
        rows[f"resnet{depth}_stochastic_depth_cifar"] = Row(RESNET_CIFAR, 2016, note, {"depth": depth}, edits)
    for groups in (8, 16):
        note = f"bottlenecks, their 3x3 in {groups} groups of 64"
        rows[f"resnext29_{groups}x64d_cifar"] = Row(RESNEXT_CIFAR, 2016, note, {"groups": groups})
    return rows


NETWORKS = {**_imagenet_rows(), **_grouped_rows(), **_cifar_rows()}
