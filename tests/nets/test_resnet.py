"""ResNets and their kind: sizes of the papers' tables, closed forms, scaling, and the forms of ResNeXt's block."""

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families.resnext_forms import concatenated, grouped, separate, split_weights
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Conv, DropPath
from convsmith.nets.tree import walk
from convsmith.nets.zoo import edit, network


def convolutions(tree):
    """The paths and convolutions of the stages in order."""
    return [(path, n) for name, stage in tree.stages for path, n in walk(stage, name) if isinstance(n, Conv)]


def bottleneck_totals(width_in, inner, outer, depths, groups, positions):
    """Parameters and MACs of stages of bottlenecks, whose first unit has the stride in the 3x3 and a projection."""
    params = macs = 0
    for stage, depth in enumerate(depths):
        first, last = inner * 2**stage, outer * 2**stage
        for unit in range(depth):
            before = positions  # of the unit's input
            if stage and unit == 0:
                positions //= 4
            work = [(width_in * first, before), (first * first * 9 // groups, positions), (first * last, positions)]
            params += 2 * (first + first + last)
            if unit == 0:
                work.append((width_in * last, positions))
                params += 2 * last
            params += sum(weights for weights, _ in work)
            macs += sum(weights * places for weights, places in work)
            width_in = last
    return params, macs


@pytest.mark.parametrize(
    ("name", "depths", "groups", "inner"),
    [
        ("resnet50", (3, 4, 6, 3), 1, 64),
        ("resnext50_32x4d", (3, 4, 6, 3), 32, 128),
        ("resnext101_32x4d", (3, 4, 23, 3), 32, 128),
        ("resnext152_32x4d", (3, 8, 36, 3), 32, 128),
        ("resnext101_64x4d", (3, 4, 23, 3), 64, 256),
        ("wide_resnet50_2", (3, 4, 6, 3), 1, 128),
    ],
)
def test_bottlenecks_follow_their_closed_form(name, depths, groups, inner):
    params, macs = bottleneck_totals(64, inner, 256, depths, groups, 56 * 56)
    stem, head = 3 * 64 * 49, 2048 * 1000
    numbers = cost(network(name))
    assert numbers.params == params + stem + 2 * 64 + head + 1000
    assert numbers.macs == macs + stem * 112 * 112 + head


@pytest.mark.parametrize(("groups", "millions"), [(8, 34.4), (16, 68.1)])
def test_resnext29_follows_its_closed_form_and_the_paper(groups, millions):
    # Xie et al. 2017, table 7: 34.4M and 68.1M parameters.
    params, macs = bottleneck_totals(64, 64 * groups, 256, (3, 3, 3), groups, 32 * 32)
    numbers = cost(network(f"resnext29_{groups}x64d_cifar"))
    assert numbers.params == params + 3 * 64 * 9 + 2 * 64 + 1024 * 10 + 10
    assert numbers.macs == macs + 3 * 64 * 9 * 32 * 32 + 1024 * 10
    assert numbers.params / 1e6 == pytest.approx(millions, abs=0.06)


def test_resnext50_has_the_papers_stages():
    # Table 1: the 1x1 and 3x3 of conv2 to conv5 have 128 to 1024 channels, the last 1x1 256 to 2048; C = 32.
    found = dict(convolutions(network("resnext50_32x4d")))
    for i, (inner, depth) in enumerate(zip((128, 256, 512, 1024), (3, 4, 6, 3), strict=True), 1):
        units = {path.split(".")[1] for path in found if path.startswith(f"stage{i}.")}
        assert len(units) == depth
        for unit in units:
            three = [found[f"stage{i}.{unit}.branch.conv{j}"] for j in (1, 2, 3)]
            assert [conv.channels for conv in three] == [inner, inner, 2 * inner]
            assert [conv.groups for conv in three] == [1, 32, 1]


def test_the_biases_of_resnet50_are_one_for_each_channel_of_each_convolution():
    plain, biased = network("resnet50"), network("resnet50_bias")
    channels = sum(conv.channels for _, conv in convolutions(plain))
    assert cost(biased).params - cost(plain).params == channels == 26_560
    assert all(conv.bias for _, conv in convolutions(biased))
    assert cost(biased).macs == cost(plain).macs


@pytest.mark.parametrize("name", ["resnet18_d", "resnet50_d"])
def test_the_d_form_reads_every_position_of_a_shortcut(name):
    tree = network(name)
    strided = [path for path, conv in convolutions(tree) if conv.stride == 2 and conv.kernel == 1]
    assert strided == []
    assert [conv.channels for path, conv in convolutions(tree) if path.startswith("stem")] == [32, 32, 64]
    pools = [path for path, node in walk(tree.stages[2][1], "stage2") if node.op == "avg_pool"]
    assert pools == ["stage2.unit1.shortcut.pool"]


@pytest.mark.parametrize(("wide", "narrow"), [("wide_resnet50_2", "resnet50"), ("wide_resnet101_2", "resnet101")])
def test_the_wide_resnets_are_widened_resnets(wide, narrow):
    tree = edit(network(narrow), "widen(2)")
    assert tree.stages == network(wide).stages
    assert tree.edits == ("widen(2)",)


def test_widening_a_resnext_widens_its_groups():
    tree = edit(network("resnext101_32x4d"), "widen(2)")
    assert (tree.stages, tree.heads) == (network("resnext101_32x8d").stages, network("resnext101_32x8d").heads)


def test_widening_basic_blocks_widens_the_stages_but_not_the_stem():
    ends = edit(network("resnet18"), "widen(1.5)").trace().stages
    assert [ends[name].shape.channels for name in ("stem", "stage1", "stage4")] == [64, 96, 768]
    ends = edit(network("resnet20_cifar"), "widen(2)").trace().stages
    assert [ends[name].shape.channels for name in ("stem", "stage1", "stage3")] == [16, 32, 128]


def test_deepening_multiplies_the_units():
    def units(name, factor):
        tree = edit(network(name), f"deepen({factor})")
        return [sum(child.startswith("unit") for child, _ in stage.children) for _, stage in tree.stages[1:]]

    assert units("resnet50", 2) == [6, 8, 12, 6]
    assert units("resnet50", 0.1) == [1, 1, 1, 1]
    assert units("resnet20_cifar", 3) == [9, 9, 9]
    assert units("resnext29_8x64d_cifar", 2) == [6, 6, 6]


@pytest.mark.parametrize("name", ["resnet50_bias", "resnet50_d", "resnext50_32x4d", "wide_resnet50_2"])
def test_the_form_for_small_images_keeps_what_tells_the_network_from_its_siblings(name):
    before, after = network(name), edit(network(name), "small_images")
    assert before.stages[1:] == after.stages[1:]
    assert after.trace().stages["stem"].shape.spatial == (32, 32)
    assert after.trace().stages["stage4"].shape.spatial == (4, 4)
    old, new = ([(c.channels, c.bias) for p, c in convolutions(t) if p.startswith("stem")] for t in (before, after))
    assert old == new


@pytest.mark.parametrize(("depth", "units"), [(110, 54), (1202, 600)])
def test_stochastic_depth_drops_half_of_the_last_branches(depth, units):
    tree = network(f"resnet{depth}_stochastic_depth_cifar")
    drops = [node for _, stage in tree.stages for _, node in walk(stage) if isinstance(node, DropPath)]
    assert [node.drop for node in drops] == pytest.approx([0.5 * i / units for i in range(1, units + 1)])
    assert {node.by for node in drops} == {"batch"}


@pytest.mark.parametrize("depth", [2, 28, 30])
def test_a_cifar_resnext_has_9n_plus_2_layers(depth):
    with pytest.raises(UsageError, match=rf"9n \+ 2 layers \(11, 20, 29, 38, \.\.\.\), received depth {depth}$"):
        network("resnext29_8x64d_cifar", depth=depth)


def test_the_three_forms_of_a_resnext_block_compute_the_same(one_stage):
    # Xie et al. 2017, figure 3: 256 channels, 32 paths of 4.
    groups, width, channels, input = 32, 4, 256, (256, 9, 9)
    forms = [one_stage(form(groups, width, channels), input) for form in (grouped, separate, concatenated)]
    assert cost(forms[0]).macs == cost(forms[1]).macs == cost(forms[2]).macs
    assert cost(forms[0]).params == cost(forms[1]).params == cost(forms[2]).params == 70_144 + 2 * 2 * 128 + 2 * 256

    modules = [build(tree, seed=1).eval() for tree in forms]
    generator = torch.Generator().manual_seed(2)
    weights = modules[0].state_dict()
    for key, tensor in weights.items():
        if "norm" in key and tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    parts = split_weights(groups, width)
    x = torch.randn((2, *input), generator=generator)
    with torch.no_grad():
        expected = modules[0](x)
        for module in modules[1:]:
            for key, tensor in module.state_dict().items():
                if key.endswith("num_batches_tracked"):
                    continue
                part = parts.get(key.removeprefix("stage1."))
                source = weights[key if part is None else f"stage1.{part.tensor}"]
                tensor.copy_(source if part is None else source.narrow(part.axis, part.start, part.length))
            torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_split_weights_name_every_tensor_of_the_paths_once(one_stage):
    parts = split_weights(8, 4)
    for form in (separate, concatenated):
        state = build(one_stage(form(8, 4, 32), (32, 4, 4)), device="meta").state_dict()
        inside = {key.removeprefix("stage1.") for key in state if ".path" in key and "num_batches" not in key}
        assert inside <= parts.keys()
        assert form is concatenated or inside == parts.keys()
    whole = {part.tensor: 0 for part in parts.values()}
    for part in parts.values():
        whole[part.tensor] += part.length
    assert set(whole.values()) == {32}
