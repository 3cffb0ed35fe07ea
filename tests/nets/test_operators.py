"""Operators against torch: shapes, parameters, multiply-adds and errors, for sizes that hypothesis draws."""

import ast
import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import convsmith
from convsmith.base.errors import UsageError
from convsmith.nets import ops
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import blank, build
from convsmith.nets.modules.measure import measure_module
from convsmith.nets.network import node_from_json, node_to_json
from convsmith.nets.ops import OPERATORS, AdaptiveAvgPool, AvgPool, BatchNorm, Conv, Flatten, Linear, MaxPool
from convsmith.nets.shape import Input, Shape
from convsmith.nets.tree import Kind, Leaf, seq
from convsmith.nets.zoo import network

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {
    (MaxPool, 1): nn.MaxPool1d, (MaxPool, 2): nn.MaxPool2d, (MaxPool, 3): nn.MaxPool3d,
    (AvgPool, 1): nn.AvgPool1d, (AvgPool, 2): nn.AvgPool2d, (AvgPool, 3): nn.AvgPool3d,
}  # fmt: skip
some = settings(max_examples=80, deadline=None)


def axes(low, high, count):
    """A number for all axes or one for each."""
    return st.integers(low, high) | st.tuples(*[st.integers(low, high)] * count)


@st.composite
def convolutions(draw):
    count = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    x = Shape(groups * draw(st.integers(1, 3)), tuple(draw(st.integers(1, 12)) for _ in range(count)))
    conv = Conv(
        groups * draw(st.integers(1, 3)),
        draw(axes(1, 5, count)),
        draw(axes(1, 3, count)),
        draw(axes(0, 3, count)),
        draw(axes(1, 3, count)),
        groups,
        draw(st.booleans()),
    )
    return conv, x


@st.composite
def transposed(draw):
    count = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    x = Shape(groups * draw(st.integers(1, 3)), tuple(draw(st.integers(1, 6)) for _ in range(count)))
    conv = ops.ConvTranspose(
        groups * draw(st.integers(1, 3)),
        draw(axes(1, 5, count)),
        draw(axes(1, 3, count)),
        draw(axes(0, 3, count)),
        draw(axes(0, 2, count)),
        draw(axes(1, 3, count)),
        groups,
        draw(st.booleans()),
    )
    return conv, x


@some
@given(transposed())
def test_a_transposed_convolution_agrees_with_torch(case):
    conv, x = case
    call = conv.torch(x)
    module = getattr(nn, call.path.rpartition(".")[2])(**call.arguments)
    try:  # not on the meta device, which takes any output padding
        expected = tuple(module(torch.ones((1, *x))).shape[1:])
    except RuntimeError:
        expected = None
    # Nor does it mind if nothing is left.
    assert said(conv, x) == (expected if expected and min(expected) else None)
    assert conv.params(x) == sum(p.numel() for p in module.parameters())


@st.composite
def pools(draw):
    count = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(count))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    x = Shape(2, tuple(draw(st.integers(1, 14)) for _ in range(count)))
    return draw(st.sampled_from([MaxPool, AvgPool]))(kernel, draw(axes(1, 4, count)), padding, draw(st.booleans())), x


def run(module, x):
    """The shape that torch gives, or None where it refuses."""
    try:
        return tuple(module(torch.empty((1, *x), device="meta")).shape[1:])
    except RuntimeError:
        return None


def said(node, x):
    try:
        return tuple(node.output(x))
    except UsageError:
        return None


@some
@given(convolutions())
def test_a_convolution_agrees_with_torch(case):
    conv, x = case
    layer = CONVS[len(x.spatial)](
        x.channels, conv.channels, conv.kernel, conv.stride, conv.padding, conv.dilation, conv.groups, conv.bias,
        device="meta",
    )  # fmt: skip
    expected = run(layer, x)
    assert said(conv, x) == expected
    assert conv.params(x) == sum(p.numel() for p in layer.parameters())
    if expected is not None:
        y = Shape(expected[0], expected[1:])
        assert conv.macs(x, y) == math.prod(layer.weight.shape) * y.positions
        assert conv.macs(x, y) == measure_module(layer, tuple(x)).macs
        assert conv.elementwise(x, y) == (y.elements if conv.bias else 0)


