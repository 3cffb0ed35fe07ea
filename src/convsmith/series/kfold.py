"""One recipe on the folds of its data: each run is validated on images that it did not train on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe
from convsmith.runs.records import result_of
from convsmith.series.folder import RECIPE, default_folder, folds_name
from convsmith.series.member import Member
from convsmith.series.page import Story
from convsmith.series.repeat import over_runs
from convsmith.series.results import Trained
from convsmith.series.running import Concluded, train_series
from convsmith.tasks.classify import wilson_interval
from convsmith.tasks.metrics import averages

# More runs than anybody trains one after the other.
MOST = 1000


def cross_validate(
    recipe: Recipe, count: int, *, out: Path | None = None, quiet: bool = False, say: Callable[[str], None] = print,
    allow_drift: bool = False,
) -> Concluded:  # fmt: skip
    """Train `recipe` on `count` folds of train and val, into `out/fold<N>` each, and sum them up.

    Every image of train and val validates one run; test images, if any, stay those that they are without folds. A
    folder that was interrupted goes on as that of `repeat` does.
    """
    return train_series(*folds(recipe, count, out), quiet=quiet, say=say, allow_drift=allow_drift)


def folds(recipe: Recipe, count: int, out: Path | None) -> tuple[tuple[Member, ...], Path, Story]:
    """The members of a cross-validation, where they lie, and what their page tells."""
    if not 2 <= count <= MOST:
        raise UsageError(f"kfold: expected 2 to {MOST:,} folds, received {count:,}")
    if recipe.data.fold is not None:
        raise UsageError(f"kfold: the recipe is of fold {recipe.data.fold} already; leave out --data.fold")
    name = folds_name(count)
    members = tuple(
        Member(f"fold{n}", recipe.edit(data__fold=f"{n}/{count}"), name, about={"fold": f"{n}/{count}"})
        for n in range(1, count + 1)
    )
    story = Story(
        name=name,
        title=f"{recipe.name} on {name}",
        question="How well does the recipe do on images that it did not train on?",
        of=(Member(RECIPE, recipe),),
        head={"recipe": recipe.to_json(), "folds": count},
        more=lambda runs: {**over_runs(runs), **_out_of_fold(runs)},
    )
    return members, out or default_folder(recipe, f"folds{count}"), story


def _out_of_fold(runs: Sequence[Trained]) -> dict[str, Any]:
    """The numbers of all images that validated, each answered by the run that did not train on it."""
    found = [result_of(trained.run)["metrics"]["val"] for trained in runs]
    if not all("confusion" in numbers for numbers in found):
        return {}  # several labels for an image, or a task of the user's own
    confusion = np.sum([numbers["confusion"] for numbers in found], axis=0)
    count, right = int(confusion.sum()), int(np.trace(confusion))
    means = averages(confusion)
    return {
        "out_of_fold": {
            "accuracy": right / count,
            "count": count,
            "interval": list(wilson_interval(right, count)),
            "balanced_accuracy": means.balanced_accuracy,
            "f1": means.f1,
            "loss": sum(numbers["loss"] * numbers["count"] for numbers in found) / count,
            "confusion": confusion.tolist(),
        }
    }
