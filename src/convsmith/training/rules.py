"""What differs by parameter name: groups of parameters for an optimizer, and which parts of a network stand still."""

import re

from torch import nn

from convsmith.base.errors import UsageError, nearest
from convsmith.training.options import Rule

Parameters = list[tuple[str, nn.Parameter]]


def grouped(
    module: nn.Module, rules: tuple[Rule, ...], weight_decay: float
) -> list[tuple[float, float, list[nn.Parameter]]]:
    """Weight decay, multiplier of the learning rate and the parameters that have both; frozen ones are left out.

    The first rule that a name matches holds; each rule must match something that is left for it.
    """
    unused = set(range(len(rules)))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        index, rule = _rule(name, rules)
        if rule is not None:
            unused.discard(index)
            if rule.freeze:
                parameter.requires_grad_(False)
                continue
        decay = weight_decay if rule is None or rule.weight_decay is None else rule.weight_decay
        multiplier = 1.0 if rule is None or rule.lr is None else rule.lr
        if parameter.requires_grad:
            groups.setdefault((decay, multiplier), []).append(parameter)
    if unused:
        raise UsageError("; ".join(_unmatched(module, rules[i].pattern) for i in sorted(unused)))
    if not groups:
        raise UsageError("optimizer.rules: every parameter is frozen, so there is nothing to train")
    return [(decay, multiplier, parameters) for (decay, multiplier), parameters in groups.items()]


def set_training(module: nn.Module) -> None:
    """Training mode, in which norms of frozen parts keep their statistics: they stay as in evaluation.

    A norm without parameters of its own is frozen with the part that it is in.
    """
    module.train()
    _hold_norms(module, frozen=False)


def _hold_norms(module: nn.Module, frozen: bool) -> None:
    trainable = [parameter.requires_grad for parameter in module.parameters()]
    frozen = not any(trainable) if trainable else frozen
    if frozen and "running_mean" in dict(module.named_buffers(recurse=False)):
        module.eval()
    for child in module.children():
        _hold_norms(child, frozen)


def _rule(name: str, rules: tuple[Rule, ...]) -> tuple[int, Rule | None]:
    for i, rule in enumerate(rules):
        try:
            if re.search(rule.pattern, name):
                return i, rule
        except re.error as error:
            raise UsageError(
                f"optimizer.rules: {rule.pattern!r} is not a regular expression ({error}); any part of a name matches, "
                "so 'norm' needs no stars"
            ) from None
    return -1, None


def _unmatched(module: nn.Module, pattern: str) -> str:
    names = [name for name, _ in module.named_parameters()]
    matching = [name for name in names if re.search(pattern, name)]
    if matching:
        return f"optimizer.rules: no parameter is left for {pattern!r}; an earlier rule holds for {matching[0]}"
    parts = {".".join(name.split(".")[i:j]) for name in names for i in range(5) for j in range(i + 1, 6)} - {""}
    near = nearest(pattern, sorted(parts))
    hint = f"nearest: {', '.join(near)}" if near else f"names are like {', '.join(names[:2] + names[-1:])}"
    return f"optimizer.rules: no parameter is called {pattern!r}; {hint}"