@some
@given(pools())
def test_a_pooling_layer_agrees_with_torch(case):
    pool, x = case
    layer = POOLS[type(pool), len(x.spatial)](pool.kernel, pool.stride, pool.padding, ceil_mode=pool.ceil)
    assert said(pool, x) == run(layer, x)


@pytest.mark.parametrize("count_padding", [True, False])
@pytest.mark.parametrize("ceil", [True, False])
def test_the_values_of_average_pooling_are_torchs(count_padding, ceil, one_stage):
    x = torch.randn(2, 3, 8, 7, generator=torch.Generator().manual_seed(0))
    module = build(one_stage(AvgPool(3, 2, 1, ceil, count_padding), (3, 8, 7)))
    assert torch.equal(module(x), nn.functional.avg_pool2d(x, 3, 2, 1, ceil, count_padding))


@some
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2), st.booleans())
def test_pooling_sizes_on_one_axis_agree_with_torch(n, kernel, stride, padding, ceil):
    if 2 * padding <= kernel:
        layer = nn.MaxPool1d(kernel, stride, padding, ceil_mode=ceil)
        assert said(MaxPool(kernel, stride, padding, ceil), Shape(1, (n,))) == run(layer, Shape(1, (n,)))


@pytest.mark.parametrize(
    ("n", "floor", "ceil"), [(112, 55, 56), (55, 27, 27), (7, 3, 3), (8, 3, 4), (3, 1, 1), (4, 1, 2)]
)
def test_known_sizes_of_a_3x3_pool_with_stride_2(n, floor, ceil):
    assert MaxPool(3, 2).output(Shape(1, (n, n))).spatial == (floor, floor)
    assert MaxPool(3, 2, ceil=True).output(Shape(1, (n, n))).spatial == (ceil, ceil)


LEAVES = {
    "conv": (Conv(4, (3, 1), 2, (1, 0), bias=False), (3, 9, 9)),
    "conv_transpose": (ops.ConvTranspose(4, (3, 2), 2, (1, 0), 1, groups=2), (6, 5, 4)),
    "linear": (Linear(4, bias=False), (7,)),
    "batch_norm": (BatchNorm(eps=1e-3, momentum=0.01), (3, 4, 4)),
    "group_norm": (ops.GroupNorm(2), (6, 4, 4)),
    "layer_norm": (ops.LayerNorm(1e-6), (6, 4, 4)),
    "local_response_norm": (ops.LocalResponseNorm(size=3, k=1.0), (5, 4, 4)),
    "local_contrast_norm": (ops.LocalContrastNorm(5), (3, 6, 6)),
    "affine": (ops.Affine(1e-6, shift=False), (3, 2, 2)),
    "scale": (ops.Scale(0.1), (3, 2, 2)),
    "act": (ops.Act("gelu"), (3, 4)),
    "rbf": (ops.Rbf(5), (8,)),
    "max_pool": (MaxPool(3, 2, 1, True), (3, 8, 8)),
    "avg_pool": (AvgPool(3, 2, 1, count_padding=False), (3, 8, 8)),
    "avg_pool_same": (ops.AvgPoolSame((3, 2), 2), (3, 8, 7)),
    "fractional_max_pool": (ops.FractionalMaxPool(1.5), (3, 9, 7)),
    "stochastic_pool": (ops.StochasticPool(3, 2), (3, 8, 7)),
    "adaptive_avg_pool": (AdaptiveAvgPool((2, 3)), (3, 7, 7)),
    "adaptive_max_pool": (ops.AdaptiveMaxPool(1), (3, 7)),
    "upsample": (ops.Upsample(2, "bilinear"), (3, 4, 5)),
    "pad": (ops.Pad((1, -1), (2, 0), "replicate"), (3, 4, 5)),
    "pad_same": (ops.PadSame((3, 2), 2, fill="lowest"), (3, 4, 5)),
    "pad_channels": (ops.PadChannels(1, 2), (3, 2, 2)),
    "take": (ops.Take((2, 0)), (3, 2, 2)),
    "chunk": (ops.Chunk(1), (4, 2, 2)),
    "shuffle": (ops.Shuffle(2), (4, 2, 2)),
    "flatten": (Flatten(), (3, 2, 2)),
    "unflatten": (ops.Unflatten((2, 3)), (12,)),
    "dropout": (ops.Dropout(0.25), (3, 2, 2)),
    "drop_path": (ops.DropPath(0.25, "batch"), (3, 2, 2)),
    "sample": (ops.Sample(), (6, 2)),
    "embedding": (ops.Embedding(7, 3, padding=None), (1, 5)),
    "recurrent": (ops.Recurrent(4, "gru", 2, "last"), (3, 5)),
    "correlate": (ops.Correlate("filters", (3, 2), 1, 2), (3, 4, 5)),
}
# What some of them take beside their input, or in its place.
INPUTS = {"correlate": (Input("filters", Shape(6, (3, 2))),)}
NOT_MEASURED = ("conv_transpose", "correlate")  # tests of their own count these


