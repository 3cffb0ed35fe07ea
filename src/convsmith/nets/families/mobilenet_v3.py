"""MobileNet v3 (Howard et al. 2019, "Searching for MobileNetV3")."""

from itertools import groupby
from typing import Literal, NamedTuple

from convsmith.base.table import Table
from convsmith.nets.families.inverted_residual import inverted_residual, numbered
from convsmith.nets.families.scaling import check_multipliers, deepen, repeats, widen, without_first_strides
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveAvgPool, BatchNorm, Dropout, Flatten, Linear
from convsmith.nets.parts import RELU, conv_norm_act, divisible, squeeze_excite
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, seq

HARDSWISH, HARDSIGMOID = Act("hardswish"), Act("hardsigmoid")
NORM = BatchNorm(eps=1e-3, momentum=0.01)


class Unit(NamedTuple):
    """A row of the paper's tables; `squeezed` is true with squeeze-and-excitation."""

    kernel: int
    expanded: int
    width: int
    squeezed: bool
    act: Act
    stride: int


RE, HS = RELU, HARDSWISH
# Kernel, expanded width, width, squeeze-and-excitation, activation, stride: tables 1 and 2. Units of one width are a
# stage. The number after the table is the width of the hidden layer in the head.
_TABLES: Table[tuple[tuple[Unit, ...], int]] = Table(
    "form of MobileNet v3",
    {
        "large": (
            (
                Unit(3, 16, 16, False, RE, 1),
                Unit(3, 64, 24, False, RE, 2),
                Unit(3, 72, 24, False, RE, 1),
                Unit(5, 72, 40, True, RE, 2),
                Unit(5, 120, 40, True, RE, 1),
                Unit(5, 120, 40, True, RE, 1),
                Unit(3, 240, 80, False, HS, 2),
                Unit(3, 200, 80, False, HS, 1),
                Unit(3, 184, 80, False, HS, 1),
                Unit(3, 184, 80, False, HS, 1),
                Unit(3, 480, 112, True, HS, 1),
                Unit(3, 672, 112, True, HS, 1),
                Unit(5, 672, 160, True, HS, 2),
                Unit(5, 960, 160, True, HS, 1),
                Unit(5, 960, 160, True, HS, 1),
            ),
            1280,
        ),
        "small": (
            (
                Unit(3, 16, 16, True, RE, 2),
                Unit(3, 72, 24, False, RE, 2),
                Unit(3, 88, 24, False, RE, 1),
                Unit(5, 96, 40, True, HS, 2),
                Unit(5, 240, 40, True, HS, 1),
                Unit(5, 240, 40, True, HS, 1),
                Unit(5, 120, 48, True, HS, 1),
                Unit(5, 144, 48, True, HS, 1),
                Unit(5, 288, 96, True, HS, 2),
                Unit(5, 576, 96, True, HS, 1),
                Unit(5, 576, 96, True, HS, 1),
            ),
            1024,
        ),
    },
)


def mobilenet_v3(
    *,
    form: Literal["large", "small"],
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """MobileNet v3 (tables 1 and 2): inverted residuals found by search, most of them gated, the later with hard-swish.

    The last 1x1 convolution comes before the pooling, the hidden layer after it (figure 5). `width` multiplies all
    channels (multiples of 8), `depth` the units of each stage by repeating the last.
    """
    check_multipliers(width=width, depth=depth)
    table, hidden = _TABLES[form]
    width_in = divisible(16 * width)
    stages: list[tuple[str, Node]] = [("stem", conv_norm_act(width_in, 3, 2, norm=NORM, act=HARDSWISH))]
    for i, (_, group) in enumerate(groupby(table, lambda row: row.width), 1):
        units: list[Node] = []
        for row in _repeated(list(group), depth):
            units.append(_unit(width_in, row, width))
            width_in = divisible(row.width * width)
        stages.append((f"stage{i}", numbered(units)))
    stages.append(("final", conv_norm_act(6 * width_in, norm=NORM, act=HARDSWISH)))
    return Network(
        name="mobilenet_v3", family="mobilenet_v3", input=Shape(channels, (size, size)), init="vgg",
        stages=tuple(stages), heads=((MAIN, _head(divisible(hidden * width), classes)),),
    )  # fmt: skip


def _repeated(rows: list[Unit], depth: float) -> list[Unit]:
    """The rows of a stage, `depth` times as many: the last one again, with stride 1."""
    count = repeats(len(rows), depth)
    return rows[:count] + [rows[-1]._replace(stride=1)] * (count - len(rows))


def _unit(width_in: int, row: Unit, width: float) -> Node:
    expanded = divisible(row.expanded * width)
    se = squeeze_excite(expanded, divisible(expanded // 4), outer=HARDSIGMOID) if row.squeezed else None
    return inverted_residual(
        width_in, divisible(row.width * width), expanded=expanded, kernel=row.kernel, stride=row.stride, act=row.act,
        norm=NORM, se=se,
    )  # fmt: skip


def _head(hidden: int, classes: int) -> Seq:
    return seq(
        pool=AdaptiveAvgPool(1), flatten=Flatten(), linear1=Linear(hidden), act1=HARDSWISH, dropout=Dropout(0.2),
        linear2=Linear(classes),
    )  # fmt: skip


MOBILENET_V3 = Family("mobilenet_v3", mobilenet_v3, small_images=without_first_strides, widen=widen, deepen=deepen)
NETWORKS = {
    f"mobilenet_v3_{form}": Row(MOBILENET_V3, 2019, f"the {form} form, table {number}", {"form": form})
    for number, form in enumerate(_TABLES, 1)
}
