"""Exact evaluation: every sample once, in fp32, whatever the training step uses."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from convsmith.base.result import Measures, Result
from convsmith.data.augment import normalize
from convsmith.data.loaders import Loader
from convsmith.data.preprocess import ImageInput
from convsmith.tasks.task import Row, Task
from convsmith.training.distributed import ALONE, World
from convsmith.training.engine import Engine
from convsmith.training.gradient import Forward

EVALUATION = -1  # the epoch that draws by key in an evaluation belong to


def evaluate(
    model: nn.Module, loader: Loader, task: Task, preprocess: ImageInput, engine: Engine, world: World = ALONE,
    seed: int = 0,
) -> Result:  # fmt: skip
    """The task's numbers over all of the loader's samples; the model's mode is left as it was.

    With several processes each takes whole batches, and the first one gets the rows of all in their order: its numbers
    are those of one process, bit for bit. The others get an empty result. `seed` is for tasks that draw.
    """
    tally = task.tally(engine.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), engine.uncompiled():
            rows = _rows(model, loader, task, preprocess, engine, seed)
            for row in world.in_order(rows, loader.steps):
                tally.update(*row)
    finally:
        model.train(training)
    return tally.result() if world.part.leads else Measures((), 0)


def _rows(
    model: nn.Module, loader: Loader, task: Task, preprocess: ImageInput, engine: Engine, seed: int
) -> Iterator[Row]:
    """What the task measures of each batch."""
    run = Forward(model, replace(engine, precision="fp32"), preprocess, seed=seed, epoch=EVALUATION)
    for batch in loader.epoch(0):
        inputs = normalize(batch.images, preprocess, memory_format=engine.memory_format)
        yield task.measure(run, batch._replace(inputs=inputs))
