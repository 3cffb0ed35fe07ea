"""The optimiser of a module, its learning rate, and its state as named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from convsmith.base.errors import BadFile
from convsmith.training.optimisers import OPTIMISERS
from convsmith.training.options import Optimiser
from convsmith.training.rules import grouped

# What a group multiplies the run's learning rate by; torch keeps unknown entries of a group untouched.
MULTIPLIER = "lr_multiplier"
STEP = "step"


def make_optimiser(module: nn.Module, options: Optimiser) -> torch.optim.Optimizer:
    """The optimiser of the module's parameters; raises UsageError for a rule that matches nothing."""
    groups = [
        {"params": parameters, "weight_decay": decay, MULTIPLIER: multiplier}
        for decay, multiplier, parameters in grouped(module, options.rules, options.weight_decay)
    ]
    return OPTIMISERS[options.kind](groups, options)


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate `lr` times its multiplier."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group[MULTIPLIER]


def optimiser_state(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's tensors by `parameter::key`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}::{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put saved tensors back, each in its parameter's memory layout: a fused update reads both by the same strides."""
    parameters = dict(module.named_parameters())
    for key, value in state.items():
        name, _, entry = key.partition("::")
        if name not in parameters:
            raise BadFile("state.safetensors", f"holds {key!r}, which is no parameter of the network")
        parameter = parameters[name]
        if entry == STEP:  # torch keeps it on the processor, whatever the device
            value = value.clone()
        elif value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            value = value.to(parameter.device)
        optimiser.state[parameter][entry] = value
