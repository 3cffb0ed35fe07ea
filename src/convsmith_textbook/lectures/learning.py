"""Learning from first principles: prints `principles.py`, applies it to numbers, and compares it with torch."""

import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convsmith_textbook.later import later
from convsmith_textbook.lectures import principles
from convsmith_textbook.lectures.entry import Entry, Figure
from convsmith_textbook.lectures.principles import Array

WEIGHTS = (np.array([[0.5, 0.0], [1.0, -1.0], [0.0, 0.5]]), np.array([[0.0], [1.0], [-0.5]]))
X, TARGET = np.array([[1.0, 2.0]]), np.array([[1.0]])

# Exclusive or with values -1 and 1, in batches of two; a network of 2, 3 and 1 units.
XOR = [
    (np.array([[-1.0, -1.0], [-1.0, 1.0]]), np.array([[-1.0], [1.0]])),
    (np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1.0], [-1.0]])),
]
XOR_WEIGHTS = (
    np.array([[0.1, -0.2, 0.3], [0.5, -0.4, 0.2], [-0.3, 0.6, 0.4]]),
    np.array([[0.1], [0.5], [-0.6], [0.4]]),
)
XOR_RATE, XOR_EPOCHS = 0.5, 200


def code(*functions: Callable[..., Any]) -> list[str]:
    """The source of functions as lines, with a blank line after each."""
    return [line for function in functions for line in [*inspect.getsource(function).rstrip().split("\n"), ""]]


def rows(name: str, array: Array) -> str:
    """An array on one line: `z = [[2.5 0]]`."""
    return f"{name} = {np.array2string(np.asarray(array) + 0.0, precision=4, separator=' ').replace(chr(10), '')}"


def backpropagation_steps() -> list[str]:
    """The functions, then one input through two layers and back."""
    out, layers = principles.forward(X, WEIGHTS)
    gradients = principles.backward(out - TARGET, layers, WEIGHTS)
    lines = [*code(principles.forward, principles.backward), rows("x", X)]
    for number, (_, z) in enumerate(layers, 1):
        lines += [rows(f"layer {number}: z", z) + ", " + rows("y", np.tanh(z))]
    lines += [rows("target t", TARGET) + ", " + rows("dl/dy = y - t", out - TARGET)]
    return lines + [rows(f"layer {n}: dl/dW", g) for n, g in reversed([*enumerate(gradients, 1)])]


def sgd_losses(reset: bool) -> list[float]:
    """The loss after each epoch on exclusive or."""
    return [loss for _, loss in principles.sgd(XOR_WEIGHTS, XOR, XOR_RATE, XOR_EPOCHS, reset)]


def sgd_steps() -> list[str]:
    """The loop, then its losses with and without the reset."""
    right, printed = sgd_losses(True), sgd_losses(False)
    shown = [1, 2, 5, 10, 20, 50, 100, 200]
    lines = [f"{epoch:>7}{right[epoch - 1]:>14.5f}{printed[epoch - 1]:>14.5f}" for epoch in shown]
    return [*code(principles.descent, principles.sgd), f"{'epoch':>7}{'loss, reset':>14}{'as printed':>14}", *lines]


def four_masks(keep: float) -> list[tuple[tuple[int, ...], float]]:
    """Each mask of two inputs with its probability."""
    masks = itertools.product((1, 0), repeat=2)
    return [(mask, math.prod(keep if kept else 1 - keep for kept in mask)) for mask in masks]


def dropout_steps() -> list[str]:
    """The functions, then the four masks of a neuron with two inputs."""
    lines = code(principles.dropout, principles.dropout_predict, principles.dropout_train_step)
    lines += ["a neuron a = w1 x + w2 y, each input kept with probability 1/2:"]
    terms = ("w1 x", "w2 y")
    for mask, probability in four_masks(0.5):
        kept = " + ".join(term for term, m in zip(terms, mask, strict=True) if m) or "0"
        lines.append(f"  mask {mask[0]} {mask[1]}, probability {probability:g}: a = {kept}")
    return [*lines, "  mean over the masks: 1/4 (2 w1 x + 2 w2 y) = 1/2 (w1 x + w2 y)"]


