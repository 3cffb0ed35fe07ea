"""What the logistic regression takes from a network: the inputs of the layer that gives the outputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.data.augment import normalise
from convsmith.data.loaders import Batch
from convsmith.data.preprocess import Preprocess
from convsmith.nets.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, Flatten, Linear
from convsmith.nets.shape import Shape
from convsmith.nets.tree import seq
from convsmith.training.engine import resolve
from convsmith.training.logistic import last_linear, layer_inputs
from convsmith.training.options import EngineOptions

IMAGES = torch.arange(2 * 16, dtype=torch.uint8).view(2, 1, 4, 4) * 7
LOADER = SimpleNamespace(epoch=lambda epoch: [Batch(IMAGES, torch.tensor([0, 2]), torch.arange(2), torch.arange(2))])
JOB = SimpleNamespace(
    engine=resolve(EngineOptions(device="cpu", precision="fp32", threads=1)),
    preprocess=Preprocess(mode="L", size=(4, 4), mean=(0.5,), std=(0.25,)),
)


def made(**last):
    head = seq(flat=Flatten(), linear=Linear(3), **last)
    tree = Network(name="made", family="made", input=Shape(1, (4, 4)), stages=(), heads=(("head", head),))
    return JOB.engine.place(build(tree, seed=0))


def test_the_inputs_of_the_last_layer():
    module = made()
    features, targets = layer_inputs(module, last_linear(module), LOADER, JOB)
    np.testing.assert_array_equal(features, normalise(IMAGES, JOB.preprocess).flatten(1).double().numpy())
    assert targets.tolist() == [0, 2]


def test_what_follows_the_last_layer_is_noticed_though_it_writes_over_it():
    module = made(act=Act())
    assert module.get_submodule("head.act").inplace
    with pytest.raises(UsageError, match="something follows the network's last linear layer"):
        layer_inputs(module, last_linear(module), LOADER, JOB)
