"""RepVGG (Ding et al. 2021) as it is trained; the edit `reparameterise` gives the form for inference."""

from itertools import count

from convsmith.nets.families.residual import residual_stage
from convsmith.nets.families.scaling import deeper_stages, without_early_strides
from convsmith.nets.family import Family, Numbers, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import conv_norm, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Add, Seq, add


def repvgg(
    *,
    depths: tuple[int, ...],
    width: float,
    last_width: float,
    groups: int = 1,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """RepVGG (tables 2 and 3): a stem and four stages of 3x3 convolutions, each beginning with stride 2.

    The paper's letters: `width` is a, which multiplies 64, 128 and 256 channels, `last_width` b, which multiplies 512.
    With `groups` every other convolution, from the third one on, has this many groups.
    """
    stem_width = min(64, int(64 * width))
    widths = [int(64 * 2**i * width) for i in range(len(depths) - 1)] + [int(64 * 2 ** (len(depths) - 1) * last_width)]
    number = count(1)
    stages: list[tuple[str, Seq]] = [("stem", residual_stage([_unit(channels, stem_width, 2, 1)]))]
    width_in = stem_width
    for i, (depth, stage_width) in enumerate(zip(depths, widths, strict=True), 1):
        units: list[Add] = []
        for j in range(depth):
            grouped = groups if next(number) % 2 == 0 else 1
            units.append(_unit(width_in, stage_width, 2 if j == 0 else 1, grouped))
            width_in = stage_width
        stages.append((f"stage{i}", residual_stage(units)))
    return Network(
        name="repvgg", family="repvgg", input=Shape(channels, (size, size)), init="torch",
        stages=tuple(stages), heads=((MAIN, pooled_head(classes)),),
    )  # fmt: skip


def _unit(width_in: int, width: int, stride: int, groups: int) -> Add:
    """The sum of a 3x3, a 1x1 and, if the shape stays, the input, each with a normalization (figure 2b)."""
    return add(
        conv3=conv_norm(width, 3, stride, groups=groups),
        conv1=conv_norm(width, 1, stride, groups=groups),
        identity=BatchNorm() if stride == 1 and width_in == width else None,
    )


def _wider(numbers: Numbers, factor: float) -> Numbers:
    return {**numbers, "width": numbers["width"] * factor, "last_width": numbers["last_width"] * factor}


# Our name: their name.
_TIMM_PARTS = {
    "conv3.conv": "conv_kxk.conv",
    "conv3.norm": "conv_kxk.bn",
    "conv1.conv": "conv_1x1.conv",
    "conv1.norm": "conv_1x1.bn",
    "identity": "identity",
}
_AUTHORS_PARTS = {
    "conv3.conv": "rbr_dense.conv",
    "conv3.norm": "rbr_dense.bn",
    "conv1.conv": "rbr_1x1.conv",
    "conv1.norm": "rbr_1x1.bn",
    "identity": "rbr_identity",
}


def _rules(stem: str, unit: tuple[str, str], parts: dict[str, str], head: str) -> tuple[tuple[str, str], ...]:
    rules = [(rf"{head}\.(.*)", r"head.linear.\1")]
    for ours, theirs in parts.items():
        rules.append((rf"{stem}\.{theirs}\.(.*)", rf"stem.unit1.{ours}.\1"))
        rules.append((rf"{unit[0]}\.{theirs}\.(.*)", rf"{unit[1]}.{ours}.\3"))
    return tuple(rules)


_TIMM = _rules("stem", (r"stages\.(\d+)\.(\d+)", r"stage<\1>.unit<\2>"), _TIMM_PARTS, r"head\.fc")
_AUTHORS = _rules("stage0", (r"stage(\d+)\.(\d+)", r"stage\1.unit<\2>"), _AUTHORS_PARTS, "linear")
REPVGG = Family(
    "repvgg",
    repvgg,
    small_images=without_early_strides,
    widen=_wider,
    deepen=deeper_stages,
    renamings=(Renaming("timm", _TIMM), Renaming("DingXiaoH/RepVGG", _AUTHORS)),
)

# Name: units of each stage, a, b, groups.
_VARIANTS = {
    "a0": ((2, 4, 14, 1), 0.75, 2.5, 1),
    "a1": ((2, 4, 14, 1), 1, 2.5, 1),
    "a2": ((2, 4, 14, 1), 1.5, 2.75, 1),
    "b0": ((4, 6, 16, 1), 1, 2.5, 1),
    "b1": ((4, 6, 16, 1), 2, 4, 1),
    "b1g4": ((4, 6, 16, 1), 2, 4, 4),
}
NETWORKS = {
    f"repvgg_{name}": Row(
        REPVGG,
        2021,
        f"a = {a:g}, b = {b:g}{f', every other layer in {groups} groups' if groups > 1 else ''}",
        {"depths": depths, "width": a, "last_width": b, "groups": groups},
    )
    for name, (depths, a, b, groups) in _VARIANTS.items()
}
