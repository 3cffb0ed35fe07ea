"""Evaluate what a run learned, on its own splits or on other images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.data.dataset import Dataset
from convsmith.data.decoding import find_bad
from convsmith.data.examples import Examples
from convsmith.data.loaders import evaluation_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import Preprocess
from convsmith.data.sources.opening import open_source
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.prepare import EVALUATION_BATCH, Plan, reopen_data
from convsmith.runs.calibration import RECORD as CALIBRATION
from convsmith.runs.calibration import store_calibration
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory
from convsmith.runs.status import effective_state
from convsmith.runs.subject import Subject, data_options_of, open_subject
from convsmith.tasks.classify import Classification, Classify, mean_outputs
from convsmith.tasks.metrics import temperature
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.evaluate import evaluate
from convsmith.training.options import EngineOptions

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with what it was made of; `examples` are in the order of its per-image numbers.

    `fingerprint` is that of the data that they belong to.
    """

    subject: Subject
    examples: Examples
    split: str
    result: Classification
    fingerprint: str

    @property
    def right(self) -> np.ndarray:
        """Whether each image was called what it is, bool (N,)."""
        return np.asarray(self.result.right)


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
    options, own = data_options_of(subject.run), subject.card.fingerprint
    fingerprint = own if source is None else open_source(DataOptions(source=source)).card.fingerprint
    if fingerprint == own:  # its training images must not count as new ones
        name, examples = own_split(subject, split, source)
    else:
        options = replace(options, source=str(source))
        name, examples = f"all of {source}", _other_images(subject, options, split)
    result = _evaluate_subject(subject, examples, options, resolve(engine or EngineOptions()))
    return Evaluated(subject, examples, name, result, fingerprint)


def _evaluate_subject(subject: Subject, examples: Examples, options: DataOptions, engine: Engine) -> Classification:
    engine = replace(engine, channels_last=subject.channels_last)
    with using(engine):
        module = engine.place(subject.module)
        return evaluate_examples(
            module, examples, subject.labels, subject.preprocess, options, engine, subject.temperature
        )


def check_same_images(evaluated: Sequence[Evaluated]) -> None:
    """Raise UsageError where evaluations are not of the same images, in the same order and with the same classes."""
    first, *others = evaluated
    for other in others:
        pair = f"{first.subject.run.path} and {other.subject.run.path}"
        if other.subject.labels != first.subject.labels:
            raise UsageError(
                f"{pair} have other classes: {_listed(first.subject.labels)}; {_listed(other.subject.labels)}"
            )
        if other.fingerprint != first.fingerprint or _places(other.examples) != _places(first.examples):
            raise UsageError(
                f"{pair} were evaluated on other images: {len(first.examples)} ({first.split}) and "
                f"{len(other.examples)} ({other.split}), which are not the same; name images for all with --data"
            )


def ensemble(members: Sequence[Evaluated]) -> Classification:
    """The numbers of the mean of the members' probabilities; UsageError where they did not see the same images."""
    if len(members) < 2:
        raise UsageError("an ensemble needs two runs or more")
    check_same_images(members)
    outputs = [(_outputs(member.result), member.subject.temperature) for member in members]
    tally = Classify(members[0].subject.labels, keep_outputs=True).tally("cpu")
    tally.update(mean_outputs(outputs), torch.from_numpy(members[0].examples.labels))
    return tally.result()


def calibrate_run(path: str | Path, engine: EngineOptions | None = None) -> dict[str, Any]:
    """Fit a temperature to the validation images of a run and store it there; gives the record.

    Test images have no part in it. The record says for each split the loss and the calibration error before and after.
    """
    subject = replace(open_subject(path), temperature=1.0)
    if effective_state(subject.run.status()) == "running":
        raise UsageError(
            f"{path} is being trained: its temperature would be for other weights; calibrate it afterwards"
        )
    options, chosen = data_options_of(subject.run), resolve(engine or EngineOptions())
    data = _own_data(subject, None)
    result = _evaluate_subject(subject, data.val, options, chosen)
    try:
        fitted = temperature(_outputs(result), data.val.labels)
    except UsageError as error:
        raise UsageError(f"{path}: cannot be calibrated on its validation split: {error}") from None
    splits = {"val": _before_and_after(subject, data.val, result, fitted)}
    if data.test is not None:
        tested = _evaluate_subject(subject, data.test, options, chosen)
        splits["test"] = _before_and_after(subject, data.test, tested, fitted)
    store_calibration(subject.run, fitted, subject.step, splits)
    return subject.run.record(CALIBRATION)


def _before_and_after(subject: Subject, examples: Examples, result: Classification, fitted: float) -> dict[str, Any]:
    tally = Classify(subject.labels, temperature=fitted).tally("cpu")
    tally.update(torch.from_numpy(_outputs(result)), torch.from_numpy(examples.labels))
    after = tally.result()
    pairs = {
        "loss": [result.loss, after.loss],
        "ece": [result.ece(), after.ece()],
        "brier": [result.brier, after.brier],
    }
    return {"count": result.count, "accuracy": result.accuracy, **pairs}


def _outputs(result: Classification) -> np.ndarray:
    if result.outputs is None:
        raise UsageError("this evaluation did not keep the outputs")
    return result.outputs


def _places(examples: Examples) -> list[str]:
    return [examples.place(i) for i in range(len(examples))]


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:6]) + (f", ... ({len(labels)} in all)" if len(labels) > 6 else "")


def evaluate_examples(
    model: nn.Module, examples: Examples, labels: tuple[str, ...], preprocess: Preprocess, options: DataOptions,
    engine: Engine, temperature: float = 1.0,
) -> Classification:  # fmt: skip
    """The classification numbers of a module over examples; its outputs are divided by `temperature`."""
    loader = evaluation_loader(examples, preprocess, options, batch=EVALUATION_BATCH, device=engine.device)
    task = Classify(labels, temperature=temperature, keep_outputs=True)
    result = evaluate(model, loader, task, preprocess, engine)
    if not isinstance(result, Classification):
        raise TypeError("the classification task gave another result")
    return result


def own_split(subject: Subject, split: Split | None, source: str | None = None) -> tuple[str, Examples]:
    """A split of the run's own data (test where it has one, else val), checked to be what the run was made with.

    `source` says where that data lies now, if not where it lay.
    """
    dataset = _own_data(subject, source)
    name = split or ("val" if dataset.test is None else "test")
    examples: Examples | None = getattr(dataset, name)
    if examples is None:
        raise UsageError(
            f"{subject.run.path}: its data has no test images; evaluate --split val, or other images with --data"
        )
    return name, examples


def _own_data(subject: Subject, source: str | None) -> Dataset:
    run, recipe = subject.run, run_recipe(subject.run.path)
    stored = {"split": run.record("split"), "preprocess": run.record("preprocess")}
    recipe = recipe if source is None else recipe.edit(data__source=source)
    return reopen_data(run.path, recipe, subject.card.fingerprint, **stored)


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
