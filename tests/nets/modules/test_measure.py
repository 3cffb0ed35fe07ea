"""Any module measured as it runs, against torchvision's numbers and our own."""

import pytest
import torch
import torchvision.models as peers
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.modules.measure import measure_module
from convsmith.nets.zoo import network


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "resnet50", "alexnet"])
def test_torchvisions_networks_measure_as_torchvision_says_and_as_our_trees(name):
    with torch.device("meta"):
        peer = peers.get_model(name, weights=None)
    measured, priced = measure_module(peer, (3, 224, 224)), cost(network(name))
    meta = next(iter(peers.get_model_weights(name))).meta
    assert measured.params == meta["num_params"]
    assert round(measured.macs / 1e9, 3) == meta["_ops"]
    assert (measured.params, measured.macs, measured.activations) == (priced.params, priced.macs, priced.activations)
    ours = [(row.output, row.params, row.macs) for row in priced.layers if row.macs]
    assert [(row.output, row.params, row.macs) for row in measured.layers if row.macs] == ours


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x1_0", "resnext50_32x4d", "densenet121"])
def test_other_modules_with_groups(name):
    meta = next(iter(peers.get_model_weights(name))).meta
    with torch.device("meta"):
        measured = measure_module(peers.get_model(name, weights=None), (3, 224, 224))
    assert measured.params == meta["num_params"]
    assert round(measured.macs / 1e9, 3) == pytest.approx(meta["_ops"], abs=0.0011)


@pytest.mark.parametrize("name", ["lenet5_1998", "resnet20_cifar", "alexnet_2012"])
def test_our_built_networks_measure_as_their_trees(name):
    tree = network(name)
    measured = measure_module(build(tree, device="meta"), tuple(tree.input))
    assert (measured.params, measured.macs, measured.activations) == tuple(
        getattr(cost(tree), field) for field in ("params", "macs", "activations")
    )


def test_a_layer_that_runs_twice_counts_twice():
    layer = nn.Linear(5, 5)
    measured = measure_module(nn.Sequential(layer, nn.ReLU(), layer), (5,))
    assert (measured.params, measured.macs) == (30, 50)
    assert [row.name for row in measured.layers] == ["0", "1", "0"]


def test_measuring_leaves_the_module_as_it_was():
    module = build(network("resnet20_cifar"), seed=0).train()
    module.get_submodule("stem.norm").eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [layer.training for layer in module.modules()]
    measure_module(module, (3, 32, 32))
    assert [layer.training for layer in module.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert not any(layer._forward_hooks for layer in module.modules())


def test_an_input_that_does_not_fit_is_said():
    module = nn.Conv2d(3, 4, 3)
    with pytest.raises(UsageError, match=r"^the module failed on an input of 1x8x8: "):
        measure_module(module, (1, 8, 8))
    assert not module._forward_hooks
    assert module.training


class Odd(nn.Module):
    """A module that is not a chain of images: a buffer outside its state, and a part that gives a pair."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(4), persistent=False)
        self.recurrent = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x):
        return self.recurrent(x * self.scale)[0]


def test_buffers_outside_the_state_and_a_recurrent_layer_that_gives_its_states_too():
    measured = measure_module(Odd(), (6, 4))
    assert (measured.params, measured.macs) == (4 * (16 + 16 + 8), 6 * 4 * (16 + 16))
    assert [(layer.op, layer.output) for layer in measured.layers] == [("lstm", (6, 4))]


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError])
def test_whatever_a_module_raises_is_said(error):
    class Failing(nn.Module):
        def forward(self, x):
            raise error("no such thing")

    with pytest.raises(UsageError, match=r"^the module failed on an input of 3x8: .?no such thing") as caught:
        measure_module(Failing(), (3, 8))
    assert isinstance(caught.value.__cause__, error)
