"""One recipe on the folds of its data: each run is validated on images that it did not train on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe
from convsmith.runs.records import result_of
from convsmith.series.folder import RECIPE, folds_name
from convsmith.series.member import Member
from convsmith.series.page import Series
from convsmith.series.repeat import over_runs
from convsmith.series.results import Trained
from convsmith.tasks.classify import wilson_interval
from convsmith.tasks.metrics import averages

# More runs than anybody trains one after the other.
MOST = 1000


def cross_validate(recipe: Recipe, count: int) -> Series:
    """`recipe` on `count` folds of train and val, each in `fold<N>`.

    Every image of train and val validates one run; test images, if any, stay those that they are without folds.
    """
    if not 2 <= count <= MOST:
        raise UsageError(f"kfold: expected 2 to {MOST:,} folds, received {count:,}")
    if recipe.data.fold is not None:
        raise UsageError(f"kfold: the recipe is of fold {recipe.data.fold} already; leave out --data.fold")
    name, folds = folds_name(count), {f"fold{n}": f"{n}/{count}" for n in range(1, count + 1)}
    return Series(
        tuple(Member(at, recipe.edit(data__fold=fold), name, about={"fold": fold}) for at, fold in folds.items()),
        name=name,
        title=f"{recipe.name} on {name}",
        question="How well does the recipe do on images that it did not train on?",
        of=(Member(RECIPE, recipe),),
        head={"recipe": recipe.to_json(), "folds": count},
        more=lambda runs: {**over_runs(runs), **_out_of_fold(runs)},
    )


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
