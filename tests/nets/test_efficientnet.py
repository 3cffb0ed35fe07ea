"""EfficientNets: scaling that makes B1 to B7 of B0, the papers' totals, stochastic depth."""

import inspect

import pytest
import torch
import torchvision.models as peers
from torchvision.ops import StochasticDepth

from convsmith.base.errors import UnknownName
from convsmith.nets.cost import cost
from convsmith.nets.families.efficientnet import NETWORKS
from convsmith.nets.modules.build import build
from convsmith.nets.modules.random_layers import DropPath as DropPathModule
from convsmith.nets.ops import Act, Conv, DropPath
from convsmith.nets.tree import Add, Gate, walk
from convsmith.nets.zoo import edit, network

B = [name for name in NETWORKS if "_b" in name]


def found(tree, kind):
    return {path: node for name, root in tree.stages for path, node in walk(root, name) if isinstance(node, kind)}


def units(tree):
    return [len(stage.children) for name, stage in tree.stages if name.startswith("stage")]


# The authors' coefficients (their code, params_dict): width, depth.
COEFFICIENTS = {
    "efficientnet_b0": (1.0, 1.0), "efficientnet_b1": (1.0, 1.1), "efficientnet_b2": (1.1, 1.2),
    "efficientnet_b3": (1.2, 1.4), "efficientnet_b4": (1.4, 1.8), "efficientnet_b5": (1.6, 2.2),
    "efficientnet_b6": (1.8, 2.6), "efficientnet_b7": (2.0, 3.1),
}  # fmt: skip


@pytest.mark.parametrize("name", B)
def test_scaling_b0_makes_the_others(name):
    family, b0 = NETWORKS[name].family, NETWORKS["efficientnet_b0"]
    defaults = {key: p.default for key, p in inspect.signature(family.build).parameters.items()}
    width, depth = COEFFICIENTS[name]
    scaled = family.deepen(family.widen({**defaults, **b0.numbers}, width), depth)
    assert (scaled["width"], scaled["depth"]) == (width, depth)
    # What compound scaling leaves to each: the size, and how it is trained.
    own = {key: NETWORKS[name].numbers[key] for key in ("size", "dropout", "eps", "momentum")}
    made, row = family.build(**scaled | own), network(name)
    assert (made.stages, made.heads, made.input) == (row.stages, row.heads, row.input)


def test_widths_and_depths_of_b7_by_hand():
    tree = network("efficientnet_b7")
    ends = tree.trace().stages
    widths = [ends[name].shape.channels for name, _ in tree.stages]
    assert widths == [64, 32, 48, 80, 160, 224, 384, 640, 2560]
    assert units(tree) == [4, 7, 7, 10, 10, 13, 4]


# The first paper's table 2: millions of parameters, billions of MACs at the size that it gives.
@pytest.mark.parametrize(
    ("name", "size", "params", "macs"),
    [
        ("efficientnet_b0", 224, 5.3, 0.39), ("efficientnet_b1", 240, 7.8, 0.70), ("efficientnet_b2", 260, 9.2, 1.0),
        ("efficientnet_b3", 300, 12, 1.8), ("efficientnet_b4", 380, 19, 4.2), ("efficientnet_b5", 456, 30, 9.9),
        ("efficientnet_b6", 528, 43, 19), ("efficientnet_b7", 600, 66, 37),
    ],
)  # fmt: skip
def test_the_totals_of_the_paper_within_rounding(name, size, params, macs):
    numbers = cost(network(name, size=size))
    assert numbers.params / 1e6 == pytest.approx(params, rel=0.02)
    assert numbers.macs / 1e9 == pytest.approx(macs, rel=0.05)


# The second paper's table 7: millions of parameters, billions of MACs.
@pytest.mark.parametrize(("form", "params", "macs"), [("s", 22, 8.8), ("m", 54, 24), ("l", 120, 53)])
def test_the_totals_of_the_second_paper_within_rounding(form, params, macs):
    numbers = cost(network(f"efficientnet_v2_{form}"))
    assert numbers.params / 1e6 == pytest.approx(params, rel=0.03)
    assert numbers.macs / 1e9 == pytest.approx(macs, rel=0.06)


