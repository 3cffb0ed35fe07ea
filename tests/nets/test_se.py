"""Squeeze and excitation: what it adds, where it stands, the papers' figures, and SENet-154."""

import pytest
import torch

from convsmith.nets.cost import cost
from convsmith.nets.families.resnet import IMAGENET
from convsmith.nets.modules.build import build
from convsmith.nets.ops import AdaptiveAvgPool, Conv, Dropout, Linear, MaxPool
from convsmith.nets.tree import Add, Gate, walk
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import edit, network


def nodes(tree, kind):
    return [
        (path, node)
        for name, root in tree.stages + tree.heads
        for path, node in walk(root, name)
        if isinstance(node, kind)
    ]


def gate_totals(widths):
    """Parameters and MACs of gates of ratio 16 on maps of so many channels."""
    pairs = [(width, max(1, width // 16)) for width in widths]
    return sum(2 * c * r + r + c for c, r in pairs), sum(2 * c * r for c, r in pairs)


@pytest.mark.parametrize(
    ("gated", "without"),
    [
        *((f"se_resnet{depth}", f"resnet{depth}") for depth in IMAGENET),
        ("se_resnext50_32x4d", "resnext50_32x4d"),
        ("se_resnext101_32x4d", "resnext101_32x4d"),
        ("se_resnet20_cifar", "resnet20_cifar"),
        ("se_resnet110_cifar", "resnet110_cifar"),
        ("se_vgg16_bn", "vgg16_bn"),
    ],
)
def test_gates_add_two_layers_on_single_positions(gated, without):
    before, after = network(without), network(gated)
    sums = nodes(before, Add)
    shapes = {step.path: step.y.shape for step in before.trace().steps}
    places = [path for path, _ in sums] if sums else [path for path, _ in nodes(before, Conv)]
    params, macs = gate_totals(shapes[path].channels for path in places)
    assert cost(after).params - cost(before).params == params
    assert cost(after).macs - cost(before).macs == macs
    assert len(nodes(after, Gate)) == len(places)
    assert cost(after).gated


# Hu et al. 2018, table 2: billions of multiply-adds without and with gates, pooling counted too; section 4 has the
# parameters of SE-ResNet-50: about 10% more than 25 million.
PAPER = {
    ("resnet50_v1", "se_resnet50_caffe"): (3.86, 3.87),
    ("resnet101_v1", "se_resnet101_caffe"): (7.58, 7.60),
    ("resnet152_v1", "se_resnet152_caffe"): (11.30, 11.32),
    ("resnext50_32x4d", "se_resnext50_32x4d_caffe"): (4.24, 4.25),
    ("resnext101_32x4d", "se_resnext101_32x4d_caffe"): (7.99, 8.00),
    ("vgg16_bn", "se_vgg16_bn"): (15.47, 15.48),
}


@pytest.mark.parametrize("pair", PAPER)
def test_multiply_adds_are_the_papers_but_for_its_poolings(pair):
    for name, billions in zip(pair, PAPER[pair], strict=True):
        assert cost(network(name)).macs / 1e9 == pytest.approx(billions, rel=0.005)


def test_the_gates_of_se_resnet50_add_a_tenth_of_its_parameters():
    before, after = cost(network("resnet50_v1")).params, cost(network("se_resnet50_caffe")).params
    assert round((after - before) / 1e6, 1) == 2.5
    assert (after - before) / before == pytest.approx(0.1, abs=0.002)


def test_the_lectures_widths_of_a_gate():
    # 4C channels, C/4, and 4C again.
    gate = dict(nodes(network("se_resnet50"), Gate))["stage1.unit1.branch.se"]
    assert [node for _, node in gate.children if isinstance(node, Conv)] == [Conv(16), Conv(256)]


@pytest.mark.parametrize(("name", "layers"), [("se_resnet50", 50), ("se_resnext101_32x4d", 101), ("senet154", 154)])
def test_a_networks_number_counts_its_layers_outside_gates_and_shortcuts(name, layers):
    paths = [path for path, _ in nodes(network(name), Conv | Linear)]
    assert sum(".se." not in path and ".shortcut." not in path for path in paths) == layers


def test_senet154_is_resnext152_64x4d_with_what_the_paper_changed():
    tree, plain = network("senet154"), network("resnext152_32x4d", groups=64)
    changed, usual = dict(nodes(tree, Conv)), dict(nodes(plain, Conv))
    for path, conv in usual.items():
        if path.startswith("stem"):
            continue
        if path.endswith("branch.conv1"):
            assert 2 * changed[path].channels == conv.channels
        elif "shortcut" in path and conv.stride == 2:
            assert (changed[path].kernel, changed[path].padding, changed[path].stride) == (3, 1, 2)
        else:
            assert changed[path] == conv
    assert [conv.channels for path, conv in changed.items() if path.startswith("stem")] == [64, 64, 128]
    assert [node.drop for _, node in nodes(tree, Dropout)] == [0.2]
    assert [node for _, node in nodes(tree, MaxPool)] == [MaxPool(3, 2, ceil=True)]
    assert len(nodes(tree, Gate)) == sum((3, 8, 36, 3))


def test_the_gate_is_the_last_of_a_branch_before_the_sum(one_stage):
    unit = dict(nodes(network("se_resnet18"), Add))["stage1.unit1"]
    names = [name for name, _ in dict(unit.children)["branch"].children]
    assert names == ["conv1", "norm1", "act1", "conv2", "norm2", "se"]
    assert isinstance(
        dict(nodes(network("se_resnet18"), AdaptiveAvgPool))["stage1.unit1.branch.se.pool"], AdaptiveAvgPool
    )


@pytest.mark.parametrize("name", ["se_resnet50", "se_resnet50_caffe", "senet154"])
def test_forms_for_small_images(name):
    ends = edit(network(name), "small_images").trace().stages
    assert [ends[f"stage{i}"].shape.spatial[0] for i in (1, 2, 3, 4)] == [32, 16, 8, 4]


def test_basic_blocks_with_gates_are_timms_where_these_round_nothing(filled):
    # timm rounds a gate's width to a multiple of 8 by itself.
    timm = pytest.importorskip("timm")
    from functools import partial

    from timm.layers import SEModule

    attention = {"attn_layer": partial(SEModule, rd_divisor=1)}
    peer, state = filled(lambda: timm.create_model("resnet18", pretrained=False, block_args=attention))
    ours = build(network("se_resnet18"), device="meta").to_empty(device="cpu").eval()
    assert load_weights(ours, state) == "torchvision and timm names"
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(("factor", "width"), [(0.1, 2), (0.5, 2), (1.4, 6), (2, 8)])
def test_widening_senet154_keeps_its_groups_whole(factor, width):
    widened = dict(nodes(edit(network("senet154"), f"widen({factor})"), Conv))
    assert (widened["stage1.unit1.branch.conv2"].channels, widened["stage1.unit1.branch.conv3"].channels) == (
        64 * width,
        256,
    )
