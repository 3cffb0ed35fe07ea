"""RepVGG: the paper's layers, the authors' names, and the form for inference."""

import re

import pytest
import torch

from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Conv
from convsmith.nets.tree import Add, walk
from convsmith.nets.weights.carry import carry
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import edit, network

# Ding et al. 2021, table 3 and 4: layers, stages' widths, millions of parameters and billions of MACs for inference.
PAPER = {
    "repvgg_a0": (22, [48, 96, 192, 1280], 8.30, 1.4),
    "repvgg_a1": (22, [64, 128, 256, 1280], 12.78, 2.4),
    "repvgg_a2": (22, [96, 192, 384, 1408], 25.49, 5.1),
    "repvgg_b0": (28, [64, 128, 256, 1280], 14.33, 3.1),
    "repvgg_b1": (28, [128, 256, 512, 2048], 51.82, 11.8),
    "repvgg_b1g4": (28, [128, 256, 512, 2048], 36.12, 7.3),
}


def units(tree):
    return [node for name, stage in tree.stages for _, node in walk(stage, name) if isinstance(node, Add)]


@pytest.mark.parametrize("name", PAPER)
def test_layers_widths_and_costs_are_the_papers(name):
    layers, widths, millions, billions = PAPER[name]
    tree = network(name)
    ends = tree.trace().stages
    assert len(units(tree)) == layers
    assert [ends[f"stage{i}"].shape.channels for i in (1, 2, 3, 4)] == widths
    merged = edit(tree, "reparameterise")
    convs = [node for part, stage in merged.stages for _, node in walk(stage, part) if isinstance(node, Conv)]
    assert len(convs) == layers
    assert {conv.kernel for conv in convs} == {3}
    numbers = cost(merged)
    assert int(numbers.params / 1e4) / 100 == millions  # the paper cuts off
    assert round(numbers.macs / 1e9, 1) == billions


def test_the_input_is_a_branch_where_the_shape_stays():
    names = [tuple(name for name, _ in unit.children) for unit in units(network("repvgg_a0"))]
    entry, inner = ("conv3", "conv1"), ("conv3", "conv1", "identity")
    depths = (2, 4, 14, 1)
    assert names == [entry] + [name for depth in depths for name in [entry] + [inner] * (depth - 1)]


def test_every_other_layer_is_grouped():
    groups = [dict(dict(unit.children)["conv3"].children)["conv"].groups for unit in units(network("repvgg_b1g4"))]
    assert groups == [1, 1, *[4, 1] * 13]


@pytest.fixture(scope="module")
def trained():
    """RepVGG-A0 with running statistics of its own."""
    module = build(network("repvgg_a0", classes=10), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for key, tensor in module.state_dict().items():
        if ("norm" in key or "identity" in key) and tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


def test_reparameterised_outputs_stay(trained):
    tree, state = carry(trained.tree, trained.state_dict(), "reparameterise")
    merged = build(tree, seed=1).eval()
    merged.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = trained(x)
        torch.testing.assert_close(merged(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_the_authors_names_are_known(trained):
    def theirs(key):
        key = re.sub(r"^stage(\d)\.unit(\d+)\.", lambda m: f"stage{m[1]}.{int(m[2]) - 1}.", key)
        key = key.replace("stem.unit1.", "stage0.").replace("head.linear.", "linear.").replace(".norm.", ".bn.")
        return key.replace("conv3.", "rbr_dense.").replace("conv1.", "rbr_1x1.").replace("identity.", "rbr_identity.")

    weights = {theirs(key): value for key, value in trained.state_dict().items()}
    assert {"stage0.rbr_1x1.bn.running_mean", "stage3.13.rbr_identity.weight"} <= weights.keys()
    fresh = build(network("repvgg_a0", classes=10), seed=2)
    assert load_weights(fresh, weights) == "DingXiaoH/RepVGG names"
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in fresh.state_dict().items())


def test_small_images_end_at_four_positions_a_side():
    ends = edit(network("repvgg_a0"), "small_images").trace().stages
    assert [ends[name].shape.spatial[0] for name in ("stem", "stage1", "stage2", "stage3", "stage4")] == [
        32,
        32,
        16,
        8,
        4,
    ]


def test_widen_and_deepen():
    ends = edit(network("repvgg_a1"), "widen(2)").trace().stages
    assert [ends[name].shape.channels for name in ("stem", "stage1", "stage4")] == [64, 128, 2560]
    assert len(units(edit(network("repvgg_a0"), "deepen(0.5)"))) == 1 + 1 + 2 + 7 + 1
