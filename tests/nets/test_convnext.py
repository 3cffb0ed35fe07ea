"""ConvNeXt against torchvision's, whose fully connected layers at each position are 1x1 convolutions here."""

import pytest
import torch
import torchvision.models as peers
from torchvision.ops import StochasticDepth

from convsmith.nets.modules.build import build
from convsmith.nets.ops import Act, Affine, DropPath, LayerNorm
from convsmith.nets.tree import walk
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import NETWORKS, edit, network

NAMES = [name for name in NETWORKS if name.startswith("convnext")]


def nodes(name, kind):
    tree = network(name)
    return [n for part, root in tree.stages + tree.heads for _, n in walk(root, part) if isinstance(n, kind)]


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_base"])
def test_outputs_are_torchvisions_but_for_the_order_of_additions(name, filled):
    # A matrix product and a 1x1 convolution add in different orders, so the last bits differ.
    peer, state = filled(lambda: peers.get_model(name, weights=None))
    for key in state:
        if key.endswith("layer_scale"):
            state[key].add_(0.5)
    peer.load_state_dict(state)
    ours = build(network(name), device="meta").to_empty(device="cpu").eval()
    assert load_weights(ours, state).startswith("torchvision names")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_outputs_do_not_show(name):
    with torch.device("meta"):
        peer = peers.get_model(name, weights=None)
    rates = [layer.p for layer in peer.modules() if isinstance(layer, StochasticDepth)]
    assert [node.drop for node in nodes(name, DropPath)] == pytest.approx(rates[1:])
    assert rates[0] == 0
    assert {node.by for node in nodes(name, DropPath)} == {"sample"}
    assert set(nodes(name, Act)) == {Act("gelu")}
    assert nodes(name, Affine) == [Affine(1e-6, shift=False)] * len(rates)
    assert {node.eps for node in nodes(name, LayerNorm)} == {1e-6}


@pytest.mark.parametrize(("name", "units"), [("convnext_tiny", 18), ("convnext_small", 36), ("convnext_base", 36)])
def test_units(name, units):
    assert len(nodes(name, Affine)) == units


def test_a_new_network_starts_as_torchvisions():
    state = build(network("convnext_tiny"), seed=0).state_dict()
    assert torch.equal(state["stage1.unit1.branch.scale.weight"], torch.full((96,), 1e-6))
    assert state["stage4.unit1.branch.conv2.weight"].std().item() == pytest.approx(0.02, rel=0.01)
    assert not state["stage4.unit1.branch.conv2.bias"].any()
    assert not state["head.linear.bias"].any()


def test_small_images_end_at_four_positions_a_side():
    ends = edit(network("convnext_tiny"), "small_images").trace().stages
    assert [ends[name].shape.spatial[0] for name in ("stem", "stage1", "stage2", "stage3", "stage4")] == [
        32,
        32,
        16,
        8,
        4,
    ]


def test_widen_and_deepen():
    ends = edit(network("convnext_tiny"), "widen(0.5)").trace().stages
    assert [ends[f"stage{i}"].shape.channels for i in (1, 2, 3, 4)] == [48, 96, 192, 384]
    tree = edit(network("convnext_tiny"), "deepen(2)")
    drops = [n.drop for name, root in tree.stages for _, n in walk(root, name) if isinstance(n, DropPath)]
    assert len(drops) == 35
    assert drops[-1] == pytest.approx(0.1)
