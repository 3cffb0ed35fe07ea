"""Evaluate what a run learned, on its own splits or on other images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.data.decoding import find_bad
from convsmith.data.examples import Examples
from convsmith.data.loaders import evaluation_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import Preprocess
from convsmith.data.sources import open_source
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.prepare import EVALUATION_BATCH, Plan, reopen_data
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory
from convsmith.runs.subject import Subject, data_options_of, open_subject
from convsmith.tasks.classify import Classification, Classify
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.evaluate import evaluate
from convsmith.training.options import EngineOptions

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with what it was made of; `examples` are in the order of its per-image numbers."""

    subject: Subject
    examples: Examples
    split: str
    result: Classification


def evaluate_selected(run: RunDirectory, plan: Plan, model: nn.Module) -> dict[str, Classification | None]:
    """Validation and test numbers of the weights that the recipe selects; `model` holds the last ones."""
    if plan.recipe.select == "best":
        model.load_state_dict(load_checkpoint(run, "best").model)
    data, labels = plan.dataset, plan.dataset.card.classes
    splits: dict[str, Examples | None] = {"val": data.val, "test": data.test}
    return {
        name: None
        if examples is None
        else evaluate_examples(model, examples, labels, data.preprocess, plan.recipe.data, plan.engine)
        for name, examples in splits.items()
    }


def evaluate_run(
    path: str | Path,
    *,
    split: Split | None = None,
    source: str | None = None,
    checkpoint: Literal["selected", "last", "best"] = "selected",
    engine: EngineOptions | None = None,
    edits: Sequence[str] = (),
) -> Evaluated:
    """A run's numbers on its own `split` (test where it has one, else val), or on all images of another `source`.

    `edits` are made on the trained network first: those that need no training.
    """
    subject = open_subject(path, checkpoint, edits)
    options = data_options_of(subject.run)
    if source is None or _is_own_data(subject, source):
        name, examples = own_split(subject, split, source)
    else:
        options = replace(options, source=source)
        name, examples = f"all of {source}", _other_images(subject, options, split)
    chosen = replace(resolve(engine or EngineOptions()), channels_last=subject.channels_last)
    with using(chosen):
        module = chosen.place(subject.module)
        result = evaluate_examples(module, examples, subject.labels, subject.preprocess, options, chosen)
    return Evaluated(subject, examples, name, result)


def evaluate_examples(
    model: nn.Module, examples: Examples, labels: tuple[str, ...], preprocess: Preprocess, options: DataOptions,
    engine: Engine,
) -> Classification:  # fmt: skip
    """The classification numbers of a module over examples."""
    loader = evaluation_loader(examples, preprocess, options, batch=EVALUATION_BATCH, device=engine.device)
    result = evaluate(model, loader, Classify(labels), preprocess, engine)
    if not isinstance(result, Classification):
        raise TypeError("the classification task gave another result")
    return result


def own_split(subject: Subject, split: Split | None, source: str | None = None) -> tuple[str, Examples]:
    """A split of the run's own data (test where it has one, else val), checked to be what the run was made with.

    `source` says where that data lies now, if not where it lay.
    """
    run, recipe = subject.run, run_recipe(subject.run.path)
    stored = {"split": run.record("split"), "preprocess": run.record("preprocess")}
    recipe = recipe if source is None else recipe.edit(data__source=source)
    dataset = reopen_data(run.path, recipe, subject.card.fingerprint, **stored)
    name = split or ("val" if dataset.test is None else "test")
    examples: Examples | None = getattr(dataset, name)
    if examples is None:
        raise UsageError(f"{run.path}: its data has no test images; evaluate --split val, or other images with --data")
    return name, examples


def _is_own_data(subject: Subject, source: str) -> bool:
    """Whether `source` is the data that the run was trained on: its training images must not count as new ones."""
    return open_source(DataOptions(source=source)).card.fingerprint == subject.card.fingerprint


def _other_images(subject: Subject, options: DataOptions, split: Split | None) -> Examples:
    """Images of another source, their labels renumbered to the run's classes by name."""
    source = open_source(options)
    stored = split or next((s for s in ("test", "val") if s in source.splits), "train")
    if stored not in source.splits:
        raise UsageError(f"{options.source}: has no split {stored!r}; it has {', '.join(source.splits)}")
    unknown = [name for name in source.card.classes if name not in subject.labels]
    if unknown:
        raise UsageError(f"{options.source}: class {unknown[0]!r} is none of the run's: {', '.join(subject.labels)}")
    examples = source.splits[stored]
    if options.on_bad == "skip":
        bad = {index for index, *_ in find_bad(examples, subject.preprocess, options.workers)}
        examples = examples.subset([i for i in range(len(examples)) if i not in bad])
    numbers = np.array([subject.labels.index(name) for name in source.card.classes], dtype=np.int64)
    return replace(examples, labels=numbers[examples.labels])  # type: ignore[type-var]