def test_every_operator_has_its_case_and_its_own_name():
    assert list(LEAVES) == list(OPERATORS)
    assert [OPERATORS[name] for name in LEAVES] == [type(leaf) for leaf, _ in LEAVES.values()]
    assert [leaf.op for leaf, _ in LEAVES.values()] == list(OPERATORS)


@pytest.mark.parametrize("name", LEAVES)
def test_an_operator_builds_runs_and_counts_as_it_says(name, one_stage):
    leaf, shape = LEAVES[name]
    dtype = "int64" if name == "embedding" else "float32"
    tree = replace(one_stage(seq(it=leaf), shape), inputs=INPUTS.get(name, ()), input_dtype=dtype)
    module = build(tree, seed=0).eval()
    y = module(blank(tree, 2, shape))
    assert tuple(y.shape[1:]) == tuple(tree.trace().stages["stage1"].shape)
    assert sum(p.numel() for p in module.parameters()) == cost(tree).params
    if name not in NOT_MEASURED:
        assert cost(tree).macs == measure_module(module, shape).macs
    assert cost(tree).elementwise >= 0


@pytest.mark.parametrize("name", LEAVES)
def test_an_operator_survives_json(name):
    leaf = LEAVES[name][0]
    assert node_from_json(json.loads(json.dumps(node_to_json(leaf)))) == leaf
    assert node_to_json(leaf)["op"] == name


@pytest.mark.parametrize(
    ("leaf", "count"),
    [
        (BatchNorm(), 2 * 48),
        (ops.Affine(), 2 * 48),
        (ops.LocalResponseNorm(5), 9 * 48),
        (ops.Act("relu"), 48),
        (MaxPool(2, 2), 12 * 4),
        (AdaptiveAvgPool(1), 48),
        (Conv(5, 1), 5 * 16),
        (Conv(5, 1, bias=False), 0),
        (ops.Dropout(), 0),
        (ops.Dropout(0.5, "plain"), 48),  # multiplied in evaluation
        (Flatten(), 0),
        (seq(wide=Conv(6, bias=False), sample=ops.Sample()), 4 * 48),  # half, exponential, product, sum
    ],
)
def test_elementwise_operations(leaf, count, one_stage):
    assert cost(one_stage(leaf, (3, 4, 4))).elementwise == count


@pytest.mark.parametrize("function", ops.ACTIVATIONS)
def test_activations_build(function, one_stage):
    x = torch.tensor([[[-7.0, -1.0, 0.0, 0.5, 8.0]]])
    y = build(one_stage(ops.Act(function), (1, 5)))(x)
    assert y.shape == x.shape
    expected = {
        "relu": [0, 0, 0, 0.5, 8],
        "relu6": [0, 0, 0, 0.5, 6],
        "softmax": [1, 1, 1, 1, 1],
        "scaled_tanh": [1.7159 * math.tanh(2 / 3 * v) for v in x.flatten().tolist()],
        "sigmoid": [1 / (1 + math.exp(-v)) for v in x.flatten().tolist()],
        "tanh": [math.tanh(v) for v in x.flatten().tolist()],
    }
    if function in expected:
        torch.testing.assert_close(y.flatten(), torch.tensor(expected[function], dtype=torch.float32))


