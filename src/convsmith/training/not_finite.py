"""Finds where NaN or inf comes from: weights, statistics of norms, images or a layer. Called only after it was seen."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.nets.modules.taps import hooked

# The names of the buffers with the statistics of torch's norms.
STATISTICS = ("running_mean", "running_var")


def broken(model: nn.Module) -> str | None:
    """A sentence about the first parameter or norm's statistic that holds NaN or inf; None if all are finite."""
    for name, tensor in model.named_parameters():
        if not bool(tensor.isfinite().all()):
            return f"the weights {name} hold NaN or inf already"
    for name, tensor in model.named_buffers():
        if name.endswith(STATISTICS) and not bool(tensor.isfinite().all()):
            return f"the statistics {name} hold NaN or inf"
    return None


def broken_images(inputs: Tensor) -> str | None:
    """A sentence about how many normalized images (N, C, H, W) hold NaN or inf; None if all are finite."""
    bad = int((~inputs.isfinite()).flatten(1).any(dim=1).sum())
    return f"{bad} of {len(inputs)} images of the batch {'holds' if bad == 1 else 'hold'} NaN or inf" if bad else None


def overflowing(model: nn.Module, batches: Iterable[Tensor]) -> str | None:
    """A sentence about the first layer that gives NaN or inf for finite images (N, C, H, W); None if none does."""
    names: list[str] = []

    def note(name: str, layer: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor) and not bool(output.isfinite().all()):
            names.append(name)

    leaves = [(name, layer) for name, layer in model.named_modules() if not any(True for _ in layer.children())]
    with torch.no_grad(), hooked(leaves, note):
        for inputs in batches:
            if (words := broken_images(inputs)) is not None:
                return words
            model(inputs)
            if names:
                return f"the layer {names[0]} gives NaN or inf"
    return None
