"""The gradient that a step takes: of a batch whole or in parts, at the weights or at worse ones nearby, clipped."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.training.job import Job, State

# torch's operations on lists of tensors, one launch for all of them on a GPU; its type stubs leave them out.
foreach: Any = torch


def backward(state: State, inputs: Tensor, targets: Tensor, job: Job) -> tuple[Tensor, Tensor]:
    """Add the gradient of the batch's mean loss to the parameters; gives that loss and how many were right.

    Auxiliary heads add their losses, each times `job.auxiliary_weight` (Szegedy et al. 2015, section 5).
    The batch goes through the network in `optimiser.accumulate` parts. Without norms over the batch that is the
    gradient of the whole. Inputs (N, C, H, W); both numbers stay on the device.
    """
    parts = job.optimiser.accumulate
    # Of several processes each has a slice of the batch, and the mean of their gradients is the batch's.
    whole = job.training.batch / job.world.part.size if job.world.part.size > 1 else len(inputs)
    losses: list[Tensor] = []
    correct: list[Tensor] = []
    pieces = list(zip(inputs.chunk(parts), targets.chunk(parts), strict=True))
    for number, (part, wanted) in enumerate(pieces, 1):
        with job.world.gradients(state.runner, last=number == len(pieces)):
            with job.engine.autocast():
                outputs, others = state.runner(part, at=job.auxiliary) if job.auxiliary else (state.runner(part), {})
            outputs = outputs.float()
            loss = job.task.loss(outputs, wanted)
            if others:
                added = sum(job.task.loss(other.float(), wanted) for other in others.values())
                loss = loss + job.auxiliary_weight * added
            if len(part) != whole:
                loss = loss * (len(part) / whole)
            state.scaler.scale(loss).backward()
        losses.append(loss.detach())
        correct.append(job.task.correct(outputs.detach(), wanted))
    return sum(losses[1:], losses[0]), sum(correct[1:], correct[0])


@contextlib.contextmanager
def sharpest(model: nn.Module, distance: float) -> Iterator[None]:
    """Weights moved by `distance` up their gradient, which is then cleared; afterwards the weights are as they were.

    Sharpness-aware minimisation (Foret et al. 2021, algorithm 1): the gradient that is taken inside is the step's.
    Statistics of norms see a batch once: they too are put back.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    moving = [*parameters, *model.buffers()]
    with torch.no_grad():
        kept = [tensor.clone() for tensor in moving]
        gradients = [p.grad for p in parameters if p.grad is not None]
        length = torch.nn.utils.get_total_norm(gradients)
        foreach._foreach_add_(parameters, foreach._foreach_mul(gradients, distance / (length + 1e-12)))
    model.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(moving, kept, strict=True):
                tensor.copy_(value)


def limit_length(state: State, longest: float | None) -> Tensor:
    """Clip the norm of the gradient to `longest`; gives the norm before that, on the device.

    It is the norm of all parameters' gradients as one vector (Pascanu et al. 2013). It is NaN or inf if a gradient is,
    and inf if the squares overflow, with which no optimiser can make a step. If fp16's loss scaling overflowed, which
    skips the step, the norm counts as 0.
    """
    scaled = state.scaler.is_enabled()
    if scaled:
        state.scaler.unscale_(state.optimiser)
    if longest is None:
        gradients = [gradient for p in state.model.parameters() if (gradient := p.grad) is not None]
        length = torch.nn.utils.get_total_norm(gradients)
    else:
        length = torch.nn.utils.clip_grad_norm_(state.model.parameters(), longest)
    return torch.where(length.isfinite(), length, 0.0) if scaled else length
