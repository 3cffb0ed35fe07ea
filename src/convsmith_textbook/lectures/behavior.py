"""Checks of layers against the lectures' formulas and against torch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from convsmith.nets.modules.build import build
from convsmith.nets.ops import Conv
from convsmith_textbook.lectures.blocks import single
from convsmith_textbook.lectures.grids import Operands, correlate, numbers
from convsmith_textbook.lectures.matrices import bilinear, scattered


def close(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> bool:
    """Whether two arrays are equal to the precision of fp32."""
    return bool(np.allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal random numbers from a fixed seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sealed(check: Callable[[], dict[str, object]]) -> Callable[[], dict[str, object]]:
    """The check with torch's global generator seeded, and restored afterwards."""

    def run() -> dict[str, object]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return check()

    return run


def against_torch() -> dict[str, object]:
    """The worked operations in NumPy against torch's, on random numbers."""
    x, w, y = normal(2, 7, 6), normal(3, 2, 3, 2, seed=1), normal(4, 5, seed=2)
    taps = bilinear(2)
    ours = correlate(Operands(numbers(x.numpy()), numbers(w.numpy()), stride=(2, 1)))
    return {
        "convolution": close(ours, functional.conv2d(x[None], w, stride=(2, 1))[0]),
        "transposed convolution": close(
            scattered(y.numpy(), w[0, 0].numpy(), (2, 2)),
            functional.conv_transpose2d(y[None, None], w[:1, :1], stride=2)[0, 0],
        ),
        "bilinear upsampling, inside": close(
            scattered(y.numpy(), np.outer(taps, taps), (2, 2))[2:-2, 2:-2],
            functional.interpolate(y[None, None], scale_factor=2, mode="bilinear")[0, 0, 1:-1, 1:-1],
        ),
    }


@sealed
def equivariance() -> dict[str, object]:
    """A moved image gives moved features of a convolution, but not of a dense layer."""
    convolution = build(single(Conv(3, 3), 2, 16, 16), seed=0)
    dense = nn.Linear(2 * 16 * 16, 3 * 14 * 14)
    x = torch.zeros(1, 2, 16, 16)
    x[..., 4:9, 4:9] = normal(1, 2, 5, 5)
    moved = x.roll((2, 3), (2, 3))

    def layer(images: torch.Tensor) -> torch.Tensor:
        return dense(images.flatten(1)).view(1, 3, 14, 14)

    with torch.no_grad():
        return {
            "convolution": close(convolution(moved), convolution(x).roll((2, 3), (2, 3))),
            "dense layer": close(layer(moved), layer(x).roll((2, 3), (2, 3))),
        }


def initialization() -> dict[str, object]:
    """The variance of He's initialization times fan_in, measured on a layer with 256 inputs and 256 outputs."""
    layer = build(replace(single(Conv(256, 3), 256, 8, 8), init="he_in"), seed=0)
    weight = next(layer.parameters()).detach()
    return {"variance x fan_in": round(float(weight.var()) * 256 * 9, 1)}


@sealed
def fractional_pooling() -> dict[str, object]:
    """Random pooling regions of Graham's form: torch's, and their averages, on a ramp of 25 positions to 16."""
    ramp = torch.arange(25.0 * 25).view(1, 1, 25, 25)
    layer = nn.FractionalMaxPool2d(2, output_size=16)
    draws = torch.stack([layer(ramp)[0, 0] for _ in range(8)])
    return {
        "output": "x".join(map(str, draws.shape[1:])),
        "regions differ from draw to draw": not all(torch.equal(draws[0], f) for f in draws[1:]),
        "each region begins 1 or 2 positions after the last": tuple(
            sorted({int(s) for f in draws for s in f[0].diff()})
        ),
    }


def clipped() -> dict[str, object]:
    """ReLU6 at -1, 0.5, 6 and 9."""
    return {"relu6": tuple(functional.relu6(torch.tensor([-1.0, 0.5, 6.0, 9.0])).tolist())}
