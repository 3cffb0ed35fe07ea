"""Every kind of optimizer against its closed form."""

import math
from typing import get_args

import pytest
import torch
from torch import nn

from convsmith.training.muon import FilterMuon, as_matrix
from convsmith.training.optimize import make_optimizer, optimizer_state, restore_optimizer, set_rate
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.options import Optimizer, OptimizerKind, Rule

KINDS = list(OPTIMIZERS)
CURVATURE = 3.0


class Point(nn.Module):
    """A place on the quadratic CURVATURE / 2 * |w|^2."""

    def __init__(self, *values: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))


def walk(rates, values=(2.0, -1.0), **options):
    """The places after steps of the given rates on the quadratic."""
    point = Point(*values)
    optimizer = make_optimizer(point, Optimizer(lr=1.0, **options))
    places = []
    for rate in rates:
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        (CURVATURE / 2 * point.w.square().sum()).backward()
        optimizer.step()
        places.append(point.w.detach().tolist())
    return places


def test_the_table_has_a_row_for_every_kind():
    assert tuple(OPTIMIZERS) == get_args(OptimizerKind)


def test_coupled_decay_of_sgd_adds_to_the_curvature():
    places = walk([0.1] * 6, momentum=0.0, weight_decay=0.5)
    for n, place in enumerate(places, 1):
        shrunk = (1 - 0.1 * (CURVATURE + 0.5)) ** n
        assert place == pytest.approx([2 * shrunk, -shrunk], abs=1e-14)


def test_coupled_decay_of_adam_vanishes_in_its_sign_steps():
    # Without memory Adam steps by the sign of gradient plus decay: the decay changes nothing.
    for decay in (0.0, 0.5):
        places = walk([0.1] * 6, kind="adam", momentum=0.0, beta2=0.0, eps=1e-30, weight_decay=decay)
        for n, place in enumerate(places, 1):
            assert place == pytest.approx([2 - 0.1 * n, -1 + 0.1 * n], abs=1e-12)


def test_decoupled_decay_of_adamw_shrinks_the_weights_apart_from_its_sign_steps():
    decay, rate = 0.5, 0.1
    places = walk([rate] * 6, kind="adamw", momentum=0.0, beta2=0.0, eps=1e-30, weight_decay=decay)
    for n, place in enumerate(places, 1):
        # w <- (1 - rate * decay) * w - rate * sign(w), whose fixed point is -sign(w) / decay.
        shrunk = (1 - rate * decay) ** n
        assert place == pytest.approx([(2 + 1 / decay) * shrunk - 1 / decay, -(1 + 1 / decay) * shrunk + 1 / decay])


def reference(kind, rates, values, momentum, beta2, eps, decay):
    """Plain Python, from the papers' formulas."""
    places, w = [], list(values)
    m, v, b = [0.0] * len(w), [0.0] * len(w), [0.0] * len(w)
    for n, rate in enumerate(rates, 1):
        g = [CURVATURE * x for x in w]
        if kind in ("adam", "rmsprop"):
            g = [y + decay * x for x, y in zip(w, g, strict=True)]
        v = [beta2 * a + (1 - beta2) * y * y for a, y in zip(v, g, strict=True)]
        if kind == "rmsprop":
            b = [momentum * a + y / (math.sqrt(s) + eps) for a, y, s in zip(b, g, v, strict=True)]
            w = [x - rate * step for x, step in zip(w, b, strict=True)]
            places.append(w)
            continue
        m = [momentum * a + (1 - momentum) * y for a, y in zip(m, g, strict=True)]
        steps = [a / (1 - momentum**n) / (math.sqrt(s / (1 - beta2**n)) + eps) for a, s in zip(m, v, strict=True)]
        if kind == "adamw":
            w = [x - rate * decay * x for x in w]
        if kind == "lamb":
            steps = [step + decay * x for step, x in zip(steps, w, strict=True)]
            length = math.hypot(*w) / math.hypot(*steps) if any(w) else 1.0
            steps = [length * step for step in steps]
        w = [x - rate * step for x, step in zip(w, steps, strict=True)]
        places.append(w)
    return places


@pytest.mark.parametrize("values", [(2.0, -1.0), (0.0, 0.5)])
@pytest.mark.parametrize("kind", ["adam", "adamw", "rmsprop", "lamb"])
def test_adaptive_kinds_follow_their_papers(kind, values):
    rates = (0.1, 0.2, 0.05, 0.1)
    # A large eps shows where it is added: after the root.
    options = {"momentum": 0.8, "beta2": 0.9, "eps": 0.3}
    expected = reference(kind, rates, values, **options, decay=0.25)
    for place, wanted in zip(walk(rates, values, kind=kind, weight_decay=0.25, **options), expected, strict=True):
        assert place == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "beta2", "eps"),
    [("adam", 0.999, 1e-8), ("adamw", 0.999, 1e-8), ("rmsprop", 0.99, 1e-8), ("lamb", 0.999, 1e-6)],
)
def test_numbers_that_are_not_given_are_the_kinds_own(kind, beta2, eps):
    assert walk((0.1, 0.1), kind=kind) == walk((0.1, 0.1), kind=kind, beta2=beta2, eps=eps)


def test_lamb_moves_a_layer_by_its_rate_times_its_length_and_a_layer_of_zeros_all_the_same():
    (place,) = walk([0.1], values=(3.0, -4.0), kind="lamb", weight_decay=0.0)
    assert math.dist(place, (3.0, -4.0)) == pytest.approx(0.1 * 5, rel=1e-6)
    point = Point(0.0)
    optimizer = make_optimizer(point, Optimizer(kind="lamb", lr=0.1, weight_decay=0.0))
    point.w.grad = torch.ones_like(point.w)
    optimizer.step()
    assert point.w.item() == pytest.approx(-0.1, rel=1e-5)


