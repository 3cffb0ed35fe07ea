"""Checks of layers against the lectures' formulas, with torch as the other witness."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from convsmith.lectures.blocks import single
from convsmith.lectures.grids import Operands, correlate, numbers
from convsmith.lectures.matrices import bilinear, scattered
from convsmith.nets.build import build
from convsmith.nets.ops import Conv, Dropout


def close(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> bool:
    """Whether two arrays agree as far as 32-bit floats do."""
    return bool(np.allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random numbers that are the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sealed(check: Callable[[], dict[str, object]]) -> Callable[[], dict[str, object]]:
    """The check with torch's global generator seeded, and put back afterwards."""

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
    """A moved image gives moved features; a dense layer's are others."""
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


def batch_norm() -> dict[str, object]:
    """Batch normalisation by its formula against torch's, in training and after it."""
    layer = nn.BatchNorm2d(100)
    x = 3 * normal(20, 100, 32, 32) + 1
    y = layer(x).detach()
    batch = x.numpy().astype(np.float64)
    mean, variance = batch.mean((0, 2, 3)), batch.var((0, 2, 3))
    count = x.numel() / 100
    with torch.no_grad():
        later = layer.eval()(x)
    running_mean, running_variance = 0.1 * mean, 0.9 + 0.1 * variance * count / (count - 1)
    return {
        "biased variance in training": close(y, _normalised(batch, mean, variance)),
        "parameters": sum(p.numel() for p in layer.parameters()),
        "unbiased variance is stored": close(layer.get_buffer("running_var"), running_variance),
        "stored averages at test": np.allclose(later, _normalised(batch, running_mean, running_variance), atol=1e-4),
    }


def _normalised(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    shape = (1, -1, 1, 1)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)


@sealed
def dropout() -> dict[str, object]:
    """The mean of dropout over all masks, by enumeration, and the built layer's."""
    w, x = np.array([0.5, -2.0]), np.array([3.0, 1.0])
    masks = list(itertools.product((0, 1), repeat=2))
    layer = build(single(Dropout(0.25), 8), seed=0).train()
    with torch.no_grad():
        mean = torch.stack([layer(torch.ones(1, 8)) for _ in range(4000)]).mean()
    keep = 0.75
    weighed = {m: math.prod(keep if kept else 1 - keep for kept in m) for m in masks}
    return {
        "mean over the 4 masks / (w1 x + w2 y)": float(np.mean([w @ (x * m) for m in masks]) / (w @ x)),
        "sub-networks of 10 units": len(list(itertools.product((0, 1), repeat=10))),
        "kept with 0.75 and divided by it, the mean is x": close(
            np.sum([share * x * np.array(mask) / keep for mask, share in weighed.items()], 0), x
        ),
        "our layer's mean of ones, to 2 digits": round(float(mean), 2),
    }


def weight_decay() -> dict[str, object]:
    """A step of torch's SGD with weight decay is the step on E + lambda / 2 sum w²."""
    rate, decay = 0.1, 0.01
    weight = nn.Parameter(normal(5))
    inputs, before = normal(5, seed=1), weight.detach().clone()
    (gradient,) = torch.autograd.grad((weight @ inputs).square(), weight)
    weight.grad = gradient
    torch.optim.SGD([weight], lr=rate, weight_decay=decay).step()
    shrunk = (1 - rate * decay) * before - rate * gradient
    return {"w <- (1 - alpha lambda) w - alpha dE/dw": close(weight.detach(), shrunk)}


def backpropagation() -> dict[str, object]:
    """The lectures' four formulas in NumPy against autograd, for a network of two layers with tanh."""
    x, w1, w2 = normal(4), normal(3, 4, seed=1).requires_grad_(), normal(2, 3, seed=2).requires_grad_()
    target = normal(2, seed=3)
    loss = 0.5 * (torch.tanh(w2 @ torch.tanh(w1 @ x)) - target).square().sum()
    first, last = torch.autograd.grad(loss, (w1, w2))
    a, b, c, t = (v.detach().numpy().astype(np.float64) for v in (w1, w2, x, target))
    hidden = np.tanh(a @ c)
    y = np.tanh(b @ hidden)
    top = (1 - y**2) * (y - t)  # dl/dz of the last layer: f'(z) dl/dy
    below = (1 - hidden**2) * (b.T @ top)  # dl/dy = sum of w dl/dz, then f'(z) again
    return {
        "last layer's weights": close(np.outer(top, hidden), last),
        "first layer's weights": close(np.outer(below, c), first),
    }


def accumulated() -> dict[str, object]:
    """The pseudo-code of SGD, with the total gradient reset for each batch, and without."""
    xs = np.array([[1.0, 2.0], [0.5, 1.5], [2.0, 1.0]])

    def train(reset: bool) -> float:
        theta, total = 1.0, 0.0
        for batch in xs:
            total = 0.0 if reset else total
            total += float(sum(theta * x * x for x in batch))  # of the loss (theta x)² / 2
            theta -= 0.1 * total / len(batch)
        return theta

    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    for batch in xs:
        optimiser.zero_grad()
        (weight * torch.from_numpy(batch)).square().mul(0.5).mean().backward()
        optimiser.step()
    theirs = float(weight.detach())
    return {"reset for each batch": math.isclose(train(True), theirs), "as printed": math.isclose(train(False), theirs)}


def initialisation() -> dict[str, object]:
    """The variance of He's initialisation times fan_in, measured on a layer with 256 inputs and 256 outputs."""
    layer = build(replace(single(Conv(256, 3), 256, 8, 8), init="he_in"), seed=0)
    weight = next(layer.parameters()).detach()
    return {"variance x fan_in": round(float(weight.var()) * 256 * 9, 1)}


@sealed
def fractional_pooling() -> dict[str, object]:
    """Random pooling regions of Graham's form: torch's, and their averages, on a ramp of 25 positions to 16."""
    ramp = torch.arange(25.0 * 25).view(1, 1, 25, 25)
    layer = nn.FractionalMaxPool2d(2, output_size=16)
    found = torch.stack([layer(ramp)[0, 0] for _ in range(8)])
    return {
        "output": "x".join(map(str, found.shape[1:])),
        "regions differ from draw to draw": not all(torch.equal(found[0], f) for f in found[1:]),
        "each region begins 1 or 2 positions after the last": tuple(
            sorted({int(s) for f in found for s in f[0].diff()})
        ),
    }


def clipped() -> dict[str, object]:
    """ReLU6 at -1, 0.5, 6 and 9."""
    return {"relu6": tuple(functional.relu6(torch.tensor([-1.0, 0.5, 6.0, 9.0])).tolist())}
