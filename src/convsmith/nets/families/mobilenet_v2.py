"""MobileNet v2 (Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks")."""

from convsmith.nets.families.inverted_residual import inverted_residual, numbered
from convsmith.nets.families.scaling import check_multipliers, deepen, repeats, widen, without_first_strides
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act
from convsmith.nets.parts import conv_norm_act, divisible, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node

RELU6 = Act("relu6")

# Expansion t, width c, units n, stride of the first s: table 2.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(
    *, width: float = 1.0, depth: float = 1.0, classes: int = 1000, channels: int = 3, size: int = 224
) -> Network:
    """MobileNet v2 (table 2): a 3x3 convolution, seven stages of inverted residuals, a 1x1 convolution, all with ReLU6.

    `width` multiplies the channels (multiples of 8) but not the last 1280 if it is below 1 (section 4). `depth`
    multiplies the units of each stage.
    """
    check_multipliers(width=width, depth=depth)
    width_in = divisible(32 * width)
    stages: list[tuple[str, Node]] = [("stem", conv_norm_act(width_in, 3, 2, act=RELU6))]
    for i, (expand, base, count, stride) in enumerate(_STAGES, 1):
        units: list[Node] = []
        for j in range(repeats(count, depth)):
            out, expanded = divisible(base * width), expand * width_in
            units.append(inverted_residual(width_in, out, expanded=expanded, stride=stride if j == 0 else 1, act=RELU6))
            width_in = out
        stages.append((f"stage{i}", numbered(units)))
    stages.append(("final", conv_norm_act(divisible(1280 * max(1.0, width)), act=RELU6)))
    return Network(
        name="mobilenet_v2", family="mobilenet_v2", input=Shape(channels, (size, size)), init="vgg",
        stages=tuple(stages), heads=((MAIN, pooled_head(classes, drop=0.2)),),
    )  # fmt: skip


# The first unit of a stage has no shortcut, so its parts are not inside a branch.
_FIRST, _OTHER = r"blocks\.(\d+)\.(0)", r"blocks\.(\d+)\.(\d+)"
_PARTS = (("conv_pw", "bn1", "expand"), ("conv_dw", "bn2", "depthwise"), ("conv_pwl", "bn3", "project"))
_UNEXPANDED = (("conv_dw", "bn1", "depthwise"), ("conv_pw", "bn2", "project"))


def _unit_rules(block: str, unit: str, parts: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, str], ...]:
    convs = tuple((rf"{block}\.{conv}\.(.*)", rf"{unit}.{part}.conv.\3") for conv, _, part in parts)
    norms = tuple((rf"{block}\.{norm}\.(.*)", rf"{unit}.{part}.norm.\3") for _, norm, part in parts)
    return convs + norms


TIMM_NAMES = Renaming(
    "timm",
    (
        (r"conv_stem\.(.*)", r"stem.conv.\1"),
        (r"bn1\.(.*)", r"stem.norm.\1"),
        *_unit_rules(r"blocks\.(0)\.(0)", r"stage<\1>.unit<\2>", _UNEXPANDED),
        *_unit_rules(_FIRST, r"stage<\1>.unit<\2>", _PARTS),
        *_unit_rules(_OTHER, r"stage<\1>.unit<\2>.branch", _PARTS),
        (r"conv_head\.(.*)", r"final.conv.\1"),
        (r"bn2\.(.*)", r"final.norm.\1"),
        (r"classifier\.(.*)", r"head.linear.\1"),
    ),
)
MOBILENET_V2 = Family(
    "mobilenet_v2",
    mobilenet_v2,
    small_images=without_first_strides,
    widen=widen,
    deepen=deepen,
    renamings=(TIMM_NAMES,),
)


def _row(note: str, **numbers: object) -> Row:
    return Row(MOBILENET_V2, 2018, note, numbers)


NETWORKS = {
    "mobilenet_v2": _row("inverted residuals with linear bottlenecks"),
    "mobilenet_v2_140": _row("1.4 times the channels", width=1.4),
    "mobilenet_v2_075": _row("0.75 times the channels", width=0.75),
    "mobilenet_v2_050": _row("half the channels", width=0.5),
    "mobilenet_v2_035": _row("0.35 times the channels", width=0.35),
}
