"""The NumPy of `principles.py` against torch, in double precision: outputs, gradients of autograd, optimizers."""

import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.nets.modules.build import build
from convsmith.nets.ops import Dropout
from convsmith_textbook.lectures import principles
from convsmith_textbook.lectures.behavior import normal, sealed
from convsmith_textbook.lectures.blocks import single
from convsmith_textbook.lectures.learning import XOR, XOR_RATE, XOR_WEIGHTS, four_masks
from convsmith_textbook.lectures.principles import Array


def equal(ours: Array | Sequence[Array], theirs: Tensor | Sequence[Tensor]) -> bool:
    """Whether arrays are equal to double precision."""
    if isinstance(theirs, Tensor):
        return np.allclose(np.asarray(ours), theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    return all(equal(a, b) for a, b in zip(ours, theirs, strict=True))


def tensors(arrays: Sequence[Array]) -> list[Tensor]:
    """Copies as tensors with gradients."""
    return [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]


def random(*shape: int, seed: int = 0) -> Array:
    """Normal random numbers from a fixed seed."""
    return np.random.default_rng(seed).standard_normal(shape)


def layered(x: Array | Tensor, weights: Sequence[Tensor], f: Callable[[Tensor], Tensor] = torch.tanh) -> Tensor:
    """The network of `principles.forward` in torch's own layers, row 0 of a weight being the bias."""
    y = torch.as_tensor(x)
    for w in weights:
        y = f(functional.linear(y, w[1:].T, w[0]))
    return y


def backpropagation() -> dict[str, object]:
    """Outputs and gradients of a batch, and a difference quotient for one weight."""
    weights = [random(4, 5), random(6, 3, seed=1)]
    x, target = random(7, 3, seed=2), random(7, 3, seed=3)
    out, layers = principles.forward(x, weights)
    gradients = principles.backward(out - target, layers, weights)
    theirs = tensors(weights)
    y = layered(x, theirs)
    expected = torch.autograd.grad((y - torch.tensor(target)).square().sum() / 2, theirs)

    def loss(nudge: float) -> float:
        moved = weights[0].copy()
        moved[1, 2] += nudge
        return float(((principles.forward(x, [moved, weights[1]])[0] - target) ** 2).sum() / 2)

    return {
        "outputs are torch's": equal(out, y),
        "last layer's weights: autograd's gradient": equal(gradients[1], expected[1]),
        "first layer's weights: autograd's gradient": equal(gradients[0], expected[0]),
        "first layer's weights: the difference quotient": bool(
            np.isclose((loss(1e-6) - loss(-1e-6)) / 2e-6, gradients[0][1, 2], rtol=1e-6)
        ),
    }


def descent(epochs: int = 20) -> dict[str, object]:
    """The loop against torch's SGD; the printed loop against SGD without `zero_grad` and with a momentum of 1."""

    def theirs(reset: bool, momentum: float = 0) -> list[Tensor]:
        weights = tensors(XOR_WEIGHTS)
        optimizer = torch.optim.SGD(weights, lr=XOR_RATE, momentum=momentum)
        for _ in range(epochs):
            for x, target in XOR:
                if reset:
                    optimizer.zero_grad()
                error = layered(x, weights) - torch.tensor(target)
                (error.square().sum() / 2 / len(x)).backward()
                optimizer.step()
        return weights

    right, printed = (list(principles.sgd(XOR_WEIGHTS, XOR, XOR_RATE, epochs, reset))[-1][0] for reset in (True, False))
    settled = {reset: _on_a_parabola(reset) for reset in (True, False)}
    return {
        "with the reset: the weights of torch's SGD": equal(right, theirs(reset=True)),
        "as printed: the weights of torch's SGD": equal(printed, theirs(reset=True)),
        "as printed: torch's SGD with the gradients left in place": equal(printed, theirs(reset=False)),
        "as printed: torch's SGD with a momentum of 1": equal(printed, theirs(reset=True, momentum=1.0)),
        "on w^2 / 2 with rate 0.5, |w| after 100 steps is below 1e-9": settled[True] < 1e-9,
        "the same as printed": settled[False] < 1e-9,
    }


def _on_a_parabola(reset: bool) -> float:
    """The largest |w| of steps 100 to 120 of descent on w^2 / 2, whose gradient is w, from 1."""
    steps = principles.descent([np.ones(1)], lambda weights, _: weights, range(120), 0.5, reset)
    return max([float(np.abs(w).max()) for (w,) in steps][99:])


def dropout() -> dict[str, object]:
    """The mean over all masks by enumeration, and a training step against autograd."""
    weights, x, target, masks = _step_operands()
    loss, gradients = principles.dropout_train_step(x, weights, target, masks)
    theirs = tensors(weights)
    expected = _masked_loss(theirs, x, target, masks)
    w, y = random(5, seed=8), random(5, seed=9)
    every = [np.array(mask) for mask in itertools.product((0, 1), repeat=5)]
    weighed = sum(np.prod(np.where(mask, 0.75, 0.25)) * (w @ (y * mask)) for mask in every)
    return {
        "mean over the 4 masks / (w1 x + w2 y)": _mean_over_masks(0.5),
        "the same with 3 of 4 kept": _mean_over_masks(0.75),
        "sub-networks of 10 units": _sub_networks(10),
        "a linear network at test: the mean over all masks": bool(
            np.isclose(w @ principles.dropout_predict(y, 0.75), weighed)
        ),
        "loss of a training step: torch's with the same masks": equal(np.array(loss), expected),
        "its gradients: autograd's": equal(gradients, torch.autograd.grad(expected, theirs)),
    }


def _mean_over_masks(keep: float) -> float:
    """The mean of w1 x + w2 y over the masks of x and y, divided by its value without masks."""
    w, inputs = np.array([2.0, 0.5]), np.array([3.0, 1.0])
    sums = [
        probability * (w @ principles.dropout(inputs, keep, _drawing(mask))[0])
        for mask, probability in four_masks(keep)
    ]
    return float(sum(sums) / (w @ inputs))


def _sub_networks(units: int) -> int:
    """The number of different sums of a neuron with masked inputs of 1 and powers of 2 as weights."""
    w, ones = 2.0 ** np.arange(units), np.ones(units)
    masks = itertools.product((0, 1), repeat=units)
    return len({float(w @ principles.dropout(ones, 0.5, _drawing(mask))[0]) for mask in masks})


def _drawing(mask: Sequence[int] | Array) -> np.random.Generator:
    """A stand-in for a random generator whose numbers reproduce the mask for every share."""
    return cast("np.random.Generator", SimpleNamespace(random=lambda shape: np.where(mask, 0.0, 1.0).reshape(shape)))


@sealed
def inverted_dropout() -> dict[str, object]:
    """Inverted dropout against torch's, whose mask is read from a tensor of ones; and the mean of the built layer."""
    x = np.array([3.0, 1.0])
    mean = sum(p * principles.inverted_dropout(x, 0.75, _drawing(mask))[0] for mask, p in four_masks(0.75))
    values, ones = torch.tensor(random(50, 8)), torch.ones(50, 8, dtype=torch.float64)
    torch.manual_seed(1)
    mask = functional.dropout(ones, 0.25).numpy()
    torch.manual_seed(1)
    drawn = functional.dropout(values, 0.25)
    weights, x_batch, target, _ = _step_operands()
    theirs = tensors(weights)
    torch.manual_seed(2)
    masks = [functional.dropout(torch.ones(9, w.shape[1], dtype=torch.float64), 0.25).numpy() for w in weights[:-1]]
    torch.manual_seed(2)
    hidden = torch.tensor(x_batch)
    for w in theirs[:-1]:
        hidden = functional.dropout(layered(hidden, [w], torch.relu), 0.25)
    loss = (layered(hidden, theirs[-1:], lambda z: z) - torch.tensor(target)).square().sum() / 2
    layer = build(single(Dropout(0.25), 8), seed=0).train()
    ours = principles.inverted_dropout(np.ones(8000), 0.75, np.random.default_rng(0))[1]
    with torch.no_grad():
        built = float(torch.stack([layer(torch.ones(1, 8)) for _ in range(4000)]).mean())
    return {
        "kept with 0.75 and divided by it, the mean is x": bool(np.allclose(mean, x) and abs(ours.mean() - 1) < 0.02),
        "with torch's mask: torch's dropout": equal(
            principles.inverted_dropout(values.numpy(), 0.75, _drawing(mask))[0], drawn
        ),
        "gradients of a training step: autograd's through torch's dropout": equal(
            principles.dropout_train_step(x_batch, weights, target, masks)[1], torch.autograd.grad(loss, theirs)
        ),
        "our layer's mean of ones, to 2 digits": round(built, 2),
    }


def _step_operands() -> tuple[list[Array], Array, Array, list[Array]]:
    """Weights of a 4-6-5-2 network, a batch of 9 with targets, and masks of the two hidden layers."""
    weights = [random(5, 6), random(7, 5, seed=1), random(6, 2, seed=2)]
    generator = np.random.default_rng(7)
    masks = [principles.dropout(np.ones((9, width)), 0.5, generator)[1] for width in (6, 5)]
    return weights, random(9, 4, seed=3), random(9, 2, seed=4), masks


def _masked_loss(weights: Sequence[Tensor], x: Array, target: Array, masks: Sequence[Array]) -> Tensor:
    hidden = torch.tensor(x)
    for w, mask in zip(weights[:-1], masks, strict=True):
        hidden = layered(hidden, [w], torch.relu) * torch.tensor(mask)
    return (layered(hidden, weights[-1:], lambda z: z) - torch.tensor(target)).square().sum() / 2


def batch_norm() -> dict[str, object]:
    """Batch normalization by its formula against torch's, in training and in evaluation."""
    layer = nn.BatchNorm2d(100)
    x = 3 * normal(20, 100, 32, 32) + 1
    y = layer(x)
    batch = x.numpy().astype(np.float64)
    mean, variance = batch.mean((0, 2, 3)), batch.var((0, 2, 3))
    count = x.numel() / 100
    with torch.no_grad():
        later = layer.eval()(x)
    running_mean, running_variance = 0.1 * mean, 0.9 + 0.1 * variance * count / (count - 1)
    shape = (1, -1, 1, 1)
    tested = (batch - running_mean.reshape(shape)) / np.sqrt(running_variance.reshape(shape) + 1e-5)
    ours = principles.batch_norm(batch, np.ones(100), np.zeros(100))[0]
    return {
        "biased variance in training": np.allclose(ours, y.detach(), atol=1e-5),
        "parameters": sum(p.numel() for p in layer.parameters()),
        "unbiased variance is stored": np.allclose(layer.get_buffer("running_var"), running_variance, atol=1e-5),
        "stored averages at test": np.allclose(later, tested, atol=1e-4),
    }


def batch_norm_backward() -> dict[str, object]:
    """The gradients of a random function of the normalized batch, for images and for vectors."""
    images, vectors = (_batch_norm_gradients(*shape) for shape in ((6, 3, 5, 4), (8, 5)))
    dx, x = images[1][0], images[2]
    return {
        "images: dl/dx, dl/dgamma, dl/dbeta are autograd's": images[0],
        "vectors: dl/dx, dl/dgamma, dl/dbeta are autograd's": vectors[0],
        "dl/dx sums to 0 over the batch: a shift of x changes nothing": np.allclose(dx.sum((0, 2, 3)), 0),
        # Not exactly 0: eps does not scale with x.
        "x dl/dx sums to 0 over the batch: a scale of x changes nothing": np.allclose(
            (x * dx).sum((0, 2, 3)), 0, atol=1e-3
        ),
    }


def _batch_norm_gradients(*shape: int) -> tuple[bool, tuple[Array, Array, Array], Array]:
    x, gamma, beta, dy = (random(*s, seed=i) for i, s in enumerate([shape, shape[1:2], shape[1:2], shape]))
    y, normalized, scale = principles.batch_norm(x, gamma, beta)
    ours = principles.batch_norm_backward(dy, normalized, scale, gamma)
    a, b, c = tensors([x, gamma, beta])
    theirs = functional.batch_norm(a, None, None, b, c, training=True)
    expected = torch.autograd.grad(theirs, (a, b, c), torch.tensor(dy))
    return equal(y, theirs) and equal(ours, expected), ours, x


def convolution() -> dict[str, object]:
    """A batch of 2, 3 channels to 4, kernels of 3x2, stride 2 and a zero on each side."""
    x, w, b = random(2, 3, 7, 6), random(4, 3, 3, 2, seed=1), random(4, seed=2)
    y = principles.convolution(x, w, b, stride=2, padding=1)
    dy = random(*y.shape, seed=3)
    dx, dw, db = principles.convolution_backward(dy, x, w, stride=2, padding=1)
    leaves = tensors([x, w, b])
    theirs = functional.conv2d(*leaves, stride=2, padding=1)
    expected = torch.autograd.grad(theirs, leaves, torch.tensor(dy))
    transposed = functional.conv_transpose2d(torch.tensor(dy), leaves[1], stride=2, padding=1)
    return {
        "outputs are torch's": equal(y, theirs),
        "dl/dx: autograd's": equal(dx, expected[0]),
        "dl/dx: torch's transposed convolution of dl/dy": equal(dx, transposed),
        "dl/dw: autograd's": equal(dw, expected[1]),
        "dl/db: autograd's": equal(db, expected[2]),
    }


def weight_decay() -> dict[str, object]:
    """Steps on E = a / 2 (w - c)^2 against torch's SGD, a penalty in the loss, and the closed form."""
    a, c, start, rate, decay, steps = 2.0, 3.0, random(5), 0.1, 0.5, 25
    ours = principles.decayed_sgd(start, lambda w: a * (w - c), rate, decay, steps)

    def energy(w: Tensor) -> Tensor:
        return a / 2 * (w - c).square().sum()

    def penalized(w: Tensor) -> Tensor:
        return energy(w) + decay / 2 * w.square().sum()

    minimum = a * c / (a + decay)
    closed = minimum + (1 - rate * (a + decay)) ** steps * (start - minimum)
    return {
        "w <- (1 - alpha lambda) w - alpha dE/dw: torch's SGD with weight_decay": equal(
            ours, _descended(energy, start, steps, torch.optim.SGD, lr=rate, weight_decay=decay)
        ),
        "autograd's descent on E + lambda / 2 sum w²": equal(
            ours, _descended(penalized, start, steps, torch.optim.SGD, lr=rate)
        ),
        "the closed form after 25 steps": np.allclose(ours, closed, rtol=1e-12),
    }


def decoupled_decay() -> dict[str, object]:
    """Both kinds of decay against torch's Adam and AdamW on a loss of cosines, and alone on the weights."""
    start, rate, decay, steps = random(5), 0.05, 0.2, 30
    coupled, decoupled = (
        principles.adam(start, lambda w: -np.sin(w), rate, decay, steps, decoupled=apart) for apart in (False, True)
    )

    def energy(w: Tensor) -> Tensor:
        return w.cos().sum()

    options = {"lr": rate, "weight_decay": decay}
    shrunk = (1 - rate * decay) ** steps * start
    alone = [principles.adam(start, np.zeros_like, rate, decay, steps, decoupled=apart) for apart in (False, True)]
    return {
        "coupled: torch's Adam with weight_decay": equal(
            coupled, _descended(energy, start, steps, torch.optim.Adam, **options)
        ),
        "decoupled: torch's AdamW": equal(decoupled, _descended(energy, start, steps, torch.optim.AdamW, **options)),
        "without a gradient decoupled decay is (1 - rate decay)^t w_0": np.allclose(alone[1], shrunk, rtol=1e-12),
        "without a gradient coupled decay is that": np.allclose(alone[0], shrunk, rtol=1e-3),
    }


def _descended(
    energy: Callable[[Tensor], Tensor],
    start: Array,
    steps: int,
    optimizer: Callable[..., torch.optim.Optimizer],
    **options: float,
) -> Tensor:
    (w,) = tensors([start])
    descending = optimizer([w], **options)
    for _ in range(steps):
        descending.zero_grad()
        energy(w).backward()
        descending.step()
    return w
