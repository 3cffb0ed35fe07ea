"""How a network computes and learns, in NumPy alone: each formula of the lectures as a few lines.

A batch is (N, features) or (N, channels, height, width). `convsmith reproduce` prints these functions with their
numbers; `learning_checks.py` compares them with torch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

Array = np.ndarray
Layers = list[tuple[Array, Array]]  # what each layer received, with its leading 1, and its sums z
Batch = TypeVar("Batch")


def tanh_slope(z: Array) -> Array:
    """The derivative of tanh."""
    return 1 - np.tanh(z) ** 2


def relu(z: Array) -> Array:
    """max(0, z)."""
    return np.maximum(0, z)


def relu_slope(z: Array) -> Array:
    """The derivative of ReLU; 0 at 0, as torch has it."""
    return (z > 0).astype(float)


def forward(x: Array, weights: Sequence[Array], f: Callable[[Array], Array] = np.tanh) -> tuple[Array, Layers]:
    """z_j = sum_i w_ij y_i and y_j = f(z_j), layer by layer; a leading y_0 = 1 makes row 0 of W the bias."""
    layers: Layers = []
    for w in weights:
        y = np.hstack([np.ones((len(x), 1)), x])
        z = y @ w
        layers.append((y, z))
        x = f(z)
    return x, layers


def backward(
    gradient: Array, layers: Layers, weights: Sequence[Array], slope: Callable[[Array], Array] = tanh_slope
) -> list[Array]:
    """dl/dW of every layer, summed over the batch, from dl/dy of the outputs: the last layer first."""
    gradients: list[Array] = []
    for (y, z), w in zip(reversed(layers), reversed(weights), strict=True):
        dz = slope(z) * gradient  # dl/dz_j = f'(z_j) dl/dy_j
        gradients.append(y.T @ dz)  # dl/dw_ij = y_i dl/dz_j
        gradient = dz @ w[1:].T  # dl/dy_i = sum_j w_ij dl/dz_j
    return gradients[::-1]


def descent(
    weights: Sequence[Array],
    gradients: Callable[[list[Array], Batch], Sequence[Array]],
    batches: Iterable[Batch],
    rate: float,
    reset: bool = True,
) -> Iterator[list[Array]]:
    """The weights after each batch, a step down its gradient; the printed loop never resets its total."""
    weights = [w.copy() for w in weights]
    totals = [np.zeros_like(w) for w in weights]
    for batch in batches:
        totals = [total * (not reset) for total in totals]  # total_g = 0, the line that is missing
        for total, g in zip(totals, gradients(weights, batch), strict=True):
            total += g
        for w, total in zip(weights, totals, strict=True):
            w -= rate * total
        yield weights


def sgd(
    weights: Sequence[Array], batches: Sequence[tuple[Array, Array]], rate: float, epochs: int, reset: bool = True
) -> Iterator[tuple[list[Array], float]]:
    """The weights and the mean loss (y - t)^2 / 2 after each epoch of `descent`."""

    def gradients(weights: list[Array], batch: tuple[Array, Array]) -> list[Array]:
        x, target = batch
        y, layers = forward(x, weights)
        return [g / len(x) for g in backward(y - target, layers, weights)]

    for step, now in enumerate(descent(weights, gradients, [*batches] * epochs, rate, reset), 1):
        if step % len(batches) == 0:
            errors = [forward(x, now)[0] - target for x, target in batches]
            yield now, float(np.mean([(e**2).sum(1) / 2 for e in errors]))


def dropout(y: Array, keep: float, random: np.random.Generator) -> tuple[Array, Array]:
    """Training: each unit is kept with probability `keep`; the mask is needed again on the way back."""
    mask = random.random(y.shape) < keep
    return y * mask, mask


def dropout_predict(y: Array, keep: float) -> Array:
    """Test: every unit is there, so that each is made as small as it was on average."""
    return y * keep


def inverted_dropout(y: Array, keep: float, random: np.random.Generator) -> tuple[Array, Array]:
    """Training: what is kept is divided by `keep`, so that at test nothing is left to do."""
    mask = (random.random(y.shape) < keep) / keep
    return y * mask, mask


def dropout_train_step(
    x: Array, weights: Sequence[Array], target: Array, masks: Sequence[Array]
) -> tuple[float, list[Array]]:
    """Loss and gradients of a ReLU network with a linear last layer and a mask on each hidden one: m_i phi(z_i)."""
    layers: Layers = []
    for w, mask in zip(weights[:-1], masks, strict=True):
        x, (layer,) = forward(x, [w], relu)
        x = x * mask
        layers.append(layer)
    out, (last,) = forward(x, weights[-1:], lambda z: z)
    dz = out - target
    gradients = [last[0].T @ dz]
    for (y, z), mask, above in zip(reversed(layers), reversed(masks), reversed(weights[1:]), strict=True):
        dz = relu_slope(z) * mask * (dz @ above[1:].T)  # what was dropped gets no gradient
        gradients.insert(0, y.T @ dz)
    return float(((out - target) ** 2).sum() / 2), gradients


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """gamma (x - mu) / sqrt(var + eps) + beta for each channel; also the normalized values and 1 / sqrt(var + eps)."""
    axes = (0, *range(2, x.ndim))  # all but the channels
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    scale = 1 / np.sqrt(variance + eps)
    normal = (x - mean) * scale
    return _per_channel(gamma, x) * normal + _per_channel(beta, x), normal, scale


def batch_norm_backward(dy: Array, normal: Array, scale: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """dl/dx, dl/dgamma and dl/dbeta: mean and variance depend on x too, which takes away two means."""
    axes = (0, *range(2, dy.ndim))
    dgamma, dbeta = (dy * normal).sum(axes), dy.sum(axes)
    dn = _per_channel(gamma, dy) * dy
    dx = scale * (dn - dn.mean(axes, keepdims=True) - normal * (dn * normal).mean(axes, keepdims=True))
    return dx, dgamma, dbeta


def _per_channel(values: Array, x: Array) -> Array:
    return values.reshape(1, -1, *(1,) * (x.ndim - 2))


def convolution(x: Array, w: Array, b: Array, stride: int = 1, padding: int = 0) -> Array:
    """y[o,r,t] = b_o + sum over c, i, j of w[o,c,i,j] x[c, r s + i, t s + j]; `padding` zeros on each side."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
    y = np.zeros((len(x), len(w), rows, columns)) + b[:, None, None]
    for i, j in np.ndindex(*w.shape[2:]):  # one weight of every filter at a time, over the whole image
        under = x[..., i : i + rows * stride : stride, j : j + columns * stride : stride]
        y += np.einsum("nchw,oc->nohw", under, w[:, :, i, j])
    return y