# ------------------------------------------------------------------------------------------------------------- Muon


def filters(layout=torch.contiguous_format):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(32, 4)
    )
    return module.to(memory_format=layout)


def give_gradients(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (8, 1, 5, 3), (8, 5, 1, 1), (6, 4, 2, 3)])
def test_a_filter_bank_as_a_matrix_shares_its_memory(shape, layout):
    bank = torch.randn(shape).to(memory_format=layout)
    matrix = as_matrix(bank)
    assert matrix.shape == (shape[0], math.prod(shape[1:]))
    assert matrix.untyped_storage().data_ptr() == bank.untyped_storage().data_ptr()
    for row, own in zip(matrix, bank, strict=True):
        assert sorted(row.tolist()) == sorted(own.flatten().tolist())
    other = torch.randn(shape)
    # Both see element i of the bank in the same column.
    torch.testing.assert_close((as_matrix(other, like=bank) * matrix).sum(1), (other * bank).flatten(1).sum(1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_makes_the_step_of_a_filter_bank_nearly_orthogonal(layout):
    module = filters(layout)
    optimizer = make_optimizer(module, Optimizer(kind="muon", lr=0.1, weight_decay=0.5))
    give_gradients(module, 1)
    before = module[0].weight.detach().clone()
    optimizer.step()
    # Decoupled decay first; then a step whose singular values are about 0.2 * sqrt(the longer side) * rate.
    step = (before * (1 - 0.1 * 0.5) - module[0].weight.detach()).flatten(1)
    values = torch.linalg.svdvals(step) / (0.1 * 0.2 * math.sqrt(27))
    assert 0.6 < values.min() <= values.max() < 1.3
    # Half of it is the gradient's direction: the same singular vectors.
    u, _, v = torch.linalg.svd(module[0].weight.grad.flatten(1), full_matrices=False)
    turned = u.T @ step @ v.T
    assert (turned - turned.diag().diag()).norm() < 0.05 * turned.norm()


def test_muon_leaves_all_but_filters_to_adamw():
    one, other = filters(), filters()
    muon = make_optimizer(one, Optimizer(kind="muon", lr=0.01, weight_decay=0.1))
    adamw = make_optimizer(other, Optimizer(kind="adamw", lr=0.01, weight_decay=0.1))
    for seed in range(3):
        for module, optimizer in ((one, muon), (other, adamw)):
            give_gradients(module, seed)
            set_rate(optimizer, 0.01 * (seed + 1))
            optimizer.step()
    for (name, mine), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs) == (mine.ndim < 4), name
    assert isinstance(muon, FilterMuon)


def test_muon_takes_rates_and_decay_from_the_rules():
    plain, ruled = filters(), filters()
    rule = Rule("^0.weight", lr=0.5, weight_decay=0.0)
    optimizers = [
        make_optimizer(plain, Optimizer(kind="muon", lr=0.05, weight_decay=0.0)),
        make_optimizer(ruled, Optimizer(kind="muon", lr=0.1, weight_decay=0.3, rules=(rule,))),
    ]
    for module, optimizer, lr in zip((plain, ruled), optimizers, (0.05, 0.1), strict=True):
        set_rate(optimizer, lr)
        give_gradients(module, 0)
        optimizer.step()
    assert torch.equal(plain[0].weight, ruled[0].weight)
    assert not torch.equal(plain[2].weight, ruled[2].weight)


def test_muon_steps_alike_in_both_layouts():
    steps = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        module = filters(layout)
        optimizer = make_optimizer(module, Optimizer(kind="muon", lr=0.1, nesterov=True))
        give_gradients(module, 1)
        before = module[0].weight.detach().clone()
        optimizer.step()
        steps[layout] = module[0].weight.detach() - before
    one, other = steps.values()
    assert (one - other).norm() < 0.02 * one.norm()  # the iteration runs in bf16


# ------------------------------------------------------------------------------------------------------------ state


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_optimizer_of_any_kind_goes_on_with_the_same_bits(kind, layout):
    options = Optimizer(kind=kind, lr=0.01, nesterov=True, rules=(Rule("^4", freeze=True), Rule("^2", lr=2.0)))
    straight, resumed = filters(layout), filters(layout)
    optimizer, again = make_optimizer(straight, options), make_optimizer(resumed, options)
    for seed in range(3):
        give_gradients(straight, seed)
        optimizer.step()
    saved = {key: value.contiguous().clone() for key, value in optimizer_state(optimizer, straight).items()}
    assert {key.partition("::")[0] for key in saved} == {n for n, _ in straight.named_parameters() if n[0] != "4"}
    resumed.load_state_dict(straight.state_dict())
    restore_optimizer(again, resumed, saved)
    for seed in range(3, 6):
        for module, own in ((straight, optimizer), (resumed, again)):
            give_gradients(module, seed)
            own.step()
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    for key, value in optimizer_state(optimizer, straight).items():
        assert torch.equal(value, optimizer_state(again, resumed)[key]), key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beta2": 1.0}, "optimizer.beta2: expected a number from 0 to below 1, received 1.0"),
        ({"eps": 0.0}, "optimizer.eps: expected a number above 0, received 0.0"),
        ({"clip": 0.0}, "optimizer.clip: expected a number above 0, received 0.0"),
        ({"sam": -0.1}, "optimizer.sam: expected a number above 0, received -0.1"),
        ({"accumulate": 0}, "optimizer.accumulate: expected a whole number from 1, received 0"),
    ],
)
def test_impossible_numbers(fields, message):
    with pytest.raises(ValueError, match=message):
        Optimizer(**fields)
