"""EfficientNet (Tan and Le 2019) and EfficientNet v2 (Tan and Le 2021)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from convsmith.base.table import Table
from convsmith.nets.families.inverted_residual import inverted_residual, numbered, with_shortcut
from convsmith.nets.families.scaling import check_multipliers, deepen, repeats, widen, without_first_strides
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, BatchNorm
from convsmith.nets.parts import conv_norm, conv_norm_act, divisible, pooled_head, squeeze_excite
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, seq

SILU = Act("silu")


class Stage(NamedTuple):
    """A row of the papers' tables: `units` of `width`, the first with `stride`.

    "mb" are inverted residuals with squeeze-and-excitation; "fused" ones have one ordinary convolution in place of the
    expansion and the depthwise convolution, and no gate.
    """

    kind: Literal["mb", "fused"]
    expand: int
    kernel: int
    stride: int
    width: int
    units: int


# Kind, expansion, kernel, stride, width, units: the first paper's table 1, stages 2 to 8.
B0_STAGES = (
    Stage("mb", 1, 3, 1, 16, 1),
    Stage("mb", 6, 3, 2, 24, 2),
    Stage("mb", 6, 5, 2, 40, 2),
    Stage("mb", 6, 3, 2, 80, 3),
    Stage("mb", 6, 5, 1, 112, 3),
    Stage("mb", 6, 5, 2, 192, 4),
    Stage("mb", 6, 3, 1, 320, 1),
)
# The same for the second paper: S is its table 4, M and L its authors' code.
_V2: Table[tuple[Stage, ...]] = Table(
    "form of EfficientNet v2",
    {
        "s": (
            Stage("fused", 1, 3, 1, 24, 2),
            Stage("fused", 4, 3, 2, 48, 4),
            Stage("fused", 4, 3, 2, 64, 4),
            Stage("mb", 4, 3, 2, 128, 6),
            Stage("mb", 6, 3, 1, 160, 9),
            Stage("mb", 6, 3, 2, 256, 15),
        ),
        "m": (
            Stage("fused", 1, 3, 1, 24, 3),
            Stage("fused", 4, 3, 2, 48, 5),
            Stage("fused", 4, 3, 2, 80, 5),
            Stage("mb", 4, 3, 2, 160, 7),
            Stage("mb", 6, 3, 1, 176, 14),
            Stage("mb", 6, 3, 2, 304, 18),
            Stage("mb", 6, 3, 1, 512, 5),
        ),
        "l": (
            Stage("fused", 1, 3, 1, 32, 4),
            Stage("fused", 4, 3, 2, 64, 7),
            Stage("fused", 4, 3, 2, 96, 7),
            Stage("mb", 4, 3, 2, 192, 10),
            Stage("mb", 6, 3, 1, 224, 19),
            Stage("mb", 6, 3, 2, 384, 25),
            Stage("mb", 6, 3, 1, 640, 7),
        ),
    },
)


def efficientnet(
    *,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    drop_path: float = 0.2,
    eps: float = 1e-5,
    momentum: float = 0.1,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """EfficientNet (table 1 scaled by section 3.3): inverted residuals with squeeze-and-excitation and SiLU.

    `width` multiplies the channels (multiples of 8), `depth` the units of each stage (rounded up); with `size` they are
    the compound coefficients that turn B0 into B1 to B7. `eps` and `momentum` are those of batch normalization.
    Branches are dropped with a probability that grows with each unit from 0 towards `drop_path`, as in torchvision.
    """
    check_multipliers(width=width, depth=depth)
    rows = _scaled(B0_STAGES, width, depth)
    stages = _stages(rows, divisible(32 * width), 4 * rows[-1].width, BatchNorm(eps, momentum), drop_path)
    return _network("efficientnet", stages, dropout, classes, Shape(channels, (size, size)))


def efficientnet_v2(
    *,
    form: Literal["s", "m", "l"],
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    drop_path: float = 0.2,
    classes: int = 1000,
    channels: int = 3,
    size: int = 384,
) -> Network:
    """EfficientNet v2 (table 4): fused inverted residuals in the first three stages; numbers as in `efficientnet`.

    The last convolution has 1280 channels in each form; `size` is that of evaluation, training uses smaller images.
    """
    check_multipliers(width=width, depth=depth)
    rows = _scaled(_V2[form], width, depth)
    stages = _stages(rows, rows[0].width, divisible(1280 * width), BatchNorm(eps=1e-3), drop_path)
    return _network("efficientnet_v2", stages, dropout, classes, Shape(channels, (size, size)))


def _scaled(rows: Sequence[Stage], width: float, depth: float) -> list[Stage]:
    return [row._replace(width=divisible(row.width * width), units=repeats(row.units, depth)) for row in rows]


def _stages(rows: Sequence[Stage], stem: int, last: int, norm: BatchNorm, drop_path: float) -> list[tuple[str, Node]]:
    """The stages of `rows` between a stem of width `stem` and a last convolution of width `last`."""
    stages: list[tuple[str, Node]] = [("stem", conv_norm_act(stem, 3, 2, norm=norm, act=SILU))]
    total, done, width_in = sum(row.units for row in rows), 0, stem
    for i, row in enumerate(rows, 1):
        units: list[Node] = []
        for j in range(row.units):
            unit = mbconv if row.kind == "mb" else fused_mbconv
            units.append(unit(width_in, row, row.stride if j == 0 else 1, norm, drop_path * done / total))
            width_in, done = row.width, done + 1
        stages.append((f"stage{i}", numbered(units)))
    return [*stages, ("final", conv_norm_act(last, norm=norm, act=SILU))]


def _network(family: str, stages: list[tuple[str, Node]], dropout: float, classes: int, input: Shape) -> Network:
    head = pooled_head(classes, drop=dropout)
    return Network(
        name=family, family=family, input=input, init="efficientnet", stages=tuple(stages), heads=((MAIN, head),)
    )


def mbconv(width_in: int, row: Stage, stride: int, norm: BatchNorm, drop_path: float) -> Node:
    """An inverted residual with a gate that squeezes to a quarter of the unit's input channels."""
    expanded = row.expand * width_in
    return inverted_residual(
        width_in, row.width, expanded=expanded, kernel=row.kernel, stride=stride, act=SILU, norm=norm,
        se=squeeze_excite(expanded, max(1, width_in // 4), inner=SILU), drop_path=drop_path,
    )  # fmt: skip


def fused_mbconv(width_in: int, row: Stage, stride: int, norm: BatchNorm, drop_path: float) -> Node:
    """A convolution to the expanded channels and a projection; without expansion the convolution alone (figure 2)."""
    narrow = row.expand == 1
    expanded = row.width if narrow else row.expand * width_in
    branch = seq(
        fused=conv_norm_act(expanded, row.kernel, stride, norm=norm, act=SILU),
        project=None if narrow else conv_norm(row.width, norm=norm),
    )
    return with_shortcut(branch, same_shape=stride == 1 and width_in == row.width, drop_path=drop_path)


EFFICIENTNET = Family("efficientnet", efficientnet, small_images=without_first_strides, widen=widen, deepen=deepen)
EFFICIENTNET_V2 = Family(
    "efficientnet_v2", efficientnet_v2, small_images=without_first_strides, widen=widen, deepen=deepen
)

# Width, depth, size, dropout, and the eps and momentum of batch normalization: the authors' code for width, depth and
# dropout (rounded from the powers of section 3.3), torchvision's weights for size, eps and momentum.
_COMPOUND = {
    "b0": (1.0, 1.0, 224, 0.2, 1e-5, 0.1),
    "b1": (1.0, 1.1, 240, 0.2, 1e-5, 0.1),
    "b2": (1.1, 1.2, 288, 0.3, 1e-5, 0.1),
    "b3": (1.2, 1.4, 300, 0.3, 1e-5, 0.1),
    "b4": (1.4, 1.8, 380, 0.4, 1e-5, 0.1),
    "b5": (1.6, 2.2, 456, 0.4, 1e-3, 0.01),
    "b6": (1.8, 2.6, 528, 0.5, 1e-3, 0.01),
    "b7": (2.0, 3.1, 600, 0.5, 1e-3, 0.01),
}


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (width, depth, size, dropout, eps, momentum) in _COMPOUND.items():
        note = f"B0 with {width} times the channels and {depth} times the units, {size}-pixel images"
        numbers = {
            "width": width, "depth": depth, "size": size, "dropout": dropout, "eps": eps, "momentum": momentum
        }  # fmt: skip
        rows[f"efficientnet_{name}"] = Row(EFFICIENTNET, 2019, note, numbers)
    for form, size, dropout in (("s", 384, 0.2), ("m", 480, 0.3), ("l", 480, 0.4)):
        note, numbers = f"form {form.upper()}, {size}-pixel images", {"form": form, "size": size, "dropout": dropout}
        rows[f"efficientnet_v2_{form}"] = Row(EFFICIENTNET_V2, 2021, note, numbers)
    return rows


NETWORKS = _rows()
