"""The task of a run: chosen by the recipe and the labels of the data, and made again from the run's record."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convsmith.base.config import kind_of
from convsmith.base.errors import UsageError
from convsmith.data.augmentations import MIXING
from convsmith.data.card import Card
from convsmith.data.dataset import Dataset
from convsmith.data.examples import images_of_classes
from convsmith.recipes.recipe import Recipe
from convsmith.runs.directory import RunDirectory
from convsmith.runs.records import card_of, checked, reading, recipe_of
from convsmith.tasks.autoencode import Autoencode
from convsmith.tasks.classify import Classify
from convsmith.tasks.multilabel import Multilabel
from convsmith.tasks.names import TASKS, gives_image
from convsmith.tasks.task import Task
from convsmith.tasks.vae import Vae
from convsmith.work.own_task import Maker, open_maker, try_task
from convsmith.work.task_choice import own_task, suited_loss, weights_of

REBUILDING = {"autoencode": Autoencode, "vae": Vae}


@dataclass(frozen=True)
class Learned:
    """A task with the classes' weights in training, and the user's function that made it, None for a built-in task."""

    task: Task
    class_weights: tuple[float, ...] = ()
    maker: Maker | None = None

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """The run's record of the task: files that the recipe names may change, and a resumed run must not."""
        weights = dict(zip(classes, self.class_weights, strict=True)) if self.class_weights else None
        data = {"class_weights": weights, "task": self.maker and self.maker.to_json()}
        return {name: value for name, value in data.items() if value is not None}


def check_learned(recipe: Recipe, card: Card, notes: list[str]) -> None:
    """Raise UsageError for options that do not fit the labels of the data or the user's own task.

    The recipe keeps a loss of kind None, since it may be used again on other labels.
    """
    notes += suited_loss(recipe.loss, card, recipe.task)[1]
    what = "a task of its own" if recipe.task else "several labels for each image" if card.multilabel else ""
    what = "images to rebuild" if gives_image(recipe.task) else what
    for name in ("views", "solver"):
        if what and getattr(recipe, name) != getattr(Recipe(), name):
            raise UsageError(f"{name}: is for one label for each image, and this run has {what}; leave {name} out")
    if gives_image(recipe.task):
        notes += _check_rebuilding(recipe)


def _check_rebuilding(recipe: Recipe) -> list[str]:
    """Raise UsageError for augmentations that mix images; returns notes on options that are not used."""
    mixing = [kind_of(type(step)) for step in recipe.augment if isinstance(step, MIXING)]
    if mixing:
        raise UsageError(
            f"augment {mixing[0]}: is for classes, and the task {recipe.task} rebuilds images; leave it out"
        )
    unused = {"label_smoothing": recipe.label_smoothing, "loss.class_weights": recipe.loss.class_weights}
    return [f"{name} is not used: the task {recipe.task} has no classes" for name, value in unused.items() if value]


def learn(recipe: Recipe, data: Dataset, notes: list[str]) -> Learned:
    """The task of a new run. The user's own task is tried on made-up outputs first."""
    card = data.card
    counts = images_of_classes(data.train.labels, len(card.classes))
    weights = weights_of(recipe.loss, card.classes, counts)
    if recipe.task is None or recipe.task in TASKS:
        return Learned(_task(recipe, card, weights), weights)
    values = {"classes": card.classes, "counts": counts, "label_smoothing": recipe.label_smoothing}
    maker = open_maker(recipe.task, values | {"class_weights": weights})
    task, messages = own_task(maker)
    notes += messages
    try_task(task, maker.source, data.train.labels, any(isinstance(step, MIXING) for step in recipe.augment))
    return Learned(task, weights, maker)


def learned_of(run: RunDirectory, recipe: Recipe, data: Dataset | None = None) -> Learned:
    """The task of an existing run. Without `data` it is for evaluations, which use no weights of classes."""
    record = recipe_of(run)
    path = run.path / "recipe.json"
    with reading(path):
        return _of_record(path, record, card_of(run), recipe, data)


def _of_record(path: Path, record: dict[str, Any], card: Card, recipe: Recipe, data: Dataset | None) -> Learned:
    if "task" in record:
        maker = Maker.from_json(record["task"])
        return Learned(own_task(maker)[0], maker.values["class_weights"], maker)
    weights: tuple[float, ...] = ()
    if "class_weights" in record:
        numbers = checked(path, record["class_weights"], dict.fromkeys(card.classes, float), "class_weights")
        weights = tuple(float(numbers[name]) for name in card.classes)
    elif data is not None:  # runs of earlier versions did not record the weights
        weights = weights_of(recipe.loss, card.classes, images_of_classes(data.train.labels, len(card.classes)))
    return Learned(_task(recipe, card, weights), weights)


def _task(recipe: Recipe, card: Card, weights: tuple[float, ...]) -> Task:
    if recipe.task in REBUILDING:
        return REBUILDING[recipe.task](() if card.multilabel else card.classes)
    options, _ = suited_loss(recipe.loss, card, None)
    kind = Multilabel if card.multilabel else Classify
    return kind(card.classes, recipe.label_smoothing, options=options, class_weights=weights)
