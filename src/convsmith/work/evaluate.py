"""Evaluates the weights of a run on its own splits or on other images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.base.result import Result
from convsmith.data.dataset import Dataset
from convsmith.data.decoding import find_bad
from convsmith.data.examples import Examples
from convsmith.data.loaders import evaluation_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.relabel import relabeled
from convsmith.data.restrict import of_classes
from convsmith.data.sources.opening import open_source
from convsmith.data.sources.same_names import matched
from convsmith.data.targets import labels_of
from convsmith.data.usable import check_whole
from convsmith.data.views import View, read_views
from convsmith.recipes.choose import run_recipe
from convsmith.runs.calibration import RECORD as CALIBRATION
from convsmith.runs.calibration import store_calibration
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory
from convsmith.runs.status import effective_state
from convsmith.runs.subject import Subject, data_options_of, open_subject
from convsmith.tasks.task import Task
from convsmith.training.distributed import ALONE, World
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.evaluate import evaluate
from convsmith.training.options import EngineOptions
from convsmith.training.viewer import Viewer, make_viewer
from convsmith.work.learned import learned_of
from convsmith.work.prepare import EVALUATION_BATCH, Plan, reopen_data

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation and its inputs. `examples` are in the order of the per-image numbers.

    `fingerprint` is that of the examples' data. With `views` the outputs are logarithms of mean probabilities, in which
    the temperature is already applied.
    """

    subject: Subject
    examples: Examples
    split: str
    result: Result
    fingerprint: str
    task: Task
    views: tuple[View, ...] = ()

    @property
    def temperature(self) -> float:
        """The divisor of the outputs before the softmax."""
        return 1.0 if self.views else self.subject.temperature


def evaluate_selected(
    run: RunDirectory, plan: Plan, model: nn.Module, world: World = ALONE
) -> dict[str, Result | None]:
    """Validation and test numbers of the weights that the recipe selects; `model` holds the last ones."""
    if plan.recipe.select == "best":
        model.load_state_dict(load_checkpoint(run, "best").model)
    world.meet()
    world.same_statistics(model)
    data, task = plan.dataset, plan.learned.task.evaluating()
    splits: dict[str, Examples | None] = {"val": data.val, "test": data.test}
    return {
        name: None
        if examples is None
        else evaluate_examples(
            model, examples, task, data.preprocess, plan.recipe.data, plan.engine, world, plan.recipe.seed
        )
        for name, examples in splits.items()
    }


def check_views_of(plan: Plan, model: nn.Module) -> None:
    """Raise UsageError if the recipe's views do not fit the data or the network; called before training."""
    if plan.recipe.views:
        plan.learned.task.require("views", "")
        make_viewer(model, plan.network, plan.recipe.views, plan.dataset.preprocess, plan.engine)


def evaluate_selected_views(plan: Plan, model: nn.Module) -> dict[str, Result | None]:
    """The validation and test numbers through the recipe's views, for the weights that `evaluate_selected` loaded."""
    data, recipe = plan.dataset, plan.recipe
    viewer = make_viewer(model, plan.network, recipe.views, data.preprocess, plan.engine)
    splits: dict[str, Examples | None] = {"val": data.val, "test": data.test}
    return {
        name: None
        if examples is None
        else evaluate_views(viewer, examples, plan.learned.task.evaluating(), recipe.data)
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
    views: str | Sequence[View] = (),
    max_megapixels: int | None = None,
    bins: int | None = None,
) -> Evaluated:
    """A run's numbers on its own `split` (test if it has one, else val), or on all images of another `source`.

    `edits` change the trained network first; only edits that need no training are allowed. With `views` (`"ten_crop"`)
    the probabilities of an image are the mean over its views. `max_megapixels` holds for another source; the run's own
    images are read as in training. `bins` is the number of bins of the calibration error.
    """
    subject, views = open_subject(path, checkpoint, edits), read_views(views)
    options, own = data_options_of(subject.run), subject.card.fingerprint
    fingerprint = own if source is None else open_source(DataOptions(source=source)).card.fingerprint
    if fingerprint == own:  # training images must not be evaluated as new images
        name, examples = own_split(subject, split, source)
    else:
        options = replace(options, source=str(source), max_megapixels=max_megapixels or options.max_megapixels)
        name, examples = f"all of {source}", _other_images(subject, options, split)
    task = _task_of(subject).evaluating(1.0 if views else subject.temperature, bins)
    result = _evaluate_subject(subject, task, examples, options, resolve(engine or EngineOptions()), views)
    return Evaluated(subject, examples, name, result, fingerprint, task, views)


def _task_of(subject: Subject) -> Task:
    return learned_of(subject.run, run_recipe(subject.run.path)).task


def _evaluate_subject(
    subject: Subject, task: Task, examples: Examples, options: DataOptions, engine: Engine, views: Sequence[View] = ()
) -> Result:
    if views:
        task.require("views", f"{subject.run.path}: ")
    engine = replace(engine, channels_last=subject.channels_last)
    with using(engine):
        module = engine.place(subject.module)
        if views:
            viewer = make_viewer(
                module, subject.network, views, subject.preprocess, engine, temperature=subject.temperature
            )
            return evaluate_views(viewer, examples, task, options)
        return evaluate_examples(
            module, examples, task, subject.preprocess, options, engine, seed=run_recipe(subject.run.path).seed
        )


def check_same_images(evaluated: Sequence[Evaluated]) -> None:
    """Raise UsageError unless all evaluations have the same images in the same order and the same classes."""
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