def test_each_unit_of_the_first_has_a_gate_of_a_quarter_of_its_input():
    tree = network("efficientnet_b0")
    assert len(found(tree, Gate)) == sum(units(tree)) == 16
    squeezed = [node.channels for path, node in found(tree, Conv).items() if path.endswith("se.conv1")]
    assert squeezed == [8, 4, 6, 6, 10, 10, 20, 20, 20, 28, 28, 28, 48, 48, 48, 48]
    inside = {path.rpartition(".")[2]: act.function for path, act in found(tree, Act).items() if ".se." in path}
    assert inside == {"act1": "silu", "act2": "sigmoid"}
    assert {act.function for path, act in found(tree, Act).items() if ".se." not in path} == {"silu"}


@pytest.mark.parametrize("form", ["s", "m", "l"])
def test_the_first_three_stages_of_the_second_are_fused(form):
    tree = network(f"efficientnet_v2_{form}")
    fused = {path.split(".")[0] for path in found(tree, Conv) if ".fused." in path}
    gated = {path.split(".")[0] for path in found(tree, Gate)}
    assert fused == {"stage1", "stage2", "stage3"}
    assert gated == {name for name, _ in tree.stages if name.startswith("stage")} - fused
    assert not [path for path in found(tree, Conv) if "stage1" in path and "project" in path]


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b4", "efficientnet_v2_s"])
def test_branches_are_dropped_as_often_as_torchvisions(name):
    with torch.device("meta"):
        peer = peers.get_model(name, weights=None)
    theirs = [
        (block.stochastic_depth.p, block.stochastic_depth.mode)
        for block in peer.modules()
        if isinstance(getattr(block, "stochastic_depth", None), StochasticDepth) and block.use_res_connect
    ]
    ours = [
        dict(dict(node.children)["branch"].children).get("drop_path") for node in found(network(name), Add).values()
    ]
    assert [(drop.drop if drop else 0.0, "row") for drop in ours] == theirs
    assert {drop.by for drop in ours if drop} == {"sample"}


def test_a_branch_ends_with_its_dropping_and_an_edit_replaces_the_rate():
    tree = network("efficientnet_b0")
    for node in found(tree, Add).values():
        assert [name for name, _ in dict(node.children)["branch"].children][-1] == "drop_path"
    rates = [node.drop for node in found(edit(tree, "drop_path=0.5"), DropPath).values()]
    assert rates == pytest.approx([0.5 * i / 9 for i in range(1, 10)])
    assert not found(network("efficientnet_b0", drop_path=0.0), DropPath)


def test_dropping_zeroes_whole_samples_in_training_alone():
    module = build(network("efficientnet_b0"), seed=0)
    last = [layer for layer in module.modules() if isinstance(layer, DropPathModule)][-1]
    torch.manual_seed(0)
    y = last.train()(torch.ones(4000, 2, 1, 1)).flatten(1)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - last.drop)])
    assert torch.equal(y[:, 0], y[:, 1])
    assert (y[:, 0] == 0).float().mean().item() == pytest.approx(last.drop, abs=0.02)
    assert torch.equal(last.eval()(torch.ones(3, 2, 1, 1)), torch.ones(3, 2, 1, 1))


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b3", "efficientnet_v2_s"])
def test_the_form_for_small_images_ends_at_4x4_with_the_same_weights(name):
    tree = network(name, classes=10)
    small = edit(tree, "small_images")
    final = small.trace().stages["final"]
    assert (final.shape.spatial, final.field.jump) == ((4, 4), (8, 8))
    assert cost(small).params == cost(tree).params


def test_an_unknown_form_is_named():
    with pytest.raises(UnknownName, match=r"^unknown value for efficientnet_v2_s: form: 'xl'; "):
        network("efficientnet_v2_s", form="xl")
