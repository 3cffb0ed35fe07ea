"""With the same weights and running statistics the outputs are torchvision's, to the last bit."""

import pytest
import torch
import torchvision.models as peers
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.regnet import BlockParams

from convsmith.nets.modules.build import build
from convsmith.nets.modules.measure import watch
from convsmith.nets.weights.peers import make_peer
from convsmith.nets.weights.pretrained import load_weights, name_map
from convsmith.nets.zoo import NETWORKS, network

NAMES = [name for name in NETWORKS if name in peers.list_models(module=peers)]
# Too large for a test that runs often: the same function with other numbers is tested by its siblings.
LARGE = {"regnet_y_128gf", "convnext_large"}
# Their fully connected layers at each position are our 1x1 convolutions: compared in a test file of their own.
REWRITTEN = {name for name in NAMES if name.startswith("convnext")}

SIDES = {"inception_v3": 96}  # of the images to compare on, where 64 is too small


@pytest.fixture(autouse=True)
def widths_with_values(monkeypatch):
    """torchvision's RegNets calculate their widths with tensors, which need values on the meta device too."""
    calculate = BlockParams.from_init_params

    def on_cpu(**numbers):
        with torch.device("cpu"):
            return calculate(**numbers)

    monkeypatch.setattr(BlockParams, "from_init_params", on_cpu)


@pytest.mark.spread(4)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGE | REWRITTEN])
def test_outputs_are_torchvisions(name, filled):
    peer, state = filled(lambda: make_peer("torchvision", name))
    ours = build(network(name), device="meta").to_empty(device="cpu").eval()
    family = "torchvision and timm names" if ours.tree.family == "resnet" else "torchvision names"
    assert load_weights(ours, state) == family
    side = SIDES.get(name, 64)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert torch.isfinite(expected).all()
        assert expected.std() > 1e-3
        assert torch.equal(ours(x), expected)


@pytest.mark.spread(4)
@pytest.mark.parametrize("name", NAMES)
def test_the_name_map_covers_every_key_once(name):
    peer, ours = make_peer("torchvision", name), build(network(name), device="meta")
    pairs = name_map(peer, ours, tuple(ours.tree.input))
    assert pairs.keys() == peer.state_dict().keys()
    assert sorted(pairs.values()) == sorted(ours.state_dict())


class Calls(TorchDispatchMode):
    """Notes activations and poolings with their settings, whether a layer computes them or a function."""

    NAMED = ("relu", "hardtanh", "hardswish", "silu", "sigmoid", "hardsigmoid", "max_pool2d_with_indices", "avg_pool2d")
    NAMED += ("_adaptive_avg_pool2d",)  # not to one position: that is a mean, which theirs write in several ways

    def __init__(self, notes):
        super().__init__()
        self.notes = notes

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        if name in self.NAMED:
            self.notes.append((name, *args[1:], *(kwargs or {}).items()))
        return func(*args, **(kwargs or {}))


def executed(module):
    """The layers and functions as they run, with the settings that outputs in evaluation do not show."""
    notes = []

    def note(name, layer, output):
        kind = type(layer).__name__
        if kind in ("Conv2d", "Linear", "BatchNorm2d", "Dropout"):
            notes.append(f"{kind}({layer.extra_repr()})".replace(f", inplace={getattr(layer, 'inplace', None)}", ""))

    with Calls(notes):
        watch(module, (3, 224, 224), note)
    return notes


@pytest.mark.spread(4)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REWRITTEN])
def test_layers_are_torchvisions_in_kind_order_and_settings(name):
    ours = executed(build(network(name), device="meta"))
    assert ours == executed(make_peer("torchvision", name))
    assert any(isinstance(note, tuple) for note in ours)


def test_old_files_may_lack_the_counters_of_batch_normalization():
    with torch.device("meta"):
        state = peers.vgg11_bn(weights=None).state_dict()
    weights = {key: torch.ones(()).expand(value.shape) for key, value in state.items() if "num_batches" not in key}
    ours = build(network("vgg11_bn"), device="meta").to_empty(device="cpu")
    assert load_weights(ours, weights) == "torchvision names"
    assert all((value == 1).all() for key, value in ours.state_dict().items() if "num_batches" not in key)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "regnet_y_400mf"])
def test_the_name_map_and_the_renaming_agree(name, filled):
    peer, state = filled(lambda: peers.get_model(name, weights=None))
    ours = build(network(name), device="meta").to_empty(device="cpu")
    load_weights(ours, state)
    loaded = ours.state_dict()
    for theirs, mine in name_map(peer, ours, (3, 224, 224)).items():
        assert torch.equal(state[theirs], loaded[mine]), (theirs, mine)
