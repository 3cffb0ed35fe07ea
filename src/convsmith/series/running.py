"""Trains the members of a series into one folder: finished runs stay, interrupted runs are resumed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import ConvsmithError, UsageError
from convsmith.base.processes import part
from convsmith.base.result import compared, stored_numbers
from convsmith.recipes.choose import run_recipe
from convsmith.recipes.recipe import Recipe, quickened
from convsmith.report.text import count, duration, many
from convsmith.runs.directory import RunDirectory, is_run, open_run
from convsmith.runs.records import result_of, whole_result
from convsmith.series.folder import claimed
from convsmith.series.member import Member, ordered
from convsmith.series.page import Series, write_results
from convsmith.series.results import Trained, training_numbers
from convsmith.work.estimate import Estimate, estimate
from convsmith.work.prepare import prepare
from convsmith.work.run import resume, train

Say = Callable[[str], None]


@dataclass(frozen=True)
class Concluded:
    """A folder of runs and the contents of its `summary.json`."""

    folder: Path
    summary: dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """The expected cost of the runs that differ only in seed and fold: their first member, and the estimate of one run.

    `finished` and `left` count the runs. `each` is None if none is left or the time cannot be measured.
    """

    member: Member
    finished: int
    left: int
    each: Estimate | None

    @property
    def seconds(self) -> float:
        """The time of the runs that are left; an interrupted run counts as a whole one."""
        return self.left * self.each.seconds if self.each else 0.0


def train_series(
    series: Series, folder: Path, *, quiet: bool = False, say: Say = print, allow_other_machine: bool = False,
    test: bool = True,
) -> Concluded:  # fmt: skip
    """Train each member into a folder of its own in `folder`, and write summary, picture and page.

    Finished runs are read, an unfinished one is resumed, with `allow_other_machine` on another machine too. A member
    that fails ends the series; what was trained stays. Without `test` no run evaluates the test images, so that
    validation may choose among many. Raises UsageError where `folder` holds something else.
    """
    members = ordered(series.members)
    if part().size > 1:
        raise UsageError(
            f"{series.name}: works in one process, received {part().size}; give the command without torchrun"
        )
    with claimed(folder, series.name, series.of or members):
        if not members[0].recipe.quick:
            say(expectation_text(expectations(members, folder)))
        runs: list[Trained] = []
        for number, member in enumerate(members, 1):
            try:
                place = f"run {number} of {len(members)}: "
                runs.append(
                    train_member(
                        member,
                        folder,
                        place=place,
                        quiet=quiet,
                        say=say,
                        allow_other_machine=allow_other_machine,
                        test=test,
                    )
                )
            except ConvsmithError:
                if runs:
                    say(f"{member.name} failed; what was trained stays, and the same command goes on in {folder}")
                raise
        return Concluded(folder, write_results(folder, series, runs))


def train_member(
    member: Member, folder: Path, *, place: str = "", quiet: bool = False, say: Say = print,
    allow_other_machine: bool = False, test: bool = True,
) -> Trained:  # fmt: skip
    """The finished run of a member, trained now as far as it is not; `place` is said before its name."""
    path = folder / member.name
    if is_finished(path):
        _check_same(path, member.recipe)
        say(f"{place}{member.name} is finished")
        return trained(member, open_run(path))
    say(f"{place}{member.name}")
    if is_run(path):
        return trained(
            member, resume(path, allow_other_machine=allow_other_machine, quiet=quiet, say=say, test=test).run
        )
    start = member.recipe.weights if member.after is None else str(folder / member.after)
    return trained(member, train(replace(member.recipe, weights=start), out=path, quiet=quiet, say=say, test=test).run)


def trained(member: Member, run: RunDirectory) -> Trained:
    """The finished run of a member with its numbers."""
    record = result_of(run)
    splits = {split: compared(numbers) for split in record["metrics"] if (numbers := stored_numbers(record, split))}
    return Trained(member, run, {**splits, "train": training_numbers(run)})


def expectations(members: Sequence[Member], folder: Path) -> list[Expected]:
    """The expected cost of the members, measured on a few steps of each recipe with unfinished runs."""
    kinds: dict[Recipe, list[Member]] = {}
    for member in members:
        kinds.setdefault(replace(member.recipe, seed=0, data=replace(member.recipe.data, fold=None)), []).append(member)
    costs: list[Expected] = []
    for alike in kinds.values():
        left = [member for member in alike if not is_finished(folder / member.name)]
        each = _estimate(left[0]) if left else None
        costs.append(Expected(alike[0], len(alike) - len(left), len(left), each))
    return costs


def expectation_text(expected: Sequence[Expected]) -> str:
    """A line with the number of runs and their expected time."""
    left, finished = sum(e.left for e in expected), sum(e.finished for e in expected)
    if not left:
        return "the run is finished" if finished == 1 else f"all {finished} runs are finished"
    line = many(left, "run", "runs") + (f" of {len(expected)} recipes" if len(expected) > 1 else "")
    line += f" ({count(finished)} more {'is' if finished == 1 else 'are'} finished)" if finished else ""
    if any(e.left and e.each is None for e in expected):
        return f"{line}; how long they take is not known before"
    return f"{line}: about {duration(sum(e.seconds for e in expected))}, measured on a few steps of each recipe"


def is_finished(path: Path) -> bool:
    """Whether a finished run with its whole result is at `path`."""
    if not is_run(path):
        return False
    run = open_run(path)
    return run.status().state == "finished" and run.has("result") and whole_result(run, quiet=True) is not None


def _estimate(member: Member) -> Estimate | None:
    if not member.recipe.by_steps:
        return None
    # The run of an earlier member may not exist yet. Other weights do not change the time.
    recipe = member.recipe if member.after is None else replace(member.recipe, weights=None, renew=None)
    return estimate(prepare(recipe))


def _check_same(path: Path, recipe: Recipe) -> None:
    """Raise UsageError if a finished run has another length, seed or fold: it was extended, or copied here."""
    wanted, stored = quickened(recipe) if recipe.quick else recipe, run_recipe(path)
    for name, old, new in (
        ("length", stored.length, wanted.length),
        ("seed", stored.seed, wanted.seed),
        ("fold", stored.data.fold, wanted.data.fold),
    ):
        if old != new:
            raise UsageError(
                f"{path}: its {name} is {old}, and that of this series is {new}; move it away to train it anew, or "
                "choose another folder with --out"
            )
