import pytest
import torch
from torch import nn

from convsmith.base.errors import BadFile, UsageError
from convsmith.training.optimize import make_optimizer, optimizer_state, restore_optimizer, set_rate
from convsmith.training.options import Optimizer, Rule


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).double()


def step(module, optimizer, seed, lr=None):
    """One step on a fixed batch; gives the gradients that it used."""
    if lr is not None:
        set_rate(optimizer, lr)
    optimizer.zero_grad()
    images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    module(images).square().sum().backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    optimizer.step()
    return gradients


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_update_is_the_closed_form_with_coupled_decay(nesterov):
    options = Optimizer(lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01)
    module = network()
    optimizer = make_optimizer(module, options)
    expected = [p.detach().clone() for p in module.parameters()]
    momentum = [torch.zeros_like(p) for p in expected]
    for number, lr in enumerate((0.1, 0.05, 0.2)):
        gradients = step(module, optimizer, number, lr)
        for w, m, gradient in zip(expected, momentum, gradients, strict=True):
            decayed = gradient + 0.01 * w
            m.mul_(0.9).add_(decayed)
            w.sub_(lr * (decayed + 0.9 * m if nesterov else m))
    for w, parameter in zip(expected, module.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), w, rtol=0, atol=1e-14)


def group_of(optimizer, parameter):
    return next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))


def test_rules_set_decay_and_rate_and_freeze_by_name():
    rules = (Rule("bias|^1", weight_decay=0.0), Rule("^3", lr=10.0), Rule("^0", freeze=True))
    module = network()
    optimizer = make_optimizer(module, Optimizer(lr=0.1, weight_decay=0.5, rules=rules))
    set_rate(optimizer, 0.02)
    named = dict(module.named_parameters())
    found = {
        name: (group_of(optimizer, p)["weight_decay"], group_of(optimizer, p)["lr"])
        for name, p in named.items()
        if p.requires_grad
    }
    # The first rule that matches holds: 3.bias has no decay and the usual rate.
    assert found == {
        "0.bias": (0.0, 0.02), "1.weight": (0.0, 0.02), "1.bias": (0.0, 0.02), "3.weight": (0.5, 0.2),
        "3.bias": (0.0, 0.02),
    }  # fmt: skip
    assert not named["0.weight"].requires_grad
    before = named["0.weight"].detach().clone()
    step(module, optimizer, 0)
    assert torch.equal(named["0.weight"], before)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            (Rule("nothing"),),
            r"optimizer.rules: no parameter is called 'nothing'; names are like 0.weight, 0.bias, 3.bias",
        ),
        ((Rule("."), Rule("weight")), r"no parameter is left for 'weight'; an earlier rule holds for 0.weight"),
        ((Rule(".", freeze=True),), "optimizer.rules: every parameter is frozen, so there is nothing to train"),
        ((Rule("("),), r"optimizer.rules: '\(' is not a regular expression"),
        ((Rule("*norm*"),), r"'\*norm\*' is not a regular expression .* so 'norm' needs no stars"),
        ((Rule("^0"), Rule("1.wieght")), "no parameter is called '1.wieght'; nearest: 1.weight"),
    ],
)
def test_rules_that_mean_nothing_are_errors(rules, message):
    with pytest.raises(UsageError, match=message):
        make_optimizer(network(), Optimizer(rules=rules))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr": 0}, "optimizer.lr: expected a number above 0, received 0"),
        ({"momentum": 1}, "optimizer.momentum: expected a number from 0 to below 1, received 1"),
        ({"weight_decay": -1}, "optimizer.weight_decay: expected a number from 0, received -1"),
        ({"nesterov": True, "momentum": 0}, "optimizer.nesterov needs a momentum above 0"),
    ],
)
def test_impossible_numbers(fields, message):
    with pytest.raises(UsageError, match=message):
        Optimizer(**fields)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_restored_optimizer_goes_on_with_the_same_bits_in_the_same_layout(layout):
    options = Optimizer(lr=0.1, rules=(Rule("^3", freeze=True),))
    straight = network().to(memory_format=layout)
    optimizer = make_optimizer(straight, options)
    for number in range(3):
        step(straight, optimizer, number)
    # What safetensors gives back is contiguous.
    saved = {key: value.contiguous() for key, value in optimizer_state(optimizer, straight).items()}
    assert "0.weight::momentum_buffer" in saved
    assert not any(key.startswith("3.") for key in saved)
    resumed = network().to(memory_format=layout)
    resumed.load_state_dict(straight.state_dict())
    again = make_optimizer(resumed, options)
    restore_optimizer(again, resumed, saved)
    weight = resumed[0].weight
    assert again.state[weight]["momentum_buffer"].stride() == weight.stride()
    for number in range(3, 6):
        step(straight, optimizer, number)
        step(resumed, again, number)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_state_of_another_network_is_refused():
    module = network()
    with pytest.raises(BadFile, match="holds 'body::momentum_buffer', which is not a parameter of the network"):
        restore_optimizer(make_optimizer(module, Optimizer()), module, {"body::momentum_buffer": torch.zeros(1)})
