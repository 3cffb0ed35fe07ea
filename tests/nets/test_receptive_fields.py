"""The receptive field that `cost` gives is the support of the gradient of a built network, in float64.

The networks run on one axis: their operators are given once for all axes, so each axis sees the same. Weights are
positive, normalization is the identity, pooling takes the mean and activations are left out, so that no path hides
another; so are gates, whose field is reported apart.
"""

from dataclasses import replace

import pytest
import torch

from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.ops import (
    Act,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    MaxPool,
)
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, Gate, add, cat, gate, rewrite, seq, walk
from convsmith.nets.zoo import network

# The field of each network, which its gradient shows.
FIELDS = {
    "lenet5": 32, "lenet5_code": 32, "lenet5_d2l": 16, "lenet5_1998": 32, "neocognitron": 22,
    "alexnet": 195, "alexnet_2012": 195, "alexnet_cs231n": 195, "alexnet_d2l": 195, "zfnet": 171, "vgg_m": 171,
    "vgg_s": 137, "nin": 195, "nin_cifar": 27, "convnetjs_cifar": 36, "tiny_vgg_cifar": 36,
    "vgg11": 150, "vgg13_bn": 156, "vgg16": 212, "vgg19": 268,
    "context_basic": 67, "context_large": 67, "context_figure1": 15,
    "googlenet": 379, "googlenet_2014": 715,
    "resnet18": 435, "resnet34": 899, "resnet50": 427, "resnet50_v1": 483, "resnet50_d": 431, "plain18": 435,
    "resnet20_cifar": 81, "resnet20_b_cifar": 81, "plain20_cifar": 81, "resnet32_cifar": 137, "resnet56_cifar": 249,
    "resnext50_32x4d": 427, "wide_resnet50_2": 427, "preresnet50": 427, "wrn16_8_cifar": 53,
    "densenet121": 2071, "densenet40_12_cifar": 174, "squeezenet1_0": 155, "squeezenet1_1": 207,
    "xception": 1083, "mobilenet_v1": 315, "mobilenet_v2": 491, "shufflenet_v1_x1_0_g3": 527, "shufflenet_v2_x1_0": 527,
    "mnasnet1_0": 843, "regnet_x_400mf": 975, "repvgg_a0": 535, "convnext_tiny": 1688,
    # With gates, which bring in the whole image and are reported apart.
    "se_resnet50": 427, "mobilenet_v3_large": 595, "efficientnet_b0": 851, "regnet_y_400mf": 575,
}  # fmt: skip

# What would hide a path (saturation, differences to a mean over channels), and gates.
LEFT_OUT = (Act, GroupNorm, LayerNorm, LocalResponseNorm, Gate)


def linearised(path, node):
    if isinstance(node, MaxPool):
        return AvgPool(node.kernel, node.stride, node.padding, node.ceil)
    return IDENTITY if isinstance(node, LEFT_OUT) else node


def gradient_support(tree, position):
    """The lowest and highest input position, per axis, on which one position of the last stage depends."""
    tree = replace(tree, stages=tuple((name, rewrite(node, linearised, name)) for name, node in tree.stages))
    module = build(tree, seed=0).double().eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d):
            layer.weight.data.fill_(1 / layer.weight[0].numel())
            if layer.bias is not None:
                layer.bias.data.zero_()
    x = torch.ones((1, *tree.input), dtype=torch.float64, requires_grad=True)
    last = tree.stages[-1][0]
    module.features(x, [last])[last][(0, slice(None), *position)].sum().backward()
    seen = x.grad[0].abs().sum(0).nonzero()
    return tuple(seen.min(0).values.tolist()), tuple(seen.max(0).values.tolist())


