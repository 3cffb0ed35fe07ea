"""Networks over frames: torchvision's outputs, and C3D by hand."""

import pytest
import torch
import torchvision.models.video as peers

from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.weights.pretrained import load_weights, name_map
from convsmith.nets.zoo import edit, network

NAMES = ("r3d_18", "mc3_18", "r2plus1d_18")
WEIGHTS = {"r3d_18": peers.R3D_18_Weights, "mc3_18": peers.MC3_18_Weights, "r2plus1d_18": peers.R2Plus1D_18_Weights}


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_torchvisions_to_the_last_bit(name, filled):
    peer, state = filled(getattr(peers, name))
    ours = build(network(name), device="meta").to_empty(device="cpu").eval()
    assert load_weights(ours, state) == "torchvision.models.video names"
    x = torch.randn(2, 3, 4, 24, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert expected.std() > 1e-3
        assert torch.equal(ours(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_map_and_the_renaming_agree(name, filled):
    peer, state = filled(getattr(peers, name))
    ours = build(network(name), device="meta").to_empty(device="cpu")
    load_weights(ours, state)
    loaded = ours.state_dict()
    pairs = name_map(peer, ours, (3, 16, 112, 112))
    assert pairs.keys() == state.keys()
    assert all(torch.equal(state[theirs], loaded[mine]) for theirs, mine in pairs.items())


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_torchvisions(name):
    meta = WEIGHTS[name].DEFAULT.meta
    numbers = cost(network(name))
    assert numbers.params == meta["num_params"]
    assert round(numbers.macs / 1e9, 3) == meta["_ops"]


def test_the_factorized_form_keeps_the_weights_of_the_full_one():
    # Tran et al. 2018, section 3.5: as many maps between as make the counts match
    full, factorized = (cost(network(name)).params for name in ("r3d_18", "r2plus1d_18"))
    # A unit's second convolution takes the first's number of maps, which makes it smaller where the width doubles.
    assert 0.9 < factorized / full < 1


def test_frames_are_halved_but_in_the_mixed_form():
    def frames(name):
        return [signal.shape.spatial[0] for part, signal in network(name).trace().stages.items() if part != "head"]

    assert frames("r3d_18") == frames("r2plus1d_18") == [16, 16, 8, 4, 2]
    assert frames("mc3_18") == [16] * 5


def test_c3d_is_as_its_figure():
    ends = [tuple(signal.shape) for signal in network("c3d").trace().stages.values()]
    assert ends == [(64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7), (512, 1, 4, 4), (487,)]


def test_counts_of_c3d():
    pairs = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    positions = [16 * 112**2, 16 * 56**2, *[8 * 28**2] * 2, *[4 * 14**2] * 2, *[2 * 7**2] * 2]
    numbers = cost(network("c3d"))
    convs = sum(27 * a * b + b for a, b in pairs)
    assert numbers.params == convs + 8193 * 4096 + 4097 * 4096 + 4097 * 487
    macs = sum(27 * a * b * n for (a, b), n in zip(pairs, positions, strict=True))
    assert numbers.macs == macs + 8192 * 4096 + 4096 * 4096 + 4096 * 487
    assert round(cost(network("c3d", classes=101)).params / 1e6, 1) == 78.4


def test_a_size_is_that_of_every_axis_and_frames_are_a_number():
    assert network("r3d_18", frames=8, size=64).input.spatial == (8, 64, 64)
    assert edit(network("r3d_18"), "size=32").input.spatial == (32, 32, 32)
