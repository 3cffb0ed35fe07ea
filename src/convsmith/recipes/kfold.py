"""One recipe on the folds of its data: k runs in one folder, each validated on images that it did not train on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.repeat import FOLDS, Member, Repeated, default_folder, train_members
from convsmith.recipes.run import Outcome
from convsmith.tasks.classify import wilson_interval
from convsmith.tasks.metrics import averages

# More runs than anybody trains one after the other.
MOST = 1000


def cross_validate(
    recipe: Recipe, count: int, *, out: Path | None = None, quiet: bool = False, say: Callable[[str], None] = print,
    allow_drift: bool = False,
) -> Repeated:  # fmt: skip
    """Train `recipe` on `count` folds of train and val, into `out/fold<N>` each, and sum them up.

    Every image of train and val validates one run; test images, if any, stay those that they are without folds. A
    folder that was interrupted goes on as that of `repeat` does.
    """
    if not 2 <= count <= MOST:
        raise UsageError(f"kfold: expected 2 to {MOST:,} folds, received {count:,}")
    if recipe.data.fold is not None:
        raise UsageError(f"kfold: the recipe is of fold {recipe.data.fold} already; leave out --data.fold")
    members = [
        Member(f"fold{n}", f"fold {n}", {"fold": f"{n}/{count}"}, recipe.edit(data__fold=f"{n}/{count}"))
        for n in range(1, count + 1)
    ]
    folder = default_folder(recipe, f"folds{count}") if out is None else out
    return train_members(
        recipe, members, folder, quiet=quiet, say=say, allow_drift=allow_drift, stated={FOLDS: count}, more=_out_of_fold
    )


def _out_of_fold(outcomes: list[Outcome]) -> dict[str, Any]:
    """The numbers of all images that validated, each answered by the run that did not train on it."""
    found = [outcome.result["metrics"]["val"] for outcome in outcomes]
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