def on_a_line(tree):
    """The network over one axis, long enough for a position whose field lies inside; that position; its field."""
    field = tree.trace().stages[tree.stages[-1][0]].field
    low, high, jump = field.low[0], field.high[0], field.jump[0]
    position = -(low // jump)
    length = position * jump + high + 1 + 4 * jump
    line = replace(tree, input=Shape(tree.input.channels, (length,)), heads=(("head", IDENTITY),))
    return line, position, (position * jump + low, position * jump + high)


def grouped(tree):
    nodes = [node for name, stage in tree.stages for _, node in walk(stage, name)]
    return any(isinstance(node, Conv | ConvTranspose) and node.groups > 1 for node in nodes)


@pytest.mark.parametrize("name", FIELDS)
def test_the_field_is_the_support_of_the_gradient(name, narrowed):
    tree = network(name)
    # Groups would not divide an eighth of the channels.
    line, position, expected = on_a_line(tree if grouped(tree) else narrowed(tree))
    lowest, highest = gradient_support(line, (position,))
    assert (lowest[0], highest[0]) == expected
    assert cost(tree).receptive_field == (highest[0] - lowest[0] + 1,) * 2 == (FIELDS[name],) * 2


NODES = {
    "axes differ": seq(
        a=Conv(2, (3, 5), (2, 1), (0, 2), (1, 2)), b=MaxPool((2, 3), (2, 1)), c=Conv(2, (1, 3), 1, (0, 1))
    ),
    "branches": seq(a=cat(x=Conv(2, 1), y=seq(p=Conv(1, 3, padding=1), q=Conv(2, 5, padding=2))), b=Conv(2, 3, 2)),
    "shortcut": seq(a=add(body=Conv(3, 7, padding=3), skip=IDENTITY), norm=BatchNorm(), b=MaxPool(3, 2, 1)),
    "even kernel": seq(a=Conv(2, 4, 2, 1), b=AvgPool(2, 2), c=Conv(2, 2)),
    "time": seq(a=Conv(8, (3,)), b=MaxPool(2, 2), c=Conv(3, (5,))),
    "frames": seq(
        a=Conv(2, (3, 7, 7), (1, 2, 2), (1, 3, 3)), b=MaxPool((1, 2, 2), (1, 2, 2)), c=Conv(2, (3, 1, 1), (2, 1, 1))
    ),
    "dilations 1, 2, 4": seq(a=Conv(2, 3), b=Conv(2, 3, dilation=2), c=Conv(2, 3, dilation=4)),
}

INPUTS = {"time": (3, 48), "frames": (3, 12, 24, 24)}  # two axes for the others


@pytest.mark.parametrize("name", NODES)
def test_the_field_along_each_axis(name, one_stage):
    tree = one_stage(NODES[name], INPUTS.get(name, (3, 48, 48)))
    signal = tree.trace().stages["stage1"]
    position = tuple(size // 2 for size in signal.shape.spatial)
    field = signal.field
    lowest, highest = gradient_support(tree, position)
    starts = [p * jump for p, jump in zip(position, field.jump, strict=True)]
    assert lowest == tuple(s + low for s, low in zip(starts, field.low, strict=True))
    assert highest == tuple(s + high for s, high in zip(starts, field.high, strict=True))


@pytest.mark.parametrize(("layers", "size"), [(1, 3), (2, 5), (3, 7), (10, 21)])
def test_each_3x3_adds_two_positions(layers, size, one_stage):
    stack = seq(**{f"conv{i}": Conv(4, 3) for i in range(layers)})
    assert cost(one_stage(stack, (3, 32, 32))).receptive_field == (size, size)


def test_dilations_that_double_give_fields_that_double(one_stage):
    # Yu and Koltun 2016: the field of F(i+1) is 2^(i+2) - 1
    for i in range(5):
        stack = seq(**{f"conv{k}": Conv(1, 3, dilation=2**k) for k in range(i + 1)})
        assert cost(one_stage(stack, (1, 80, 80))).receptive_field == (2 ** (i + 2) - 1,) * 2


# Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks", table 1.
LITERATURE = {
    "alexnet": 195, "vgg16": 212, "mobilenet_v1": 315, "inception_v3": 1311, "inception_v4": 2071,
    "inception_resnet_v2": 3039, "resnet50_v1": 483, "resnet101_v1": 1027, "resnet152_v1": 1507,
}  # fmt: skip


@pytest.mark.parametrize("name", LITERATURE)
def test_fields_of_the_literature(name):
    assert cost(network(name)).receptive_field == (LITERATURE[name],) * 2


def test_fields_over_time_and_over_frames():
    assert cost(network("tdnn")).receptive_field == (7,)
    assert cost(network("c3d")).receptive_field == (76, 150, 150)
    assert cost(network("mc3_18")).receptive_field == (11, 219, 219)


@pytest.mark.parametrize("name", ["se_resnet50", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf"])
def test_networks_with_gates_say_so(name):
    assert cost(network(name)).gated
    assert not cost(network("resnet50")).gated


def test_a_gate_lets_the_whole_image_through(one_stage):
    squeeze = gate(pool=AdaptiveAvgPool(1), conv=Conv(3, 1), act=Act("sigmoid"))
    module = build(one_stage(seq(conv=Conv(3, 3), gate=squeeze), (3, 9, 9)), seed=0).double()
    x = torch.ones(1, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    module.features(x)["stage1"][0, :, 0, 0].sum().backward()
    assert (x.grad != 0).all()


def test_a_gate_is_reported_apart(one_stage):
    squeeze = gate(pool=AdaptiveAvgPool(1), conv=Conv(4, 1), act=Act("sigmoid"))
    plain, gated = (cost(one_stage(seq(conv=Conv(4, 3), gate=g), (3, 9, 9))) for g in (None, squeeze))
    assert plain.receptive_field == gated.receptive_field == (3, 3)
    assert (plain.gated, gated.gated) == (False, True)
