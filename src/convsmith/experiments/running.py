"""Train the members of an experiment into one folder: what is finished stays, what was interrupted goes on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.processes import part
from convsmith.experiments.drawing import write_results
from convsmith.experiments.experiment import Experiment, Member
from convsmith.experiments.folder import claimed, run_folder
from convsmith.experiments.results import Trained
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.estimate import Estimate, estimate
from convsmith.recipes.prepare import prepare
from convsmith.recipes.recipe import Recipe, quickened
from convsmith.recipes.run import resume, train
from convsmith.report.text import duration, many
from convsmith.runs.directory import RunDirectory, is_run, open_run
from convsmith.runs.records import whole_result

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reproduced:
    """A folder of runs and what its `summary.json` holds."""

    folder: Path
    summary: dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """What a member will take: how many of its runs are finished and still to do, and the estimate of one of them."""

    member: Member
    finished: int
    left: int
    each: Estimate | None

    @property
    def seconds(self) -> float:
        """The time of those that are left; an interrupted one counts as a whole."""
        return self.left * self.each.seconds if self.each else 0.0


def reproduce(
    name: str, experiment: Experiment, members: tuple[Member, ...], *, seeds: int, folder: Path, quiet: bool = False,
    say: Say = print, allow_drift: bool = False,
) -> Reproduced:  # fmt: skip
    """Train every member with `seeds` seeds, from its own upwards, and write summary, picture and report.

    All members come with one seed before the next seed; an interrupted run goes on, with `allow_drift` on another
    machine too. Raises UsageError where `folder` holds something else.
    """
    if part().size > 1:
        raise UsageError(f"{name}: works in one process, received {part().size}; give the command without torchrun")
    with claimed(folder, name, members):
        if not members[0].recipe.quick:
            say(expectation_text(expectations(members, seeds, folder)))
        runs: list[Trained] = []
        total = len(members) * seeds
        for number in range(seeds):
            for member in members:
                seed = member.recipe.seed + number
                path = run_folder(folder, member, seed)
                place = f"run {len(runs) + 1} of {total}: {path.name}"
                runs.append(Trained(member, seed, _trained(member, seed, path, place, quiet, say, allow_drift)))
        return Reproduced(folder, write_results(folder, name, experiment, members, runs))


def expectations(members: tuple[Member, ...], seeds: int, folder: Path) -> list[Expected]:
    """What each member will take, measured on a few steps; members that are finished are not measured."""
    found: list[Expected] = []
    for member in members:
        paths = [run_folder(folder, member, member.recipe.seed + number) for number in range(seeds)]
        finished = sum(_is_finished(path) for path in paths)
        # The weights of an earlier member may not be there yet, and cost no time.
        each = estimate(prepare(replace(member.recipe, weights=None, renew=None))) if finished < seeds else None
        found.append(Expected(member, finished, seeds - finished, each))
    return found


def expectation_text(expected: list[Expected]) -> str:
    """How many runs there are and how long they will take, in a line."""
    left, finished = sum(e.left for e in expected), sum(e.finished for e in expected)
    line = f"{many(left, 'run')} of {many(len(expected), 'member')}"
    line += f" ({finished} more are finished)" if finished else ""
    if not left:
        return f"all {many(finished, 'run is', 'runs are')} finished"
    return f"{line}: about {duration(sum(e.seconds for e in expected))}, measured on a few steps of each member"


def _trained(
    member: Member, seed: int, path: Path, place: str, quiet: bool, say: Say, allow_drift: bool
) -> RunDirectory:
    """The finished run of a member, trained now as far as it is not."""
    if _is_finished(path):
        _check_length(path, member.recipe)
        say(f"{place} is finished")
        return open_run(path)
    say(place)
    if is_run(path):
        return resume(path, allow_drift=allow_drift, quiet=quiet, say=say).run
    recipe = replace(member.recipe, name=path.name.rpartition("-")[0], seed=seed)
    if member.start is not None:
        recipe = replace(recipe, weights=str(path.parent / f"{member.start}-seed{seed}"))
    return train(recipe, out=path, quiet=quiet, say=say).run


def _is_finished(path: Path) -> bool:
    if not is_run(path):
        return False
    run = open_run(path)
    return run.status().state == "finished" and run.has("result") and whole_result(run, quiet=True) is not None


def _check_length(path: Path, recipe: Recipe) -> None:
    """The one thing that can be changed of a finished run."""
    wanted, found = (quickened(recipe) if recipe.quick else recipe).length, run_recipe(path).length
    if found != wanted:
        raise UsageError(
            f"{path}: was trained on to {found}, and the runs of this experiment are {wanted} long; move it away to "
            "train it anew, or choose another folder with --out"
        )
