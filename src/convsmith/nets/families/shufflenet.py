"""ShuffleNet (Zhang et al. 2018) and ShuffleNet v2 (Ma et al. 2018)."""

from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.nets.families.inverted_residual import numbered
from convsmith.nets.families.scaling import check_multipliers, repeats
from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, BatchNorm, Chunk, MaxPool, Shuffle
from convsmith.nets.parts import RELU, conv_norm, conv_norm_act, divisible, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Node, Seq, add, cat, seq

DEPTHS = (4, 8, 4)  # units of a stage, in both papers

# The width of the first stage by the number of groups: table 1 of the first paper. Each stage doubles it.
_WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


def shufflenet_v1(
    *,
    groups: int,
    width: float = 1.0,
    stem: int = 24,
    depths: tuple[int, ...] = DEPTHS,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """ShuffleNet (table 1): three stages of units with grouped 1x1 convolutions and shuffled channels.

    `width` multiplies the channels of the stages, rounded to multiples of 4 `groups`; `stem` is the width of the stem.
    The paper's stages 2 to 4 are called 1 to 3 here.
    """
    if groups not in _WIDTHS:
        raise UsageError(f"groups is {groups}, expected one of {', '.join(map(str, _WIDTHS))} (the paper's table 1)")
    check_multipliers(width=width)
    if stem % groups:
        raise UsageError(f"stem is {stem}, expected a multiple of the {groups} groups")
    stages: list[Seq] = []
    width_in = stem
    for i, depth in enumerate(depths):
        out = divisible(_WIDTHS[groups] * 2**i * width, 4 * groups)
        children: dict[str, Node | None] = {}
        for j in range(1, depth + 1):
            # The first 1x1 convolution of the network has too few input channels for groups (section 3.3).
            first = 1 if i == 0 and j == 1 else groups
            unit = shuffle_unit(width_in, out, groups, first, stride=2 if j == 1 else 1)
            children |= {f"unit{j}": unit, f"act{j}": RELU}
            width_in = out
        stages.append(seq(**children))
    return _shufflenet("shufflenet_v1", stem, stages, None, Shape(channels, (size, size)), classes)


def shuffle_unit(width_in: int, width: int, groups: int, groups_in: int, stride: int) -> Node:
    """A unit without its last ReLU (figure 2, b and c): 1x1 to a quarter of `width`, shuffle, depthwise 3x3, 1x1.

    With stride 2 the pooled input and the branch are concatenated, else added. `groups_in` are the groups of
    the first 1x1 convolution.
    """
    middle = width // 4
    out = width if stride == 1 else width - width_in
    branch = seq(
        reduce=conv_norm_act(middle, groups=groups_in),
        shuffle=Shuffle(groups) if groups > 1 else None,
        depthwise=conv_norm(middle, 3, stride, groups=middle),
        expand=conv_norm(out, groups=groups),
    )
    if stride == 1:
        return add(branch=branch, shortcut=IDENTITY)
    return cat(shortcut=AvgPool(3, stride, padding=1), branch=branch)


def shufflenet_v2(
    *,
    widths: tuple[int, ...],
    last: int = 1024,
    stem: int = 24,
    depths: tuple[int, ...] = DEPTHS,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """ShuffleNet v2 (table 5): three stages of `widths` whose units filter one half of the channels and keep the other.

    The paper's stages 2 to 4 are called 1 to 3 here; `last` is the width of its conv 5.
    """
    if any(width % 2 for width in widths):
        raise UsageError(f"widths are {widths}, expected even numbers: a unit works on halves")
    stages: list[Seq] = []
    width_in = stem
    for width, depth in zip(widths, depths, strict=True):
        units: list[Node] = [split_unit(width_in, width, stride=2)]
        units += [split_unit(width, width, stride=1)] * (depth - 1)
        stages.append(numbered(units))
        width_in = width
    return _shufflenet("shufflenet_v2", stem, stages, last, Shape(channels, (size, size)), classes)


def split_unit(width_in: int, width: int, stride: int) -> Seq:
    """A unit (figure 3, c and d): two halves of the output side by side, then shuffled.

    With stride 1 they come from the halves of the input, the first unchanged; else each from the whole input.
    """
    half = width // 2
    if stride == 1:
        shortcut, second = Chunk(0, 2), Chunk(1, 2)
    else:
        filtered = conv_norm(width_in, 3, stride, groups=width_in)
        shortcut, second = seq(depthwise=filtered, pointwise=conv_norm_act(half)), None
    branch = seq(
        chunk=second,
        pointwise1=conv_norm_act(half),
        depthwise=conv_norm(half, 3, stride, groups=half),
        pointwise2=conv_norm_act(half),
    )
    return seq(halves=cat(shortcut=shortcut, branch=branch), shuffle=Shuffle(2))


def _shufflenet(family: str, stem: int, stages: list[Seq], last: int | None, input: Shape, classes: int) -> Network:
    first = seq(conv=padded_conv(stem, 3, 2), norm=BatchNorm(), act=RELU, pool=MaxPool(3, 2, padding=1))
    named: list[tuple[str, Node]] = [("stem", first)]
    named += [(f"stage{i}", stage) for i, stage in enumerate(stages, 1)]
    if last is not None:
        named.append(("final", conv_norm_act(last)))
    return Network(
        name=family, family=family, input=input, stages=tuple(named), heads=((MAIN, pooled_head(classes)),)
    )  # fmt: skip


def small_shufflenet(network: Network) -> Network:
    """ShuffleNet for images of about 32 pixels: a stem with stride 1 and no pooling, so that 32x32 ends at 4x4."""
    (name, _), *stages = network.stages
    width = network.trace().stages[name].shape.channels
    return replace(network, stages=((name, conv_norm_act(width, 3)), *stages))


def _widen_v1(numbers: Numbers, factor: float) -> Numbers:
    stem = divisible(numbers["stem"] * factor, numbers["groups"])
    return {**numbers, "width": numbers["width"] * factor, "stem": stem}


def _widen_v2(numbers: Numbers, factor: float) -> Numbers:
    """The stages in multiples of 4 like the paper's, the last convolution never narrower, the stem as it is."""
    widths = tuple(divisible(width * factor, 4) for width in numbers["widths"])
    return {**numbers, "widths": widths, "last": divisible(numbers["last"] * max(1.0, factor))}


def _deepen(numbers: Numbers, factor: float) -> Numbers:
    return {**numbers, "depths": tuple(repeats(depth, factor) for depth in numbers["depths"])}


SHUFFLENET_V1 = Family("shufflenet_v1", shufflenet_v1, small_images=small_shufflenet, widen=_widen_v1, deepen=_deepen)
SHUFFLENET_V2 = Family("shufflenet_v2", shufflenet_v2, small_images=small_shufflenet, widen=_widen_v2, deepen=_deepen)

# Scale, groups, stem. The paper does not give the width of a scaled stem: these are of its authors' code, which lacks
# the scale 0.25; its stem is scaled too.
_SCALED_V1 = (
    (0.25, 8, 8), (0.5, 3, 12), (0.5, 8, 16), (1.0, 1, 24), (1.0, 2, 24), (1.0, 3, 24), (1.0, 4, 24), (1.0, 8, 24),
    (1.5, 3, 24), (1.5, 8, 24), (2.0, 3, 48), (2.0, 8, 48),
)  # fmt: skip
# Scale, widths of the stages, of the last convolution: table 5 of the second paper.
_SCALED_V2 = (
    (0.5, (48, 96, 192), 1024),
    (1.0, (116, 232, 464), 1024),
    (1.5, (176, 352, 704), 1024),
    (2.0, (244, 488, 976), 2048),
)


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for scale, groups, stem in _SCALED_V1:
        name = f"shufflenet_v1_x{scale}_g{groups}".replace(".", "_")
        note = f"{scale} times the channels, {groups} group{'s' if groups > 1 else ''}"
        rows[name] = Row(SHUFFLENET_V1, 2017, note, {"groups": groups, "width": scale, "stem": stem})
    for scale, widths, last in _SCALED_V2:
        name, note = f"shufflenet_v2_x{scale}".replace(".", "_"), f"about {scale} times the channels"
        rows[name] = Row(SHUFFLENET_V2, 2018, note, {"widths": widths, "last": last})
    return rows


NETWORKS = _rows()
