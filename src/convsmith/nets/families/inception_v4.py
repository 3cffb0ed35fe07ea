"""Inception-v4 and Inception-ResNet-v2 (Szegedy et al. 2017, arXiv 1602.07261)."""

from convsmith.nets.families.inception import (
    NORM,
    average,
    branch,
    chain,
    module,
    plain_stem,
    same,
    small_inception,
    split,
    valid,
)
from convsmith.nets.families.scaling import deeper_stages
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, MaxPool, Scale
from convsmith.nets.parts import RELU, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Cat, Node, Seq, add, seq


def inception_v4(*, classes: int = 1000, channels: int = 3, size: int = 299) -> Network:
    """Inception-v4 (figure 9): its own stem, then four modules A, seven B and three C, with reductions between."""
    stages = (
        ("stem", _stem()),
        ("stage1", seq(**{f"inception_a{i}": _module_a() for i in range(1, 5)})),
        ("stage2", seq(reduction_a=_reduction_a(), **{f"inception_b{i}": _module_b() for i in range(1, 8)})),
        ("stage3", seq(reduction_b=_reduction_b(), **{f"inception_c{i}": _module_c() for i in range(1, 4)})),
    )
    return Network(
        name="inception_v4",
        family="inception_v4",
        input=Shape(channels, (size, size)),
        stages=stages,
        heads=((MAIN, pooled_head(classes, 0.2)),),
    )


def _stem() -> Seq:
    """Figure 3."""
    return seq(
        **chain(valid(32, 3, 2), valid(32, 3), same(64, 3)),
        mixed3a=module(MaxPool(3, 2), branch(valid(96, 3, 2))),
        mixed4a=module(
            branch(same(64), valid(96, 3)),
            branch(same(64), same(64, (1, 7)), same(64, (7, 1)), valid(96, 3)),
        ),
        mixed5a=module(branch(valid(192, 3, 2)), MaxPool(3, 2)),
    )


def _module_a() -> Cat:
    """Figure 4."""
    return module(
        branch(same(96)),
        branch(same(64), same(96, 3)),
        branch(same(64), same(96, 3), same(96, 3)),
        average(96, count_padding=False),
    )


def _reduction_a() -> Cat:
    """Figure 7 with k, l, m, n = 192, 224, 256, 384 (table 1)."""
    return module(
        branch(valid(384, 3, 2)),
        branch(same(192), same(224, 3), valid(256, 3, 2)),
        MaxPool(3, 2),
    )


def _module_b() -> Cat:
    """Figure 5."""
    return module(
        branch(same(384)),
        branch(same(192), same(224, (1, 7)), same(256, (7, 1))),
        branch(same(192), same(192, (7, 1)), same(224, (1, 7)), same(224, (7, 1)), same(256, (1, 7))),
        average(128, count_padding=False),
    )


def _reduction_b() -> Cat:
    """Figure 8."""
    return module(
        branch(same(192), valid(192, 3, 2)),
        branch(same(256), same(256, (1, 7)), same(320, (7, 1)), valid(320, 3, 2)),
        MaxPool(3, 2),
    )


def _module_c() -> Cat:
    """Figure 6."""
    return module(
        branch(same(256)),
        split(256, same(384)),
        split(256, same(384), same(448, (3, 1)), same(512, (1, 3))),
        average(256, count_padding=False),
    )


