"""The gradient that a step takes: of a batch whole or in parts, at the weights or at worse ones nearby, clipped."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convsmith.data.loaders import Batch
from convsmith.data.preprocess import ImageInput
from convsmith.tasks.task import Losses
from convsmith.training.engine import Engine
from convsmith.training.job import Job, State

# torch's operations on lists of tensors, one launch for all of them on a GPU; its type stubs leave them out.
foreach: Any = torch


@dataclass(frozen=True)
class Forward:
    """The model in a training step, as a task calls it (`tasks.task.Run`)."""

    module: nn.Module
    engine: Engine
    preprocess: ImageInput
    auxiliary: tuple[str, ...] = ()
    auxiliary_weight: float = 0.0
    seed: int = 0
    epoch: int = 0

    @property
    def noise(self) -> int:
        """How many normal numbers the network draws for an example."""
        tree = getattr(getattr(self.module, "module", self.module), "tree", None)
        return 0 if tree is None else tree.noise

    def pixels(self, inputs: Tensor) -> Tensor:
        """The levels of normalized images (N, C, H, W) as shares from 0 to 1."""
        mean, std = (inputs.new_tensor(of).view(1, -1, 1, 1) for of in (self.preprocess.mean, self.preprocess.std))
        return (inputs * std + mean).clamp(0, 1)

    def __call__(self, inputs: Any, at: Collection[str] = (), **more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The main output, and the outputs of the places `at`, all in fp32."""
        with self.engine.autocast():
            outputs, others = self.module(inputs, at=at, **more) if at else (self.module(inputs, **more), {})
        return outputs.float(), {name: other.float() for name, other in others.items()}


def backward(state: State, batch: Batch, job: Job) -> Losses:
    """Add the gradient of the batch's mean loss to the parameters; gives the losses, which stay on the device.

    The batch, whose images are normalized, goes through the network in `optimizer.accumulate` parts. Without norms over
    the batch the gradient is that of the whole.
    """
    parts = job.optimizer.accumulate
    # With several processes each has a slice of the batch, and the mean of their gradients is the batch's.
    whole = job.training.batch / job.world.part.size if job.world.part.size > 1 else len(batch.positions)
    epoch = state.step // job.span.steps_per_epoch
    run = Forward(state.runner, job.engine, job.preprocess, job.auxiliary, job.auxiliary_weight, job.seed, epoch)
    pieces = batch.chunk(parts)
    losses: list[Losses] = []
    for number, piece in enumerate(pieces, 1):
        share = len(piece.positions) / whole
        # Several processes exchange the gradient once, with its last part.
        runner, early = state.runner, number < len(pieces)
        with runner.no_sync() if early and isinstance(runner, DistributedDataParallel) else contextlib.nullcontext():
            found = job.task.losses(run, piece)
            total = found.total if share == 1 else found.total * share
            state.scaler.scale(total).backward()
        named = {name: value.detach() if share == 1 else value.detach() * share for name, value in found.parts.items()}
        losses.append(Losses(total.detach(), found.right, named))
    return _summed(losses)


def _summed(losses: Sequence[Losses]) -> Losses:
    first, *others = losses
    for other in others:
        right = None if first.right is None or other.right is None else first.right + other.right
        parts = {name: value + other.parts[name] for name, value in first.parts.items()}
        first = Losses(first.total + other.total, right, parts)
    return first


@contextlib.contextmanager
def sharpest(model: nn.Module, distance: float) -> Iterator[None]:
    """Weights moved by `distance` up their gradient, which is then cleared; afterwards the weights are as they were.

    Sharpness-aware minimization (Foret et al. 2021, algorithm 1): the gradient that is taken inside is the step's.
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
    and inf if the squares overflow, with which no optimizer can make a step. If fp16's loss scaling overflowed, which
    skips the step, the norm counts as 0.
    """
    scaled = state.scaler.is_enabled()
    if scaled:
        state.scaler.unscale_(state.optimizer)
    if longest is None:
        gradients = [gradient for p in state.model.parameters() if (gradient := p.grad) is not None]
        length = torch.nn.utils.get_total_norm(gradients)
    else:
        length = torch.nn.utils.clip_grad_norm_(state.model.parameters(), longest)
    return torch.where(length.isfinite(), length, 0.0) if scaled else length
