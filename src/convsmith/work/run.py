"""Trains by a recipe or resumes a run. The result is the run directory."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from convsmith.base.config import read_value
from convsmith.base.durations import Duration
from convsmith.base.errors import ConvsmithError, UsageError
from convsmith.base.processes import command, launch, may_restart, part, restarts
from convsmith.base.result import Result, results_to_json
from convsmith.data.dataset import offering_skip
from convsmith.data.views import price, views_text
from convsmith.data.workers import LoaderFailed
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import Checkpoint, load_checkpoint
from convsmith.runs.directory import RunDirectory, create_run, is_run, open_run
from convsmith.runs.generations import generations, tidy
from convsmith.runs.lock import TAKEOVER_PATIENCE, Paused, hold
from convsmith.runs.network import network_of
from convsmith.runs.records import reading, result_of
from convsmith.training.distributed import World
from convsmith.training.engine import machine_changes, resolve_here, suited, using
from convsmith.training.fit import fit, save_state
from convsmith.training.interrupt import Interrupted, stop_requests
from convsmith.training.job import Job, State, new_state, unpack
from convsmith.training.logistic import Logistic
from convsmith.training.lookahead import slow_weights
from convsmith.training.options import EngineOptions
from convsmith.training.progress import make_progress
from convsmith.training.solver import AfterEpoch, Beside, Solver
from convsmith.training.step import Exploded
from convsmith.training.together import together
from convsmith.training.track import check_track, open_tracker
from convsmith.work.autotune import tune
from convsmith.work.estimate import estimate, is_long
from convsmith.work.evaluate import check_views_of, evaluate_selected, evaluate_selected_views
from convsmith.work.extend import extended_recipe, is_finished, settle
from convsmith.work.first_step import check_batch, explained
from convsmith.work.last_layer import first_model, last_inputs
from convsmith.work.limit import Limit, say_overrun
from convsmith.work.page import write_report
from convsmith.work.prepare import (
    Plan,
    announced,
    make_job,
    records,
    stored_plan,
    with_start,
)
from convsmith.work.waiting import waiting_note
from convsmith.work.within import planned

Say = Callable[[str], None]
# The fields of each row of the log; the report needs all of them.
LOGGED = (
    "epoch", "step", "lr", "train_loss", "seconds", "images_per_second", "data_wait",
)  # fmt: skip


# The functions that make the solvers, from a plan and its model.
SOLVERS: Mapping[str, Callable[[Plan, nn.Module, Say, bool], Solver]] = {
    "steps": lambda plan, model, say, quiet: fit,
    "logistic": lambda plan, model, say, quiet: Logistic(last_inputs(plan, model, say, quiet)),
}


@dataclass(frozen=True)
class Outcome:
    """A run's directory, and the result that `train --json` prints; {} for a paused run."""

    run: RunDirectory
    result: dict[str, Any]


@dataclass(frozen=True)
class Extent:
    """The end of a call: `test` says whether the test images are evaluated, `after_epoch` may pause the run.

    `after_epoch` gets the row of the log of each epoch; if it gives True the run is paused, and `resume` goes on.
    """

    test: bool = True
    after_epoch: AfterEpoch | None = None


def train(
    recipe: Recipe, *, out: Path | None = None, quiet: bool = False, say: Say = lambda text: None,
    limit: Limit | None = None, test: bool = True,
    after_epoch: AfterEpoch | None = None,
) -> Outcome:  # fmt: skip
    """Train by `recipe` into a new run directory; `say` gets the lines that tell the user what was decided.

    With a `limit` the recipe gets shorter, and its images smaller, as far as the speed of this machine requires.
    Without `test` the test images are not evaluated, as for many runs among which validation chooses.
    `after_epoch` gets the row of the log of each epoch; if it gives True the run is paused, and `resume` goes on.
    """
    extent = Extent(test, after_epoch)
    with offering_skip(recipe.data):
        outcome = train_plan(
            lambda: planned(recipe, limit), recipe.engine, out=out, quiet=quiet, say=say, extent=extent
        )
    say_overrun(limit, say)
    return outcome


@dataclass(frozen=True)
class _Begun:
    """A run before its next step: its directory, plan, job and state."""

    run: RunDirectory
    plan: Plan
    job: Job
    state: State