def ensemble(members: Sequence[Evaluated], bins: int | None = None) -> Result:
    """The numbers of the members' mean probabilities; UsageError if their images differ."""
    if len(members) < 2:
        raise UsageError("an ensemble needs two runs or more")
    check_same_images(members)
    first, targets = members[0], torch.from_numpy(members[0].examples.labels)
    first.task.require("mean", f"{first.subject.run.path}: ")
    outputs = [(_outputs(member.result), member.temperature) for member in members]
    mean = first.task.mean_outputs(outputs)
    tally = first.task.evaluating(bins=bins).tally("cpu")
    tally.update(mean, targets)
    return tally.result()


def calibrate_run(path: str | Path, engine: EngineOptions | None = None) -> dict[str, Any]:
    """Fit a temperature to the validation images of a run, store it in the run, and return the record.

    Test images are not used for the fit. The record has each split's loss and calibration error before and after.
    """
    subject = replace(open_subject(path), temperature=1.0)
    if effective_state(subject.run.status()) == "running":
        raise UsageError(
            f"{path} is being trained: its temperature would be for other weights; calibrate it afterwards"
        )
    options, chosen = data_options_of(subject.run), resolve(engine or EngineOptions())
    task = _task_of(subject)
    task.require("temperature", f"{path}: ")
    data = _own_data(subject, None)
    plain = task.evaluating()
    result = _evaluate_subject(subject, plain, data.val, options, chosen)
    try:
        fitted = task.fitted_temperature(_outputs(result), data.val.labels)
    except UsageError as error:
        raise UsageError(f"{path}: cannot be calibrated on its validation split: {error}") from None
    splits = {"val": _before_and_after(task, data.val, result, fitted)}
    if data.test is not None:
        tested = _evaluate_subject(subject, plain, data.test, options, chosen)
        splits["test"] = _before_and_after(task, data.test, tested, fitted)
    store_calibration(subject.run, fitted, subject.step, splits)
    return subject.run.record(CALIBRATION)


def _before_and_after(task: Task, examples: Examples, result: Result, fitted: float) -> dict[str, Any]:
    tally = task.evaluating(fitted).tally("cpu")
    tally.update(torch.from_numpy(_outputs(result)), torch.from_numpy(examples.labels))
    before, after = ({n.name: n.value for n in of.numbers} for of in (result, tally.result()))
    pairs = {name: [before[name], after[name]] for name in ("loss", "ece", "brier")}
    return {"count": result.count, "accuracy": before["accuracy"], **pairs}


def _outputs(result: Result) -> np.ndarray:
    if result.samples is None or result.samples.outputs is None:
        raise UsageError("this evaluation did not keep the outputs")
    return result.samples.outputs


def _places(examples: Examples) -> list[str]:
    return [examples.place(i) for i in range(len(examples))]


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:6]) + (f", ... ({len(labels)} in all)" if len(labels) > 6 else "")


def evaluate_examples(
    model: nn.Module, examples: Examples, task: Task, preprocess: ImageInput, options: DataOptions, engine: Engine,
    world: World = ALONE, seed: int = 0,
) -> Result:  # fmt: skip
    """The task's numbers for a module on examples."""
    loader = evaluation_loader(
        examples, preprocess, options, batch=EVALUATION_BATCH, device=engine.device, part=world.part
    )
    world.meet()  # wait: with images kept in memory, processes finish decoding at different times
    return evaluate(model, loader, task, preprocess, engine, world, seed)


def evaluate_views(viewer: Viewer, examples: Examples, task: Task, options: DataOptions) -> Result:
    """The task's numbers for the mean probabilities over views; each image counts once."""
    batch, device = viewer.batch(EVALUATION_BATCH), viewer.engine.device
    loaders = [
        # Images decoded only for views are not cached on the disk.
        evaluation_loader(
            examples, record, options if record == viewer.preprocess else replace(options, cache="off"), batch=batch,
            device=device,
        )
        for record in viewer.records
    ]  # fmt: skip
    tally = task.tally(device)
    # There is one loader for each scale. All yield the same images in the same order.
    for number, batches in enumerate(zip(*(loader.epoch(0) for loader in loaders), strict=True)):
        tally.update(viewer.outputs([batch.images for batch in batches], number), batches[0].targets)
    return tally.result()


def own_split(subject: Subject, split: Split | None, source: str | None = None) -> tuple[str, Examples]:
    """A split of the run's own data (test if it has one, else val); an error if the data has changed since training.

    `source` is the present place of the data if it has moved.
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
    recipe = run_recipe(subject.run.path)
    return reopen_data(subject.run, recipe if source is None else recipe.edit(data__source=source))


def _other_images(subject: Subject, options: DataOptions, split: Split | None) -> Examples:
    """The images of another source. Their labels are renumbered to the run's classes by name."""
    source = open_source(options)
    check_whole(source, skip=options.on_bad == "skip")
    names = tuple(matched(name, subject.labels, source.card.classes) for name in source.card.classes)
    source = replace(source, card=replace(source.card, classes=names))
    if options.classes:  # classes that the run leaves out are left out here too, if they exist here
        source = of_classes(source, [name for name in options.classes if name in source.card.classes])
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
    try:
        labels = relabeled(examples.labels, source.card.classes, subject.labels, subject.card.multilabel)
    except UsageError as error:
        raise UsageError(f"{options.source}: {error}") from None
    return replace(examples, targets=labels_of(labels, tuple(subject.labels)))
