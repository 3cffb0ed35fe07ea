"""The optimizer of a module, its learning rate, and its state as named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from convsmith.base.errors import BadFile
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.options import Optimizer
from convsmith.training.rules import grouped

# What a group multiplies the run's learning rate by; torch keeps unknown entries of a group untouched.
MULTIPLIER = "lr_multiplier"
STEP = "step"


def make_optimizer(module: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    """The optimizer of the module's parameters; raises UsageError for a rule that matches nothing."""
    groups = [
        {"params": parameters, "weight_decay": decay, MULTIPLIER: multiplier}
        for decay, multiplier, parameters in grouped(module, options.rules, options.weight_decay)
    ]
    return OPTIMIZERS[options.kind](groups, options)


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate `lr` times its multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[MULTIPLIER]


def optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimizer's tensors by `parameter::key`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}::{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put saved tensors back, each in its parameter's memory layout: a fused update reads both by the same strides."""
    parameters = dict(module.named_parameters())
    for key, value in state.items():
        name, _, entry = key.partition("::")
        if name not in parameters:
            raise BadFile("state.safetensors", f"holds {key!r}, which is not a parameter of the network")
        parameter = parameters[name]
        if entry == STEP:  # torch keeps it on the processor, whatever the device
            value = value.clone()
        elif value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            value = value.to(parameter.device)
        optimizer.state[parameter][entry] = value
