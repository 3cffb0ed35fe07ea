"""Worked examples of university lectures on convolutional networks, on built networks and on trees."""

import pytest
import torch

from convsmith.nets.build import build
from convsmith.nets.cost import cost
from convsmith.nets.families.resnet import basic, bottleneck
from convsmith.nets.ops import Act, BatchNorm, Conv, MaxPool
from convsmith.nets.tree import seq

X = torch.arange(9.0).view(1, 1, 3, 3)
K = torch.tensor([[0.0, 1.0], [2.0, 3.0]])


@pytest.fixture
def with_kernel(one_stage):
    def make(conv, kernel, input=(1, 3, 3)):
        module = build(one_stage(conv, input))
        module.get_submodule("stage1.only").weight.data.copy_(kernel.view(1, *kernel.shape[-3:]))
        return module

    return make


def test_a_convolution_is_a_cross_correlation(with_kernel):
    assert with_kernel(Conv(1, 2, bias=False), K)(X).tolist() == [[[[19.0, 25.0], [37.0, 43.0]]]]


def test_padding_is_one_on_each_side_where_the_lectures_say_two(with_kernel):
    y = with_kernel(Conv(1, 2, padding=1, bias=False), K)(X)
    assert y[0, 0].tolist() == [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]


def test_strides_differ_between_the_axes(with_kernel):
    y = with_kernel(Conv(1, 2, stride=(3, 2), padding=1, bias=False), K)(X)
    assert y[0, 0].tolist() == [[0, 8], [6, 8]]


def test_input_channels_are_summed(with_kernel):
    x = torch.cat([X, torch.arange(1.0, 10.0).view(1, 1, 3, 3)], 1)
    kernel = torch.stack([K, torch.tensor([[1.0, 2.0], [3.0, 4.0]])])
    assert with_kernel(Conv(1, 2, bias=False), kernel, (2, 3, 3))(x)[0, 0].tolist() == [[56, 72], [104, 120]]


def test_max_pooling(one_stage):
    assert build(one_stage(MaxPool(2, 1), (1, 3, 3)))(X)[0, 0].tolist() == [[4, 5], [7, 8]]
    depth_slice = torch.tensor([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]).view(1, 1, 4, 4)
    assert build(one_stage(MaxPool(2, 2), (1, 4, 4)))(depth_slice)[0, 0].tolist() == [[6, 8], [3, 4]]


SHAPES = {
    "2.8: six filters": ((3, 32, 32), Conv(6, 5), (6, 28, 28), 6 * 75 + 6),
    "2.9: stacked": ((3, 32, 32), seq(a=Conv(6, 5), act=Act("relu"), b=Conv(10, 5)), (10, 24, 24), 456 + 1_510),
    "2.10: CS231n's demonstration": ((3, 5, 5), Conv(2, 3, 2, 1), (2, 3, 3), 2 * 27 + 2),
    "2.12: 1x1": ((64, 56, 56), Conv(32), (32, 56, 56), 64 * 32 + 32),
    "2.5: 7 layers of 5x5": ((1, 32, 32), seq(**{f"c{i}": Conv(1, 5) for i in range(7)}), (1, 4, 4), 7 * 26),
    "error 4: 55 layers": ((1, 224, 224), seq(**{f"c{i}": Conv(1, 5) for i in range(55)}), (1, 4, 4), 55 * 26),
    "2.28: halves": ((64, 224, 224), MaxPool(2, 2), (64, 112, 112), 0),
    "2.37: batch norm": ((100, 32, 32), BatchNorm(), (100, 32, 32), 200),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_and_parameters(name, one_stage):
    input, node, output, params = SHAPES[name]
    tree = one_stage(node, input)
    assert tuple(tree.trace().stages["stage1"].shape) == output
    assert cost(tree).params == params


def macs(one_stage, node, *input):
    return cost(one_stage(node, input)).macs


def test_a_5x5_layer_of_100_channels_takes_a_billion(one_stage):
    assert macs(one_stage, Conv(100, 5, padding=2), 100, 64, 64) == 1_024_000_000


def test_a_1x1_convolution_is_a_dense_layer_at_each_position(one_stage):
    module = build(one_stage(Conv(5), (3, 4, 4)), seed=0)
    weight, bias = module.state_dict().values()
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.linear(x.movedim(1, -1), weight[:, :, 0, 0], bias).movedim(-1, 1)
    torch.testing.assert_close(module(x), expected)


C, H, W = 16, 12, 10


@pytest.mark.parametrize(("kernels", "squares"), [((5,), 25), ((3, 3), 18), ((7,), 49), ((3, 3, 3), 27)])
def test_chains_of_small_filters(kernels, squares, one_stage):
    chain = seq(**{f"c{i}": Conv(C, k, padding=k // 2, bias=False) for i, k in enumerate(kernels)})
    numbers = cost(one_stage(chain, (C, H, W)))
    assert (numbers.params, numbers.macs) == (squares * C * C, squares * C * C * H * W)


def test_vggs_rule_keeps_the_cost_equal(one_stage):
    early = cost(one_stage(Conv(C, 3, padding=1, bias=False), (C, 2 * H, 2 * W)))
    late = cost(one_stage(Conv(2 * C, 3, padding=1, bias=False), (2 * C, H, W)))
    assert (early.activations, early.params, early.macs) == (4 * H * W * C, 9 * C * C, 36 * H * W * C * C)
    assert (late.activations, late.params, late.macs) == (2 * H * W * C, 36 * C * C, 36 * H * W * C * C)


def test_residual_blocks(one_stage):
    assert macs(one_stage, basic(C, 1), C, H, W) == 18 * H * W * C * C
    assert macs(one_stage, bottleneck(C, 4 * C, 1, "3x3"), 4 * C, H, W) == 17 * H * W * C * C


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_divide_weights_and_work(groups, one_stage):
    numbers = cost(one_stage(Conv(C, 3, padding=1, groups=groups, bias=False), (C, H, W)))
    assert (numbers.params, numbers.macs) == (9 * C * C // groups, 9 * C * C * H * W // groups)


def test_a_convolution_commutes_with_a_shift(one_stage):
    module = build(one_stage(Conv(3, 3), (2, 16, 16)), seed=0)
    x = torch.zeros(1, 2, 16, 16)
    x[..., 4:9, 4:9] = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x.roll((2, 3), (2, 3))), module(x).roll((2, 3), (2, 3)))
