"""Chooses the task of a run: the user's own if the recipe names one, else by the labels of the data."""

from dataclasses import replace
from pathlib import Path

from convsmith.base.errors import UsageError
from convsmith.data.card import Card
from convsmith.tasks.losses import class_weights
from convsmith.tasks.multilabel import check_loss
from convsmith.tasks.options import Loss, is_weights_file
from convsmith.tasks.task import Own
from convsmith.tasks.weights_file import read_class_weights
from convsmith.work.own_task import Maker, make_own


def suited_loss(options: Loss, card: Card, own: str | None) -> tuple[Loss, tuple[str, ...]]:
    """The loss with its kind, and notes on the choice; UsageError if the loss does not fit the labels."""
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
    """The weight of each class, from the numbers of training images or from a file; empty if all are equal."""
    kind = options.class_weights
    if kind is None:
        return ()
    if is_weights_file(kind):
        return read_class_weights(Path(kind), classes)
    return class_weights("effective" if kind == "effective" else "balanced", counts, options.beta)


def own_task(maker: Maker) -> tuple[Own, tuple[str, ...]]:
    """The user's own task, and notes on the values that it does not take."""
    task, left = make_own(maker)
    unused = [name for name in ("label_smoothing", "class_weights") if name in left and maker.values[name]]
    return task, tuple(f"{name} is not used: the task {maker.source} does not take it" for name in unused)
