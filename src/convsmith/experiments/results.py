"""What the runs of an experiment found: numbers of each run, over each group, and courses. No torch here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from convsmith.base.spread import spread
from convsmith.experiments.experiment import Member, groups
from convsmith.runs.directory import RunDirectory

# The numbers of a run that the table shows, as the report calls them.
NUMBERS = {
    "val_error": "validation error",
    "test_error": "test error",
    "train_error": "training error",
    "train_loss": "training loss",
}
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Trained:
    """A finished run: its member, its seed and where it lies."""

    member: Member
    seed: int
    run: RunDirectory


def run_numbers(trained: Trained) -> dict[str, float | None]:
    """The run's `NUMBERS`: errors of the weights that it kept, and of training the last epoch's.

    Those of training are of images as they were augmented, with dropout and the like at work. None: not there.
    """
    result = trained.run.record("result")
    row = next(reversed(trained.run.metrics()), {})
    return {
        "val_error": _error(result["metrics"].get("val")),
        "test_error": _error(result["metrics"].get("test")),
        "train_error": _rest(row.get("train_accuracy")),
        "train_loss": row.get("train_loss"),
    }


def summary(members: tuple[Member, ...], runs: Sequence[Trained]) -> dict[str, Any]:
    """Each run's numbers, and their mean, standard deviation (n - 1) and extremes over the runs of each group."""
    numbers = {trained.run.path.name: run_numbers(trained) for trained in runs}
    over: list[dict[str, Any]] = []
    for group, those in groups(members).items():
        names = {member.name for member in those}
        rows = [numbers[t.run.path.name] for t in runs if t.member.name in names]
        over.append({"group": group, "n": len(rows), **{key: _spread([row[key] for row in rows]) for key in NUMBERS}})
    told = [
        {
            "run": trained.run.path.name,
            "group": trained.member.line,
            "seed": trained.seed,
            **numbers[trained.run.path.name],
            "epochs": trained.run.record("result")["epochs"],
            "seconds": trained.run.record("result")["seconds"],
        }
        for trained in runs
    ]
    return {"groups": over, "runs": told}


def course(runs: Sequence[Trained], value: Callable[[dict[str, Any]], float | None]) -> Points:
    """(epoch, mean over the runs that have it) of a value of the rows of `metrics.jsonl`."""
    found: dict[int, list[float]] = {}
    for trained in runs:
        for row in trained.run.metrics():
            number = value(row)
            if number is not None:
                found.setdefault(int(row["epoch"]), []).append(number)
    return [(float(epoch), fmean(found[epoch])) for epoch in sorted(found)]


def of_row(split: str, metric: str) -> Callable[[dict[str, Any]], float | None]:
    """What reads a row's error or loss on `train` or `val`."""
    if metric == "loss":
        return lambda row: row.get(f"{split}_loss")
    return lambda row: _rest(row.get(f"{split}_accuracy"))


def _spread(values: Sequence[float | None]) -> dict[str, float | None] | None:
    there = [value for value in values if value is not None]
    if not there:
        return None
    return {**asdict(spread(there)), "low": min(there), "high": max(there)}


def _error(metrics: dict[str, Any] | None) -> float | None:
    return None if metrics is None else _rest(metrics.get("accuracy"))


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share
