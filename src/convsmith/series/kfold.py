"""One recipe on the folds of its data: each run is validated on images that it did not train on."""

from collections.abc import Sequence
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe
from convsmith.runs.records import recipe_of, result_of
from convsmith.series.folder import RECIPE, folds_name
from convsmith.series.member import Member
from convsmith.series.page import Series
from convsmith.series.repeat import over_runs
from convsmith.series.results import Trained
from convsmith.work.learned import learned_of

# A larger number is taken for a mistake.
MOST = 1000


def cross_validate(recipe: Recipe, count: int) -> Series:
    """`recipe` on `count` folds of train and val, each in `fold<N>`.

    Every image of train and val validates one run; test images, if any, are the same as without folds.
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
    """The numbers over all validation images, each answered by the run that did not train on it."""
    run = runs[0].run
    if "task" in recipe_of(run):
        return {}  # it is not known how to pool the numbers of a user's task
    task = learned_of(run, runs[0].member.recipe).task
    pooled = task.pooled([result_of(trained.run)["metrics"]["val"] for trained in runs])
    return {} if pooled is None else {"out_of_fold": pooled}
