"""Which task a run has: a user's own where one is named, else what the labels of the data are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.data.card import Card
from convsmith.recipes.own_task import Maker, make_own
from convsmith.tasks.classify import Classification, Classify
from convsmith.tasks.losses import class_weights
from convsmith.tasks.multilabel import Labelling, Multilabel, check_loss
from convsmith.tasks.options import Loss, is_weights_file
from convsmith.tasks.weights_file import read_class_weights
from convsmith.training.job import Evaluation, Task


def suited_loss(options: Loss, card: Card, own: str | None) -> tuple[Loss, tuple[str, ...]]:
    """The loss with its kind decided, and what to tell about it; UsageError where the data's labels have another."""
    if own is not None:
        given = [name for name in ("kind", "gamma", "reduction") if getattr(options, name) != getattr(Loss(), name)]
        if given:
            raise UsageError(f"loss.{given[0]}: the task {own} has a loss of its own; leave loss.{given[0]} out")
        return options, ()
    if not card.multilabel:
        return replace(options, kind=options.kind or "cross_entropy"), ()
    if options.kind is not None:
        check_loss(options)
        return options, ()
    note = "images may have several labels: the loss is bce, each class by itself; --loss.kind focal is the other"
    return replace(options, kind="bce"), (note,)


def weights_of(options: Loss, classes: tuple[str, ...], counts: tuple[int, ...]) -> tuple[float, ...]:
    """What each class counts, by the numbers of training images or as a file says; empty: all the same."""
    kind = options.class_weights
    if kind is None:
        return ()
    if is_weights_file(kind):
        return read_class_weights(Path(kind), classes)
    return class_weights("effective" if kind == "effective" else "balanced", counts, options.beta)


def own_task(maker: Maker) -> tuple[Task, tuple[str, ...]]:
    """The task of a user's own, and notes on what it does not take."""
    task, left = make_own(maker)
    unused = [name for name in ("label_smoothing", "class_weights") if name in left and maker.values[name]]
    return task, tuple(f"{name} is not used: the task {maker.source} does not take it" for name in unused)


def evaluating(task: Task, temperature: float = 1.0) -> Task:
    """The task as an evaluation has it: with all numbers, its outputs divided by the temperature."""
    if isinstance(task, Classify):
        return replace(task, temperature=temperature, keep_outputs=True)
    return replace(task, temperature=temperature) if isinstance(task, Multilabel) else task


def numbers(result: Evaluation) -> dict[str, Any]:
    """All that an evaluation has for a run's result and for `--json`; a user's own has at least its summary."""
    to_json = getattr(result, "to_json", None)
    return result.summary() if to_json is None else to_json()


def as_classification(result: Evaluation, what: str) -> Classification:
    """The result of one label for each image; UsageError where another kind was asked for `what`."""
    if not isinstance(result, Classification):
        kind = "has several labels for each image" if isinstance(result, Labelling) else "has a task of its own"
        raise UsageError(f"{what} is for one label for each image, and this run {kind}")
    return result
