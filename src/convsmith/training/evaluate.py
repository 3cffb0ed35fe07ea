"""Exact evaluation: every sample once, in fp32, whatever the training step uses."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.data.augment import normalise
from convsmith.data.loaders import Loader
from convsmith.data.preprocess import Preprocess
from convsmith.training.distributed import ALONE, World
from convsmith.training.engine import Engine
from convsmith.training.job import Evaluation, Task


class Elsewhere:
    """An evaluation whose numbers the first process has."""

    def summary(self) -> dict[str, Any]:
        raise AssertionError("the first process has the numbers; it tells them by World.lead")


def evaluate(
    model: nn.Module, loader: Loader, task: Task, preprocess: Preprocess, engine: Engine, world: World = ALONE
) -> Evaluation:
    """The task's numbers over all of the loader's samples; the model's mode is left as it was.

    In several processes each takes whole batches, and the first one the answers to all of them in their order: its
    numbers are those of one process, bit for bit. The others get `Elsewhere`.
    """
    tally = task.tally(engine.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), engine.uncompiled():
            for outputs, targets in world.in_order(_answers(model, loader, preprocess, engine), loader.steps):
                tally.update(outputs, targets)
    finally:
        model.train(training)
    return tally.result() if world.part.leads else Elsewhere()


def _answers(
    model: nn.Module, loader: Loader, preprocess: Preprocess, engine: Engine
) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs (N, classes) in fp32 and targets of each batch."""
    for batch in loader.epoch(0):
        inputs = normalise(batch.images, preprocess, memory_format=engine.memory_format)
        yield model(inputs).float(), batch.targets
