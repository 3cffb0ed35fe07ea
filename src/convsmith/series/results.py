"""What the runs of a series found: numbers of each run, over each group, tables and courses. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple

from convsmith.base.result import SCORES, known
from convsmith.base.spread import mean_interval, spread
from convsmith.report.results import value_text
from convsmith.runs.directory import RunDirectory
from convsmith.runs.records import result_of
from convsmith.series.member import Member, groups

# The splits of a run's numbers, as they are called in tables. Those of training are of the last epoch while it trained.
SPLITS = {"val": "validation", "test": "test", "train": "training"}
Numbers = dict[str, float | None]
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Trained:
    """A finished run: its member, where it lies, and its numbers by split, of the weights that it kept.

    Those of `train` are of images as they were augmented, with dropout and the like at work. None: not there.
    """

    member: Member
    run: RunDirectory
    numbers: Mapping[str, Numbers]


class Column(NamedTuple):
    """A number of a table: its split and name. `rest` shows 1 less the number: an error."""

    split: str
    name: str
    rest: bool

    @property
    def is_share(self) -> bool:
        """Whether the number is a share of 1."""
        return known(self.name).unit == "share"

    @property
    def title(self) -> str:
        """`validation error`"""
        return f"{SPLITS[self.split]} {'error' if self.rest else known(self.name).title}"

    def shown(self, value: float) -> float:
        """The number, or the error."""
        return 1 - value if self.rest else value

    def text(self, value: float | None) -> str:
        """The number as a cell of the table."""
        return "-" if value is None else self.width(self.shown(value))

    def width(self, value: float | None) -> str:
        """The same of a deviation."""
        return value_text(None if value is None else float(value), known(self.name).unit, digits=True)

    def ends(self, interval: Sequence[float] | None) -> str:
        """`96.10% to 97.90%`"""
        return "-" if interval is None else " to ".join(map(self.text, sorted(interval, reverse=self.rest)))


def training_numbers(run: RunDirectory) -> Numbers:
    """What the log says of training in the last epoch."""
    row = next(reversed(run.metrics()), {})
    found = {key.removeprefix("train_"): value for key, value in row.items() if key.startswith("train_")}
    return {key: value for key, value in found.items() if value is None or type(value) in (int, float)}


def summary(members: Sequence[Member], runs: Sequence[Trained]) -> dict[str, Any]:
    """Each run's numbers, and their spread over the runs of each group."""
    over: list[dict[str, Any]] = []
    for group, those in groups(members).items():
        names = {member.name for member in those}
        found = [trained for trained in runs if trained.member.name in names]
        over.append({"group": group, "n": len(found), **spreads(found)})
    told = [
        {
            "run": trained.run.path.name,
            "group": trained.member.row,
            **trained.member.about,
            **trained.numbers,
            **{name: result_of(trained.run)[name] for name in ("epochs", "seconds")},
        }
        for trained in runs
    ]
    return {"groups": over, "runs": told}


def spreads(runs: Sequence[Trained]) -> dict[str, dict[str, Any]]:
    """Of each split and number: mean, standard deviation (n - 1), extremes and the 95% interval of the mean.

    The interval is Student's t: that of other runs drawn as these were, on the same images.
    """
    names: dict[str, dict[str, None]] = {}
    for trained in runs:
        for split, numbers in trained.numbers.items():
            names.setdefault(split, {}).update(dict.fromkeys(numbers))
    return {
        split: {name: _spread([trained.numbers.get(split, {}).get(name) for trained in runs]) for name in those}
        for split, those in names.items()
    }


def columns(runs: Sequence[Mapping[str, Any]], errors: bool = False) -> list[Column]:
    """What tables show of runs whose numbers by split are given: the score of each split, and the training loss.

    With `errors` an accuracy is shown as an error.
    """
    row = next(iter(runs), {})
    scores = [(split, _score(row[split])) for split in SPLITS if row.get(split)]
    shown = dict.fromkeys([*scores, *([("train", "loss")] if "loss" in row.get("train", {}) else [])])
    return [Column(split, name, errors and name == "accuracy") for split, name in shown]


def _score(numbers: Numbers) -> str:
    """The name of the score: the first of `SCORES` that is there, else the first number."""
    return next((name for name in SCORES if name in numbers), next(iter(numbers)))


def group_rows(found: Mapping[str, Any], shown: Sequence[Column], *, intervals: bool = False) -> Rows:
    """The table of groups, header first: each number as its mean and standard deviation, `12.30% ± 0.40%`.

    With `intervals` a group of several runs has a second row, with the 95% intervals of the means.
    """
    rows: Rows = [("group", "n", *(column.title for column in shown))]
    for group in found["groups"]:
        over = [(column, group.get(column.split, {}).get(column.name, _spread([]))) for column in shown]
        cells = [
            column.text(spread["mean"])
            + ("" if spread["deviation"] is None else f" ± {column.width(spread['deviation'])}")
            for column, spread in over
        ]
        rows.append((group["group"], str(group["n"]), *cells))
        if intervals and group["n"] > 1:
            ends = [column.ends(spread["interval"]) for column, spread in over]
            rows.append(("95% interval of the mean", "", *ends))
    return rows


def run_rows(found: Mapping[str, Any], shown: Sequence[Column]) -> Rows:
    """The table of runs, header first."""
    rows = [
        (run["run"], *(column.text(run.get(column.split, {}).get(column.name)) for column in shown))
        for run in found["runs"]
    ]
    return [("run", *(column.title for column in shown)), *rows]


def course(runs: Sequence[Trained], value: Callable[[dict[str, Any]], float | None]) -> list[tuple[float, float]]:
    """(epoch, mean over the runs that have it) of a value of the rows of `metrics.jsonl`."""
    found: dict[int, list[float]] = {}
    for trained in runs:
        for row in trained.run.metrics():
            number = value(row)
            if number is not None:
                found.setdefault(int(row["epoch"]), []).append(number)
    return [(float(epoch), fmean(found[epoch])) for epoch in sorted(found)]


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    there, interval = [value for value in values if value is not None], mean_interval(values)
    return {
        **asdict(spread(there)),
        "low": min(there, default=None),
        "high": max(there, default=None),
        "interval": interval and list(interval),
    }
