"""The engine for a module that is not a Convsmith network: tried on blank images before a run begins."""

from dataclasses import replace

import torch
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.data.dataset import Dataset
from convsmith.nets.model import Model
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import Engine


def checked_engine(recipe: Recipe, dataset: Dataset, network: Model, engine: Engine, notes: list[str]) -> Engine:
    """The engine for a module that is not a Convsmith network. UsageError if the module fails on blank images.

    A module that calls `view` on images fails with channels last; it then gets channels first.
    """
    module = engine.place(network.make(recipe.seed))
    problem = _trial(module, dataset, engine)
    if problem is not None and engine.channels_last:
        plain_engine = replace(engine, channels_last=False)
        if _trial(plain_engine.place(network.make(recipe.seed)), dataset, plain_engine) is None:
            notes.append(f"{recipe.network} does not take images channels last; they keep the usual layout")
            return plain_engine
    if problem is not None:
        raise UsageError(f"{recipe.network}: {problem}")
    return engine


def _trial(module: nn.Module, dataset: Dataset, engine: Engine) -> str | None:
    """The problem with a module's outputs for two blank images, in evaluation and training; None if there is none."""
    shape = (2, dataset.preprocess.channels, *dataset.preprocess.size)
    sample = torch.zeros(shape, device=engine.device).contiguous(memory_format=engine.memory_format)
    classes = len(dataset.card.classes)
    for mode in ("evaluation", "training"):
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                outputs = module.train(mode == "training")(sample)
        except Exception as error:
            return f"failed on images of shape {shape} in {mode}: {type(error).__name__}: {error}"
        shape_or_type = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        if shape_or_type != (2, classes):
            return f"expected outputs of shape (2, {classes}) for 2 images, received {shape_or_type} in {mode}"
    return None