def train_plan(
    make: Callable[[], Plan], options: EngineOptions, *, out: Path | None = None, quiet: bool = False,
    say: Say = lambda text: None, extent: Extent = Extent(),
) -> Outcome:  # fmt: skip
    """`train` for the plan that `make` gives. Of several processes only the first calls it; the others join its run."""
    if options.autotune and part().size > 1:
        raise UsageError(
            f"engine.autotune: works in one process, received {part().size}; leave it out, and say what is fast here "
            "with --precision and --engine.compile"
        )
    if may_restart() and out is None:
        raise UsageError(
            "torchrun may start this command again (--max-restarts), which then has to find its run: give it --out DIR"
        )
    if may_restart() and launch() is None:
        raise UsageError(
            "torchrun may start this command again (--max-restarts), which then has to know its own run: give torchrun "
            "--rdzv-id NAME, or --standalone on one machine"
        )
    with together(options) as world:
        if out is not None and world.lead(lambda: world.restarted() and made_before(out)):
            return _resume(open_run(out), run_recipe(out), world, True, quiet, say, extent)
        begun = world.lead(
            lambda: _begin_run(make(), world, out, say, quiet), lambda begun: str(begun.run.path.resolve())
        )
        return _go_on(begun if world.part.leads else _join_run(begun, world), quiet, say, extent=extent)


def made_before(out: Path) -> bool:
    """Whether `out` is the run of this command in the same torchrun job."""
    if launch() is None or not is_run(out):
        return False
    env = RunDirectory(out).environment()
    return (env.get("launch"), env.get("command")) == (launch(), command())


def _join_run(path: str, world: World) -> _Begun:
    """The run that the first process has begun, read from its directory."""
    run = open_run(path)
    recipe = run_recipe(run.path)
    plan = stored_plan(run.path, recipe, network_of(run))
    return _begin(run, plan, plan.network.make(recipe.seed), world)


def _begin_run(plan: Plan, world: World, out: Path | None, say: Say, quiet: bool) -> _Begun:
    check_track(plan.recipe.track)
    check_batch(plan, world.part.size)
    if plan.recipe.engine.autotune:
        plan = replace(plan, engine=tune(plan, say).engine)
    plan = announced(plan, say)
    if is_long(plan) and plan.recipe.by_steps and world.part.size == 1:
        for line in estimate(plan).text().splitlines():
            say(line)
    notes: list[str] = []
    state, job = _state_and_job(plan, first_model(plan, notes, say, quiet), world)
    check_views_of(plan, state.model)
    for note in notes:
        say(note)
    run = create_run(out, plan.recipe.name, records(plan))
    say(f"run {run.path}")
    return _Begun(run, plan, job, state)


def resume(
    path: str | Path, *, length: Duration | None = None, data: str | None = None, allow_other_machine: bool = False,
    quiet: bool = False, say: Say = lambda text: None, test: bool = True, after_epoch: AfterEpoch | None = None,
) -> Outcome:  # fmt: skip
    """Continue a run in place; its final weights are those that it would have had without the interruption.

    `length` longer than before extends the run; `data` is the new place of data that has moved. On another processor
    or torch build the bits would differ: that is an error unless `allow_other_machine`. `test` and `after_epoch` as for
    `train`.
    """
    run = open_run(path)
    recipe = extended_recipe(run, length, data)
    with together(recipe.engine) as world:
        return _resume(run, recipe, world, allow_other_machine, quiet, say, Extent(test, after_epoch))


def _resume(
    run: RunDirectory, recipe: Recipe, world: World, allow_other_machine: bool, quiet: bool, say: Say, extent: Extent
) -> Outcome:
    speak = say if world.part.leads else lambda text: None
    stored = stored_plan(run.path, recipe, network_of(run))
    # The first process decides for all: it may write to the run before the others read it.
    state = world.lead(lambda: _run_state(run, stored))
    if state == "finished":  # also if this is another machine
        speak(f"{run.path} is finished; train on with a larger --epochs")
        return Outcome(run, result_of(run))
    plan = _here(stored, allow_other_machine, run, speak)
    if state == "new":
        return _go_on(
            _begin(run, plan, first_model(with_start(plan), [], speak, quiet), world), quiet, say, extent=extent
        )
    # The checkpoint holds the weights, so the weights that the run started from are not needed.
    begun = _begin(run, plan, plan.network.make(recipe.seed), world)
    return _go_on(begun, quiet, say, restore=True, extent=extent)


