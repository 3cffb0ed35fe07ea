"""MobileNet, the first (Howard et al. 2017, arXiv 1704.04861)."""

from typing import Literal

from convsmith.nets.families.inverted_residual import numbered
from convsmith.nets.families.scaling import check_multipliers, deepen, repeats, widen, without_first_strides
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act
from convsmith.nets.parts import conv_norm_act, divisible, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, seq

# Width, units, stride of the first: table 1. The table prints stride 2 for the last unit too; its sizes say 1.
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))


def mobilenet_v1(
    *,
    width: float = 1.0,
    depth: float = 1.0,
    act: Literal["relu", "relu6"] = "relu",
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """MobileNet (table 1): a 3x3 convolution, then 13 depthwise separable convolutions in five stages.

    `width` multiplies the channels (the paper's alpha, section 3.3; multiples of 8), `size` the paper's resolution
    (section 3.4). `depth` multiplies the units of each stage.
    """
    check_multipliers(width=width, depth=depth)
    function = Act(act)
    width_in = divisible(32 * width)
    stages: list[tuple[str, Node]] = [("stem", conv_norm_act(width_in, 3, 2, act=function))]
    for i, (base, count, stride) in enumerate(_STAGES, 1):
        units: list[Node] = []
        for j in range(repeats(count, depth)):
            units.append(separable(width_in, divisible(base * width), stride if j == 0 else 1, function))
            width_in = divisible(base * width)
        stages.append((f"stage{i}", numbered(units)))
    return Network(
        name="mobilenet_v1", family="mobilenet_v1", input=Shape(channels, (size, size)), init="vgg",
        stages=tuple(stages), heads=((MAIN, pooled_head(classes)),),
    )  # fmt: skip


def separable(width_in: int, width: int, stride: int, act: Act) -> Seq:
    """A depthwise separable convolution (figure 3, right): 3x3 on each channel, then 1x1 across them."""
    return seq(
        depthwise=conv_norm_act(width_in, 3, stride, groups=width_in, act=act),
        pointwise=conv_norm_act(width, act=act),
    )


_TIMM = Renaming(
    "timm",
    (
        (r"conv_stem\.(.*)", r"stem.conv.\1"),
        (r"bn1\.(.*)", r"stem.norm.\1"),
        (r"blocks\.(\d+)\.(\d+)\.conv_dw\.(.*)", r"stage<\1>.unit<\2>.depthwise.conv.\3"),
        (r"blocks\.(\d+)\.(\d+)\.bn1\.(.*)", r"stage<\1>.unit<\2>.depthwise.norm.\3"),
        (r"blocks\.(\d+)\.(\d+)\.conv_pw\.(.*)", r"stage<\1>.unit<\2>.pointwise.conv.\3"),
        (r"blocks\.(\d+)\.(\d+)\.bn2\.(.*)", r"stage<\1>.unit<\2>.pointwise.norm.\3"),
        (r"classifier\.(.*)", r"head.linear.\1"),
    ),
)
MOBILENET_V1 = Family(
    "mobilenet_v1", mobilenet_v1, small_images=without_first_strides, widen=widen, deepen=deepen, renamings=(_TIMM,)
)


def _row(note: str, **numbers: object) -> Row:
    return Row(MOBILENET_V1, 2017, note, numbers)


NETWORKS = {
    "mobilenet_v1": _row("depthwise separable convolutions, ReLU as in the paper"),
    "mobilenet_v1_relu6": _row("ReLU6 as in the authors' code, for timm's weights", act="relu6"),
    "mobilenet_v1_075": _row("0.75 times the channels", width=0.75),
    "mobilenet_v1_050": _row("half the channels", width=0.5),
    "mobilenet_v1_025": _row("a quarter of the channels", width=0.25),
}