def inverted_steps() -> list[str]:
    """The function, then one draw."""
    y = np.array([[1.0, 2.0, 3.0, 4.0]])
    dropped, mask = principles.inverted_dropout(y, 0.75, np.random.default_rng(1))
    lines = [rows("y", y), rows("mask, 3 of 4 kept", mask), rows("training", dropped), rows("test", y)]
    return [*code(principles.inverted_dropout), *lines]


def decay_steps() -> list[str]:
    """The update, on E = (w - 3)^2 / 2 with and without decay."""
    w = np.array([1.0])
    head = "E = (w - 3)^2 / 2, rate 0.1, from w = 1; with decay 0.5 the minimum is at 2:"
    lines = [*code(principles.decayed_sgd), head]
    for steps in (1, 10, 100):
        values = [principles.decayed_sgd(w, lambda w: w - 3, 0.1, decay, steps)[0] for decay in (0.0, 0.5)]
        lines.append(f"  {steps:>3} steps: w = {values[0]:.6f} without, {values[1]:.6f} with decay 0.5")
    return lines


def _of(*functions: Callable[..., Any]) -> Callable[[], Sequence[str]]:
    return lambda: code(*functions)[:-1]


def _checks(*names: str) -> tuple[Figure, ...]:
    return tuple(Figure(name, None, True) for name in names)


_KEEP = "the 'dropout probability' that a slide multiplies with is the one of keeping; at 1/2 both are the same"

