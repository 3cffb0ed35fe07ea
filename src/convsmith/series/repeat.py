"""One recipe with several seeds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe, recipe_from_json
from convsmith.series.folder import RECIPE, SEEDS, default_folder, stated
from convsmith.series.member import Member
from convsmith.series.page import Story
from convsmith.series.results import Trained, spreads
from convsmith.series.running import Concluded, train_series


def repeat(
    recipe: Recipe, count: int, *, out: Path | None = None, quiet: bool = False, say: Callable[[str], None] = print,
    allow_drift: bool = False,
) -> Concluded:  # fmt: skip
    """Train `recipe` with `count` seeds, from its own upwards, into `out/seed<N>` each, and sum them up.

    A folder that a repetition of the same recipe was interrupted in goes on; a larger `count` adds seeds.
    """
    return train_series(*seeds(recipe, count, out), quiet=quiet, say=say, allow_drift=allow_drift)


def seeds(recipe: Recipe, count: int, out: Path | None) -> tuple[tuple[Member, ...], Path, Story]:
    """The members of a repetition, where they lie, and what their page tells."""
    if count < 2:
        raise UsageError(f"repeat: expected at least 2 runs, received {count}")
    members = tuple(
        Member(f"seed{seed}", replace(recipe, seed=seed), f"{count} seeds", about={"seed": seed})
        for seed in range(recipe.seed, recipe.seed + count)
    )
    story = Story(
        name=SEEDS,
        title=f"{recipe.name} with {count} seeds",
        question="How far apart do runs lie that differ in their seed alone?",
        of=(Member(RECIPE, recipe),),
        head={"recipe": recipe.to_json()},
        more=over_runs,
    )
    return members, out or default_folder(recipe, f"x{count}"), story


def over_runs(runs: Sequence[Trained]) -> dict[str, Any]:
    """The spread over all runs of each number of the splits that were evaluated."""
    return {"over_runs": {split: found for split, found in spreads(runs).items() if split != "train"}}


def begun(out: str | None, asked: Recipe) -> Recipe | None:
    """The recipe of the runs in `out`, if its network, weights, seed and data are those of `asked`; else None.

    A repeated command goes on with this recipe: another measurement of the speed could decide on another one.
    """
    before = stated(Path(out)) if out else None
    if before is None or RECIPE not in before["members"]:
        return None
    found = recipe_from_json(before["members"][RECIPE]["recipe"], str(out))
    sources = {Path(recipe.data.source).resolve() for recipe in (found, asked)}
    same = all(getattr(found, name) == getattr(asked, name) for name in ("network", "weights", "seed"))
    return found if same and len(sources) == 1 else None
