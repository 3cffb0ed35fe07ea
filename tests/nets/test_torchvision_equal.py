"""With the same weights and running statistics the outputs are torchvision's, to the last bit."""

import pytest
import torch
import torchvision.models as peers

from convsmith.nets.build import build
from convsmith.nets.measure import watch
from convsmith.nets.pretrained import load_weights, name_map
from convsmith.nets.zoo import NETWORKS, network

NAMES = [name for name in NETWORKS if name in peers.list_models(module=peers)]
# Too large for a test that runs often: the same function with other numbers is tested by its siblings.
LARGE = {"regnet_y_128gf", "convnext_large"}
# Their fully connected layers at each position are our 1x1 convolutions: compared in a test file of their own.
REWRITTEN = {name for name in NAMES if name.startswith("convnext")}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGE | REWRITTEN])
def test_outputs_are_torchvisions(name, filled):
    peer, state = filled(lambda: peers.get_model(name, weights=None))
    ours = build(network(name), device="meta").to_empty(device="cpu").eval()
    family = "torchvision and timm names" if ours.tree.family == "resnet" else "torchvision names"
    assert load_weights(ours, state) == family
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert torch.isfinite(expected).all()
        assert expected.std() > 1e-3
        assert torch.equal(ours(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_map_covers_every_key_once(name):
    with torch.device("meta"):
        peer = peers.get_model(name, weights=None)
    ours = build(network(name), device="meta")
    pairs = name_map(peer, ours, (3, 224, 224))
    assert pairs.keys() == peer.state_dict().keys()
    assert sorted(pairs.values()) == sorted(ours.state_dict())


def executed(module):
    """The layers as they run, with the settings that outputs in evaluation do not show.

    Pooling to one position is left out: some of theirs call a function for it.
    """
    layers = []

    def note(name, layer, output):
        kind = type(layer).__name__
        if kind in ("Conv2d", "Linear", "BatchNorm2d", "Dropout"):
            layers.append(f"{kind}({layer.extra_repr()})".replace(f", inplace={getattr(layer, 'inplace', None)}", ""))
        elif kind in ("ReLU", "ReLU6", "Hardswish", "SiLU", "Sigmoid", "Hardsigmoid", "MaxPool2d"):
            layers.append(kind)
        elif kind == "AdaptiveAvgPool2d" and layer.output_size not in (1, (1, 1)):
            layers.append(kind)

    watch(module, (3, 224, 224), note)
    return layers


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REWRITTEN])
def test_layers_are_torchvisions_in_kind_order_and_settings(name):
    with torch.device("meta"):
        peer = peers.get_model(name, weights=None)
    assert executed(build(network(name), device="meta")) == executed(peer)


def test_old_files_may_lack_the_counters_of_batch_normalisation():
    with torch.device("meta"):
        state = peers.vgg11_bn(weights=None).state_dict()
    weights = {key: torch.ones(()).expand(value.shape) for key, value in state.items() if "num_batches" not in key}
    ours = build(network("vgg11_bn"), device="meta").to_empty(device="cpu")
    assert load_weights(ours, weights) == "torchvision names"
    assert all((value == 1).all() for key, value in ours.state_dict().items() if "num_batches" not in key)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_name_map_and_the_renaming_agree(name, filled):
    peer, state = filled(lambda: peers.get_model(name, weights=None))
    ours = build(network(name), device="meta").to_empty(device="cpu")
    load_weights(ours, state)
    loaded = ours.state_dict()
    for theirs, mine in name_map(peer, ours, (3, 224, 224)).items():
        assert torch.equal(state[theirs], loaded[mine]), (theirs, mine)
