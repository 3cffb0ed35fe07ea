"""The layers that we build give the lectures' worked examples."""

import numpy as np
import pytest
import torch

from convsmith.nets.modules.build import build
from convsmith.nets.ops import AvgPool, Conv, MaxPool
from convsmith_textbook.lectures.blocks import single
from convsmith_textbook.lectures.entries import ENTRIES
from convsmith_textbook.lectures.grids import correlate, numbers, pool

WITH_KERNELS = [name for name, entry in ENTRIES.items() if entry.operands and entry.operands.kernels]
POOLS = {
    "max-pool-example": (MaxPool, np.max),
    "max-pool-slice": (MaxPool, np.max),
    "average-pool-example": (AvgPool, np.mean),
}


def tensor(grids: tuple) -> torch.Tensor:
    return torch.tensor(grids, dtype=torch.float32)


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_a_built_convolution_gives_the_worked_example(name):
    given = ENTRIES[name].operands
    x, kernels = tensor(given.input), tensor(given.kernels)
    # The lectures' padding counts both sides, ours is for each.
    padding = tuple(p // 2 for p in given.padding)
    conv = Conv(len(kernels), tuple(kernels.shape[2:]), given.stride, padding, bias=False)
    layer = build(single(conv, *x.shape))
    with torch.no_grad():
        next(layer.parameters()).copy_(kernels)
        y = layer(x[None])[0].numpy()
    assert np.array_equal(y, correlate(given))
    printed = {figure.name: figure.correct for figure in ENTRIES[name].figures}.get("output")
    assert printed is None or printed in (numbers(y), numbers(y[0]))


@pytest.mark.parametrize("name", POOLS)
def test_a_built_pool_gives_the_worked_example(name):
    (operator, combine), given = POOLS[name], ENTRIES[name].operands
    x = tensor(given.input)
    y = build(single(operator(given.window, given.stride), *x.shape))(x[None])[0].numpy()
    assert np.array_equal(y, pool(given, combine))
    assert numbers(y[0]) == ENTRIES[name].figures[0].correct


def test_a_1x1_convolution_is_a_dense_layer_at_each_position():
    layer = build(single(Conv(5), 3, 4, 4), seed=0)
    weight, bias = layer.state_dict().values()
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.linear(x.movedim(1, -1), weight[:, :, 0, 0], bias).movedim(-1, 1)
    torch.testing.assert_close(layer(x), expected)
