"""What the recipes for CIFAR-10 and CIFAR-100 share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from convsmith.base.durations import Duration
from convsmith.data.augmentations import Crop, Flip
from convsmith.data.options import DataOptions
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.recipe import Recipe
from convsmith.training.options import Optimizer, Schedule

Data = Literal["cifar10", "cifar100"]
DATA: dict[Data, str] = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
PADDED = (Crop(4), Flip())
MIRRORED = (Crop(4, "reflect"), Flip())

HELD_BACK = "a tenth of the training images validates"
CHANNEL_MEAN = (
    "the mean of each channel is subtracted, not that of each pixel, and each channel is divided by its deviation"
)
# Of the test error in percent as printed, on CIFAR-10 and CIFAR-100; None: the paper has no such figure.
Errors = tuple[str | None, str | None]


def steps(*moments: float) -> tuple[Duration, ...]:
    """Moments of a schedule in steps."""
    return tuple(Duration(moment, "steps") for moment in moments)


def epochs(*moments: float) -> tuple[Duration, ...]:
    """Moments of a schedule in epochs."""
    return tuple(Duration(moment, "ep") for moment in moments)


def falling(at: tuple[Duration, ...], factor: float | None = None, **more: object) -> Schedule:
    """A step schedule: the rate times `factor` (a tenth) at each of `at`."""
    return replace(Schedule(kind="step", at=at, factor=factor), **more)


def sgd(weight_decay: float, nesterov: bool = True) -> Optimizer:
    """Stochastic gradient descent with momentum 0.9 from the rate 0.1, as all of these papers have it."""
    return Optimizer(lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay)


def cifar(
    stem: str,
    data: Data,
    title: str,
    recipe: Recipe,
    *,
    paper: str,
    errors: Errors,
    where: str,
    sources: Mapping[str, str],
    differs: tuple[str, ...] = (HELD_BACK,),
) -> BuiltIn:
    """The recipe `<stem>-<data>`, with the error that `where` of the paper reports; `title` without the data's name."""
    error = errors[list(DATA).index(data)]
    return BuiltIn(
        recipe=replace(recipe, name=f"{stem}-{data}", data=replace(recipe.data, source=data)),
        group=DATA[data],
        title=f"{title} on {DATA[data]}",
        paper=paper,
        figure=f"no test error for {DATA[data]}" if error is None else f"{error}% test error ({where})",
        differs=differs,
        sources=sources,
    )


def base(network: str, **fields: object) -> Recipe:
    """A recipe on CIFAR with some fields set; batches of 128 unless said otherwise."""
    return replace(Recipe(network=network, data=DataOptions(source="cifar10")), **fields)
