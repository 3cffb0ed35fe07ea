"""The optimiser of a module, with its rules by parameter name, and its state as named tensors."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from convsmith.base.errors import BadFile, UsageError
from convsmith.training.options import Optimiser, Rule

# What a group multiplies the run's learning rate by; torch keeps unknown entries of a group untouched.
MULTIPLIER = "lr_multiplier"


def make_optimiser(module: nn.Module, options: Optimiser) -> torch.optim.Optimizer:
    """SGD over the module's parameters; the first rule that a name matches holds, each rule must match something."""
    unused = set(range(len(options.rules)))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        index, rule = _rule(name, options.rules)
        if rule is not None:
            unused.discard(index)
            if rule.freeze:
                parameter.requires_grad_(False)
                continue
        decay = options.weight_decay if rule is None or rule.weight_decay is None else rule.weight_decay
        multiplier = 1.0 if rule is None or rule.lr is None else rule.lr
        if parameter.requires_grad:
            groups.setdefault((decay, multiplier), []).append(parameter)
    if unused:
        patterns = ", ".join(repr(options.rules[i].pattern) for i in sorted(unused))
        raise UsageError(f"optimiser.rules: no parameter is left for {patterns}; names are like {_examples(module)}")
    if not groups:
        raise UsageError("optimiser.rules: every parameter is frozen, so there is nothing to train")
    return torch.optim.SGD(
        [{"params": p, "weight_decay": decay, MULTIPLIER: m} for (decay, m), p in groups.items()],
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
    )


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
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        optimiser.state[parameter][entry] = value


def _rule(name: str, rules: tuple[Rule, ...]) -> tuple[int, Rule | None]:
    for i, rule in enumerate(rules):
        try:
            if re.search(rule.pattern, name):
                return i, rule
        except re.error as error:
            raise UsageError(f"optimiser.rules: {rule.pattern!r} is no regular expression ({error})") from None
    return -1, None


def _examples(module: nn.Module) -> str:
    names = [name for name, _ in module.named_parameters()]
    return ", ".join(names[:2] + names[-1:])
