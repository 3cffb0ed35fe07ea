"""GoogLeNet: the paper's table to the last weight, the lectures' sums on its modules, its auxiliary heads."""

import pytest
import torch
import torchvision.models as peers

from convsmith.nets.cost import cost
from convsmith.nets.families.googlenet import MODULES, inception
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Conv, Linear, MaxPool
from convsmith.nets.parts import padded_conv
from convsmith.nets.tree import Cat, Seq, cat, seq
from convsmith.nets.views.stages import summarize
from convsmith.nets.weights.peers import make_peer
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import edit, network

# Module: output, weights and multiply-adds. Szegedy et al. 2015, table 1, prints 159K and 128M, 380K and 304M, 364K and
# 73M, 437K and 88M, 463K and 100M, 580K and 119M, 840K and 170M, 1072K and 54M, 1388K and 71M: not all of its widths.
TABLE = {
    "inception3a": ((256, 28, 28), 163_328, 128_049_152),
    "inception3b": ((480, 28, 28), 388_096, 304_267_264),
    "inception4a": ((512, 14, 14), 375_552, 73_608_192),
    "inception4b": ((512, 14, 14), 448_512, 87_908_352),
    "inception4c": ((512, 14, 14), 509_440, 99_850_240),
    "inception4d": ((528, 14, 14), 604_672, 118_515_712),
    "inception4e": ((832, 14, 14), 867_328, 169_996_288),
    "inception5a": ((832, 7, 7), 1_042_432, 51_079_168),
    "inception5b": ((1024, 7, 7), 1_442_816, 70_697_984),
}


def test_each_module_of_the_paper_costs_what_its_widths_say():
    tree = network("googlenet_2014")
    outputs = {step.path.rpartition(".")[2]: tuple(step.y.shape) for step in tree.trace().steps}
    layers = cost(tree).layers
    for name, (output, weights, macs) in TABLE.items():
        convs = [row for row in layers if f".{name}." in row.name and row.op == "conv"]
        assert len(convs) == 6
        assert outputs[name] == output
        assert sum(row.params - row.output[0] for row in convs) == weights
        assert sum(row.macs for row in convs) == macs


def test_the_rest_of_the_papers_table():
    layers = {row.name: row for row in cost(network("googlenet_2014")).layers}
    outputs = {name: layers[name].output for name in ("stem.conv1", "stem.pool1", "stem.conv3", "stem.pool2")}
    assert list(outputs.values()) == [(64, 112, 112), (64, 56, 56), (192, 56, 56), (192, 28, 28)]
    assert (layers["stage2.pool"].output, layers["stage3.pool"].output) == ((480, 14, 14), (832, 7, 7))
    # 7x7x3x64 are 9,408 weights and 118.0M multiply-adds (2.7K and 34M in the paper).
    assert (layers["stem.conv1"].params, layers["stem.conv1"].macs) == (9_408 + 64, 118_013_952)
    second = [layers["stem.conv2"], layers["stem.conv3"]]
    assert sum(row.params - row.output[0] for row in second) == 112 * 1024
    assert round(sum(row.macs for row in second) / 1e6, 1) == 359.7
    assert (layers["head.linear"].params, layers["head.linear"].macs) == (1_025_000, 1_024_000)


def test_five_million_parameters_are_seven_with_the_classifier():
    numbers = cost(network("googlenet_2014"))
    widths = [row for modules in MODULES.values() for row in modules.values()]
    biases = sum(map(sum, widths))
    stem = 9_408 + 64 + 112 * 1024 + 64 + 192
    assert numbers.params == stem + sum(weights for _, weights, _ in TABLE.values()) + biases + 1_025_000
    assert numbers.params - 1_025_000 == 5_973_552
    assert round(61_100_840 / numbers.params, 1) == 8.7  # AlexNet has not 12 times as many


def depth(node):
    """Layers with weights along the longest path."""
    if isinstance(node, Seq | Cat):
        depths = [depth(child) for _, child in node.children]
        return sum(depths) if isinstance(node, Seq) else max(depths)
    return int(isinstance(node, Conv | Linear))


@pytest.mark.parametrize("name", ["googlenet", "googlenet_2014"])
def test_it_is_22_layers_deep(name):
    tree = network(name)
    assert sum(depth(node) for _, node in (*tree.stages, tree.heads[0])) == 22
    assert sum(row.layers for row in summarize(tree) if not row.auxiliary) == 3 + 9 * 6 + 1


