"""Lookahead: slow weights that the optimizer's follow every few steps (Zhang et al. 2019, algorithm 1)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.training.options import Lookahead

# torch's operations on lists of tensors, one launch for all of them on a GPU; its type stubs leave them out.
foreach: Any = torch


def slow_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that are trained, by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def look_ahead(model: nn.Module, slow: Mapping[str, Tensor], step: int, options: Lookahead) -> None:
    """Where `step` steps end a round, move the slow weights towards the model's, and the model's to them."""
    if step % options.steps:
        return
    parameters = dict(model.named_parameters())
    fast = [parameters[name] for name in slow]
    foreach._foreach_lerp_(list(slow.values()), fast, options.share)
    foreach._foreach_copy_(fast, list(slow.values()))
