"""ShuffleNets against the papers: costs of their units, the complexity row, and what a unit keeps."""

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families.shufflenet import NETWORKS, shuffle_unit, split_unit
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Act, Shuffle
from convsmith.nets.parts import padded_conv
from convsmith.nets.tree import seq, walk
from convsmith.nets.zoo import edit, network

V1 = [name for name in NETWORKS if "_v1_" in name]
V2 = [name for name in NETWORKS if "_v2_" in name]


def ends(tree):
    traced = tree.trace().stages
    return [(traced[name].shape.channels, traced[name].shape.spatial[0]) for name, _ in tree.stages]


@pytest.mark.parametrize(("c", "groups", "side"), [(240, 3, 28), (384, 8, 14), (144, 1, 7)])
def test_a_unit_costs_less_than_a_bottleneck(c, groups, side, one_stage):
    # Section 3.2, with c channels and m in the middle; ours has its m at a quarter of c.
    m = c // 4
    unit = one_stage(shuffle_unit(c, c, groups, groups, stride=1), (c, side, side))
    bottleneck = seq(reduce=padded_conv(m), conv=padded_conv(m, 3), expand=padded_conv(c))
    resnet = one_stage(bottleneck, (c, side, side))
    assert cost(unit).macs == side**2 * (2 * c * m // groups + 9 * m)
    assert cost(resnet).macs == side**2 * (2 * c * m + 9 * m * m)


@pytest.mark.parametrize(("groups", "megaflops"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_the_complexity_row_of_table_1(groups, megaflops):
    # The paper leaves the classifier out.
    numbers = cost(network(f"shufflenet_v1_x1_0_g{groups}"))
    convolutions = sum(layer.macs for layer in numbers.layers if layer.op == "conv")
    assert round(convolutions / 1e6) == megaflops


# The width of the first stage, from table 1; the paper's stage 2.
WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


@pytest.mark.parametrize("groups", WIDTHS)
def test_output_channels_and_sizes_of_table_1(groups):
    tree = network(f"shufflenet_v1_x1_0_g{groups}")
    width = WIDTHS[groups]
    assert ends(tree) == [(24, 56), (width, 28), (2 * width, 14), (4 * width, 7)]
    assert [sum(name.startswith("unit") for name, _ in stage.children) for _, stage in tree.stages[1:]] == [4, 8, 4]


@pytest.mark.parametrize("name", V1)
def test_shufflenet_is_the_sum_of_its_units(name):
    groups, scale, stem = (NETWORKS[name].numbers[key] for key in ("groups", "width", "stem"))
    params, macs = 27 * stem + 2 * stem, 27 * stem * 112**2
    width_in, side = stem, 56
    for stage, count in enumerate((4, 8, 4)):
        width = int(WIDTHS[groups] * 2**stage * scale)
        middle = width // 4
        for unit in range(count):
            ungrouped = stage == 0 and unit == 0
            reduce = width_in * middle // (1 if ungrouped else groups)
            macs += reduce * side**2
            side = side // 2 if unit == 0 else side
            out = width - width_in if unit == 0 else width
            expand = middle * out // groups
            macs += (9 * middle + expand) * side**2
            params += reduce + 9 * middle + expand + 4 * middle + 2 * out
            width_in = width
    numbers = cost(network(name))
    assert (numbers.params, numbers.macs) == (params + 1000 * width_in + 1000, macs + 1000 * width_in)


# megvii-model/ShuffleNet-Series: millions of MACs and of parameters.
@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("x0_5_g8", 40, 1.0), ("x0_5_g3", 38, 0.7), ("x1_0_g3", 138, 1.9), ("x1_0_g8", 138, 2.4), ("x1_5_g3", 292, 3.4),
        ("x1_5_g8", 290, 4.3), ("x2_0_g3", 524, 5.4), ("x2_0_g8", 522, 6.5),
    ],
)  # fmt: skip
def test_the_scaled_forms_have_the_totals_of_the_authors_code(name, macs, params):
    numbers = cost(network(f"shufflenet_v1_{name}"))
    assert numbers.macs / 1e6 == pytest.approx(macs, abs=0.6)
    assert numbers.params / 1e6 == pytest.approx(params, abs=0.06)


def test_the_smallest_form_is_near_the_papers_13_megaflops():
    assert cost(network("shufflenet_v1_x0_25_g8")).macs / 1e6 == pytest.approx(13, abs=0.7)


def test_where_a_unit_shuffles_and_has_its_relus():
    tree = network("shufflenet_v1_x1_0_g3")
    stage = dict(tree.stages)["stage1"]
    unit = dict(stage.children)["unit2"]
    leaves = [path for path, node in walk(unit) if not hasattr(node, "children")]
    assert leaves == [
        "branch.reduce.conv", "branch.reduce.norm", "branch.reduce.act", "branch.shuffle", "branch.depthwise.conv",
        "branch.depthwise.norm", "branch.expand.conv", "branch.expand.norm",
    ]  # fmt: skip
    assert [name for name, _ in stage.children][:4] == ["unit1", "act1", "unit2", "act2"]
    assert {node.function for _, node in walk(stage) if isinstance(node, Act)} == {"relu"}
    ungrouped = network("shufflenet_v1_x1_0_g1")
    assert not [node for _, stage in ungrouped.stages for _, node in walk(stage) if isinstance(node, Shuffle)]


def test_only_the_first_1x1_convolution_is_not_grouped():
    module = build(network("shufflenet_v1_x1_0_g8"), device="meta")
    groups = [layer.groups for name, layer in module.named_modules() if name.endswith("reduce.conv")]
    assert groups == [1] + [8] * 15


def test_with_stride_2_the_pooled_input_comes_first(one_stage):
    module = build(one_stage(shuffle_unit(12, 48, 3, 3, stride=2), (12, 8, 8)), seed=0).eval()
    x = torch.randn(2, 12, 8, 8, generator=torch.Generator().manual_seed(0))
    y = module(x)
    assert y.shape == (2, 48, 4, 4)
    assert torch.equal(y[:, :12], torch.nn.functional.avg_pool2d(x, 3, 2, 1))


def test_a_unit_of_the_second_keeps_half_of_its_input(one_stage):
    module = build(one_stage(split_unit(8, 8, stride=1), (8, 5, 5)), seed=0).eval()
    x = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module(x)[:, 0::2], x[:, :4])
    assert not torch.equal(module(x)[:, 1::2], x[:, 4:])


