"""Networks found by architecture search: published figures, closed forms, wiring, padding and edits."""

from dataclasses import replace

import pytest
import torch

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families import amoebanet, darts, enas, nasnet, pnasnet
from convsmith.nets.families.cell_operations import OPERATIONS, Rules, act_conv_norm, factorized
from convsmith.nets.families.cells import CURRENT, PREVIOUS, Block, Cell, Genotype, cell_network, conv_stem, places
from convsmith.nets.modules.build import build
from convsmith.nets.modules.layers import Kept
from convsmith.nets.ops import AvgPoolSame, BatchNorm, Conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Add, Keep, Use, seq, walk
from convsmith.nets.zoo import edit, network

NAMES = [name for m in (nasnet, pnasnet, amoebanet, enas, darts) for name in m.NETWORKS]

# Millions of parameters and of multiply-adds, as the papers' tables print them.
PRINTED = {
    "nasnet_a_mobile": (5.3, 564),
    "nasnet_a_6_768_cifar": (3.3, None),
    "pnasnet5_large": (86.1, 25_000),
    "pnasnet5_mobile": (5.1, 588),
    "amoebanet_a_6_36_cifar": (3.2, None),
    "amoebanet_a_6_190": (86.7, 23_100),
    "amoebanet_a_mobile": (5.1, 555),
    "enas_micro_cifar": (4.6, None),
    "darts": (4.7, None),
    "darts_cifar": (3.3, None),
}


@pytest.mark.parametrize("name", PRINTED)
def test_parameters_and_multiply_adds_are_those_printed(name):
    numbers = cost(network(name))
    params, macs = PRINTED[name]
    assert round(numbers.params / 1e6, 1) == params
    assert macs is None or numbers.macs / 1e6 == pytest.approx(macs, rel=0.003)


def test_the_largest_amoebanet_at_299_pixels_is_the_printed_one():
    numbers = cost(network("amoebanet_a_6_448", size=299))
    assert round(numbers.macs / 1e9) == 104
    assert numbers.params / 469e6 == pytest.approx(1, abs=0.002)


def convolved(inputs, filters):
    return inputs * filters + 2 * filters


def separable(kernel, inputs, filters):
    first = kernel**2 * inputs + inputs * filters + 2 * filters
    return first + kernel**2 * filters + filters**2 + 2 * filters


def nasnet_a_for_cifar(cells, filters):
    """Its parameters, summed over the figure's cells and not over a tree."""
    stem = 3 * filters
    total = 3 * 3 * 3 * stem + 2 * stem
    previous, current = None, stem
    for stage in range(3):
        f = filters * 2**stage
        if stage:
            total += convolved(previous, f) + convolved(current, f)
            total += separable(3, f, f) + 2 * separable(5, f, f) + 2 * separable(7, f, f)
            previous, current = current, 4 * f
        for _ in range(cells):
            total += convolved(current, f) + separable(5, f, f) + separable(3, f, f)
            if previous is None:  # the stem's output stands for it and is brought to size where it is used
                total += 4 * convolved(stem, f) + 2 * separable(3, stem, f) + separable(5, stem, f)
            else:
                total += convolved(previous, f) + separable(5, f, f) + 2 * separable(3, f, f)
            previous, current = current, 6 * f
    return total + current * 10 + 10


@pytest.mark.parametrize(("name", "cells", "filters"), [("6_768", 6, 32), ("7_2304", 7, 96), ("6_768", 2, 20)])
def test_nasnet_for_cifar_follows_its_closed_form(name, cells, filters):
    tree = network(f"nasnet_a_{name}_cifar", cells=cells, filters=filters, stem=3 * filters)
    assert cost(tree).params == nasnet_a_for_cifar(cells, filters)


