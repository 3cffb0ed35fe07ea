"""The numbers of the runs of a series: of each run, over each group, as tables and courses."""

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

# The names of the splits in tables. The numbers of `train` were measured during the last epoch.
SPLITS = {"val": "validation", "test": "test", "train": "training"}
Numbers = dict[str, float | None]
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Trained:
    """A finished run: its member, its directory, and the numbers of its kept weights by split.

    The numbers of `train` are of augmented images with dropout active. None: the number was not measured.
    """

    member: Member
    run: RunDirectory
    numbers: Mapping[str, Numbers]


class Column(NamedTuple):
    """A number of a table: its split and name. With `rest` the table shows 1 minus the number, an error."""

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
        """The value, or 1 minus it for an error."""
        return 1 - value if self.rest else value

    def text(self, value: float | None) -> str:
        """The number as a cell of the table."""
        return "-" if value is None else self.width(self.shown(value))

    def width(self, value: float | None) -> str:
        """A deviation as a cell of the table."""
        return value_text(None if value is None else float(value), known(self.name).unit, digits=True)

    def ends(self, interval: Sequence[float] | None) -> str:
        """`96.10% to 97.90%`"""
        return "-" if interval is None else " to ".join(map(self.text, sorted(interval, reverse=self.rest)))


def training_numbers(run: RunDirectory) -> Numbers:
    """The numbers of training in the last epoch, from the log."""
    row = next(reversed(run.metrics()), {})
    numbers = {key.removeprefix("train_"): value for key, value in row.items() if key.startswith("train_")}
    return {key: value for key, value in numbers.items() if value is None or type(value) in (int, float)}


def summary(members: Sequence[Member], runs: Sequence[Trained]) -> dict[str, Any]:
    """Each run's numbers, and their spread over the runs of each group."""
    over: list[dict[str, Any]] = []
    for group, of_group in groups(members).items():
        names = {member.name for member in of_group}
        finished = [trained for trained in runs if trained.member.name in names]
        over.append({"group": group, "n": len(finished), **spreads(finished)})
    rows = [
        {
            "run": trained.run.path.name,
            "group": trained.member.row,
            **trained.member.about,
            **trained.numbers,
            **{name: result_of(trained.run)[name] for name in ("epochs", "seconds")},
        }
        for trained in runs
    ]
    return {"groups": over, "runs": rows}


def spreads(runs: Sequence[Trained]) -> dict[str, dict[str, Any]]:
    """For each split and number: mean, standard deviation (n - 1), extremes and the 95% interval of the mean.

    The interval is Student's t. It covers other runs of the same recipe on the same images.
    """
    names: dict[str, dict[str, None]] = {}
    for trained in runs:
        for split, numbers in trained.numbers.items():
            names.setdefault(split, {}).update(dict.fromkeys(numbers))
    return {
        split: {name: _spread([trained.numbers.get(split, {}).get(name) for trained in runs]) for name in of_split}
        for split, of_split in names.items()
    }


def columns(runs: Sequence[Mapping[str, Any]], errors: bool = False) -> list[Column]:
    """The columns of a table of runs, from their numbers by split: the score of each split, and the training loss.

    With `errors` an accuracy is shown as an error.
    """
    row = next(iter(runs), {})
    scores = [(split, _score(row[split])) for split in SPLITS if row.get(split)]
    shown = dict.fromkeys([*scores, *([("train", "loss")] if "loss" in row.get("train", {}) else [])])
    return [Column(split, name, errors and name == "accuracy") for split, name in shown]


def _score(numbers: Numbers) -> str:
    """The name of the score: the first of `SCORES` among the numbers, else the first number."""
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
    """Pairs (epoch, mean over the runs with this epoch) of a value of the rows of `metrics.jsonl`."""
    values: dict[int, list[float]] = {}
    for trained in runs:
        for row in trained.run.metrics():
            number = value(row)
            if number is not None:
                values.setdefault(int(row["epoch"]), []).append(number)
    return [(float(epoch), fmean(values[epoch])) for epoch in sorted(values)]


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    measured, interval = [value for value in values if value is not None], mean_interval(values)
    return {
        **asdict(spread(measured)),
        "low": min(measured, default=None),
        "high": max(measured, default=None),
        "interval": interval and list(interval),
    }
