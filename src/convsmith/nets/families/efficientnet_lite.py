"""EfficientNet-Lite 0 to 4 (the authors' code: tensorflow/tpu, models/official/efficientnet/lite)."""

from convsmith.nets.families.efficientnet import B0_STAGES
from convsmith.nets.families.inverted_residual import numbered, with_shortcut
from convsmith.nets.families.mobilenet_v2 import RELU6, TIMM_NAMES
from convsmith.nets.families.scaling import check_multipliers, deepen, repeats, widen, without_first_strides
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, PadSame
from convsmith.nets.parts import conv_norm, conv_norm_act, divisible, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, seq

# TensorFlow's momentum of 0.99 is torch's 0.01.
_NORM = BatchNorm(eps=1e-3, momentum=0.01)
_STEM, _LAST = 32, 1280


def efficientnet_lite(
    *,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    drop_path: float = 0.2,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """EfficientNet without squeeze-and-excitation, with ReLU6 (`efficientnet_lite` in efficientnet_lite_builder.py).

    `width` multiplies the channels of the stages (multiples of 8), `depth` the units of stages 2 to 6 (rounded up);
    the stem, the last convolution and the units of the first and last stage stay (`fix_head_stem`). Strided
    convolutions are padded as TensorFlow does. Branches are dropped as in `efficientnet`.
    """
    check_multipliers(width=width, depth=depth)
    first, *inner, last = B0_STAGES
    rows = (first, *(row._replace(units=repeats(row.units, depth)) for row in inner), last)
    total = sum(row.units for row in rows)
    stages: list[tuple[str, Node]] = [("stem", _conv(_STEM, 3, 2))]
    width_in, done = _STEM, 0
    for i, row in enumerate(rows, 1):
        out, units = divisible(row.width * width), list[Node]()
        for j in range(row.units):
            stride, drop = row.stride if j == 0 else 1, drop_path * done / total
            units.append(_unit(width_in, out, row.expand, row.kernel, stride, drop))
            width_in, done = out, done + 1
        stages.append((f"stage{i}", numbered(units)))
    stages.append(("final", _conv(_LAST)))
    return Network(
        name="efficientnet_lite", family="efficientnet_lite", input=Shape(channels, (size, size)), init="efficientnet",
        stages=tuple(stages), heads=((MAIN, pooled_head(classes, drop=dropout)),),
    )  # fmt: skip


def _unit(width_in: int, width: int, expand: int, kernel: int, stride: int, drop_path: float) -> Node:
    expanded = expand * width_in
    branch = seq(
        expand=_conv(expanded) if expand != 1 else None,
        depthwise=_conv(expanded, kernel, stride, groups=expanded),
        project=conv_norm(width, norm=_NORM),
    )
    return with_shortcut(branch, same_shape=stride == 1 and width_in == width, drop_path=drop_path)


def _conv(channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1) -> Seq:
    """`conv_norm_act`, padded only at the far end if a stride leaves one position over."""
    plain = conv_norm_act(channels, kernel, stride, groups=groups, norm=_NORM, act=RELU6)
    if stride == 1:
        return plain  # both paddings are the same
    conv = Conv(channels, kernel, stride, groups=groups, bias=False)
    return seq(pad=PadSame(kernel, stride), conv=conv, norm=_NORM, act=RELU6)


_OUTER = (
    ("_conv_stem", "stem.conv"), ("_bn0", "stem.norm"),
    ("_conv_head", "final.conv"), ("_bn1", "final.norm"), ("_fc", "head.linear"),
)  # fmt: skip
_INNER = (
    ("_expand_conv", "expand.conv"), ("_bn0", "expand.norm"), ("_depthwise_conv", "depthwise.conv"),
    ("_bn1", "depthwise.norm"), ("_project_conv", "project.conv"), ("_bn2", "project.norm"),
)  # fmt: skip


def counted_through(network: Network) -> Renaming:
    """The names of lukemelas/EfficientNet-PyTorch and its Lite form, which count the units through all stages."""
    stages = [(name, stage) for name, stage in network.stages if isinstance(stage, Seq) and name.startswith("stage")]
    # The first unit of a stage has no shortcut, so its parts are not inside a branch.
    branch = {"unit1": ""}
    units = [f"{name}.{unit}{branch.get(unit, '.branch')}" for name, stage in stages for unit, _ in stage.children]
    rules = [(rf"{theirs}\.(.*)", rf"{ours}.\1") for theirs, ours in _OUTER]
    for number, unit in enumerate(units):
        rules += [(rf"_blocks\.{number}\.{theirs}\.(.*)", rf"{unit}.{ours}.\1") for theirs, ours in _INNER]
    return Renaming("EfficientNet-PyTorch", tuple(rules))


EFFICIENTNET_LITE = Family(
    "efficientnet_lite", efficientnet_lite, small_images=without_first_strides, widen=widen, deepen=deepen,
    renamings=(TIMM_NAMES, counted_through),
)  # fmt: skip

# Width, depth, size, dropout: `efficientnet_lite_params` in the same file.
_COMPOUND = {
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3),
    "lite4": (1.4, 1.8, 300, 0.3),
}


def _row(width: float, depth: float, size: int, dropout: float) -> Row:
    note = f"for phones: no gates, ReLU6, {size}-pixel images"
    return Row(EFFICIENTNET_LITE, 2020, note, {"width": width, "depth": depth, "size": size, "dropout": dropout})


NETWORKS = {f"efficientnet_{name}": _row(*numbers) for name, numbers in _COMPOUND.items()}
