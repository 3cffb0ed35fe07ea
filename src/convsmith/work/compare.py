"""Compares runs: their numbers on the same images, and the differences between their recipes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convsmith.base.config import plain
from convsmith.base.errors import UsageError
from convsmith.base.result import Result, compared
from convsmith.base.spread import Spread, spread
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.recipe import Recipe
from convsmith.tasks.metrics import Paired, paired
from convsmith.training.options import EngineOptions
from convsmith.work.evaluate import Evaluated, Split, check_same_images, evaluate_run


@dataclass(frozen=True)
class Repeats:
    """Runs whose recipes differ only in the seed: their indices in the comparison, and the spread of each number."""

    members: tuple[int, ...]
    numbers: dict[str, Spread]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. `pairs` compare each later run with the first; `unpaired` is the reason if there are none.

    `differences` are the fields that differ between the recipes, with the value of each run.
    """

    evaluated: tuple[Evaluated, ...]
    recipes: tuple[Recipe, ...]
    repeats: tuple[Repeats, ...]
    pairs: tuple[Paired, ...]
    unpaired: str
    differences: dict[str, tuple[Any, ...]]


def compare_runs(
    paths: Sequence[str | Path],
    *,
    split: Split | None = None,
    source: str | None = None,
    engine: EngineOptions | None = None,
) -> Comparison:
    """Evaluate runs as `evaluate_run` does, and compare them. If their images differ, `unpaired` says so."""
    if len(paths) < 2:
        raise UsageError("a comparison needs two runs or more")
    evaluated = tuple(evaluate_run(path, split=split, source=source, engine=engine) for path in paths)
    recipes = tuple(run_recipe(path) for path in paths)
    pairs, unpaired = _pairs(evaluated)
    return Comparison(
        evaluated=evaluated,
        recipes=recipes,
        repeats=_repeats(recipes, [e.result for e in evaluated]),
        pairs=pairs,
        unpaired=unpaired,
        differences=recipe_differences(recipes),
    )


def spreads(rows: Sequence[dict[str, float | None]]) -> dict[str, Spread]:
    """The spread of each number over several rows."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: spread(row.get(name) for row in rows) for name in names}


def recipe_differences(recipes: Sequence[Recipe]) -> dict[str, tuple[Any, ...]]:
    """The fields that differ, by their dotted names in the order of the recipe; None for a recipe without the field.

    `name` is left out, since it does not change what a run does.
    """
    flat = [dict(_fields(plain(replace(recipe, name="")))) for recipe in recipes]
    names = dict.fromkeys(name for fields in flat for name in fields)
    rows = {name: tuple(fields.get(name) for fields in flat) for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def _fields(data: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _repeats(recipes: Sequence[Recipe], results: Sequence[Result]) -> tuple[Repeats, ...]:
    groups: dict[Recipe, list[int]] = {}
    for number, recipe in enumerate(recipes):
        groups.setdefault(replace(recipe, name="", seed=0), []).append(number)
    rows = [compared(result.numbers) for result in results]
    return tuple(
        Repeats(tuple(members), spreads([rows[i] for i in members])) for members in groups.values() if len(members) > 1
    )


def _pairs(evaluated: Sequence[Evaluated]) -> tuple[tuple[Paired, ...], str]:
    try:
        check_same_images(evaluated)
    except UsageError as error:
        return (), str(error)
    rights = [one.result.samples and one.result.samples.right for one in evaluated]
    if any(right is None for right in rights):
        return (), f"{evaluated[0].task.about} does not say which images are right"
    first, *others = [right for right in rights if right is not None]
    return tuple(paired(first, other) for other in others), ""
