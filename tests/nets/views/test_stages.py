"""Stages, units and layers in a few words, with totals that add up."""

import pytest

from convsmith.nets.cost import cost
from convsmith.nets.views.folding import fold
from convsmith.nets.views.stages import layer_bars, summarize, units
from convsmith.nets.zoo import NETWORKS, network

DETAILS = {
    "lenet5": ["5x5 6; average pool 2x2", "5x5 16; average pool 2x2", "5x5 120", "linear 84; linear 10"],
    "lenet5_1998": [
        "5x5 6; average pool 2x2", "[5x5 1] x 16; average pool 2x2", "5x5 120", "linear 84; rbf 10",
    ],
    "resnet50": [
        "7x7 64; max pool 3x3",
        "[1x1 64; 3x3 64; 1x1 256] x 3",
        "[1x1 128; 3x3 128; 1x1 512] x 4",
        "[1x1 256; 3x3 256; 1x1 1024] x 6",
        "[1x1 512; 3x3 512; 1x1 2048] x 3",
        "global pool; linear 1000",
    ],
    "resnext50_32x4d": [
        "7x7 64; max pool 3x3",
        "[1x1 128; 3x3 128 C=32; 1x1 256] x 3",
        "[1x1 256; 3x3 256 C=32; 1x1 512] x 4",
        "[1x1 512; 3x3 512 C=32; 1x1 1024] x 6",
        "[1x1 1024; 3x3 1024 C=32; 1x1 2048] x 3",
        "global pool; linear 1000",
    ],
    "vgg11": [
        "3x3 64; max pool 2x2", "3x3 128; max pool 2x2", "3x3 256; 3x3 256; max pool 2x2",
        "3x3 512; 3x3 512; max pool 2x2", "3x3 512; 3x3 512; max pool 2x2",
        "pool to 7x7; linear 4096; linear 4096; linear 1000",
    ],
    "efficientnet_b0": [
        "3x3 32", "[dw 3x3 32; gate; 1x1 16]",
        *(f"[1x1; dw {k}x{k}; gate; 1x1] x {n}" for k, n in ((3, 2), (5, 2), (3, 3), (5, 3), (5, 4))),
        "[1x1 1152; dw 3x3 1152; gate; 1x1 320]", "1x1 1280", "global pool; linear 1000",
    ],
}  # fmt: skip
# The lectures' table of GoogLeNet: side, depth, thousands (1,024) of weights, millions of MACs of each module.
GOOGLENET = {
    "3a": (28, 256, 159.5, 128.0), "3b": (28, 480, 379.0, 304.3), "4a": (14, 512, 366.8, 73.6),
    "4b": (14, 512, 438.0, 87.9), "4c": (14, 512, 497.5, 99.9), "4d": (14, 528, 590.5, 118.5),
    "4e": (14, 832, 847.0, 170.0), "5a": (7, 832, 1018.0, 51.1), "5b": (7, 1024, 1409.0, 70.7),
}  # fmt: skip
SMALL = [name for name in NETWORKS if "1202" not in name and "1001" not in name]


@pytest.mark.parametrize("name", DETAILS)
def test_details(name):
    assert [row.detail for row in summarize(network(name))] == DETAILS[name]


@pytest.mark.parametrize("name", SMALL)
def test_rows_add_up_to_the_network(name):
    tree = network(name)
    numbers = cost(tree)
    for rows in (summarize(tree, numbers), units(tree, numbers)):
        assert sum(row.params for row in rows if not row.auxiliary) == numbers.params
        assert sum(row.macs for row in rows if not row.auxiliary) == numbers.macs
        assert sum(row.activations for row in rows if not row.auxiliary) == numbers.activations
        assert sum(row.params for row in rows if row.auxiliary) == numbers.auxiliary_params
        assert all(row.detail for row in rows)
        assert max(len(row.detail) for row in rows) <= 95
    bars = layer_bars(numbers)
    assert sum(bar.macs for bar in bars) == numbers.macs
    assert sum(bar.bytes for bar in bars) == numbers.activation_bytes


@pytest.mark.parametrize(("name", "layers"), [("vgg16", 16), ("alexnet", 8), ("plain34", 34), ("plain56_cifar", 56)])
def test_a_networks_number_counts_its_layers_with_weights(name, layers):
    assert sum(row.layers for row in summarize(network(name))) == layers


def test_sizes_and_fields_of_the_stages():
    rows = {row.name: (row.channels, row.size, row.receptive_field) for row in summarize(network("resnet18"))}
    assert rows["stem"] == (64, (56, 56), (11, 11))
    assert rows["stage4"] == (512, (7, 7), (435, 435))
    assert rows["head"] == (1000, (), (435, 435))


def test_a_unit_is_a_module_or_a_layer_with_what_rides_on_it():
    rows = {row.name: row for row in units(network("resnet50"))}
    assert list(rows)[:3] == ["stem.conv", "stem.pool", "stage1.unit1"]
    assert rows["stem.conv"].params == 9_408 + 128
    assert (rows["stage1.unit1"].params, rows["stage1.unit1"].layers) == (75_008, 4)
    assert rows["stage4.unit3"].detail == "1x1 512; 3x3 512; 1x1 2048"
    # He et al. 2016: 16 units of bottlenecks, the stem's two layers, pooling and the classifier
    assert len(rows) == 2 + 16 + 2


def test_the_units_of_googlenet_are_the_lectures_table():
    rows = {row.name.rpartition("inception")[2]: row for row in units(network("googlenet_2014"))}
    for name, (side, depth, weights, macs) in GOOGLENET.items():
        row = rows[name]
        biases = sum(int(word.split()[1]) for word in row.detail.replace("|", ";").split("; ") if "pool" not in word)
        assert (row.size, row.channels) == ((side, side), depth)
        assert round((row.params - biases) / 1024, 1) == weights
        assert round(row.macs / 1e6, 1) == macs
    assert rows["3a"].detail == "1x1 64 | 1x1 96; 3x3 128 | 1x1 16; 5x5 32 | max pool 3x3; 1x1 32"


@pytest.mark.parametrize(
    ("keys", "folded"),
    [
        ("", []),
        ("abc", [(0, 1, 1), (1, 1, 1), (2, 1, 1)]),
        ("aaab", [(0, 1, 3), (3, 1, 1)]),
        ("ababc", [(0, 2, 2), (4, 1, 1)]),
        ("aabaab", [(0, 3, 2)]),
        ("abababa", [(0, 2, 3), (6, 1, 1)]),
    ],
)
def test_folding(keys, folded):
    assert fold(keys) == folded