FITTING, OUTPUTS = "channels; groups that would:", "groups cannot divide its"
WRONG = [
    (Conv(4, 3, groups=2), (3, 8, 8), "a convolution in 2 groups cannot divide its 3 input channels"),
    (Conv(3, 3, groups=2), (4, 8, 8), "a convolution in 2 groups cannot divide its 3 output channels"),
    (Conv(4, 3, groups=0), (4, 8, 8), "a convolution in 0 groups cannot divide its 4 input channels"),
    (Conv(4, (3, 3, 3)), (4, 8, 8), "expected 2 sizes, one for each axis of 4x8x8, received (3, 3, 3)"),
    (Conv(4, 9), (4, 8, 8), "a convolution spans 9 positions and receives 8 (padding 0 and 0)"),
    (Conv(4, 3), (4,), "a convolution needs an input with 1 to 3 spatial axes, receives 4"),
    (Conv(4, 3), (4, 5, 5, 5, 5), "a convolution needs an input with 1 to 3 spatial axes, receives 4x5x5x5x5"),
    (MaxPool(), (4,), "a pooling layer needs an input with 1 to 3 spatial axes, receives 4"),
    (MaxPool(3, 2), (4, 2, 2), "a pooling layer spans 3 positions and receives 2 (padding 0 and 0)"),
    (AdaptiveAvgPool(2), (4,), "an adaptive pooling layer needs an input with 1 to 3 spatial axes, receives 4"),
    (AdaptiveAvgPool((2, 2)), (4, 5), "expected 1 sizes, one for each axis of 4x5, received (2, 2)"),
    (Linear(3), (4, 8, 8), "a linear layer needs a vector, receives 4x8x8; put a flatten before it"),
    (ops.Rbf(3), (4, 8), "an RBF layer needs a vector, receives 4x8; put a flatten before it"),
    (
        Conv(12, 3, groups=5),
        (6, 8, 8),
        "a convolution in 5 groups cannot divide its 6 input channels; groups that would: 2, 3, 6",
    ),
    (
        ops.ConvTranspose(4, 3, groups=3),
        (6, 8, 8),
        "a transposed convolution in 3 groups cannot divide its 4 output channels; groups that would: 1, 2",
    ),
    (ops.ConvTranspose(4, 2, 2, output_padding=2), (6, 8, 8), "output_padding is 2, expected less than the stride 2"),
    (ops.ConvTranspose(4, 2, 2, 5), (6, 2, 2), "a transposed convolution of 6x2x2 with padding 5 leaves nothing"),
    (ops.GroupNorm(4), (6, 8, 8), "a group normalization in 4 groups cannot divide 6 channels"),
    (ops.LocalContrastNorm(4), (6, 8, 8), "size is 4, expected an odd number"),
    (ops.FractionalMaxPool(2.5), (6, 8, 8), "ratio is 2.5, expected a number above 1, at most 2"),
    (ops.FractionalMaxPool(), (6, 8), "a fractional pooling layer needs 2 or 3 spatial axes, receives 6x8"),
    (ops.FractionalMaxPool(2.0), (6, 1, 1), "a fractional pooling layer of ratio 2 leaves nothing of 6x1x1"),
    (ops.StochasticPool(3, 2), (6, 2, 2), "a pooling layer spans 3 positions and receives 2 (padding 0 and 0)"),
    (ops.Upsample(2, "bilinear"), (6, 2), "bilinear interpolation needs 2 spatial axes, receives 6x2"),
    (ops.Pad(-4, 0), (6, 4, 4), "padding by -4 and 0 leaves nothing of 6x4x4"),
    (ops.Pad(4, 0, "reflect"), (6, 4, 4), "a mirror of 4 positions needs an image larger than that, receives 6x4x4"),
    (ops.Chunk(2), (6, 4, 4), "6 channels have no chunk 2 of 2"),
    (ops.Chunk(0, 4), (6, 4, 4), "6 channels have no chunk 0 of 4"),
    (ops.Shuffle(4), (6, 4, 4), "a shuffle of 4 groups cannot divide 6 channels"),
    (ops.Take((0, 3)), (3, 4), "take needs channels from 0 to 2, received (0, 3)"),
    (ops.Take(()), (3, 4), "take needs channels from 0 to 2, received ()"),
    (ops.Unflatten((2, 2)), (3, 4), "an unflatten needs a vector, receives 3x4"),
    (ops.Unflatten((2, 2)), (6,), "6 values cannot fill the 4 positions of (2, 2) evenly"),
    (ops.Unflatten((2, 0)), (6,), "sizes is (2, 0), expected 1 to 3 numbers of at least 1"),
    (ops.Unflatten((1, 1, 1, 1)), (6,), "sizes is (1, 1, 1, 1), expected 1 to 3 numbers of at least 1"),
    (ops.Unflatten(()), (6,), "sizes is (), expected 1 to 3 numbers of at least 1"),
    (ops.Sample(), (5,), "a sample needs a mean and a log-variance of one size, receives 5 channels"),
    (ops.Embedding(9, 4), (3, 5), "an embedding needs one channel of tokens, such as 1x20, receives 3x5"),
    (ops.Embedding(9, 4), (1,), "an embedding needs one channel of tokens, such as 1x20, receives 1"),
    (ops.Embedding(0, 4), (1, 5), "vocabulary is 0, expected at least 1"),
    (ops.Embedding(9, 0), (1, 5), "channels is 0, expected at least 1"),
    (ops.Embedding(9, 4, padding=9), (1, 5), "padding is 9, expected a token from 0 to 8, or none"),
    (ops.Recurrent(4), (3,), "a recurrent layer needs a sequence, such as 64x20, receives 3"),
    (ops.Recurrent(4), (3, 5, 5), "a recurrent layer needs a sequence, such as 64x20, receives 3x5x5"),
    (ops.Recurrent(0), (3, 5), "channels is 0, expected at least 1"),
    (ops.Recurrent(4, directions=3), (3, 5), "directions is 3, expected 1 or 2"),
    (ops.Act("rleu"), (3, 4), "unknown activation 'rleu'; nearest: relu"),
]


