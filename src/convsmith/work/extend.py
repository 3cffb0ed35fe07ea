"""Continues a run: whether it is finished, its new length, the new place of its data, edited records."""

from collections.abc import Callable
from pathlib import Path

from convsmith.base.durations import Duration
from convsmith.base.errors import MissingPath, UsageError
from convsmith.data.loaders import steps_in_epoch
from convsmith.data.sources.opening import KNOWN
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.recipe import Recipe
from convsmith.runs.directory import RunDirectory
from convsmith.runs.records import whole_result
from convsmith.work.prepare import Plan

Say = Callable[[str], None]


def extended_recipe(run: RunDirectory, length: Duration | None, source: str | None = None) -> Recipe:
    """The run's recipe with the new length and the new place of its data. Nothing is written yet."""
    recipe = run_recipe(run.path)
    if source is not None:
        if source not in KNOWN and not Path(source).exists():
            raise MissingPath(f"{source}: no such data; expected the place where the data of {run.path} is now")
        recipe = recipe.edit(data__source=source if source in KNOWN else str(Path(source).resolve()))
    if length is None or length == recipe.length:
        return recipe
    if recipe.length.unit != length.unit or length.amount < recipe.length.amount:
        raise UsageError(f"{run.path} is {recipe.length} long; it can be made longer, not {length}")
    return recipe.edit(length=length)


def settle(run: RunDirectory, recipe: Recipe, say: Say) -> bool:
    """Write the user's changes into the run; returns whether the run is longer now."""
    for name in run.keep_accepted():
        say(f"{run.path / name}.json was edited; the run goes on by it as it is now")
        run.log(f"{name}.json was edited, and accepted")
    before = run_recipe(run.path)
    if recipe.data.source != before.data.source:
        moved = f"the data is at {recipe.data.source} now (was {before.data.source})"
        say(f"{moved}; the run looks for it there from here on")
        run.log(moved)
    if recipe.length != before.length:
        say(_longer(recipe, before))
    if recipe != before:
        run.write_record("recipe", run.record("recipe") | {"recipe": recipe.to_json()})
    return recipe.length != before.length


def _longer(recipe: Recipe, before: Recipe) -> str:
    """The line that says the new length and its effect on the schedule."""
    schedule = recipe.schedule.kind
    text = f"extended from {before.length} to {recipe.length}; the {schedule} schedule goes on over the new length"
    if schedule in ("constant", "exponential", "plateau"):
        return text
    return f"{text}, so the rate rises again to where that length has it"


def is_finished(run: RunDirectory, plan: Plan) -> bool:
    """Whether the run has reached the length of the plan, or was stopped early and is not extended."""
    if run.status().state != "finished" or not run.has("result"):
        return False
    result, extended = whole_result(run), plan.recipe.length != run_recipe(run.path).length
    if result is None:
        return False
    wanted = plan.recipe.length.steps(steps_in_epoch(len(plan.dataset.train), plan.recipe.batch))
    return result["steps"] >= wanted or (result["ended"] == "stopped early" and not extended)
