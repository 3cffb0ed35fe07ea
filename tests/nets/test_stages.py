"""Stages in a few words, with totals that add up."""

import pytest

from convsmith.nets.cost import cost
from convsmith.nets.stages import summarise
from convsmith.nets.zoo import NETWORKS, network

DETAILS = {
    "lenet5": ["conv 5x5, average pool", "conv 5x5, average pool", "conv 5x5", "2 x linear"],
    "resnet50": [
        "conv 7x7, max pool",
        "3 x residual (1x1, 3x3, 1x1)",
        "4 x residual (1x1, 3x3, 1x1)",
        "6 x residual (1x1, 3x3, 1x1)",
        "3 x residual (1x1, 3x3, 1x1)",
        "global pool, linear",
    ],
    "vgg11": [
        "conv 3x3, max pool", "conv 3x3, max pool", *["2 x conv 3x3, max pool"] * 3, "global pool, 3 x linear"
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DETAILS)
def test_details(name):
    assert [row.detail for row in summarise(network(name))] == DETAILS[name]


@pytest.mark.parametrize("name", [name for name in NETWORKS if "1202" not in name])
def test_stages_add_up_to_the_network(name):
    rows, numbers = summarise(network(name)), cost(network(name))
    assert sum(row.params for row in rows) == numbers.params
    assert sum(row.macs for row in rows) == numbers.macs


@pytest.mark.parametrize(("name", "layers"), [("vgg16", 16), ("alexnet", 8), ("plain34", 34), ("plain56_cifar", 56)])
def test_a_networks_number_counts_its_layers_with_weights(name, layers):
    assert sum(row.layers for row in summarise(network(name))) == layers


def test_sizes_of_the_stages():
    rows = {row.name: (row.channels, row.size) for row in summarise(network("resnet18"))}
    assert rows["stem"] == (64, (56, 56))
    assert rows["stage4"] == (512, (7, 7))
    assert rows["head"] == (1000, ())