@pytest.mark.parametrize(("leaf", "shape", "text"), WRONG)
def test_what_does_not_fit_is_said_with_its_place(leaf, shape, text, one_stage):
    with pytest.raises(UsageError) as error:
        one_stage(seq(first=seq(it=leaf)), shape).trace()
    assert str(error.value).startswith(f"stage1.first.it: {text}")


SENSELESS = [
    Conv(0), Conv(-4), Conv(4, 0), Conv(4, -3), Conv(4, 3, 0), Conv(4, 3, -1), Conv(4, 3, 1, -1), Conv(4, 3, 1, 1, 0),
    Conv(4, 1, 1, 0, -1), Conv(4, 3, groups=-1), MaxPool(0), MaxPool(2, 0), AvgPool(2, 2, -1), MaxPool(2, 2, 2),
    AvgPool(3, 1, 2), AdaptiveAvgPool(0), AdaptiveAvgPool(-1), ops.PadChannels(-3, -1), ops.Dropout(1.5),
    ops.ConvTranspose(0), ops.ConvTranspose(4, 0), ops.ConvTranspose(4, 2, 2, -1), ops.StochasticPool(0),
    ops.Upsample(0),
    ops.Dropout(-0.1), ops.DropPath(1.0), ops.DropPath(-0.5), ops.LocalResponseNorm(size=0),
]  # fmt: skip


@pytest.mark.parametrize("leaf", SENSELESS)
def test_senseless_numbers_are_refused_before_anything_is_built(leaf, one_stage):
    with pytest.raises(UsageError, match=r"^stage1: "):
        one_stage(leaf, (4, 8, 8)).trace()


