"""Finds where NaN or inf comes from: weights, statistics of norms, images or a layer. Called only after it was seen."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

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
    """A sentence about how many normalised images (N, C, H, W) hold NaN or inf; None if all are finite."""
    bad = int((~inputs.isfinite()).flatten(1).any(dim=1).sum())
    return f"{bad} of {len(inputs)} images of the batch {'holds' if bad == 1 else 'hold'} NaN or inf" if bad else None


def overflowing(model: nn.Module, batches: Iterable[Tensor]) -> str | None:
    """A sentence about the first layer that gives NaN or inf for finite images (N, C, H, W); None if none does."""
    with torch.no_grad():
        for inputs in batches:
            if (words := broken_images(inputs)) is not None:
                return words
            with _noted(model) as layers:
                model(inputs)
            if layers:
                return f"the layer {layers[0]} gives NaN or inf"
    return None


@contextmanager
def _noted(model: nn.Module) -> Iterator[list[str]]:
    """Within it the model fills the list with the names of the layers that give NaN or inf, in running order."""
    names: list[str] = []

    def watch(name: str) -> Any:
        def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and not bool(output.isfinite().all()):
                names.append(name)

        return note

    layers = [(name, layer) for name, layer in model.named_modules() if not any(True for _ in layer.children())]
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers]
    try:
        yield names
    finally:
        for hook in hooks:
            hook.remove()
