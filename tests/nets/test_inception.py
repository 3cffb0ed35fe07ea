"""Inception-v3, Inception-v4 and Inception-ResNet-v2: sizes, factorized convolutions, heads, scaled sums."""

import pytest
import torch

from convsmith.nets.cost import cost
from convsmith.nets.families.inception import same
from convsmith.nets.modules.build import build
from convsmith.nets.modules.layers import Kept
from convsmith.nets.modules.measure import measure_module
from convsmith.nets.ops import Conv, Scale
from convsmith.nets.tree import Add, seq, walk
from convsmith.nets.weights.peers import make_peer
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.weights.renaming import renamed
from convsmith.nets.zoo import FAMILIES, edit, network

SIZES = {
    "inception_v3": [(192, 35), (288, 35), (768, 17), (2048, 8)],
    "inception_v4": [(384, 35), (384, 35), (1024, 17), (1536, 8)],
    "inception_resnet_v2": [(192, 35), (320, 35), (1088, 17), (2080, 8)],
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_stages(name):
    ends = network(name).trace().stages
    stages = ("stem", "stage1", "stage2", "stage3")
    assert [(ends[stage].shape.channels, ends[stage].shape.spatial[0]) for stage in stages] == SIZES[name]


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_counts_are_timms(name):
    timm = pytest.importorskip("timm")
    theirs, ours = measure_module(timm.create_model(name), (3, 299, 299)), cost(network(name))
    assert (theirs.params, theirs.macs) == (ours.params, ours.macs)


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2", "xception"])
def test_the_rules_name_each_of_timms_weights_once(name):
    pytest.importorskip("timm")
    (rules,) = FAMILIES[name].renamings
    ours = build(network(name), device="meta").state_dict()
    assert sorted(renamed(key, rules) for key in make_peer("timm", name).state_dict()) == sorted(ours)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_a_row_and_a_column_see_a_square_of_their_length(side, one_stage):
    # 1x5 and 5x1 stand for 5x5, and 3x3 is 1x3 and 3x1: the lectures' "3x3 vs 1x5 and 5x1" do not see the same.
    whole = cost(one_stage(same(16, side), (16, 20, 20)))
    sliced = cost(one_stage(seq(row=same(16, (1, side)), column=same(16, (side, 1))), (16, 20, 20)))
    assert whole.receptive_field == sliced.receptive_field == (side, side)
    assert sliced.params * side == whole.params * 2
    assert sliced.macs * side == whole.macs * 2


def test_two_3x3_see_a_5x5(one_stage):
    double = cost(one_stage(seq(conv1=same(16, 3), conv2=same(16, 3)), (16, 20, 20)))
    whole = cost(one_stage(same(16, 5), (16, 20, 20)))
    assert double.receptive_field == whole.receptive_field == (5, 5)
    assert double.params * 25 == whole.params * 18


@pytest.mark.parametrize(
    ("name", "stage2", "stage3"),
    [
        ("inception_v3", {(1, 7), (7, 1)}, {(1, 7), (7, 1), (1, 3), (3, 1)}),
        ("inception_v4", {(1, 7), (7, 1)}, {(1, 7), (7, 1), (1, 3), (3, 1)}),
        ("inception_resnet_v2", {(1, 7), (7, 1)}, {(1, 3), (3, 1)}),
    ],
)
def test_which_stages_factorize(name, stage2, stage3):
    stages = dict(network(name).stages)

    def oblong(stage):
        kernels = [node.kernel for _, node in walk(stages[stage]) if isinstance(node, Conv)]
        return {kernel for kernel in kernels if isinstance(kernel, tuple)}

    assert (oblong("stage1"), oblong("stage2"), oblong("stage3")) == (set(), stage2, stage3)


def test_depths_of_inception_v4():
    # Szegedy et al. 2017, figure 9
    units = {name: [child for child, _ in node.children] for name, node in network("inception_v4").stages}
    assert units["stage1"] == [f"inception_a{i}" for i in range(1, 5)]
    assert units["stage2"] == ["reduction_a", *(f"inception_b{i}" for i in range(1, 8))]
    assert units["stage3"] == ["reduction_b", *(f"inception_c{i}" for i in range(1, 4))]


def test_the_branches_of_inception_resnet_are_scaled_down():
    scales = {
        name: [node.factor for _, node in walk(root) if isinstance(node, Scale)]
        for name, root in network("inception_resnet_v2").stages
    }
    assert (scales["stage1"], scales["stage2"], scales["stage3"]) == ([0.17] * 10, [0.1] * 20, [0.2] * 9)
    sums = [n for _, root in network("inception_resnet_v2").stages for _, n in walk(root) if isinstance(n, Add)]
    assert len(sums) == 40


def test_without_shortcuts_inception_resnet_is_still_a_network():
    tree = edit(network("inception_resnet_v2"), "plain")
    assert cost(tree).params == cost(network("inception_resnet_v2")).params


def test_deeper_is_more_units_in_each_stage():
    tree = edit(network("inception_resnet_v2"), "deepen=0.5")
    assert tree.stages == network("inception_resnet_v2", depths=(5, 10, 5)).stages
    assert "act4" in dict(dict(tree.stages)["stage3"].children)
    assert "act5" not in dict(dict(tree.stages)["stage3"].children)


def test_the_auxiliary_head_gives_what_torchvisions_gives(filled):
    peer, state = filled(lambda: make_peer("torchvision", "inception_v3"))
    module = build(network("inception_v3"), device="meta").to_empty(device="cpu").eval()
    assert load_weights(module, state) == "torchvision names"
    x = torch.randn(1, 768, 17, 17, generator=torch.Generator().manual_seed(1))
    kept = Kept()
    kept.values["mixed6e"] = x
    with torch.no_grad():
        assert torch.equal(module.get_submodule("aux1")(x, kept), peer.AuxLogits(x))


@pytest.mark.parametrize("theirs", [True, False])
@pytest.mark.parametrize("mine", [True, False])
def test_inception_v3_loads_with_and_without_its_auxiliary_head(theirs, mine):
    state = make_peer("torchvision", "inception_v3", auxiliary=theirs).state_dict()
    weights = {key: torch.ones(()).expand(value.shape) for key, value in state.items()}
    module = build(network("inception_v3", auxiliary=mine), device="meta").to_empty(device="cpu")
    said = load_weights(module, weights)
    assert said.startswith("torchvision names")
    assert ("aux1 as initialized" in said) == (mine and not theirs)
    assert all((v == 1).all() for k, v in module.state_dict().items() if not k.startswith("aux1"))


def test_without_its_auxiliary_head_it_takes_smaller_images():
    tree = network("inception_v3", auxiliary=False, size=96)
    assert cost(tree).params == cost(network("inception_v3")).params
    assert tree.trace().stages["stage3"].shape.spatial == (1, 1)


@pytest.mark.parametrize("name", SIZES)
def test_the_form_for_small_images_ends_at_3x3(name):
    tree = edit(network(name), "small_images")
    ends = tree.trace().stages
    assert [ends[stage].shape.spatial[0] for stage in ("stem", "stage1", "stage2", "stage3")] == [15, 15, 7, 3]
    assert cost(tree).params == cost(network(name)).params