@pytest.mark.parametrize(
    ("name", "macs", "params"), [("x0_5", 41, 1.4), ("x1_0", 146, 2.3), ("x1_5", 299, 3.5), ("x2_0", 591, 7.4)]
)
def test_the_second_has_the_totals_of_the_paper_within_rounding(name, macs, params):
    numbers = cost(network(f"shufflenet_v2_{name}"))
    assert numbers.macs / 1e6 == pytest.approx(macs, rel=0.015)
    assert round(numbers.params / 1e6, 1) == params


def test_the_second_has_the_shapes_of_table_5():
    assert ends(network("shufflenet_v2_x1_0")) == [(24, 56), (116, 28), (232, 14), (464, 7), (1024, 7)]
    assert ends(network("shufflenet_v2_x2_0")) == [(24, 56), (244, 28), (488, 14), (976, 7), (2048, 7)]


@pytest.mark.parametrize("name", ["shufflenet_v1_x0_5_g3", *V2])
def test_the_form_for_small_images_ends_at_4x4_with_the_same_weights(name):
    tree = network(name, classes=10)
    small = edit(tree, "small_images")
    assert [size for _, size in ends(small)][:4] == [32, 16, 8, 4]
    assert cost(small).params == cost(tree).params


def test_wider_and_deeper_numbers():
    v1, v2 = NETWORKS["shufflenet_v1_x1_0_g3"], NETWORKS["shufflenet_v2_x1_0"]
    one = {**v1.numbers, "depths": (4, 8, 4)}
    half = v1.family.build(**v1.family.widen(one, 0.5))
    assert half.stages == network("shufflenet_v1_x0_5_g3").stages
    wide = v2.family.widen({**v2.numbers, "stem": 24}, 1.5)
    assert wide == {"widths": (176, 348, 696), "last": 1536, "stem": 24}
    narrow = v2.family.widen({**v2.numbers, "stem": 24}, 0.5)
    assert narrow == {"widths": (60, 116, 232), "last": 1024, "stem": 24}
    deep = v1.family.build(**v1.family.deepen(one, 1.5))
    assert ends(deep) == ends(network("shufflenet_v1_x1_0_g3"))
    assert [sum(name.startswith("unit") for name, _ in stage.children) for _, stage in deep.stages[1:]] == [6, 12, 6]


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"^groups is 5, expected one of 1, 2, 3, 4, 8 \(the paper's table 1\)$"):
        network("shufflenet_v1_x1_0_g3", groups=5)
    with pytest.raises(UsageError, match=r"^stem is 25, expected a multiple of the 3 groups$"):
        network("shufflenet_v1_x1_0_g3", stem=25)
    with pytest.raises(
        UsageError, match=r"^widths are \(48, 97, 192\), expected even numbers: a unit works on halves$"
    ):
        network("shufflenet_v2_x0_5", widths=(48, 97, 192))
    with pytest.raises(UsageError, match=r"^width is -2.0, expected a multiplier above 0"):
        network("shufflenet_v1_x1_0_g3", width=-2)
