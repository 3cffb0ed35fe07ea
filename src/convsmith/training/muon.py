"""Muon for filters and AdamW for the rest, as one optimizer (Jordan et al. 2024; rate as in Liu et al. 2025)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Marks the groups whose parameters are filters.
FILTERS = "filters"


class FilterMuon(torch.optim.Optimizer):
    """torch's Muon on the groups marked as filters, each seen as a matrix (outputs, the rest); AdamW on the others.

    Muon's steps are scaled to the size of AdamW's (Liu et al. 2025, section 2.2), so that one learning rate serves
    both.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, momentum: float, nesterov: bool, betas: tuple[float, float],
        eps: float,
    ):  # fmt: skip
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, FILTERS: False})
        self.matrices = {
            p: nn.Parameter(as_matrix(p.detach())) for g in self.param_groups if g[FILTERS] for p in g["params"]
        }
        filters = [g for g in self.param_groups if g[FILTERS]]
        rest = [g for g in self.param_groups if not g[FILTERS]]
        self.parts: list[tuple[torch.optim.Optimizer, list[dict[str, Any]]]] = []
        if filters:
            muon = torch.optim.Muon(
                [{**_own(g), "params": [self.matrices[p] for p in g["params"]]} for g in filters],
                lr=lr, momentum=momentum, nesterov=nesterov, adjust_lr_fn="match_rms_adamw",
            )  # fmt: skip
            self.parts.append((muon, filters))
            # One record of the state for a filter and its matrix, so that it is saved under the filter's name.
            self.state.update({p: muon.state[matrix] for p, matrix in self.matrices.items()})
        if rest:
            adamw = torch.optim.AdamW([_own(g) for g in rest], lr=lr, betas=betas, eps=eps)
            adamw.state = self.state
            self.parts.append((adamw, rest))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient; a closure is not called."""
        for parameter, matrix in self.matrices.items():
            matrix.grad = None if parameter.grad is None else as_matrix(parameter.grad, like=parameter)
        for part, groups in self.parts:
            for inner, own in zip(part.param_groups, groups, strict=True):
                inner["lr"] = own["lr"]
            part.step()


def _own(group: dict[str, Any]) -> dict[str, Any]:
    return {"params": group["params"], "weight_decay": group["weight_decay"]}


def as_matrix(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """Filters (outputs, inputs, *kernel) as a matrix (outputs, inputs * kernel) that shares their memory.

    The columns lie in the order of the memory of `like` (itself by default): orthogonalising does not depend on it.
    """
    strides = (tensor if like is None else like).stride()
    columns = sorted(range(1, tensor.ndim), key=lambda axis: -strides[axis])
    return tensor.permute(0, *columns).flatten(1)
