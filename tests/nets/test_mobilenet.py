"""MobileNets and MnasNet against the papers: costs of their units, totals, and what stands where."""

import pytest

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families import mnasnet, mobilenet_v1, mobilenet_v2, mobilenet_v3
from convsmith.nets.families.inverted_residual import inverted_residual
from convsmith.nets.families.mobilenet_v1 import separable
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Act, BatchNorm, Conv
from convsmith.nets.tree import Add, Gate, walk
from convsmith.nets.zoo import NETWORKS, edit, network

ROWS = [*mobilenet_v1.NETWORKS, *mobilenet_v2.NETWORKS, *mobilenet_v3.NETWORKS, *mnasnet.NETWORKS]


def found(tree, kind, head=True):
    parts = tree.stages + (tree.heads if head else ())
    return {path: node for name, root in parts for path, node in walk(root, name) if isinstance(node, kind)}


def layers(tree):
    return [layer for layer in cost(tree).layers if layer.macs]


def ends(tree):
    traced = tree.trace().stages
    return [(traced[name].shape.channels, traced[name].shape.spatial[0]) for name, _ in tree.stages]


@pytest.mark.parametrize(("channels", "side"), [(16, 8), (64, 14), (512, 7)])
def test_a_separable_convolution_costs_9_plus_c_for_each_value(channels, side, one_stage):
    tree = one_stage(separable(channels, channels, 1, Act("relu")), (channels, side, side))
    ordinary = cost(one_stage(Conv(channels, 3, padding=1), (channels, side, side))).macs
    depthwise, pointwise = (layer.macs for layer in layers(tree))
    assert depthwise == 9 * channels * side * side
    assert pointwise == channels**2 * side * side
    assert ordinary == 9 * channels**2 * side * side
    assert ordinary / cost(tree).macs == pytest.approx(9 * channels / (9 + channels))


def test_a_depthwise_convolution_has_one_filter_of_one_channel_for_each(one_stage):
    module = build(one_stage(separable(12, 24, 2, Act("relu")), (12, 9, 9)), device="meta")
    weights = {key: tuple(value.shape) for key, value in module.state_dict().items() if key.endswith("conv.weight")}
    assert weights == {
        "stage1.depthwise.conv.weight": (12, 1, 3, 3),
        "stage1.pointwise.conv.weight": (24, 12, 1, 1),
    }
    # A multiplier of 2: each channel has two filters.
    doubled = build(one_stage(Conv(24, 3, padding=1, groups=12, bias=False), (12, 9, 9)), device="meta")
    assert tuple(doubled.state_dict()["stage1.weight"].shape) == (24, 1, 3, 3)


@pytest.mark.parametrize(("channels", "expand", "side"), [(16, 6, 14), (32, 6, 7), (24, 4, 28)])
def test_an_inverted_residual_costs_2tc2_plus_9tc_for_each_position(channels, expand, side, one_stage):
    unit = inverted_residual(channels, channels, expanded=expand * channels, act=Act("relu6"))
    tree = one_stage(unit, (channels, side, side))
    assert cost(tree).macs == (2 * expand * channels**2 + 9 * expand * channels) * side * side
    names = [path.removeprefix("stage1.branch.") for path in found(tree, Conv)]
    assert names == ["expand.conv", "depthwise.conv", "project.conv"]
    assert list(found(tree, Act)) == ["stage1.branch.expand.act", "stage1.branch.depthwise.act"]


def test_an_inverted_residual_has_a_shortcut_where_the_shapes_agree():
    def unit(width_in, width, stride):
        return inverted_residual(width_in, width, expanded=4 * width_in, act=Act("relu"), stride=stride)

    assert isinstance(unit(8, 8, 1), Add)
    assert not isinstance(unit(8, 8, 2), Add)
    assert not isinstance(unit(8, 16, 1), Add)