def _here(plan: Plan, allow_other_machine: bool, run: RunDirectory, say: Say) -> Plan:
    """The plan with an engine for this machine: where it lacks the stored device or precision, its own (said)."""
    now = resolve_here(plan.recipe.engine)
    differences = machine_changes(plan.engine, now)
    if differences and not allow_other_machine:
        raise UsageError(
            f"{run.path}: resumed here the result would differ from an uninterrupted run's: {'; '.join(differences)}; "
            "go on all the same with --allow-other-machine"
        )
    engine = suited(plan.engine, now)
    taken = [(name, getattr(plan.engine, name), getattr(engine, name)) for name in ("device", "precision", "compile")]
    if changed := [f"{name} {after} in place of {before}" for name, before, after in taken if before != after]:
        say(f"goes on with what is here: {', '.join(changed)}")
    return replace(plan, engine=engine)


def _run_state(run: RunDirectory, plan: Plan) -> str:
    """The state of a run: "finished", "new" (killed before its first checkpoint), or "restored" (has a checkpoint)."""
    if is_finished(run, plan):
        return "finished"
    begun = any(generations(run.path / "checkpoints")) or run.has("last")
    return "restored" if begun else "new"


def _begin(run: RunDirectory, plan: Plan, module: nn.Module, world: World) -> _Begun:
    state, job = _state_and_job(plan, module, world)
    return _Begun(run, plan, job, state)


def _state_and_job(plan: Plan, module: nn.Module, world: World) -> tuple[State, Job]:
    if world.part.size > 1 and not plan.recipe.by_steps:
        raise UsageError(f"solver {plan.recipe.solver}: works in one process, received {world.part.size}")
    model = plan.engine.place(module)
    job = make_job(plan, world)
    state = new_state(model, plan.recipe.optimizer, plan.engine, plan.learned.task.parts)
    plan.engine.accelerate(model)
    return state, job


@contextmanager
def _heartbeat(run: RunDirectory, job: Job) -> Iterator[Callable[[int, int], None]]:
    """Lock the run in the first process. Gives the function to call after every step, the heartbeat of the lock."""
    if not job.world.part.leads:
        yield lambda step, epoch: None
        return
    with hold(run, job.span.total_steps, TAKEOVER_PATIENCE if restarts() else 0.0) as holder:
        yield holder.beat


def _go_on(begun: _Begun, quiet: bool, say: Say, *, restore: bool = False, extent: Extent = Extent()) -> Outcome:
    """Restore, fit, evaluate, write result and report. A pause ends without a result."""
    try:
        return _run_to_end(begun, quiet, say, restore, extent)
    except Paused:
        begun.run.log(f"paused at step {begun.state.step}")
        return Outcome(begun.run, {})


