"""The receptive field that `cost` gives is the support of the gradient of a built network, in float64.

The networks run on one axis: their operators are given once for all axes, so each axis sees the same. Weights are
positive, normalisation is the identity and pooling takes the mean, so that no path hides another.
"""

from dataclasses import replace

import pytest
import torch

from convsmith.nets.build import build
from convsmith.nets.cost import cost
from convsmith.nets.ops import AvgPool, BatchNorm, Conv, LocalResponseNorm, MaxPool
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, add, cat, gate, rewrite, seq
from convsmith.nets.zoo import network

NAMES = [
    "lenet5", "lenet5_code", "lenet5_d2l", "lenet5_1998", "alexnet", "alexnet_2012", "alexnet_cs231n", "alexnet_d2l",
    "vgg11", "vgg13_bn", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet50_v1", "plain18",
    "resnet20_cifar", "resnet20_b_cifar", "plain20_cifar", "resnet32_cifar", "resnet56_cifar",
]  # fmt: skip


def linearised(path, node):
    if isinstance(node, MaxPool):
        return AvgPool(node.kernel, node.stride, node.padding, node.ceil)
    return IDENTITY if isinstance(node, LocalResponseNorm) else node


def gradient_support(tree, position):
    """The lowest and highest input position, per axis, on which one position of the last stage depends."""
    tree = replace(tree, stages=tuple((name, rewrite(node, linearised, name)) for name, node in tree.stages))
    module = build(tree, seed=0).double().eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d):
            layer.weight.data.fill_(1 / layer.weight[0].numel())
            if layer.bias is not None:
                layer.bias.data.zero_()
    x = torch.ones((1, *tree.input), dtype=torch.float64, requires_grad=True)
    last = tree.stages[-1][0]
    module.features(x, [last])[last][(0, slice(None), *position)].sum().backward()
    seen = x.grad[0].abs().sum(0).nonzero()
    return tuple(seen.min(0).values.tolist()), tuple(seen.max(0).values.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_the_field_is_the_support_of_the_gradient(name, narrowed):
    tree = narrowed(network(name))
    field = tree.trace().stages[tree.stages[-1][0]].field
    low, high, jump = field.low[0], field.high[0], field.jump[0]
    position = -(low // jump)  # the first whose field lies inside
    length = position * jump + high + 1 + 4 * jump
    line = replace(tree, input=Shape(tree.input.channels, (length,)), heads=(("head", IDENTITY),))
    lowest, highest = gradient_support(line, (position,))
    assert (lowest[0], highest[0]) == (position * jump + low, position * jump + high)
    assert cost(network(name)).receptive_field == (highest[0] - lowest[0] + 1,) * 2


NODES = {
    "axes differ": seq(
        a=Conv(2, (3, 5), (2, 1), (0, 2), (1, 2)), b=MaxPool((2, 3), (2, 1)), c=Conv(2, (1, 3), 1, (0, 1))
    ),
    "branches": seq(a=cat(x=Conv(2, 1), y=seq(p=Conv(1, 3, padding=1), q=Conv(2, 5, padding=2))), b=Conv(2, 3, 2)),
    "shortcut": seq(a=add(body=Conv(3, 7, padding=3), skip=IDENTITY), norm=BatchNorm(), b=MaxPool(3, 2, 1)),
    "even kernel": seq(a=Conv(2, 4, 2, 1), b=AvgPool(2, 2), c=Conv(2, 2)),
    "dilations 1, 2, 4": seq(a=Conv(2, 3), b=Conv(2, 3, dilation=2), c=Conv(2, 3, dilation=4)),
}


@pytest.mark.parametrize("name", NODES)
def test_the_field_in_two_axes(name, one_stage):
    tree = one_stage(NODES[name], (3, 48, 48))
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


def test_a_gate_is_reported_apart(one_stage):
    from convsmith.nets.ops import Act, AdaptiveAvgPool

    squeeze = gate(pool=AdaptiveAvgPool(1), conv=Conv(4, 1), act=Act("sigmoid"))
    plain, gated = (cost(one_stage(seq(conv=Conv(4, 3), gate=g), (3, 9, 9))) for g in (None, squeeze))
    assert plain.receptive_field == gated.receptive_field == (3, 3)
    assert (plain.gated, gated.gated) == (False, True)