# Kernel, stride, output channels, output size, depthwise: table 1, the last depthwise stride as its sizes have it.
MOBILENET = [(3, 2, 32, 112, False)] + [
    row
    for size, stride, width_in, width in [
        (112, 1, 32, 64), (56, 2, 64, 128), (56, 1, 128, 128), (28, 2, 128, 256), (28, 1, 256, 256), (14, 2, 256, 512),
        (14, 1, 512, 512), (14, 1, 512, 512), (14, 1, 512, 512), (14, 1, 512, 512), (14, 1, 512, 512),
        (7, 2, 512, 1024), (7, 1, 1024, 1024),
    ]
    for row in ((3, stride, width_in, size, True), (1, 1, width, size, False))
]  # fmt: skip


@pytest.mark.parametrize("name", mobilenet_v1.NETWORKS)
def test_mobilenet_is_the_sum_of_its_table(name):
    alpha = NETWORKS[name].numbers.get("width", 1.0)
    params = macs = 0
    width_in = 3
    for kernel, _, full, size, depthwise in MOBILENET:
        width = int(alpha * full)
        weights = kernel**2 * width * (1 if depthwise else width_in)
        params += weights + 2 * width
        macs += weights * size**2
        width_in = width
    numbers = cost(network(name))
    assert numbers.params == params + 1000 * width_in + 1000
    assert numbers.macs == macs + 1000 * width_in


# The paper's tables 6 and 7: millions of MACs and of parameters.
@pytest.mark.parametrize(
    ("name", "size", "macs", "params"),
    [
        ("mobilenet_v1", 224, 569, 4.2),
        ("mobilenet_v1_075", 224, 325, 2.6),
        ("mobilenet_v1_050", 224, 149, 1.3),
        ("mobilenet_v1_025", 224, 41, 0.5),
        ("mobilenet_v1", 192, 418, 4.2),
        ("mobilenet_v1", 160, 290, 4.2),
        ("mobilenet_v1", 128, 186, 4.2),
    ],
)
def test_mobilenet_has_the_totals_of_the_paper(name, size, macs, params):
    numbers = cost(network(name, size=size))
    assert macs in (round(numbers.macs / 1e6), int(numbers.macs / 1e6))  # 290 is cut, the others are rounded
    assert round(numbers.params / 1e6, 1) == params


def test_mobilenet_has_28_layers_and_its_work_lies_in_the_1x1_convolutions():
    tree = network("mobilenet_v1")
    every = layers(tree)
    assert len(every) == 28
    shares = {"conv": every[:1], "linear": every[-1:]}
    shares["depthwise"] = [layer for layer in every if ".depthwise." in layer.name]
    shares["pointwise"] = [layer for layer in every if ".pointwise." in layer.name]
    # The paper's table 2, in percent of MACs and of parameters (which it counts without normalization). It prints 1.19
    # for the first convolution, with which its column adds up to 99.29: two digits are swapped.
    total = cost(tree).macs, sum(layer.params for layer in every)
    said = {"pointwise": (94.86, 74.59), "depthwise": (3.06, 1.06), "conv": (1.91, 0.02), "linear": (0.18, 24.33)}
    for kind, (macs, params) in said.items():
        assert 100 * sum(layer.macs for layer in shares[kind]) / total[0] == pytest.approx(macs, abs=0.01)
        assert 100 * sum(layer.params for layer in shares[kind]) / total[1] == pytest.approx(params, abs=0.02)


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("mobilenet_v1", {"relu"}),
        ("mobilenet_v1_relu6", {"relu6"}),
        ("mobilenet_v2", {"relu6"}),
        ("mnasnet1_0", {"relu"}),
    ],
)
def test_activations_of_the_first_two_and_of_mnasnet(name, functions):
    acts = found(network(name), Act)
    assert {act.function for act in acts.values()} == functions
    assert not [path for path in acts if "project" in path]