def inception_resnet_v2(
    *,
    depths: tuple[int, int, int] = (10, 20, 10),
    scales: tuple[float, float, float] = (0.17, 0.1, 0.2),
    classes: int = 1000,
    channels: int = 3,
    size: int = 299,
) -> Network:
    """Inception-ResNet-v2 as its authors released it: inception modules as the branches of scaled residual sums.

    `depths` counts the units of the three stages, whose branches are multiplied by `scales` (section 3.3) so that
    training is stable; the last unit is neither scaled nor rectified. The paper's figure 15 has half the units and the
    stem of Inception-v4.
    """
    a, b, c = scales
    last = _residual(_branches_c(), 2080)
    stages = (
        ("stem", plain_stem()),
        ("stage1", seq(mixed5b=_first_module(), **_units(depths[0], _residual(_branches_a(), 320, a)))),
        ("stage2", seq(reduction_a=_residual_reduction_a(), **_units(depths[1], _residual(_branches_b(), 1088, b)))),
        (
            "stage3",
            seq(
                reduction_b=_residual_reduction_b(),
                **_units(depths[2] - 1, _residual(_branches_c(), 2080, c)),
                **{f"unit{depths[2]}": last},
            ),
        ),
        ("final", seq(conv=same(1536), norm=NORM, act=RELU)),
    )
    return Network(
        name="inception_resnet_v2",
        family="inception_resnet_v2",
        input=Shape(channels, (size, size)),
        stages=stages,
        heads=((MAIN, pooled_head(classes, 0.2)),),
    )


def _first_module() -> Cat:
    """The module before the first residual units, of the kind of Inception-v3."""
    return module(
        branch(same(96)),
        branch(same(48), same(64, 5)),
        branch(same(64), same(96, 3), same(96, 3)),
        average(64, count_padding=False),
    )


def _branches_a() -> Cat:
    """Figure 16, on 35x35."""
    return module(branch(same(32)), branch(same(32), same(32, 3)), branch(same(32), same(48, 3), same(64, 3)))


def _branches_b() -> Cat:
    """Figure 17, on 17x17."""
    return module(branch(same(192)), branch(same(128), same(160, (1, 7)), same(192, (7, 1))))


def _branches_c() -> Cat:
    """Figure 19, on 8x8."""
    return module(branch(same(192)), branch(same(192), same(224, (1, 3)), same(256, (3, 1))))


def _residual_reduction_a() -> Cat:
    """Figure 7 with k, l, m, n = 256, 256, 384, 384 (table 1)."""
    return module(
        branch(valid(384, 3, 2)),
        branch(same(256), same(256, 3), valid(384, 3, 2)),
        MaxPool(3, 2),
    )


def _residual_reduction_b() -> Cat:
    """Figure 18."""
    return module(
        branch(same(256), valid(384, 3, 2)),
        branch(same(256), valid(288, 3, 2)),
        branch(same(256), same(288, 3), valid(320, 3, 2)),
        MaxPool(3, 2),
    )


def _residual(branches: Cat, width: int, scale: float | None = None) -> Add:
    """Branches, a 1x1 convolution to the `width` of the input, and the scaled sum with it (figure 20)."""
    scaled = None if scale is None else Scale(scale)
    return add(branch=seq(inception=branches, conv=Conv(width), scale=scaled), shortcut=IDENTITY)


def _units(count: int, unit: Add) -> dict[str, Node | None]:
    """Equal units, each followed by its ReLU."""
    children: dict[str, Node | None] = {}
    for i in range(1, count + 1):
        children |= {f"unit{i}": unit, f"act{i}": RELU}
    return children


_LAYERS = (("conv", "conv"), ("bn", "norm"))  # timm's name of a layer and ours


def _branch_rules(
    theirs: str, ours: str, groups: int = 0, *, single: bool = True, between: str = r"\."
) -> list[tuple[str, str]]:
    """timm's names within a module and ours; `theirs` is a pattern with `groups` groups, which `ours` refers to.

    The first branch is a `single` convolution or several like the other branches; timm writes their number after
    `between`.
    """
    one, two, three = (rf"\{groups + i}" for i in (1, 2, 3))
    rules: list[tuple[str, str]] = []
    for conv, name in _LAYERS:
        if single:
            rules.append((rf"{theirs}\.branch0\.{conv}\.(.*)", rf"{ours}.branch1.{name}1.{one}"))
        several = "[1-3]" if single else "[0-3]"
        rules += [
            # The fourth branch begins with average pooling.
            (rf"{theirs}\.branch3\.1\.{conv}\.(.*)", rf"{ours}.branch4.{name}1.{one}"),
            (
                rf"{theirs}\.branch({several}){between}(\d)\.{conv}\.(.*)",
                rf"{ours}.branch<{one}>.{name}<{two}>.{three}",
            ),
        ]
    return rules


