"""DenseNet: counts by their closed form and by the paper's tables, depths, sizes, rules of scaling."""

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Dropout
from convsmith.nets.tree import walk
from convsmith.nets.views.stages import summarize
from convsmith.nets.zoo import edit, network

# Huang et al. 2017, table 2: name, depth, growth, bottlenecks and compression, millions of parameters.
CIFAR = {
    "densenet40_12_cifar": (40, 12, False, 1.0),
    "densenet100_12_cifar": (100, 12, False, 7.0),
    "densenet_bc100_12_cifar": (100, 12, True, 0.8),
    "densenet_bc190_40_cifar": (190, 40, True, 25.6),
}


def closed_form(depth, growth, compressed):
    """Parameters and multiply-adds of a CIFAR DenseNet for ten classes."""
    width = 2 * growth if compressed else 16
    layers = (depth - 4) // (6 if compressed else 3)
    params, macs, positions = 27 * width, 27 * width * 1024, 1024
    for block in range(3):
        for _ in range(layers):
            convs = 4 * growth * width + 9 * 4 * growth * growth if compressed else 9 * width * growth
            params += convs + 2 * width + (8 * growth if compressed else 0)
            macs += convs * positions
            width += growth
        if block < 2:
            out = width // 2 if compressed else width
            params += width * out + 2 * width
            macs += width * out * positions
            width, positions = out, positions // 4
    return params + 2 * width + 11 * width - width + 10, macs + 10 * width


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_densenets_follow_their_closed_form_and_the_papers_table(name):
    depth, growth, compressed, millions = CIFAR[name]
    numbers = cost(network(name))
    assert (numbers.params, numbers.macs) == closed_form(depth, growth, compressed)
    assert round(numbers.params / 1e6, 1) == millions


@pytest.mark.parametrize("name", [*CIFAR, "densenet121", "densenet161", "densenet169", "densenet201"])
def test_a_networks_number_counts_its_layers(name):
    said = CIFAR[name][0] if name in CIFAR else int(name.removeprefix("densenet"))
    assert sum(row.layers for row in summarize(network(name))) == said


def test_the_largest_of_the_papers_table_2():
    big = network("densenet100_12_cifar", growth=24)
    assert round(cost(big).params / 1e6, 1) == 27.2
    assert round(cost(network("densenet_bc100_12_cifar", depth=250, growth=24)).params / 1e6, 1) == 15.3


def test_sizes_of_table_1():
    ends = network("densenet121").trace().stages
    assert [(ends[f"stage{i}"].shape.channels, ends[f"stage{i}"].shape.spatial[0]) for i in (1, 2, 3, 4)] == [
        (256, 56), (512, 28), (1024, 14), (1024, 7)
    ]  # fmt: skip


def test_each_layer_adds_the_growth_and_keeps_what_was_before():
    module = build(network("densenet_bc100_12_cifar", depth=16), seed=0).eval()
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = module.features(x, at=["stem", "stage1"])
    assert features["stem"].shape[1] == 24
    assert features["stage1"].shape[1] == 24 + 2 * 12
    assert torch.equal(features["stage1"][:, :24], features["stem"])


def test_dropout_follows_every_convolution_but_the_first_where_asked():
    def count(tree):
        return sum(isinstance(node, Dropout) for name, root in tree.stages for _, node in walk(root, name))

    assert count(network("densenet40_12_cifar")) == 0
    assert count(network("densenet40_12_cifar", drop=0.2)) == 36 + 2


@pytest.mark.parametrize(("name", "depth"), [("densenet40_12_cifar", 41), ("densenet40_12_cifar", 4)])
def test_a_cifar_densenet_has_3n_plus_4_layers(name, depth):
    with pytest.raises(
        UsageError, match=rf"^a CIFAR DenseNet of this kind has 3n \+ 4 layers, received depth {depth}$"
    ):
        network(name, depth=depth)


def test_with_bottlenecks_it_has_6n_plus_4():
    with pytest.raises(UsageError, match=r"has 6n \+ 4 layers, received depth 43$"):
        network("densenet_bc100_12_cifar", depth=43)


def test_wider_is_more_growth_and_deeper_more_layers():
    tree = edit(network("densenet121"), "widen=1.5")
    assert cost(tree).params == cost(network("densenet121", growth=48)).params
    deep = edit(network("densenet_bc100_12_cifar"), "deepen=1.5")
    assert cost(deep).params == cost(network("densenet_bc100_12_cifar", depth=148)).params


def test_the_form_for_small_images_ends_at_4x4():
    ends = edit(network("densenet121"), "small_images").trace().stages
    assert [ends[name].shape.spatial[0] for name in ("stem", "stage1", "stage2", "stage3", "stage4")] == [
        32,
        32,
        16,
        8,
        4,
    ]