def convolution_backward(
    dy: Array, x: Array, w: Array, stride: int = 1, padding: int = 0
) -> tuple[Array, Array, Array]:
    """dl/dx, dl/dw and dl/db: each weight meets what it was multiplied with, each input all its weights."""
    inside = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x = np.pad(x, inside)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    rows, columns = (n * stride for n in dy.shape[2:])
    for i, j in np.ndindex(*w.shape[2:]):
        under = (..., slice(i, i + rows, stride), slice(j, j + columns, stride))
        dw[:, :, i, j] = np.einsum("nohw,nchw->oc", dy, x[under])
        dx[under] += np.einsum("nohw,oc->nchw", dy, w[:, :, i, j])
    height, width = x.shape[2:]
    return dx[:, :, padding : height - padding, padding : width - padding], dw, dy.sum((0, 2, 3))


def decayed_sgd(w: Array, gradient: Callable[[Array], Array], rate: float, decay: float, steps: int) -> Array:
    """Gradient descent on E + decay / 2 sum w^2: w <- (1 - rate decay) w - rate dE/dw."""
    for _ in range(steps):
        w = (1 - rate * decay) * w - rate * gradient(w)
    return w


def adam(w: Array, gradient: Callable[[Array], Array], rate: float, decay: float, steps: int, decoupled: bool) -> Array:
    """Adam, with the decay in the gradient (coupled: L2), or apart from it (AdamW, Loshchilov and Hutter 2019)."""
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        g = gradient(w) + (0 if decoupled else decay * w)
        w = w - (rate * decay * w if decoupled else 0)
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        w = w - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return w