def _split_rules(theirs: str, ours: str) -> list[tuple[str, str]]:
    """The rules for a module C, in which two branches end in a pair of convolutions."""
    rules = _branch_rules(theirs, ours, between="_")
    for conv, name in _LAYERS:
        for number, last in ((1, 1), (2, 3)):
            for letter, place in (("a", "row"), ("b", "column")):
                pair = rf"{theirs}\.branch{number}_{last}{letter}\.{conv}\.(.*)"
                rules.append((pair, rf"{ours}.branch{number + 1}.split.{place}.{name}1.\1"))
    return rules


def _layer_rules(theirs: str, ours: str, number: int | str = "") -> list[tuple[str, str]]:
    """timm's names of a convolution and its normalization and ours."""
    return [(rf"{theirs}\.{layer}\.(.*)", rf"{ours}.{name}{number}.\1") for layer, name in _LAYERS]


def _v4_rules() -> tuple[tuple[str, str], ...]:
    # timm has all modules in one list, `features`: three convolutions, then those of the stem, and so on.
    modules = (
        *(f"stage1.inception_a{i}" for i in range(1, 5)),
        "stage2.reduction_a",
        *(f"stage2.inception_b{i}" for i in range(1, 8)),
    )
    rules = [rule for i in range(3) for rule in _layer_rules(rf"features\.{i}", "stem", i + 1)]
    rules += _layer_rules(r"features\.3\.conv", "stem.mixed3a.branch2", 1)
    rules += _branch_rules(r"features\.4", "stem.mixed4a", single=False)
    rules += _layer_rules(r"features\.5\.conv", "stem.mixed5a.branch1", 1)
    rules += [rule for i, ours in enumerate(modules, 6) for rule in _branch_rules(rf"features\.{i}", ours)]
    rules += _branch_rules(r"features\.18", "stage3.reduction_b", single=False)
    rules += [rule for i in (1, 2, 3) for rule in _split_rules(rf"features\.{i + 18}", f"stage3.inception_c{i}")]
    return (*rules, (r"last_linear\.(.*)", r"head.linear.\1"))


def _residual_rules() -> tuple[tuple[str, str], ...]:
    rules: list[tuple[str, str]] = []
    for i, layer in enumerate(("1a", "2a", "2b", "3b", "4a"), 1):
        rules += _layer_rules(f"conv2d_{layer}", "stem", i)
    rules += _branch_rules("mixed_5b", "stage1.mixed5b")
    rules += _branch_rules("mixed_6a", "stage2.reduction_a")
    rules += _branch_rules("mixed_7a", "stage3.reduction_b", single=False)
    for theirs, ours, groups in (
        (r"repeat\.(\d+)", r"stage1.unit<\1>.branch", 1),
        (r"repeat_1\.(\d+)", r"stage2.unit<\1>.branch", 1),
        ("block8", "stage3.unit10.branch", 0),
        (r"repeat_2\.(\d+)", r"stage3.unit<\1>.branch", 1),
    ):
        rules.append((rf"{theirs}\.conv2d\.(.*)", rf"{ours}.conv.\{groups + 1}"))
        rules += _branch_rules(theirs, f"{ours}.inception", groups)
    rules += _layer_rules("conv2d_7b", "final")
    return (*rules, (r"classif\.(.*)", r"head.linear.\1"))


INCEPTION_V4 = Family(
    "inception_v4", inception_v4, small_images=small_inception, renamings=(Renaming("timm", _v4_rules()),)
)
INCEPTION_RESNET_V2 = Family(
    "inception_resnet_v2",
    inception_resnet_v2,
    small_images=small_inception,
    deepen=deeper_stages,
    renamings=(Renaming("timm", _residual_rules()),),
)
NETWORKS = {
    "inception_v4": Row(INCEPTION_V4, 2016, "a stem of branches, three kinds of modules, 299-pixel images"),
    "inception_resnet_v2": Row(INCEPTION_RESNET_V2, 2016, "inception modules as scaled residual branches (released)"),
}
