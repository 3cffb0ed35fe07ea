"""Exact evaluation: every sample once, in fp32, whatever the training step uses."""

import torch
from torch import nn

from convsmith.data.augment import normalise
from convsmith.data.loaders import Loader
from convsmith.data.preprocess import Preprocess
from convsmith.training.engine import Engine
from convsmith.training.job import Evaluation, Task


def evaluate(model: nn.Module, loader: Loader, task: Task, preprocess: Preprocess, engine: Engine) -> Evaluation:
    """The task's numbers over all of the loader's samples; the model's mode is left as it was."""
    tally = task.tally(engine.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in loader.epoch(0):
                inputs = normalise(batch.images, preprocess, memory_format=engine.memory_format)
                tally.update(model(inputs).float(), batch.targets)
    finally:
        model.train(training)
    return tally.result()
