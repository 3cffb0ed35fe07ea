"""What any `torch.nn.Module` costs: counted while it runs on the meta device, without memory or weights."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError
from convsmith.nets.cost import Cost, LayerCost
from convsmith.nets.init import CONV


def measure_module(module: nn.Module, input: Sequence[int]) -> Cost:
    """Parameters, MACs and activations of a module for one sample of shape (C, H, W); its receptive field is not known.

    Convolution and linear layers are counted as they execute, as in a tree, so that both agree.
    """
    layers: list[LayerCost] = []
    names = {layer: name for name, layer in module.named_modules()}

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            layers.append(_layer(names[layer], layer, output))

    modes = {layer: layer.training for layer in names}
    hooks = [layer.register_forward_hook(note) for layer in names if not list(layer.children())]
    try:
        with torch.no_grad():
            state = {k: torch.empty_like(v, device="meta") for k, v in module.state_dict().items()}
            sample = torch.empty((1, *input), device="meta")
            torch.func.functional_call(module.eval(), state, (sample,))
    except RuntimeError as error:
        raise UsageError(f"the module failed on an input of {'x'.join(map(str, input))}: {error}") from None
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes.items():
            layer.training = mode
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


def _layer(name: str, layer: nn.Module, output: Tensor) -> LayerCost:
    macs = 0
    if isinstance(layer, CONV):
        macs = prod(layer.weight.shape[1:]) * output[0].numel()
    elif isinstance(layer, nn.Linear):
        macs = layer.in_features * output[0].numel()
    return LayerCost(
        name=name,
        op=type(layer).__name__.lower(),
        output=tuple(output.shape[1:]),
        params=sum(p.numel() for p in layer.parameters()),
        macs=macs,
        elementwise=0,
        activations=output[0].numel() if macs else 0,
    )
