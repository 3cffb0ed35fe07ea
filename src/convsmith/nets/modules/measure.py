"""The cost of any `torch.nn.Module`, counted in a run on the meta device, without memory or weights."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError
from convsmith.nets.cost import Cost, LayerCost
from convsmith.nets.modules.build import BuiltNetwork, blank
from convsmith.nets.modules.init import CONV
from convsmith.nets.modules.taps import hooked


def measure_module(module: nn.Module, input: Sequence[int]) -> Cost:
    """Parameters, MACs and activations of a module for one sample of shape (C, H, W); its receptive field is unknown.

    Every execution of a convolution or linear layer counts, as in the cost of a tree, so that both costs agree.
    """
    layers: list[LayerCost] = []

    def note(name: str, layer: nn.Module, output: Any) -> None:
        output = output[0] if isinstance(layer, nn.RNNBase) else output  # the rest are the last states
        if isinstance(output, Tensor) and not list(layer.children()):
            layers.append(_layer(name, layer, output))

    watch(module, input, note)
    return Cost(
        input=tuple(input),
        params=sum(p.numel() for p in module.parameters()),
        macs=sum(layer.macs for layer in layers),
        elementwise=0,
        activations=sum(layer.activations for layer in layers),
        receptive_field=(),
        gated=False,
        layers=tuple(layers),
    )


def watch(module: nn.Module, input: Sequence[int], note: Callable[[str, nn.Module, Any], None]) -> None:
    """Run `module` in evaluation mode on one sample on the meta device; the module does not change.

    `note` is called with the name, the layer and the output of each part. Raises `UsageError` if the run fails.
    """
    modes = {layer: layer.training for layer in module.modules()}
    tensors = (*module.named_parameters(), *module.named_buffers())
    try:
        with torch.no_grad(), hooked(module.named_modules(), note):
            state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
            tree = isinstance(module, BuiltNetwork)
            example = blank(module.tree, 1, input, "meta") if tree else torch.empty((1, *input), device="meta")
            torch.func.functional_call(module.eval(), state, (example,))
    except Exception as error:
        raise UsageError(f"the module failed on an input of {'x'.join(map(str, input))}: {error}") from error
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def _layer(name: str, layer: nn.Module, output: Tensor) -> LayerCost:
    macs = 0
    if isinstance(layer, CONV):
        macs = prod(layer.weight.shape[1:]) * output[0].numel()
    elif isinstance(layer, nn.Linear):
        macs = layer.in_features * output[0].numel()
    elif isinstance(layer, nn.RNNBase):
        steps = output.shape[1 if layer.batch_first else 0]
        macs = steps * sum(weight.numel() for name, weight in layer.named_parameters() if "weight" in name)
    return LayerCost(
        name=name,
        op=type(layer).__name__.lower(),
        output=tuple(output.shape[1:]),
        params=sum(p.numel() for p in layer.parameters()),
        macs=macs,
        elementwise=0,
        activations=output[0].numel() if macs else 0,
    )