@pytest.mark.parametrize("leaf", [Linear(0), Linear(-3), ops.Rbf(0), Linear(4, dropconnect=1.0)])
def test_senseless_widths_are_refused(leaf, one_stage):
    with pytest.raises(UsageError, match=r"^stage1: "):
        one_stage(leaf, (4,)).trace()


def test_the_default_of_fields_is_left_out_of_json():
    assert node_to_json(Conv(8, 3)) == {"op": "conv", "channels": 8, "kernel": 3}
    assert node_to_json(Conv(8, (3, 1), bias=False)) == {"op": "conv", "channels": 8, "kernel": [3, 1], "bias": False}
    assert node_to_json(seq(a=Flatten())) == {"op": "seq", "children": {"a": {"op": "flatten"}}}


def test_shapes_and_names_of_a_three_dimensional_network(one_stage):
    tree = one_stage(
        seq(conv=Conv(4, 3, padding=1), norm=BatchNorm(), pool=MaxPool((1, 2, 2), (1, 2, 2))), (1, 5, 8, 8)
    )
    assert build(tree)(torch.ones(1, 1, 5, 8, 8)).shape == (1, 4, 5, 4, 4)
    assert tree.trace().stages["stage1"].field.jump == (1, 2, 2)
    assert str(Shape(3, (224, 224))) == "3x224x224"
    assert (Shape(3, (4, 5)).positions, Shape(3, (4, 5)).elements, Shape(7).elements) == (20, 60, 7)


def test_a_resnet_can_be_three_dimensional():
    tree = replace(network("resnet18", classes=4), input=Shape(1, (16, 32, 32)))
    assert build(tree, device="meta")(torch.empty(2, 1, 16, 32, 32, device="meta")).shape == (2, 4)
    assert cost(tree).macs == measure_module(build(tree, device="meta"), (1, 16, 32, 32)).macs


# Of each operator's case: its kind, its words in a table and without widths, and its label in a drawing.
SAID = {
    "conv": ("conv", "3x1 4", "3x1", "conv 3×1, 4 /2"),
    "conv_transpose": ("conv", "dw up 3x2 4", "dw 3x2", "up-depthwise 3×2, 4 /2"),
    "linear": ("linear", "linear 4", "linear", "linear 4"),
    "batch_norm": ("norm", "batch norm", "batch norm", "batch norm"),
    "group_norm": ("norm", "group norm", "group norm", "group norm"),
    "layer_norm": ("norm", "layer norm", "layer norm", "layer norm"),
    "local_response_norm": ("norm", "local response norm", "local response norm", "local response norm"),
    "local_contrast_norm": ("norm", "local contrast norm", "local contrast norm", "local contrast norm size 5"),
    "affine": ("norm", "affine", "affine", "affine"),
    "scale": ("other", "scale", "scale", "scale 0.1"),
    "act": ("act", "act", "act", "gelu"),
    "rbf": ("linear", "rbf 5", "rbf", "rbf 5"),
    "max_pool": ("pool", "max pool 3x3", "max pool 3x3", "max pool 3×3 /2"),
    "avg_pool": ("pool", "average pool 3x3", "average pool 3x3", "average pool 3×3 /2"),
    "avg_pool_same": ("pool", "average pool 3x2", "average pool 3x2", "avg pool same kernel (3, 2), stride 2"),
    "fractional_max_pool": ("pool", "fractional max pool", "fractional max pool", "fractional max pool ratio 1.5"),
    "stochastic_pool": ("pool", "stochastic pool", "stochastic pool", "stochastic pool kernel 3"),
    "adaptive_avg_pool": ("pool", "pool to 2x3", "pool to 2x3", "average pool to 2×3"),
    "adaptive_max_pool": ("pool", "global max pool", "global max pool", "global max pool"),
    "upsample": ("other", "upsample", "upsample", "upsample mode bilinear"),
    "pad": ("other", "pad", "pad", "pad before (1, -1), after (2, 0), mode replicate"),
    "pad_same": ("other", "pad same", "pad same", "pad same kernel (3, 2), stride 2, fill lowest"),
    "pad_channels": ("other", "pad channels", "pad channels", "pad channels before 1, after 2"),
    "take": ("other", "take", "take", "take"),
    "chunk": ("other", "chunk", "chunk", "part 2 of 2"),
    "shuffle": ("other", "shuffle", "shuffle", "shuffle 2 groups"),
    "flatten": ("other", "flatten", "flatten", "flatten"),
    "dropout": ("drop", "dropout", "dropout", "dropout 0.25"),
    "drop_path": ("drop", "drop path", "drop path", "drop path"),
    "unflatten": ("other", "unflatten", "unflatten", "unflatten sizes (2, 3)"),
    "sample": ("other", "sample", "sample", "sample"),
    "embedding": ("linear", "embedding 3", "embedding", "embedding of 7 tokens, 3"),
    "recurrent": ("linear", "both ways gru 4", "both ways gru", "both ways gru 4, last state"),
    "correlate": ("conv", "3x2 of filters 2", "3x2 of filters", "correlate with filters"),
}


