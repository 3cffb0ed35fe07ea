"""Initialization: the variance of each scheme, torchvision's rules, and seeds."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.modules.init import INITS, InitRule, initialize
from convsmith.nets.zoo import network

FAN_IN, FAN_OUT = 64 * 9, 256 * 9
VARIANCE = {
    "he_in": 2 / FAN_IN,
    "zero_residual": 2 / FAN_IN,
    "he": 2 / FAN_OUT,
    "vgg": 2 / FAN_OUT,
    "mnasnet": 2 / FAN_OUT,
    "efficientnet": 2 / FAN_OUT,
    "googlenet": 0.01**2,
    "inception_v3": 0.1**2,
    "squeezenet": 2 / FAN_IN,
    "densenet": 2 / FAN_IN,
    "regnet": 2 / FAN_OUT,
    "convnext": 0.02**2,
    "xavier": 2 / (FAN_IN + FAN_OUT),
    "lecun": 1 / FAN_IN,
    "torch": 1 / (3 * FAN_IN),  # uniform within 1 / sqrt(fan_in)
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_every_rule_has_its_variance():
    assert VARIANCE.keys() | {"dirac"} == INITS.keys()


def test_dirac_passes_the_inputs_on_and_leaves_the_rest_to_torch():
    layer = nn.Sequential(nn.Conv2d(64, 256, 3, padding=1))
    initialize(layer, "dirac")
    images = torch.randn(2, 64, 5, 5)
    with torch.no_grad():
        assert torch.equal(nn.functional.conv2d(images, layer[0].weight, padding=1)[:, :64], images)
    rest = layer[0].weight[64:]
    assert rest.var().item() == pytest.approx(VARIANCE["torch"], rel=0.02)


@pytest.mark.parametrize("name", VARIANCE)
def test_the_variance_of_a_large_layer(name):
    layer = nn.Sequential(nn.Conv2d(64, 256, 3))
    initialize(layer, name)
    weight = layer[0].weight
    assert weight.var().item() == pytest.approx(VARIANCE[name], rel=0.02)
    assert abs(weight.mean().item()) < 4 * math.sqrt(VARIANCE[name] / weight.numel())
    assert (name in ("torch", "regnet", "googlenet", "inception_v3")) == bool(layer[0].bias.any())


def test_xavier_is_uniform_and_the_others_normal():
    inside = {}
    for name in ("he_in", "he", "xavier", "lecun"):
        layer = nn.Conv2d(64, 256, 3)
        initialize(layer, name)
        inside[name] = layer.weight.abs().max().item() / math.sqrt(VARIANCE[name])
    assert inside.pop("xavier") == pytest.approx(math.sqrt(3), rel=1e-3)
    assert all(3.5 < largest < 6 for largest in inside.values())


def test_torchvisions_rules():
    layers = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(400, 500))
    torch_linear = layers[3].weight.clone()
    initialize(layers, "he")
    assert torch.equal(layers[3].weight, torch_linear)
    assert layers[0].weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.1)
    initialize(layers, "vgg")
    assert layers[3].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not layers[3].bias.any()
    assert layers[1].weight.unique().tolist() == [1.0]
    assert layers[1].bias.unique().tolist() == [0.0]


@pytest.mark.parametrize(("name", "variance"), [("mnasnet", 1 / 500), ("efficientnet", 1 / (3 * 500))])
def test_torchvisions_uniform_linear_layers(name, variance):
    layer = nn.Sequential(nn.Linear(400, 500))
    initialize(layer, name)
    assert layer[0].weight.var().item() == pytest.approx(variance, rel=0.02)
    assert layer[0].weight.abs().max().item() == pytest.approx(math.sqrt(3 * variance), rel=1e-3)
    assert not layer[0].bias.any()


def test_rules_for_parts_of_a_network():
    state = build(network("squeezenet1_1"), seed=0).state_dict()
    assert state["head.conv.weight"].std().item() == pytest.approx(0.01, rel=0.01)
    expand = state["stage3.fire9.expand.branch3x3.conv.weight"]
    assert expand.abs().max().item() == pytest.approx(math.sqrt(6 / (64 * 9)), rel=1e-3)
    assert expand.var().item() == pytest.approx(2 / (64 * 9), rel=0.02)
    assert not any(value.any() for key, value in state.items() if key.endswith("bias"))
    state = build(network("inception_v3"), seed=0).state_dict()
    parts = {"stage2.mixed6b.branch1.conv1": 0.1, "head.linear": 0.1, "aux1.conv1": 0.1, "aux1.conv2": 0.01}
    for part, deviation in {**parts, "aux1.linear": 0.001}.items():
        assert state[f"{part}.weight"].std().item() == pytest.approx(deviation, rel=0.02)
    assert state["head.linear.bias"].any()


def test_a_rule_may_leave_torchs_draw_and_zero_the_bias():
    layers = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Linear(400, 500))
    drawn = layers[1].weight.clone()
    initialize(layers, "densenet")
    assert torch.equal(layers[1].weight, drawn)
    assert not layers[1].bias.any()


@pytest.mark.parametrize(("conv", "size"), [(nn.Conv1d, (3,)), (nn.Conv3d, (3, 3, 3))])
def test_convolutions_of_other_dimensions_follow_the_same_rule(conv, size):
    layer = nn.Sequential(conv(64, 512, size))
    initialize(layer, "he_in")
    assert layer[0].weight.var().item() == pytest.approx(2 / (64 * math.prod(size)), rel=0.03)


def test_torch_draws_the_same_from_the_same_generator():
    ours, theirs = nn.Conv2d(8, 16, 3), nn.Conv2d(8, 16, 3)
    for name, draw in (("he", nn.init.kaiming_normal_), ("xavier", nn.init.xavier_uniform_)):
        torch.manual_seed(3)
        initialize(ours, name)
        torch.manual_seed(3)
        draw(theirs.weight, **({"mode": "fan_out", "nonlinearity": "relu"} if name == "he" else {}))
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=0)


def test_an_unknown_rule_or_scheme_is_named(monkeypatch):
    with pytest.raises(UnknownName, match=r"^unknown initialization 'xavir'; nearest: xavier"):
        initialize(nn.Linear(2, 2), "xavir")
    monkeypatch.setitem(INITS._rows, "odd", (InitRule("any", "glorot"),))
    with pytest.raises(UsageError, match=r"^unknown scheme 'glorot' in a rule of initialization$"):
        initialize(nn.Linear(2, 2), "odd")


def test_a_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    a, b, other = (build(network("resnet20_cifar"), seed=seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["stem.conv.weight"], other["stem.conv.weight"])


def test_without_a_seed_the_global_generator_decides():
    torch.manual_seed(5)
    a = build(network("lenet5")).state_dict()
    b = build(network("lenet5")).state_dict()
    torch.manual_seed(5)
    c = build(network("lenet5")).state_dict()
    assert not torch.equal(a["stage1.conv.weight"], b["stage1.conv.weight"])
    assert torch.equal(a["stage1.conv.weight"], c["stage1.conv.weight"])


def test_a_default_device_does_not_change_what_a_seed_means():
    expected = build(network("lenet5_1998"), seed=7).state_dict()
    with torch.device("meta"):
        inside = build(network("lenet5_1998"), seed=7, device="cpu").state_dict()
    assert all(torch.equal(expected[key], inside[key]) for key in expected)


def test_on_the_meta_device_nothing_is_drawn():
    before = torch.get_rng_state()
    module = build(network("lenet5_1998"), device="meta")
    assert torch.equal(torch.get_rng_state(), before)
    assert module(torch.empty(2, 1, 32, 32, device="meta")).shape == (2, 10)


def test_residual_branches_begin_at_zero():
    """Each unit is then the identity but for its shortcut and the activation after the sum (Goyal et al. 2017)."""
    zeros = {
        name: [key for key, p in build(replace(network(name), init="zero_residual"), seed=0).named_parameters()
               if key.endswith("weight") and p.ndim == 1 and not p.any()]
        for name in ("resnet20_cifar", "plain20_cifar", "resnet50")
    }  # fmt: skip
    assert zeros["plain20_cifar"] == []
    assert len(zeros["resnet20_cifar"]) == 9
    assert all(key.endswith("branch.norm2.weight") for key in zeros["resnet20_cifar"])
    assert len(zeros["resnet50"]) == 16
    assert all(key.endswith("branch.norm3.weight") for key in zeros["resnet50"])
    same = build(replace(network("plain20_cifar"), init="he_in"), seed=0).state_dict()
    begun = build(replace(network("plain20_cifar"), init="zero_residual"), seed=0).state_dict()
    assert all(torch.equal(same[key], begun[key]) for key in same)