def _run_to_end(begun: _Begun, quiet: bool, say: Say, restore: bool, extent: Extent) -> Outcome:
    if not extent.test:
        begun = replace(begun, plan=replace(begun.plan, dataset=replace(begun.plan.dataset, test=None)))
    run, plan, job, state = begun.run, begun.plan, begun.job, begun.state
    world = job.world
    leads = world.part.leads
    quiet, say = (quiet, say) if leads else (True, lambda text: None)
    if plan.recipe.data.on_bad == "skip" and plan.dataset.split.get("skipped"):
        skipped = plan.dataset.split["skipped"]
        say(f"files that cannot be read are left out: {len(skipped):,}, first {skipped[0]['file']} (all in split.json)")
    # torchrun signals all processes when one fails, and none may die of it before it has ended its run.
    requests = stop_requests(silent=True) if world.part.size > 1 else nullcontext()
    with using(plan.engine), _heartbeat(run, job) as beat, requests as request, world.watch():
        extended = world.lead(lambda: settle(run, plan.recipe, say))
        if restore:
            _restore(run, job, state, say)
            if extended:
                # Early stopping counts its patience from here.
                state.stopping = replace(state.stopping, best_step=state.step)
            say(f"resumes {run.path} at step {state.step} of {job.span.total_steps}")
        else:
            # From here on a resume needs only the run, not the weights that it started from.
            save_state(job, state, run, best=False)
        progress = make_progress(job.span.total_steps, quiet)
        job = replace(job, tracker=open_tracker(plan.recipe.track if leads else None, run, job, plan.recipe, say))
        try:
            # Up to here processes take different times. From here on they exchange, and a late one would block all.
            world.meet()
            state.wrapped = world.parallel(state.model)
            if not restore and state.slow:
                state.slow = slow_weights(state.model)  # the wrapper has copied the first weights to all processes
            solver = SOLVERS[plan.recipe.solver](plan, state.model, say, quiet)
            with explained(job, state, run):
                how = solver(job, state, run, Beside(progress, beat, request, extent.after_epoch))
        except Exploded as error:
            if leads:
                _write_unfinished(run, plan, "failed")
            raise Exploded(f"{error}. The last good state is in {run.path / 'checkpoints'}") from None
        except LoaderFailed as error:
            raise LoaderFailed(
                f"{error}. The last checkpoint is good; go on with: convsmith train --resume {run.path}"
            ) from error
        except KeyboardInterrupt:
            progress.close()
            if leads:
                _write_unfinished(run, plan, "stopped")
            raise Interrupted(
                f"stopped at step {state.step}; go on with: convsmith train --resume {run.path}"
            ) from None
        finally:
            progress.close()
            job.tracker.close()
        evaluations = evaluate_selected(run, plan, state.kept, world)
        world.lead(lambda: _conclude(begun, how, evaluations, say))
    return Outcome(run, run.record("result"))


def _conclude(begun: _Begun, how: str, evaluations: Mapping[str, Result | None], say: Say) -> None:
    """Write result and report."""
    run, plan, state = begun.run, begun.plan, begun.state
    run.log(f"{how} at step {state.step}")
    if waited := waiting_note(run.metrics(), plan.recipe.data):
        run.log(waited)
        say(waited)
    result = _result(run, begun.job, state, how, evaluations)
    if plan.recipe.views:
        seen = evaluate_selected_views(plan, state.kept)
        result["views"] = {
            "views": views_text(plan.recipe.views),
            "of_an_image": price(plan.recipe.views, plan.dataset.preprocess).views,
            **results_to_json(seen),
        }
    run.write_record("result", result)
    write_report(run, plan, evaluations, "finished")


def _write_unfinished(run: RunDirectory, plan: Plan, state: str) -> None:
    """Write the report of an unfinished run; a failure here must not hide why the run ended."""
    with suppress(ConvsmithError, OSError):
        write_report(run, plan, {"val": None, "test": None}, state)


def _result(
    run: RunDirectory, job: Job, state: State, how: str, evaluations: Mapping[str, Result | None]
) -> dict[str, Any]:
    return {
        "ended": how,
        "epochs": math.ceil(state.step / job.span.steps_per_epoch),
        "steps": state.step,
        "seconds": round(state.seconds, 3),
        "images_per_second": round(state.images / state.busy, 1) if state.busy else None,
        **results_to_json(evaluations),
    }


def _restore(run: RunDirectory, job: Job, state: State, say: Say) -> None:
    """Restore the newest intact checkpoint, cut the log back to it and remove what a killed save left."""

    def newest() -> Checkpoint:
        tidy(run.path)
        saved = load_checkpoint(run)
        for warning in saved.warnings:
            say(f"warning: {warning}")
        with reading(run.path / "checkpoints"):
            length = read_value(int, saved.meta["metrics_length"], "metrics_length")
            if lost := run.cut_metrics(length, saved.step, LOGGED):
                say(f"warning: {lost}")
                run.log(lost)
        return saved

    world = job.world
    newest_saved = world.lead(newest, lambda saved: saved.step)
    saved = newest_saved if world.part.leads else load_checkpoint(run, newest_saved)
    with reading(run.path / "checkpoints"):
        unpack(state, job.training, saved.model, saved.state, saved.meta["state"])
