"""A run that goes on: whether it is finished, a new length, and edited records that the user accepts."""

from collections.abc import Callable

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.data.loaders import steps_in_epoch
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.recipe import Recipe
from convsmith.runs.directory import RunDirectory
from convsmith.runs.records import whole_result
from convsmith.work.prepare import Plan

Say = Callable[[str], None]


def extended_recipe(run: RunDirectory, length: Duration | None) -> Recipe:
    """The run's recipe with the new length; nothing is written before the run is held."""
    recipe = run_recipe(run.path)
    if length is None or length == recipe.length:
        return recipe
    if recipe.length.unit != length.unit or length.amount < recipe.length.amount:
        raise UsageError(f"{run.path} is {recipe.length} long; it can be made longer, not {length}")
    return recipe.edit(length=length)


def settle(run: RunDirectory, recipe: Recipe, say: Say) -> bool:
    """Write down what the user changes of a run: edited records that are accepted, and a new length."""
    for name in run.keep_accepted():
        say(f"{run.path / name}.json was edited; the run goes on by it as it is now")
        run.log(f"{name}.json was edited, and accepted")
    return _extend(run, recipe, say)


def _extend(run: RunDirectory, recipe: Recipe, say: Say) -> bool:
    """Write down a new length and say what the schedule makes of it; False where the length is as before."""
    before = run_recipe(run.path).length
    if recipe.length == before:
        return False
    schedule = recipe.schedule.kind
    say(
        f"extended from {before} to {recipe.length}; the {schedule} schedule goes on over the new length"
        + (
            ""
            if schedule in ("constant", "exponential", "plateau")
            else ", so the rate rises again to where that length has it"
        )
    )
    run.write_record("recipe", run.record("recipe") | {"recipe": recipe.to_json()})
    return True


def is_finished(run: RunDirectory, plan: Plan) -> bool:
    """Whether the run has ended at the length of the plan, or was stopped early and is not to be longer."""
    if run.status().state != "finished" or not run.has("result"):
        return False
    result, extended = whole_result(run), plan.recipe.length != run_recipe(run.path).length
    if result is None:
        return False
    wanted = plan.recipe.length.steps(steps_in_epoch(len(plan.dataset.train), plan.recipe.batch))
    return result["steps"] >= wanted or (result["ended"] == "stopped early" and not extended)
