"""One recipe with several seeds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe, recipe_from_json
from convsmith.report.text import many
from convsmith.series.folder import RECIPE, SEEDS, stated
from convsmith.series.member import Member
from convsmith.series.page import Series
from convsmith.series.results import Trained, spreads


def repeat(recipe: Recipe, count: int) -> Series:
    """`recipe` with `count` seeds, from its own upwards, each in `seed<N>`; a larger `count` adds seeds."""
    if count < 2:
        raise UsageError(f"repeat: expected at least 2 runs, received {count}")
    seeds = range(recipe.seed, recipe.seed + count)
    return Series(
        tuple(Member(f"seed{n}", replace(recipe, seed=n), many(count, "seed"), about={"seed": n}) for n in seeds),
        name=SEEDS,
        title=f"{recipe.name} with {many(count, 'seed')}",
        question="How far apart do runs lie that differ in their seed alone?",
        of=(Member(RECIPE, recipe),),
        head={"recipe": recipe.to_json()},
        more=over_runs,
    )


def over_runs(runs: Sequence[Trained]) -> dict[str, Any]:
    """The spread of each number over all runs, for the splits that were evaluated."""
    return {"over_runs": {split: numbers for split, numbers in spreads(runs).items() if split != "train"}}


def begun(out: str | None, asked: Recipe) -> Recipe | None:
    """The recipe of the runs in `out`, if its network, weights, seed and data are those of `asked`; else None.

    A repeated command uses this recipe, since a new measurement of the speed could choose another.
    """
    before = stated(Path(out)) if out else None
    if before is None or RECIPE not in before["members"]:
        return None
    stored = recipe_from_json(before["members"][RECIPE]["recipe"], str(out))
    sources = {Path(recipe.data.source).resolve() for recipe in (stored, asked)}
    same = all(getattr(stored, name) == getattr(asked, name) for name in ("network", "weights", "seed"))
    return stored if same and len(sources) == 1 else None
