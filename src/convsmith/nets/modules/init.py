"""Initialization as rules: which scheme draws the weights and biases of which kind of layer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError
from convsmith.base.table import Table

CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (*CONV, *TRANSPOSED),
    "linear": (nn.Linear,),
    "any": (*CONV, *TRANSPOSED, nn.Linear),
}
LAST_NORM = "last_norm"  # the last normalization of each residual branch


@dataclass(frozen=True)
class InitRule:
    """The scheme `weight` draws the weights of `layers`; `zero_bias` sets their bias to zero, else torch's draw stays.

    `layers` is a key of `LAYERS`, or `LAST_NORM`.

    Schemes, with fan the number of inputs (or outputs) of one unit, for a transposed convolution the mean number:
    `he_in`, `he_out`: normal with variance 2 / fan (He et al. 2015, equations 10 and 14);
    `he_in_uniform`: uniform with the variance of `he_in`;
    `xavier`: uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, equation 16);
    `lecun`: normal with variance 1 / fan_in (LeCun et al. 1998, "Efficient BackProp", equation 16);
    `uniform_out`: uniform within sqrt(1 / fan_out); `wide_uniform_out`: within sqrt(3 / fan_out), variance 1 / fan_out;
    a number: normal with that standard deviation;
    `torch`: torch's own draw;
    `dirac`: the same, but the first filters, one for each input channel, return their channel unchanged (not in
    transposed convolutions).

    `part` limits the rule to layers whose dotted name begins with it. The first rule that covers a layer draws it.
    """

    layers: str
    weight: str | float
    zero_bias: bool = True
    part: str = ""


INITS: Table[tuple[InitRule, ...]] = Table(
    "initialization",
    {
        "torch": (),
        # torchvision's ResNet: He with the fan of the outputs; the linear layer as torch draws it.
        "he": (InitRule("conv", "he_out"),),
        # torchvision's VGG.
        "vgg": (InitRule("conv", "he_out"), InitRule("linear", 0.01)),
        # torchvision's MnasNet and EfficientNet.
        "mnasnet": (InitRule("conv", "he_out"), InitRule("linear", "wide_uniform_out")),
        "efficientnet": (InitRule("conv", "he_out"), InitRule("linear", "uniform_out")),
        # torchvision's GoogLeNet, Inception-v3, SqueezeNet and DenseNet.
        "googlenet": (InitRule("any", 0.01, zero_bias=False),),
        "inception_v3": (
            InitRule("conv", 0.01, part="aux1.conv2"),
            InitRule("linear", 0.001, zero_bias=False, part="aux1"),
            InitRule("any", 0.1, zero_bias=False),
        ),
        "squeezenet": (InitRule("conv", 0.01, part="head"), InitRule("conv", "he_in_uniform")),
        "densenet": (InitRule("conv", "he_in"), InitRule("linear", "torch")),
        # torchvision's RegNet and ConvNeXt; ConvNeXt truncates at 100 deviations, which has no effect.
        "regnet": (InitRule("conv", "he_out", zero_bias=False), InitRule("linear", 0.01)),
        "convnext": (InitRule("any", 0.02),),
        # Jordan 2024, section 3.3; a recipe's `whiten` sets the first convolution.
        "dirac": (InitRule("any", "torch", zero_bias=False, part="whiten"), InitRule("conv", "dirac")),
        "he_in": (InitRule("any", "he_in"),),
        # Goyal et al. 2017, section 5.1: residual units begin as the identity.
        "zero_residual": (InitRule(LAST_NORM, 0.0), InitRule("any", "he_in")),
        "xavier": (InitRule("any", "xavier"),),
        "lecun": (InitRule("any", "lecun"),),
    },
)


def initialize(module: nn.Module, name: str) -> None:
    """Draw the weights of `module` by the rules called `name`, from torch's global generator.

    Normalizations start as the identity. Layers that no rule covers keep torch's own draw.
    """
    rules, last = INITS[name], _last_norms(module)
    for path, layer in cast("Iterator[tuple[str, nn.Module]]", module.named_modules()):
        for rule in rules:
            named = layer in last if rule.layers == LAST_NORM else isinstance(layer, LAYERS[rule.layers])
            if named and path.startswith(rule.part):
                _draw(layer, rule.weight)
                if rule.zero_bias and "bias" in dict(layer.named_parameters(recurse=False)):
                    nn.init.zeros_(layer.get_parameter("bias"))
                break


def _last_norms(module: nn.Module) -> set[nn.Module]:
    """The last normalization of each residual branch that has one."""
    branches = [dict(unit.named_children()) for unit in module.modules()]
    norms = [
        [layer for layer in parts["branch"].modules() if isinstance(layer, NORM)]
        for parts in branches
        if {"branch", "shortcut"} <= parts.keys()
    ]
    return {layers[-1] for layers in norms if layers}


def _fans(layer: nn.Module, weight: Tensor) -> tuple[float, float]:
    """(fan_in, fan_out): the inputs of one output of a layer, the outputs of one input."""
    positions = math.prod(weight.shape[2:])
    if isinstance(layer, TRANSPOSED):  # weights are (inputs, outputs, ...); a stride puts gaps between the inputs
        inputs = weight.shape[0] // layer.groups
        return inputs * positions / math.prod(layer.stride), weight.shape[1] * layer.groups * positions
    return weight.shape[1] * positions, weight.shape[0] * positions


def _draw(layer: nn.Module, scheme: str | float) -> None:
    weight = layer.get_parameter("weight")
    with torch.no_grad():
        if isinstance(scheme, float):
            weight.normal_(0, scheme)
            return
        fan_in, fan_out = _fans(layer, weight)
        match scheme:
            case "he_in":
                weight.normal_(0, math.sqrt(2 / fan_in))
            case "he_in_uniform":
                bound = math.sqrt(6 / fan_in)
                weight.uniform_(-bound, bound)
            case "he_out":
                weight.normal_(0, math.sqrt(2 / fan_out))
            case "xavier":
                bound = math.sqrt(6 / (fan_in + fan_out))
                weight.uniform_(-bound, bound)
            case "uniform_out":
                bound = math.sqrt(1 / fan_out)
                weight.uniform_(-bound, bound)
            case "wide_uniform_out":
                bound = math.sqrt(3 / fan_out)
                weight.uniform_(-bound, bound)
            case "lecun":
                weight.normal_(0, math.sqrt(1 / fan_in))
            case "dirac" if not isinstance(layer, TRANSPOSED):
                nn.init.dirac_(weight[: weight.shape[1]])
            case "torch" | "dirac":
                pass
            case _:
                raise UsageError(f"unknown scheme {scheme!r} in a rule of initialization")