def test_mobilenet_v2_has_the_shapes_of_its_table():
    tree = network("mobilenet_v2")
    assert ends(tree) == [
        (32, 112), (16, 112), (24, 56), (32, 28), (64, 14), (96, 14), (160, 7), (320, 7), (1280, 7),
    ]  # fmt: skip
    # 17 units, of which the first of each of the 7 stages changes the shape.
    assert len(found(tree, Add)) == 10
    assert len(layers(tree)) == 1 + 2 + 16 * 3 + 1 + 1


# Millions of MACs and parameters in the papers' tables of results; our counts are those of torchvision and timm.
@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("mobilenet_v2", 300, 3.4),
        ("mobilenet_v2_140", 585, None),  # printed as 6.9M, which no implementation has
        ("mobilenet_v3_large", 219, 5.4),
        ("mobilenet_v3_small", 56, 2.5),
        ("mnasnet1_0", 315, 4.4),
    ],
)
def test_the_papers_totals_within_rounding(name, macs, params):
    numbers = cost(network(name))
    assert numbers.macs / 1e6 == pytest.approx(macs, rel=0.015)
    if params is not None:
        assert numbers.params / 1e6 == pytest.approx(params, rel=0.035)


def test_narrow_mobilenet_v2_keeps_its_last_convolution():
    widths = {name: ends(network(name))[-1][0] for name in mobilenet_v2.NETWORKS}
    assert widths == {
        "mobilenet_v2": 1280, "mobilenet_v2_140": 1792, "mobilenet_v2_075": 1280, "mobilenet_v2_050": 1280,
        "mobilenet_v2_035": 1280,
    }  # fmt: skip


def unit_acts(tree):
    """The activations of each unit outside its gate."""
    acts: dict[str, set[str]] = {}
    for path, act in found(tree, Act, head=False).items():
        stage, unit, *rest = path.split(".")
        if "se" not in rest and stage.startswith("stage"):
            acts.setdefault(f"{stage}.{unit}", set()).add(act.function)
    return [functions.pop() if len(functions) == 1 else functions for functions in acts.values()]