# Channels at the end of the stages, and their side.
ENDS = {
    "nasnet_a_large": [(336, 42), (1008, 42), (2016, 21), (4032, 11)],
    "nasnet_a_mobile": [(88, 28), (264, 28), (528, 14), (1056, 7)],
    "nasnet_a_6_768_cifar": [(96, 32), (192, 32), (384, 16), (768, 8)],
    "nasnet_a_7_2304_cifar": [(288, 32), (576, 32), (1152, 16), (2304, 8)],
    "pnasnet5_large": [(540, 42), (1080, 42), (2160, 21), (4320, 11)],
    "amoebanet_a_6_36_cifar": [(108, 32), (144, 32), (288, 16), (576, 8)],
    "enas_micro_cifar": [(108, 32), (180, 32), (360, 16), (720, 8)],
    "darts_cifar": [(108, 32), (144, 32), (288, 16), (576, 8)],
    "darts": [(48, 28), (192, 28), (384, 14), (768, 7)],
}


@pytest.mark.parametrize("name", ENDS)
def test_sizes_of_the_stages(name):
    ends = network(name).trace().stages
    shapes = [ends[stage].shape for stage in ("stem", "stage1", "stage2", "stage3")]
    assert [(shape.channels, shape.spatial[0]) for shape in shapes] == ENDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_kept_once_and_used(name):
    tree = network(name)
    nodes = [node for _, root in tree.stages + tree.heads for _, node in walk(root)]
    kept = [node.name for node in nodes if isinstance(node, Keep)]
    assert len(set(kept)) == len(kept)
    assert set(kept) == {node.name for node in nodes if isinstance(node, Use)}


def test_values_are_freed_after_their_last_use():
    module = build(network("darts_cifar", cells=1, filters=8, stem=8), seed=0)
    kept, x = Kept(), torch.zeros(1, 3, 32, 32)
    held = {}
    for name, _ in module.tree.stages:
        x = module.get_submodule(name)(x, kept)
        held[name] = set(kept.values)
    assert held["stage1"] == {"stem_conv", "stage1_cell1"}
    assert held["stage2"] == {"stage2_reduction", "stage2_cell1"}
    assert held["stage3"] == {"stage3_reduction"}  # which the auxiliary head takes


@pytest.mark.parametrize(
    ("name", "reduction", "after"),
    [("nasnet_a_large", "stage1_cell5", "stage1_cell5"), ("nasnet_a_mobile", "stage1_cell3", "stage1_cell4")],
)
def test_what_the_cell_after_a_reduction_receives(name, reduction, after):
    """slim's large network skips the reduction's own input, the others do not."""
    stage = dict(network(name).stages)["stage2"]
    uses = {path: node.name for path, node in walk(stage) if isinstance(node, Use)}
    assert uses["reduction.previous.use"] == reduction
    assert uses["cell1.previous.use"] == after
    assert uses["cell2.previous.use"] == "stage2_reduction"


@pytest.mark.parametrize("name", NAMES)
def test_blocks_add_a_left_and_a_right(name):
    tree = network(name)
    adds = [(path, node) for root, stage in tree.stages for path, node in walk(stage, root) if isinstance(node, Add)]
    assert all([child for child, _ in node.children] == ["left", "right"] for _, node in adds)
    cells = {path.rpartition(".")[0] for path, _ in adds}
    assert len(adds) == len(cells) * (4 if name.startswith("darts") else 5)
    in_stem = sum(cell.startswith("stem.") for cell in cells)
    reductions = sum(cell.endswith(".reduction") for cell in cells)
    assert len(cells) == in_stem + reductions + 3 * tree.numbers["cells"]
    assert reductions == (0 if name.startswith("pnasnet") else 2)
    assert in_stem == (0 if name.startswith(("darts", "enas")) or "cifar" in name else 2)


def test_an_odd_number_of_filters_is_divided_in_two_parts():
    layers = {row.name: row.output[0] for row in cost(network("pnasnet5_mobile")).layers}
    halves = "stem.cell2.previous.halves"
    assert (layers[f"{halves}.even"], layers[f"{halves}.odd.conv"]) == (13, 14)


def test_a_factorized_reduction_sees_even_and_odd_positions(one_stage):
    rules = Rules(BatchNorm(), True, act_conv_norm)
    nodes = factorized(rules, 1, 2, 2)
    tree = one_stage(seq(halves=nodes["halves"]), (1, 4, 5))
    module = build(tree).requires_grad_(False)
    for parameter in module.parameters():
        parameter.fill_(1)
    image = torch.arange(20.0).view(1, 1, 4, 5)
    even, odd = module(image)[0]
    assert torch.equal(even, image[0, 0, ::2, ::2])
    assert torch.equal(odd, torch.nn.functional.pad(image[0, 0, 1::2, 1::2], (0, 1)))


