"""LAMB: Adam's step, scaled layer by layer to the length of the layer's weights (You et al. 2020, algorithm 2)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# torch's operations on lists of tensors, one launch for all of them on a GPU; its type stubs leave them out.
foreach: Any = torch


class Lamb(torch.optim.Optimizer):
    """Made for large batches. Every tensor is a layer; where it or its step is 0 the step is taken as it is.

    The update is r = m / (sqrt(v) + eps) + weight_decay * w with bias-corrected means m and v of the gradient and its
    square, and w moves by lr * |w| / |r| * r. No length leaves the device.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, betas: tuple[float, float], eps: float, weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient; a closure is not called."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(parameters, group)

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [p.grad for p in parameters]
        means = [self._mean(p, "exp_avg") for p in parameters]
        squares = [self._mean(p, "exp_avg_sq") for p in parameters]
        beta1, beta2 = group["betas"]
        foreach._foreach_lerp_(means, gradients, 1 - beta1)
        foreach._foreach_mul_(squares, beta2)
        foreach._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        counts = [self._count(p) for p in parameters]
        divisors = foreach._foreach_div(squares, [1 - beta2**n for n in counts])
        foreach._foreach_sqrt_(divisors)
        foreach._foreach_add_(divisors, group["eps"])
        updates = foreach._foreach_div(means, [1 - beta1**n for n in counts])
        foreach._foreach_div_(updates, divisors)
        foreach._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        ratios = [
            torch.where((of_weights > 0) & (of_update > 0), of_weights / of_update, 1.0)
            for of_weights, of_update in zip(
                foreach._foreach_norm(parameters), foreach._foreach_norm(updates), strict=True
            )
        ]
        foreach._foreach_mul_(updates, ratios)
        foreach._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _mean(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state[name]

    def _count(self, parameter: Tensor) -> float:
        """The number of this step, kept on the processor as torch's Adam keeps it."""
        state = self.state[parameter]
        state["step"] = state.get("step", torch.tensor(0.0)) + 1
        return state["step"].item()
