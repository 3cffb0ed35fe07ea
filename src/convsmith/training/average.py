"""Averages of the weights over a run, which are then what is evaluated and kept: exponential (EMA) or plain (SWA)."""

from collections.abc import Iterable
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.optim.swa_utils import AveragedModel

from convsmith.training.options import Ema, Swa
from convsmith.training.rules import set_training
from convsmith.training.schedule import Span

# torch's operations on lists of tensors, one launch for all of them on a GPU; its type stubs leave them out.
foreach: Any = torch


def make_average(model: nn.Module, options: Ema | Swa | None) -> AveragedModel | None:
    """The average of a model's weights, of nothing yet; it becomes the weights that it is first given."""
    return None if options is None else AveragedModel(model, use_buffers=True)


@torch.no_grad()
def add_to_average(average: AveragedModel, model: nn.Module, options: Ema | Swa) -> None:
    """Let the model's weights count in its average; what is no number of the real line is taken as it is now.

    `AveragedModel.update_parameters` would have a GPU waited for, whose count it moves there at every call.
    """
    count = int(average.n_averaged)  # which lies on the processor
    share = 1 - options.decay if isinstance(options, Ema) and count else 1 / (count + 1)
    averages, values = (_tensors(module) for module in (average.module, model))
    real = [one.is_floating_point() for one in averages]
    foreach._foreach_lerp_(list(compress(averages, real)), list(compress(values, real)), share)
    for one, value, is_real in zip(averages, values, real, strict=True):
        if not is_real:
            one.copy_(value)
    average.n_averaged += 1


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def is_due(options: Ema | Swa, step: int, span: Span) -> bool:
    """Whether the weights after `step` steps belong to the average; the last ones of a run always do."""
    start = options.start.steps(span.steps_per_epoch, span.total_steps)
    if isinstance(options, Ema):
        return step > start
    every = options.every.steps(span.steps_per_epoch, span.total_steps)
    return (step > start and step % every == 0) or step == span.total_steps


def refresh_statistics(model: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Give batch norms the mean statistics of all `inputs` (N, C, H, W), which no weights of the run ever saw.

    Norms of frozen parts keep theirs, and so do those that evaluation does not run (of auxiliary heads). Everything
    else is as in evaluation, and the model is left in evaluation mode.
    """
    set_training(model)
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    model.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    before = [{key: value.clone() for key, value in norm.state_dict().items()} for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the plain mean over the batches
        norm.train()
    with torch.no_grad():
        for batch in inputs:
            model(batch)
    for norm, momentum, state in zip(norms, momenta, before, strict=True):
        norm.momentum = momentum
        if norm.num_batches_tracked is not None and not norm.num_batches_tracked.item():
            norm.load_state_dict(state)
    model.eval()