def test_the_lectures_naive_module_takes_854_million_operations(one_stage):
    naive = cat(one=Conv(128), three=padded_conv(192, 3), five=padded_conv(96, 5), pool=MaxPool(3, 1, padding=1))
    tree = one_stage(naive, (256, 28, 28))
    assert tuple(tree.trace().stages["stage1"].shape) == (672, 28, 28)
    assert cost(tree).macs == 854_196_224


def test_the_lectures_reduced_module_takes_271_million(one_stage):
    tree = one_stage(inception((128, 64, 192, 64, 96, 64)), (256, 28, 28))
    assert tuple(tree.trace().stages["stage1"].shape) == (480, 28, 28)
    numbers = cost(tree)
    assert numbers.macs == 271_351_808
    # the lectures print 358M, which counts the 3x3 convolution twice
    three = next(row.macs for row in numbers.layers if row.name == "stage1.branch2.conv2")
    assert round((numbers.macs + three) / 1e6, 2) == 358.06


def test_a_1x1_convolution_before_a_5x5_saves_nine_tenths(one_stage):
    direct = cost(one_stage(padded_conv(32, 5), (192, 28, 28))).macs
    narrow = cost(one_stage(seq(conv1=Conv(16), conv2=padded_conv(32, 5)), (192, 28, 28)))
    assert [round(direct / 1e6, 1), round(narrow.macs / 1e6, 1)] == [120.4, 12.4]
    assert [round(row.macs / 1e6, 1) for row in narrow.layers] == [2.4, 10.0]


def test_the_auxiliary_heads_of_the_paper_see_4x4():
    numbers = cost(network("googlenet_2014"))
    layers = {row.name: row for row in numbers.layers if row.auxiliary}
    assert [layers[f"{head}.pool"].output for head in ("aux1", "aux2")] == [(512, 4, 4), (528, 4, 4)]
    ops = [row.op for name, row in layers.items() if name.startswith("aux1.")]
    assert ops == ["avg_pool", "conv", "act", "flatten", "linear", "act", "dropout", "linear"]
    assert numbers.auxiliary_params == sum(c * 128 + 128 + 2049 * 1024 + 1025 * 1000 for c in (512, 528))


def test_without_auxiliary_heads_the_network_is_otherwise_the_same():
    whole, bare = network("googlenet"), network("googlenet", auxiliary=False)
    assert [name for name, _ in whole.heads] == ["head", "aux1", "aux2"]
    assert [name for name, _ in bare.heads] == ["head"]
    assert cost(bare).params == cost(whole).params
    assert cost(bare).auxiliary_params == 0


def ours(name, **numbers):
    return build(network(name, **numbers), device="meta").to_empty(device="cpu").eval()


def test_auxiliary_heads_give_what_torchvisions_give(filled):
    peer, state = filled(lambda: make_peer("torchvision", "googlenet"))
    module = ours("googlenet")
    load_weights(module, state)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        _, found = module(x, at=["aux1", "aux2", "inception4a", "inception4d"])
        assert torch.equal(found["aux1"], peer.aux1(found["inception4a"]))
        assert torch.equal(found["aux2"], peer.aux2(found["inception4d"]))
    assert found["aux1"].std() > 1e-3


@pytest.mark.parametrize("theirs", [True, False])
@pytest.mark.parametrize("mine", [True, False])
def test_weights_with_and_without_auxiliary_heads_load(theirs, mine, filled):
    peer, state = filled(lambda: make_peer("torchvision", "googlenet", auxiliary=theirs))
    module = ours("googlenet", auxiliary=mine)
    assert load_weights(module, state).startswith("torchvision names")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(module(x), peer(x))


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@pytest.mark.parametrize(("name", "side"), [("googlenet", 64), ("inception_v3", 96)])
def test_published_weights_want_inputs_normalized_by_one_half(name, side, filled):
    make = getattr(peers, name)
    peer, state = filled(lambda: make(weights=None, transform_input=True, init_weights=False))
    module = ours(name)
    load_weights(module, state)
    image = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    with torch.no_grad():
        expected = peer.double()((image - mean) / std)
        torch.testing.assert_close(module.double()((image - 0.5) / 0.5), expected, rtol=1e-5, atol=1e-5)
        assert (module((image - mean) / std) - expected).abs().max() > 0.01


def test_the_form_for_small_images_ends_at_4x4():
    tree = edit(network("googlenet_2014"), "small_images")
    ends = tree.trace().stages
    assert [ends[name].shape.spatial[0] for name in ("stem", "stage1", "stage2", "stage3")] == [16, 16, 8, 4]
    assert build(tree, seed=0)(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