ENTRIES = {
    "backpropagation": Entry(
        title="the forward pass and the four formulas of backpropagation, in NumPy",
        rows="3.2 3.3",
        lectures="layers",
        source="biases are weights of a y_0 = 1; the gradient is the batch's sum",
        compute=later("lectures.learning_checks", "backpropagation"),
        figures=_checks(
            "outputs are torch's",
            "last layer's weights: autograd's gradient",
            "first layer's weights: autograd's gradient",
            "first layer's weights: the difference quotient",
        ),
        steps=backpropagation_steps,
    ),
    "sgd-pseudo-code": Entry(
        title="stochastic gradient descent as printed never resets its total",
        rows="3.1 11.15",
        lectures="layers",
        source="exclusive or, 2-3-1 units with tanh, batches of 2, rate 0.5",
        compute=later("lectures.learning_checks", "descent"),
        figures=(
            Figure("with the reset: the weights of torch's SGD", None, True),
            Figure(
                "as printed: the weights of torch's SGD",
                None,
                False,
                "total_g += g keeps the gradients of all earlier batches, which is a momentum of 1: nothing slows the "
                "weights down at a minimum; and the error is that of f(x; theta) and y, not of their difference",
            ),
            *_checks(
                "as printed: torch's SGD with the gradients left in place",
                "as printed: torch's SGD with a momentum of 1",
            ),
            Figure("on w^2 / 2 with rate 0.5, |w| after 100 steps is below 1e-9", None, True),
            Figure("the same as printed", None, False, "it swings from 1 to -1 and back for ever"),
        ),
        steps=sgd_steps,
    ),
    "dropout-example": Entry(
        title="dropout keeps the mean; its masks are an ensemble",
        rows="2.38 5.4 5.5 5.7 10.7 11.16",
        lectures="regularization layers residual",
        source="the lectures' p is the share kept in one deck and the share dropped in two; `keep` and `drop` here",
        compute=later("lectures.learning_checks", "dropout"),
        figures=(
            Figure("mean over the 4 masks / (w1 x + w2 y)", None, 0.5),
            Figure("the same with 3 of 4 kept", None, 0.75, _KEEP),
            Figure("sub-networks of 10 units", None, 1024),
            *_checks(
                "a linear network at test: the mean over all masks",
                "loss of a training step: torch's with the same masks",
                "its gradients: autograd's",
            ),
        ),
        steps=dropout_steps,
    ),
    "inverted-dropout": Entry(
        title="inverted dropout: what is kept is divided by its share, and the test is left alone",
        rows="5.6",
        lectures="regularization layers residual",
        compute=later("lectures.learning_checks", "inverted_dropout"),
        figures=(
            *_checks(
                "kept with 0.75 and divided by it, the mean is x",
                "with torch's mask: torch's dropout",
                "gradients of a training step: autograd's through torch's dropout",
            ),
            Figure("our layer's mean of ones, to 2 digits", None, 1.0),
        ),
        steps=inverted_steps,
    ),
    "batch-norm-example": Entry(
        title="batch normalization of (20, 100, 32, 32) by its formula",
        rows="2.37 3.8 5.14 11.31",
        lectures="layers residual",
        source="Ioffe and Szegedy 2015; eps stands under the root, test images use running averages",
        compute=later("lectures.learning_checks", "batch_norm"),
        figures=(
            Figure("parameters", None, 200),
            *_checks("biased variance in training", "unbiased variance is stored", "stored averages at test"),
        ),
        steps=_of(principles.batch_norm),
    ),
    "batch-norm-backward": Entry(
        title="the gradients of batch normalization",
        rows="2.37 3.8",
        lectures="layers residual",
        source="Ioffe and Szegedy 2015, section 3",
        compute=later("lectures.learning_checks", "batch_norm_backward"),
        figures=_checks(
            "images: dl/dx, dl/dgamma, dl/dbeta are autograd's",
            "vectors: dl/dx, dl/dgamma, dl/dbeta are autograd's",
            "dl/dx sums to 0 over the batch: a shift of x changes nothing",
            "x dl/dx sums to 0 over the batch: a scale of x changes nothing",
        ),
        steps=_of(principles.batch_norm, principles.batch_norm_backward),
    ),
    "convolution-backward": Entry(
        title="a convolution of a batch, and its gradients",
        rows="2.2 3.3",
        lectures="layers",
        source="stride 2, a zero on each side; the gradient of the input is the transposed convolution",
        compute=later("lectures.learning_checks", "convolution"),
        figures=_checks(
            "outputs are torch's",
            "dl/dx: autograd's",
            "dl/dx: torch's transposed convolution of dl/dy",
            "dl/dw: autograd's",
            "dl/db: autograd's",
        ),
        steps=_of(principles.convolution, principles.convolution_backward),
    ),
    "weight-decay": Entry(
        title="L2 regularization as decay of the weights",
        rows="5.1",
        lectures="regularization",
        source="on E = a / 2 (w - c)^2: w_t = w* + (1 - rate (a + decay))^t (w_0 - w*), w* = a c / (a + decay)",
        compute=later("lectures.learning_checks", "weight_decay"),
        figures=_checks(
            "w <- (1 - alpha lambda) w - alpha dE/dw: torch's SGD with weight_decay",
            "autograd's descent on E + lambda / 2 sum w²",
            "the closed form after 25 steps",
        ),
        steps=decay_steps,
    ),
    "decoupled-decay": Entry(
        title="with Adam, decay in the gradient and decay apart from it are not the same",
        rows="5.1",
        lectures="regularization",
        source="Loshchilov and Hutter 2019, algorithm 2",
        compute=later("lectures.learning_checks", "decoupled_decay"),
        figures=(
            *_checks(
                "coupled: torch's Adam with weight_decay",
                "decoupled: torch's AdamW",
                "without a gradient decoupled decay is (1 - rate decay)^t w_0",
            ),
            Figure("without a gradient coupled decay is that", None, False, "Adam divides the decay by its own size"),
        ),
        steps=_of(principles.adam),
    ),
}
