"""Networks over frames, height and width: C3D (Tran et al. 2015) and the 3-D ResNets (Tran et al. 2018)."""

from typing import Literal

from convsmith.nets.families.scaling import deeper_stages, wider_stages
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, MaxPool
from convsmith.nets.parts import RELU, dense_head, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Node, Seq, add, seq

Kind = Literal["3d", "2d", "2plus1d"]


def c3d(
    *,
    depths: tuple[int, ...] = (1, 1, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    classes: int = 487,
    channels: int = 3,
    frames: int = 16,
    size: int = 112,
) -> Network:
    """C3D (figure 3): 3x3x3 convolutions, pools of 2x2x2 except the first, which keeps the frames.

    Takes (N, 3, frames, H, W). The last pool rounds 7x7 up to 4x4, as the authors' Caffe model does; 487 classes are
    those of Sports-1M.
    """
    stages: list[tuple[str, Node]] = []
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        layers: dict[str, Node | None] = {}
        for j in range(1, depth + 1):
            layers |= {f"conv{j}": Conv(width, (3, 3, 3), padding=1), f"act{j}": RELU}
        window = (1, 2, 2) if i == 1 else (2, 2, 2)
        stages.append((f"stage{i}", seq(**layers, pool=MaxPool(window, window, ceil=True))))
    head = dense_head((4096, 4096), classes, grid=None, drop_first=False)
    return Network(
        name="c3d",
        family="c3d",
        input=Shape(channels, (frames, size, size)),
        init="vgg",
        stages=tuple(stages),
        heads=((MAIN, head),),
    )


def video_resnet(
    *,
    kinds: tuple[Kind, ...],
    depths: tuple[int, ...] = (2, 2, 2, 2),
    classes: int = 400,
    channels: int = 3,
    frames: int = 16,
    size: int = 112,
) -> Network:
    """ResNet-18 over frames (table 1); `kinds` are the kinds of convolution in the stem and the four stages.

    "3d" is 3x3x3, "2d" 1x3x3, which keeps the frames, "2plus1d" 1x3x3 and 3x1x1 with a normalization and ReLU between.
    Takes (N, 3, frames, H, W); 400 classes are those of Kinetics.
    """
    stem_kind, *stage_kinds = kinds
    stages: list[tuple[str, Node]] = [("stem", _stem(stem_kind))]
    before = 64
    for i, (kind, depth) in enumerate(zip(stage_kinds, depths, strict=True)):
        width = 64 * 2**i
        units: dict[str, Node | None] = {}
        for j in range(depth):
            unit = _unit(kind, before, width, 2 if i > 0 and j == 0 else 1)
            units |= {f"unit{j + 1}": unit, f"act{j + 1}": RELU}
            before = width
        stages.append((f"stage{i + 1}", seq(**units)))
    return Network(
        name="video_resnet",
        family="video_resnet",
        input=Shape(channels, (frames, size, size)),
        init="vgg",
        stages=tuple(stages),
        heads=((MAIN, pooled_head(classes)),),
    )


def _stem(kind: Kind) -> Seq:
    if kind != "2plus1d":
        return seq(conv1=Conv(64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), norm1=BatchNorm(), act1=RELU)
    return seq(
        conv1=Conv(45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False), norm1=BatchNorm(), act1=RELU,
        conv2=Conv(64, (3, 1, 1), 1, (1, 0, 0), bias=False), norm2=BatchNorm(), act2=RELU,
    )  # fmt: skip


def _unit(kind: Kind, before: int, width: int, stride: int) -> Add:
    """Two convolutions and the shortcut; "2plus1d" convolutions of a unit have the same inner width, of the first."""
    # This width gives the number of weights of a 3x3x3 convolution from `before` to `width` (Tran et al. 2018, 3.5).
    between = 27 * before * width // (9 * before + 3 * width)
    branch = seq(
        conv1=_conv(kind, width, stride, between), norm1=BatchNorm(), act1=RELU,
        conv2=_conv(kind, width, 1, between), norm2=BatchNorm(),
    )  # fmt: skip
    if stride == 1 and before == width:
        return add(branch=branch, shortcut=IDENTITY)
    strides = (1, stride, stride) if kind == "2d" else (stride, stride, stride)
    return add(branch=branch, shortcut=seq(conv=Conv(width, (1, 1, 1), strides, bias=False), norm=BatchNorm()))


def _conv(kind: Kind, width: int, stride: int, between: int) -> Node:
    if kind == "3d":
        return Conv(width, (3, 3, 3), stride, 1, bias=False)
    if kind == "2d":
        return Conv(width, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
    return seq(
        spatial=Conv(between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False), norm=BatchNorm(), act=RELU,
        temporal=Conv(width, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )  # fmt: skip


_UNIT = r"layer(\d+)\.(\d+)"
_TORCHVISION = (
    (r"stem\.0\.(.*)", r"stem.conv1.\1"),
    (r"stem\.1\.(.*)", r"stem.norm1.\1"),
    (r"stem\.3\.(.*)", r"stem.conv2.\1"),
    (r"stem\.4\.(.*)", r"stem.norm2.\1"),
    (rf"{_UNIT}\.conv(\d)\.0\.(weight)", r"stage\1.unit<\2>.branch.conv\3.\4"),
    (rf"{_UNIT}\.conv(\d)\.0\.0\.(.*)", r"stage\1.unit<\2>.branch.conv\3.spatial.\4"),
    (rf"{_UNIT}\.conv(\d)\.0\.1\.(.*)", r"stage\1.unit<\2>.branch.conv\3.norm.\4"),
    (rf"{_UNIT}\.conv(\d)\.0\.3\.(.*)", r"stage\1.unit<\2>.branch.conv\3.temporal.\4"),
    (rf"{_UNIT}\.conv(\d)\.1\.(.*)", r"stage\1.unit<\2>.branch.norm\3.\4"),
    (rf"{_UNIT}\.downsample\.0\.(.*)", r"stage\1.unit<\2>.shortcut.conv.\3"),
    (rf"{_UNIT}\.downsample\.1\.(.*)", r"stage\1.unit<\2>.shortcut.norm.\3"),
    (r"fc\.(.*)", r"head.linear.\1"),
)
C3D = Family("c3d", c3d, widen=wider_stages, deepen=deeper_stages)
VIDEO_RESNET = Family(
    "video_resnet", video_resnet, deepen=deeper_stages, renamings=(Renaming("torchvision.models.video", _TORCHVISION),)
)
NETWORKS = {
    "c3d": Row(C3D, 2015, "3x3x3 convolutions over 16 frames: 3-D"),
    "r3d_18": Row(VIDEO_RESNET, 2018, "ResNet-18 with 3x3x3 convolutions (torchvision)", {"kinds": ("3d",) * 5}),
    "mc3_18": Row(
        VIDEO_RESNET, 2018, "r3d_18 with 1x3x3 convolutions after the first stage (torchvision)",
        {"kinds": ("3d", "3d", "2d", "2d", "2d")},
    ),
    "r2plus1d_18": Row(
        VIDEO_RESNET, 2018, "r3d_18 with each 3x3x3 as 1x3x3 and 3x1x1 (torchvision)", {"kinds": ("2plus1d",) * 5}
    ),
}  # fmt: skip
