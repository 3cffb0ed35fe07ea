"""Train by a recipe, or resume a run: the run directory is the result."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from convsmith.base.durations import Duration
from convsmith.base.errors import ConvsmithError, UsageError
from convsmith.data.loaders import steps_in_epoch
from convsmith.data.sources.opening import describe
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.estimate import estimate, is_long
from convsmith.recipes.evaluate import evaluate_selected
from convsmith.recipes.page import write_report
from convsmith.recipes.prepare import Plan, make_job, make_model, prepare, records, stored_plan
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory, create_run, open_run
from convsmith.runs.generations import generations, tidy
from convsmith.runs.lock import hold
from convsmith.runs.network import network_of
from convsmith.runs.subject import make_module
from convsmith.tasks.classify import Classification
from convsmith.training.engine import drift, resolve, using
from convsmith.training.fit import fit, save_state
from convsmith.training.interrupt import Interrupted
from convsmith.training.job import Job, State, new_state, unpack
from convsmith.training.progress import make_progress
from convsmith.training.step import Exploded

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """A finished run: what `train --json` prints, and where it lies."""

    run: RunDirectory
    result: dict[str, Any]


def train(recipe: Recipe, *, out: Path | None = None, quiet: bool = False, say: Say = lambda text: None) -> Outcome:
    """Train by `recipe` into a new run directory; `say` gets the lines that tell the user what was decided."""
    plan = prepare(recipe)
    card = plan.dataset.card
    notes = [f"data {card.name}: {describe(card)}", *plan.notes]
    if is_long(plan):
        say("\n".join([*notes, estimate(plan).text()]))
        notes.clear()
    state, job = _begin(plan, make_model(plan, notes))
    for note in notes:
        say(note)
    run = create_run(out, plan.recipe.name, records(plan))
    say(f"run {run.path}")
    return _go_on(run, plan, job, state, quiet, say)


def resume(
    path: str | Path, *, length: Duration | None = None, allow_drift: bool = False, quiet: bool = False,
    say: Say = lambda text: None,
) -> Outcome:  # fmt: skip
    """Continue a run in place; its final weights are those that it would have had without the interruption.

    `length` longer than before extends the run. On another processor or torch build the bits would differ: that is an
    error unless `allow_drift`.
    """
    run = open_run(path)
    recipe = _extended(run, length)
    plan = stored_plan(path, recipe, network_of(run))
    differences = drift(plan.engine, resolve(recipe.engine))
    if differences and not allow_drift:
        raise UsageError(
            f"{run.path}: resumed here the result would differ from an uninterrupted run's: {'; '.join(differences)}; "
            "go on all the same with --allow-drift"
        )
    if _is_finished(run, plan):
        say(f"{run.path} is finished; train on with a larger --epochs")
        return Outcome(run, run.record("result"))
    if not any(generations(run.path / "checkpoints")) and not run.has("last"):
        # It was killed before its first checkpoint, so that this is its beginning.
        state, job = _begin(plan, make_model(plan, []))
        return _go_on(run, plan, job, state, quiet, say)
    # The checkpoint holds the weights: what the run once started from is not needed again.
    state, job = _begin(plan, make_module(plan.network, recipe.seed))
    return _go_on(run, plan, job, state, quiet, say, restore=True)


def _begin(plan: Plan, module: nn.Module) -> tuple[State, Job]:
    model = plan.engine.place(module)
    job = make_job(plan)
    return new_state(model, plan.recipe.optimiser, plan.engine), job


def _go_on(
    run: RunDirectory, plan: Plan, job: Job, state: State, quiet: bool, say: Say, restore: bool = False
) -> Outcome:
    """Restore, fit, evaluate, write result and report, all while holding the run."""
    if plan.recipe.data.on_bad == "skip" and plan.dataset.split.get("skipped"):
        skipped = plan.dataset.split["skipped"]
        say(f"left out {len(skipped)} files that cannot be read, first {skipped[0]['file']} (all in split.json)")
    with using(plan.engine), hold(run, job.span.total_steps) as holder:
        extended = _extend(run, plan.recipe, say)
        if restore:
            _restore(run, state, say)
            if extended:
                # A run that was stopped early gets its patience anew.
                state.stopping = replace(state.stopping, best_step=state.step)
            say(f"resumes {run.path} at step {state.step} of {job.span.total_steps}")
        else:
            # From here on a resume needs nothing but the run: not the weights that it began with.
            save_state(job, state, run, best=False)
        progress = make_progress(job.span.total_steps, quiet)
        try:
            how = fit(job, state, run, progress, holder.beat)
        except Exploded as error:
            _write_unfinished(run, plan, "failed")
            raise Exploded(f"{error}. The last good state is in {run.path / 'checkpoints'}") from None
        except KeyboardInterrupt:
            progress.close()
            _write_unfinished(run, plan, "stopped")
            raise Interrupted(
                f"stopped at step {state.step}; go on with: convsmith train --resume {run.path}"
            ) from None
        finally:
            progress.close()
        run.log(f"{how} at step {state.step}")
        evaluations = evaluate_selected(run, plan, state.kept)
        result = _result(run, job, state, how, evaluations)
        run.write_record("result", result)
        write_report(run, plan, evaluations, "finished")
    return Outcome(run, result)


def _write_unfinished(run: RunDirectory, plan: Plan, state: str) -> None:
    """A report of what there is; a failure here must not hide why the run ended."""
    with suppress(ConvsmithError, OSError):
        write_report(run, plan, {"val": None, "test": None}, state)


def _result(
    run: RunDirectory, job: Job, state: State, how: str, evaluations: dict[str, Classification | None]
) -> dict[str, Any]:
    return {
        "ended": how,
        "epochs": math.ceil(state.step / job.span.steps_per_epoch),
        "steps": state.step,
        "seconds": round(state.seconds, 3),
        "images_per_second": round(state.images / state.busy, 1) if state.busy else None,
        "metrics": {split: e and e.to_json() for split, e in evaluations.items()},
    }


def _restore(run: RunDirectory, state: State, say: Say) -> None:
    """Put the newest intact checkpoint into the state, cut the log back to it and remove what a killed save left."""
    tidy(run.path)
    saved = load_checkpoint(run)
    for warning in saved.warnings:
        say(f"warning: {warning}")
    run.cut_metrics(saved.meta["metrics_length"])
    unpack(state, saved.model, saved.state, saved.meta["state"])


def _extended(run: RunDirectory, length: Duration | None) -> Recipe:
    """The run's recipe with the new length; nothing is written before the run is held."""
    recipe = run_recipe(run.path)
    if length is None or length == recipe.length:
        return recipe
    if recipe.length.unit != length.unit or length.amount < recipe.length.amount:
        raise UsageError(f"{run.path} is {recipe.length} long; it can be made longer, not {length}")
    return recipe.edit(length=length)


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


def _is_finished(run: RunDirectory, plan: Plan) -> bool:
    if run.status().state != "finished" or not run.has("result"):
        return False
    result, extended = run.record("result"), plan.recipe.length != run_recipe(run.path).length
    wanted = plan.recipe.length.steps(steps_in_epoch(len(plan.dataset.train), plan.recipe.batch))
    return result["steps"] >= wanted or (result["ended"] == "stopped early" and not extended)
