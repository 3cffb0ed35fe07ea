"""Where NaN and inf come from: weights, statistics of norms, images or a layer. Run only after one was seen."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# The buffers in which torch's norms keep what they saw.
STATISTICS = ("running_mean", "running_var")


def broken(model: nn.Module) -> str | None:
    """The first parameter or statistic of a norm that holds NaN or inf, in words; None where all are finite."""
    for name, tensor in model.named_parameters():
        if not bool(tensor.isfinite().all()):
            return f"the weights {name} hold NaN or inf already"
    for name, tensor in model.named_buffers():
        if name.endswith(STATISTICS) and not bool(tensor.isfinite().all()):
            return f"the statistics {name} hold NaN or inf"
    return None


def broken_images(inputs: Tensor) -> str | None:
    """That images as the network gets them (N, C, H, W) hold NaN or inf, in words; None where all are finite."""
    found = int((~inputs.isfinite()).flatten(1).any(dim=1).sum())
    return f"{found} of {len(inputs)} images of the batch hold NaN or inf" if found else None


def overflowing(model: nn.Module, batches: Iterable[Tensor]) -> str | None:
    """The first layer that makes NaN or inf of finite images (N, C, H, W), in words; None where none does."""
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
    """Names of the layers that gave NaN or inf, in the order in which they ran."""
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