@pytest.mark.parametrize(
    ("name", "relus", "hardswishes", "gated"),
    [
        ("mobilenet_v3_large", 6, 9, [4, 5, 6, 11, 12, 13, 14, 15]),
        ("mobilenet_v3_small", 3, 8, [1, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_mobilenet_v3_has_hardswish_in_the_later_half_and_gates_as_in_its_tables(name, relus, hardswishes, gated):
    tree = network(name)
    assert unit_acts(tree) == ["relu"] * relus + ["hardswish"] * hardswishes
    acts = found(tree, Act)
    outside = {path: act.function for path, act in acts.items() if not path.startswith("stage")}
    assert outside == {"stem.act": "hardswish", "final.act": "hardswish", "head.act1": "hardswish"}
    inside = {path.rpartition(".")[2]: act.function for path, act in acts.items() if ".se." in path}
    assert inside == {"act1": "relu", "act2": "hardsigmoid"}
    units = [f"{stage}.{unit}" for stage, node in tree.stages if stage.startswith("stage") for unit, _ in node.children]
    having = [".".join(path.split(".")[:2]) for path in found(tree, Gate)]
    assert [units.index(unit) + 1 for unit in having] == gated
    assert set(found(tree, BatchNorm).values()) == {BatchNorm(eps=1e-3, momentum=0.01)}


def test_mobilenet_v3_has_the_shapes_of_its_tables():
    large, small = (network(f"mobilenet_v3_{form}") for form in ("large", "small"))
    assert ends(large) == [(16, 112), (16, 112), (24, 56), (40, 28), (80, 14), (112, 14), (160, 7), (960, 7)]
    assert ends(small) == [(16, 112), (16, 56), (24, 28), (40, 14), (48, 14), (96, 7), (576, 7)]
    squeezed = [node.channels for path, node in found(large, Conv).items() if path.endswith("se.conv1")]
    # A quarter of the expanded channels in multiples of 8: 72 / 4 = 18 becomes 24, 120 / 4 = 30 becomes 32.
    assert squeezed == [24, 32, 32, 120, 168, 168, 240, 240]


def test_mnasnet_has_its_own_momentum_and_kernels():
    tree = network("mnasnet1_0")
    assert {norm.momentum for norm in found(tree, BatchNorm).values()} == {1 - 0.9997}
    kernels = [node.kernel for path, node in found(tree, Conv).items() if path.endswith("depthwise.conv")]
    assert kernels == [3, 3, 3, 3, 5, 5, 5, 5, 5, 5, 3, 3, 5, 5, 5, 5, 3]
    assert ends(tree) == [(32, 112), (16, 112), (24, 56), (40, 28), (80, 14), (96, 14), (192, 7), (320, 7), (1280, 7)]


@pytest.mark.parametrize("name", ROWS)
def test_the_form_for_small_images_ends_at_4x4_with_the_same_weights(name):
    tree = network(name, classes=10)
    small = edit(tree, "small_images")
    assert ends(small)[-1][1] == 4
    assert small.trace().stages["final" if "v1" not in name else "stage5"].field.jump == (8, 8)
    assert cost(small).params == cost(tree).params


def test_mobilenet_v2_for_small_images_has_the_strides_of_a_known_one():
    # kuangliu/pytorch-cifar: stride 1 in the first convolution and in the stage of 24 channels.
    small = edit(network("mobilenet_v2", classes=10), "small_images")
    assert ends(small) == [(32, 32), (16, 32), (24, 32), (32, 16), (64, 8), (96, 8), (160, 4), (320, 4), (1280, 4)]
    assert cost(small).params == 3_504_872 - 990 * 1281


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mnasnet1_0"])
def test_wider_and_deeper_numbers_make_wider_and_deeper_networks(name):
    family, numbers = NETWORKS[name].family, {"width": 1.0, "depth": 1.0, **NETWORKS[name].numbers}
    wider, deeper = family.build(**family.widen(numbers, 0.75)), family.build(**family.deepen(numbers, 1.5))
    tree = network(name)
    # Each stage is three quarters as wide, rounded to a multiple of 8 and never below nine tenths of that.
    for (width, _), (full, _) in zip(ends(wider)[:-1], ends(tree)[:-1], strict=True):
        assert width % 8 == 0
        assert 0.9 * 0.75 * full <= width <= max(8, 0.75 * full + 8)
    counts = [[len(node.children) for stage, node in t.stages if stage.startswith("stage")] for t in (tree, deeper)]
    assert counts[1] == [-(-3 * count // 2) for count in counts[0]]
    assert ends(deeper) == ends(tree)


def test_widening_gives_the_narrower_rows():
    for name in ("mobilenet_v1_050", "mobilenet_v2_050", "mobilenet_v2_140", "mnasnet0_75", "mnasnet1_3"):
        row = NETWORKS[name]
        made = row.family.build(**row.family.widen({"width": 1.0}, row.numbers["width"]))
        assert made.stages == network(name).stages


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mnasnet1_0"])
@pytest.mark.parametrize(("number", "value"), [("width", 0.0), ("width", -1.0), ("depth", 0.0), ("width", 1e4)])
def test_a_multiplier_is_above_zero(name, number, value):
    with pytest.raises(
        UsageError, match=rf"^{number} is {value}, expected a multiplier above 0, at most 1000, such as 0\.5$"
    ):
        network(name, **{number: value})


def test_an_unknown_form_or_activation_is_named():
    with pytest.raises(UnknownName, match=r"^unknown value for mobilenet_v3_large: form: 'tiny'; known: large, small$"):
        network("mobilenet_v3_large", form="tiny")
    with pytest.raises(UsageError, match=r"^unknown value for mobilenet_v1: act: 'rleu'; nearest: relu"):
        network("mobilenet_v1", act="rleu").trace()