@pytest.mark.parametrize("sides", [(1, 1), (7, 8), (8, 5), (2, 3)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 1), (2, 2), ((5, 2), (3, 1)), (2, 3)])
def test_average_pooling_under_same_padding_counts_what_is_there(sides, kernel, stride, one_stage):
    leaf = AvgPoolSame(kernel, stride)
    x = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    y = build(one_stage(leaf, (3, *sides)))(x)
    pair = [(v, v) if isinstance(v, int) else v for v in (kernel, stride)]
    spans = []
    for n, k, s in zip(sides, *pair, strict=True):
        count = -(-n // s)
        before = max((count - 1) * s + k - n, 0) // 2
        spans.append([slice(max(0, i * s - before), max(0, i * s - before + k)) for i in range(count)])
    expected = torch.stack([torch.stack([x[:, :, a, b].mean((2, 3)) for b in spans[1]], -1) for a in spans[0]], -2)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("name", ["nasnet_a_mobile", "pnasnet5_mobile", "amoebanet_a_mobile", "darts"])
def test_small_images_take_the_stem_for_cifar(name):
    tree = edit(network(name, classes=10), "small_images")
    ends = tree.trace().stages
    assert [ends[stage].shape.spatial[0] for stage in ("stem", "stage1", "stage2", "stage3")] == [32, 32, 16, 8]
    assert tree.classes == 10
    assert edit(tree, "widen=2").edits == ("small_images", "widen(2)")
    with pytest.raises(UsageError, match="was changed already; make this edit the first"):
        edit(edit(network(name), "act=silu"), "small_images")


def test_the_small_form_of_the_mobile_network_is_the_one_for_cifar():
    mobile = network("nasnet_a_mobile", cells=6, filters=32, stem=96, eps=1e-5)
    assert edit(mobile, "small_images").stages == network("nasnet_a_6_768_cifar", auxiliary=False).stages


def test_widen_and_deepen_multiply_filters_and_cells():
    tree = edit(network("darts_cifar"), "widen=2")
    assert tree.stages == network("darts_cifar", filters=72, stem=216).stages
    assert edit(network("nasnet_a_mobile"), "deepen=0.5").stages == network("nasnet_a_mobile", cells=2).stages
    assert edit(network("pnasnet5_mobile"), "widen=0.5").numbers["filters"] == 28


NORM = BatchNorm()


def tiny(genotype, **numbers):
    rules = Rules(NORM, True, factorized)
    stem = conv_stem(8, NORM, halve=False)
    head = seq(conv=Conv(2))
    return cell_network(
        "tiny", Shape(3, (9, 9)), stem, places(genotype, stem, filters=8, **{"cells": 1, **numbers}), rules,
        {MAIN: head},
    )  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_fits_in_every_place(operation):
    blocks = (
        Block(operation, CURRENT, operation, PREVIOUS),
        Block(operation, "block1", operation, CURRENT),
    )
    tree = tiny(Genotype(Cell(blocks, (CURRENT, "block2"))))
    module = build(tree, seed=0)
    y = module(torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1)))
    assert y.shape == (2, 2, 3, 3)
    assert sum(p.numel() for p in module.parameters()) == cost(tree).params


def test_mistakes_in_a_genotype_are_named():
    good = Cell((Block("identity", CURRENT, "max3x3", PREVIOUS),), ("block1",))
    bad = replace(good, blocks=(Block("sep9x9", CURRENT, "max3x3", PREVIOUS),))
    with pytest.raises(UnknownName, match="unknown operation of a cell 'sep9x9'; nearest: sep"):
        tiny(Genotype(bad))
    bad = replace(good, output=("block2",))
    with pytest.raises(UnknownName, match="unknown value in stage1_cell1: 'block2'; nearest: block1"):
        tiny(Genotype(bad))
    with pytest.raises(UsageError, match="at least 1 cell a stage and 4 filters, received 0 and 8"):
        tiny(Genotype(good), cells=0)