@pytest.mark.parametrize("name", SAID)
def test_an_operator_says_its_kind_and_words(name):
    leaf = LEAVES[name][0]
    assert (leaf.kind, leaf.words(), leaf.words(widths=False), leaf.label()) == SAID[name]


@pytest.mark.parametrize("name", LEAVES)
def test_what_every_operator_says_holds(name, one_stage):
    leaf, shape = LEAVES[name]
    assert leaf.kind in get_args(Kind)
    numbers = cost(replace(one_stage(leaf, shape), inputs=INPUTS.get(name, ())))
    assert leaf.weighted == (numbers.macs > 0) == (numbers.activations > 0)
    for text in (leaf.words(), leaf.words(widths=False), leaf.label()):
        assert text.strip() == text
        assert text.isprintable()
        assert text
    assert {f.name for f in fields(leaf)}.isdisjoint(dir(Leaf))
    assert hash(leaf.alike(True)) == hash(replace(leaf).alike(True))
    assert leaf.alike(False) == replace(leaf).alike(False)
    assert not leaf.pointwise or leaf.kind == "conv"


def test_no_view_asks_which_class_an_operator_is_of():
    """Tables, drawings and prices take an operator's word for it: one that they do not know is told like any other."""
    root = Path(convsmith.__file__).parent
    views = [root / "nets" / "cost.py", *(root / "nets" / "views").glob("*.py")]
    views.remove(root / "nets" / "views" / "review.py")  # the guidelines speak of convolutions and pools by name
    classes = {operator.__name__ for operator in OPERATORS.values()}
    for path in [*views, *(root / "report").glob("*.py")]:
        imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        ours = [node for node in imports if (node.module or "").startswith("convsmith.nets")]
        assert not {name.name for node in ours for name in node.names} & classes, path


def test_only_a_convolution_of_kernel_1_is_pointwise():
    assert [Conv(4, kernel).pointwise for kernel in (1, (1, 1), 3, (1, 3))] == [True, True, False, False]
    assert not ops.ConvTranspose(4, 1).pointwise


def test_options_of_convolutions_are_said():
    conv = Conv(8, 3, 2, 1, 2, groups=4)
    assert (conv.words(), conv.words(widths=False), conv.label()) == (
        "dw 3x3 8 dilated 2", "dw 3x3", "depthwise 3×3, 8 /2, dilation 2×2",
    )  # fmt: skip
    grouped = Conv(64, (3, 3), (2, 1), groups=4)
    assert (grouped.words(), grouped.label()) == ("3x3 64 C=4", "conv 3×3, 64 /2×1, 4 groups")
    assert (Conv(8, (5,)).words(), ops.Dropout(0.5, "plain").label()) == ("5-wide 8", "plain dropout 0.5")
    assert conv.alike(loose=True) == replace(conv, stride=1, bias=False).alike(loose=True)
    assert conv.alike(loose=False) != replace(conv, stride=1).alike(loose=False)
    assert ops.DropPath(0.1).alike(loose=False) is None
