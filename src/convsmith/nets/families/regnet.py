"""RegNet X and Y: networks whose widths grow along a quantized line (Radosavovic et al. 2020)."""

import math
from itertools import groupby

from convsmith.base.errors import UsageError
from convsmith.nets.families.residual import residual_stage
from convsmith.nets.families.scaling import without_early_strides
from convsmith.nets.family import Family, Numbers, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import RELU, conv_norm, conv_norm_act, divisible, padded_conv, pooled_head, squeeze_excite
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Seq, add, seq


def regnet(
    *,
    depth: int,
    width: int,
    slope: float,
    step: float,
    group_width: int,
    se_ratio: float = 0.0,
    nearest: bool = False,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """RegNet (section 3.3): `depth` units of 1x1, 3x3 and 1x1 of one width; the 3x3 has groups of `group_width`.

    The paper's letters: `width` is w_0, `slope` w_a, `step` w_m, `group_width` g. With `se_ratio` (RegNetY: 1/4) a gate
    follows the 3x3, squeezed to this share of the unit's input channels. `nearest`: see `stage_table`.
    """
    input = Shape(channels, (size, size))
    stages: list[tuple[str, Seq]] = [("stem", conv_norm_act(32, 3, 2))]
    width_in = 32
    table = stage_table(depth, width, slope, step, group_width, nearest)
    for i, (stage_width, stage_depth) in enumerate(table, 1):
        units: list[Add] = []
        for j in range(stage_depth):
            units.append(_unit(width_in, stage_width, 2 if j == 0 else 1, group_width, se_ratio))
            width_in = stage_width
        stages.append((f"stage{i}", residual_stage(units)))
    heads = ((MAIN, pooled_head(classes)),)
    return Network(name="regnet", family="regnet", input=input, init="regnet", stages=tuple(stages), heads=heads)


def stage_table(
    depth: int, width: int, slope: float, step: float, group_width: int, nearest: bool = False
) -> list[tuple[int, int]]:
    """Width and depth of each stage (equations 2 to 4).

    The width of unit j, width + slope * j, is rounded to the nearest width * step**k, then to a multiple of 8. Units of
    equal width form a stage. The stage's width is then rounded to a multiple of the group width: the `nearest` one, as
    in the paper and its code (facebookresearch/pycls), or torchvision's, which is the upper one if both are equally
    near or if the lower one removes more than a tenth.
    """
    if depth < 1 or width < 8 or width % 8 or slope < 0 or step <= 1 or group_width < 1:
        raise UsageError(
            "a RegNet needs a depth and a group width of at least 1, a width that is a multiple of 8, a slope of at "
            f"least 0 and a step above 1, received {depth}, {group_width}, {width}, {slope} and {step}"
        )
    powers = [round(math.log((width + slope * j) / width, step)) for j in range(depth)]
    widths = [8 * round(width * step**power / 8) for power in powers]
    fit = _nearest if nearest else divisible
    return [(fit(w, min(group_width, w)), len(list(units))) for w, units in groupby(widths)]


def _nearest(width: float, by: int) -> int:
    return max(by, round(width / by) * by)


def _unit(width_in: int, width: int, stride: int, group_width: int, se_ratio: float) -> Add:
    """A 1x1, a 3x3 in groups, a gate, a 1x1, all of one width (figure 4); the shortcut comes first in the sum."""
    gate = squeeze_excite(width, round(se_ratio * width_in)) if se_ratio else None
    groups = width // min(group_width, width)
    branch = seq(
        conv1=padded_conv(width), norm1=BatchNorm(), act1=RELU,
        conv2=padded_conv(width, 3, stride, groups=groups), norm2=BatchNorm(), act2=RELU,
        se=gate,
        conv3=padded_conv(width), norm3=BatchNorm(),
    )  # fmt: skip
    same = stride == 1 and width_in == width
    return add(shortcut=IDENTITY if same else conv_norm(width, 1, stride), branch=branch)


def _wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times w_0, to a multiple of 8, and w_a."""
    width = max(8, 8 * round(numbers["width"] * factor / 8))
    return {**numbers, "width": width, "slope": numbers["slope"] * factor}


def _deeper(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times as many units, along the same widths."""
    depth = max(1, round(numbers["depth"] * factor))
    return {**numbers, "depth": depth, "slope": numbers["slope"] * numbers["depth"] / depth}


_UNIT = r"trunk_output\.block(\d+)\.block\d+-(\d+)"
_OURS = r"stage\1.unit<\2>"
# Rules, since `name_map` fails: torchvision computes the widths with tensors, which have no values on the meta device.
_RULES = (
    (r"stem\.0\.(.*)", r"stem.conv.\1"),
    (r"stem\.1\.(.*)", r"stem.norm.\1"),
    (rf"{_UNIT}\.proj\.0\.(.*)", rf"{_OURS}.shortcut.conv.\3"),
    (rf"{_UNIT}\.proj\.1\.(.*)", rf"{_OURS}.shortcut.norm.\3"),
    *((rf"{_UNIT}\.f\.{letter}\.0\.(.*)", rf"{_OURS}.branch.conv{i}.\3") for i, letter in enumerate("abc", 1)),
    *((rf"{_UNIT}\.f\.{letter}\.1\.(.*)", rf"{_OURS}.branch.norm{i}.\3") for i, letter in enumerate("abc", 1)),
    (rf"{_UNIT}\.f\.se\.fc(\d)\.(.*)", rf"{_OURS}.branch.se.conv\3.\4"),
    (r"fc\.(.*)", r"head.linear.\1"),
)
_TIMM_RULES = (
    (r"stem\.conv\.(.*)", r"stem.conv.\1"),
    (r"stem\.bn\.(.*)", r"stem.norm.\1"),
    (r"s(\d+)\.b(\d+)\.downsample\.conv\.(.*)", r"stage\1.unit\2.shortcut.conv.\3"),
    (r"s(\d+)\.b(\d+)\.downsample\.bn\.(.*)", r"stage\1.unit\2.shortcut.norm.\3"),
    (r"s(\d+)\.b(\d+)\.conv(\d)\.conv\.(.*)", r"stage\1.unit\2.branch.conv\3.\4"),
    (r"s(\d+)\.b(\d+)\.conv(\d)\.bn\.(.*)", r"stage\1.unit\2.branch.norm\3.\4"),
    (r"s(\d+)\.b(\d+)\.se\.fc(\d)\.(.*)", r"stage\1.unit\2.branch.se.conv\3.\4"),
    (r"head\.fc\.(.*)", r"head.linear.\1"),
)
REGNET = Family(
    "regnet",
    regnet,
    small_images=without_early_strides,
    widen=_wider,
    deepen=_deeper,
    renamings=(Renaming("torchvision", _RULES), Renaming("timm", _TIMM_RULES)),
)

# Name: depth, w_0, w_a, w_m, group width (figures 15 and 16, with the digits of the authors' configurations; y_128gf is
# later, of Goyal et al. 2022, "Vision models are more robust and fair"). The y networks have gates.
_VARIANTS = {
    "x_400mf": (22, 24, 24.48, 2.54, 16),
    "x_800mf": (16, 56, 35.73, 2.28, 16),
    "x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "x_3_2gf": (25, 88, 26.31, 2.25, 48),
    "x_8gf": (23, 80, 49.56, 2.88, 120),
    "x_16gf": (22, 216, 55.59, 2.1, 128),
    "x_32gf": (23, 320, 69.86, 2.0, 168),
    "y_400mf": (16, 48, 27.89, 2.09, 8),
    "y_800mf": (14, 56, 38.84, 2.4, 16),
    "y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "y_3_2gf": (21, 80, 42.63, 2.66, 24),
    "y_8gf": (17, 192, 76.82, 2.19, 56),
    "y_16gf": (18, 200, 106.23, 2.48, 112),
    "y_32gf": (20, 232, 115.89, 2.53, 232),
    "y_128gf": (27, 456, 160.83, 2.52, 264),
}
# The networks whose widths in torchvision differ from the paper's.
_ROUNDED_UP = ("x_400mf", "y_800mf", "y_8gf")


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (depth, width, slope, step, group_width) in _VARIANTS.items():
        numbers = {"depth": depth, "width": width, "slope": slope, "step": step, "group_width": group_width}
        gated = {"se_ratio": 0.25} if name.startswith("y") else {}
        note = f"{depth} units in groups of {group_width}{', with gates' if gated else ''}"
        rows[f"regnet_{name}"] = Row(REGNET, 2022 if name == "y_128gf" else 2020, note, numbers | gated)
        if name in _ROUNDED_UP:
            note = "stage widths as in the paper, where torchvision rounds some up"
            rows[f"regnet_{name}_pycls"] = Row(REGNET, 2020, note, {**numbers, **gated, "nearest": True})
    return rows


NETWORKS = _rows()
