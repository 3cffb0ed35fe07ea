"""Networks of fully connected layers, counted by hand."""

from itertools import pairwise

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families.perceptron import mlp
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.shape import Shape
from convsmith.nets.zoo import edit, network, suit_images


def dense(*sizes):
    """Weights and biases of linear layers between `sizes`, and their multiply-adds."""
    pairs = list(pairwise(sizes))
    return sum((a + 1) * b for a, b in pairs), sum(a * b for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("perceptron", (400, 1)),
        ("mlp_cifar", (3072, 50, 10)),
        ("mlp_dropout_cifar", (3072, 100, 100, 10)),
        ("mlp_12mp", (36_000_000, 100, 2)),
    ],
)
def test_counts_are_those_of_the_layers(name, sizes):
    numbers = cost(network(name))
    assert (numbers.params, numbers.macs) == dense(*sizes)


def test_twelve_megapixels_take_billions_of_weights_and_are_priced_without_building():
    numbers = cost(network("mlp_12mp"))
    assert numbers.input == (3, 3000, 4000)
    assert sum(row.params - row.output[0] for row in numbers.layers if row.op == "linear") == 36_000_000 * 100 + 200
    assert build(network("mlp_12mp"), device="meta").get_submodule("head.linear1").weight.shape == (100, 36_000_000)


def test_the_perceptron_is_the_sigmoid_of_a_weighted_sum():
    module = build(network("perceptron"), seed=0)
    x = torch.randn(5, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    weight, bias = module.state_dict().values()
    expected = 1 / (1 + torch.exp(-(x.flatten(1) * weight).sum(1) - bias))
    torch.testing.assert_close(module(x)[:, 0], expected)
    assert module(x).shape == (5, 1)


def test_a_vector_needs_no_sides():
    tree = mlp(out="sigmoid", classes=1, channels=7, size=None)
    assert tree.input == Shape(7)
    assert cost(tree).params == 8
    assert cost(tree).receptive_field == ()
    assert build(tree)(torch.zeros(3, 7)).shape == (3, 1)
    assert Network.from_json(tree.to_json()) == tree
    for attempt in (lambda: edit(tree, "size=28"), lambda: suit_images(tree, (28, 28), "auto")):
        with pytest.raises(UsageError, match=r"^size: mlp takes vectors, which have no size$"):
            attempt()


def test_dropout_follows_each_hidden_layer_but_not_the_output():
    ops = [row.op for row in cost(network("mlp_dropout_cifar")).layers]
    assert ops == ["flatten", "linear", "act", "dropout", "linear", "act", "dropout", "linear"]
    module = build(network("mlp_dropout_cifar"), seed=0).train()
    x = torch.ones(1, 3, 32, 32)
    assert not torch.equal(module(x), module(x))
    assert torch.equal(module.eval()(x), module(x))


def test_a_linear_bottleneck_is_smaller_and_a_special_case_of_the_full_layer():
    full, narrow = network("mlp_cifar"), network("mlp_bottleneck_cifar")
    assert cost(narrow).params == 3072 * 20 + (20 + 1) * 50 + (50 + 1) * 10
    assert narrow.edits == ("linear_bottleneck(20)",)
    module, wide = build(narrow, seed=1), build(full, seed=2)
    first, second = module.get_submodule("head.linear1.narrow"), module.get_submodule("head.linear1.wide")
    # Without an activation between, the two layers are one whose weights have rank 20 at most.
    state = wide.state_dict()
    state["head.linear1.weight"] = second.weight.data @ first.weight.data
    state["head.linear1.bias"] = second.bias.data
    state |= {key: value for key, value in module.state_dict().items() if key.startswith("head.linear2.")}
    wide.load_state_dict(state)
    assert torch.linalg.matrix_rank(state["head.linear1.weight"]) == 20
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x), wide(x), rtol=1e-4, atol=1e-5)


def test_widening_multiplies_the_hidden_units():
    assert edit(network("mlp_cifar"), "widen=2").stages == network("mlp_cifar", hidden=(100,)).stages
    assert cost(edit(network("mlp_cifar"), "widen=2")).params == dense(3072, 100, 10)[0]
