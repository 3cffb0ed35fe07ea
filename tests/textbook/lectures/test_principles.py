"""The lectures' NumPy agrees with torch, value by value, on other sizes than those that `reproduce` shows."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from convsmith_textbook.lectures import principles
from convsmith_textbook.lectures.answer import answers
from convsmith_textbook.lectures.entries import ENTRIES, TOPICS
from convsmith_textbook.lectures.learning import XOR, XOR_WEIGHTS

RANDOM = np.random.default_rng(3)


def leaves(*arrays):
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("widths", [(3, 1), (2, 5, 4, 3, 2)])
def test_forward_and_backward_of_relu_networks(widths):
    weights = [RANDOM.standard_normal((a + 1, b)) for a, b in itertools.pairwise(widths)]
    x = RANDOM.standard_normal((6, widths[0]))
    out, layers = principles.forward(x, weights, principles.relu)
    ours = principles.backward(np.ones_like(out), layers, weights, principles.relu_slope)
    theirs = leaves(*weights)
    y = torch.tensor(x)
    for w in theirs:
        y = torch.relu(torch.cat([torch.ones(6, 1, dtype=torch.float64), y], 1) @ w)
    close(out, y)
    for mine, gradient in zip(ours, torch.autograd.grad(y.sum(), theirs), strict=True):
        close(mine, gradient)


def test_a_layer_by_hand():
    """z = 1 + 2 * 3 - 1 * 4 = 3; dl/dw = (1, 3, 4)."""
    weights = [np.array([[1.0], [2.0], [-1.0]])]
    out, layers = principles.forward(np.array([[3.0, 4.0]]), weights, principles.relu)
    assert out.tolist() == [[3.0]]
    (gradient,) = principles.backward(np.ones((1, 1)), layers, weights, principles.relu_slope)
    assert gradient.tolist() == [[1.0], [3.0], [4.0]]


def test_descent_learns_exclusive_or_and_leaves_its_first_weights_alone():
    before = [w.copy() for w in XOR_WEIGHTS]
    epochs = list(principles.sgd(XOR_WEIGHTS, XOR, 0.5, 200))
    assert epochs[0][1] > 0.5
    assert epochs[-1][1] < 0.002
    signs = [np.sign(principles.forward(x, epochs[-1][0])[0]) for x, _ in XOR]
    assert all(np.array_equal(s, target) for s, (_, target) in zip(signs, XOR, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, XOR_WEIGHTS, strict=True))


@pytest.mark.parametrize("keep", [0.25, 0.5, 1.0])
def test_plain_and_inverted_dropout_differ_by_their_share(keep):
    y = RANDOM.standard_normal((40, 50))
    plain, mask = principles.dropout(y, keep, np.random.default_rng(0))
    inverted, scaled = principles.inverted_dropout(y, keep, np.random.default_rng(0))
    np.testing.assert_allclose(inverted * keep, plain)
    assert set(np.unique(scaled)) <= {0.0, 1 / keep}
    assert abs(mask.mean() - keep) < 0.04
    np.testing.assert_allclose(principles.dropout_predict(y, keep), keep * y)


@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 6), (2, 3, 4, 5)])
def test_batch_norm_and_its_gradients(shape):
    x, dy = RANDOM.standard_normal((2, *shape))
    gamma, beta = RANDOM.standard_normal((2, shape[1]))
    y, normal, scale = principles.batch_norm(x, gamma, beta)
    theirs = leaves(x, gamma, beta)
    expected = functional.batch_norm(theirs[0], None, None, theirs[1], theirs[2], training=True)
    close(y, expected)
    gradients = torch.autograd.grad(expected, theirs, torch.tensor(dy))
    for ours, gradient in zip(principles.batch_norm_backward(dy, normal, scale, gamma), gradients, strict=True):
        close(ours, gradient)


@pytest.mark.parametrize(
    ("stride", "padding", "kernel"), [(1, 0, (3, 3)), (2, 1, (3, 3)), (3, 2, (2, 5)), (2, 0, (1, 1))]
)
def test_convolution_and_its_gradients(stride, padding, kernel):
    x, w, b = RANDOM.standard_normal((2, 3, 8, 9)), RANDOM.standard_normal((4, 3, *kernel)), RANDOM.standard_normal(4)
    y = principles.convolution(x, w, b, stride, padding)
    theirs = leaves(x, w, b)
    expected = functional.conv2d(*theirs, stride=stride, padding=padding)
    close(y, expected)
    dy = RANDOM.standard_normal(y.shape)
    gradients = torch.autograd.grad(expected, theirs, torch.tensor(dy))
    for ours, gradient in zip(principles.convolution_backward(dy, x, w, stride, padding), gradients, strict=True):
        close(ours, gradient)


def test_decay_alone_halves_as_the_closed_form_has_it():
    w = principles.decayed_sgd(np.array([8.0]), np.zeros_like, rate=0.5, decay=1.0, steps=3)
    assert w.tolist() == [1.0]


@pytest.mark.parametrize("name", TOPICS["how networks learn, in NumPy"])
def test_each_entry_prints_the_code_that_it_holds_against_torch(name):
    steps = list(ENTRIES[name].given(ENTRIES[name].steps))
    assert any(line.startswith("def ") for line in steps)
    assert all(type(answer.ours) in (bool, int, float) for answer in answers(ENTRIES[name]))


def test_the_printed_loop_and_its_reason():
    found = {answer.figure.name: answer for answer in answers(ENTRIES["sgd-pseudo-code"])}
    assert found["as printed: torch's SGD with a momentum of 1"].ours is True
    assert "momentum of 1" in found["as printed: the weights of torch's SGD"].figure.why
    assert found["the same as printed"].ours is False
