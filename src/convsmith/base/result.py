"""What an evaluation gives: numbers, tables, plots and values by example that say themselves how to show them.

Every view asks these records and nothing else: the command, the page, a comparison, several runs, a tracker.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

from convsmith.base.errors import WrongType
from convsmith.base.record import as_python

if TYPE_CHECKING:
    import numpy as np

# The largest whole number that becomes a float is a little smaller.
_MOST_BITS = 1000

Unit = Literal["share", "plain", "nats", "pixels", "count"]
# The smallest place that shows a number; the larger places show it too.
Place = Literal["log", "table", "page"]


class Number(NamedTuple):
    """A number with what a reader needs to know about it.

    `name` is its key in JSON, `label` its name for people (`name` if empty), `about` explains it in a few words.
    `interval` is its 95% interval. `better` says which way is better. A value of None is not defined.
    """

    name: str
    value: float | None
    unit: Unit = "plain"
    better: Literal["more", "less"] = "more"
    interval: tuple[float, float] | None = None
    about: str = ""
    label: str = ""
    place: Place = "table"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.label or self.name

    @property
    def merit(self) -> float | None:
        """The value, or its negative if less is better: more is always better."""
        return self.value if self.value is None or self.better == "more" else -self.value


class Column(NamedTuple):
    """A column of a table; its cells are texts, or numbers of `unit`."""

    title: str
    unit: Unit | Literal["text"] = "text"


@dataclass(frozen=True)
class Table:
    """Rows of values, such as the classes.

    If there are too many rows to show, those with the smallest value in column `order` come first. None is not defined.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str | float | None]]
    order: int | None = None


@dataclass(frozen=True)
class Confusion:
    """`matrix[i][j]` counts the examples of class i that were called j."""

    labels: tuple[str, ...]
    matrix: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Reliability:
    """How far confidence can be relied on (Guo et al. 2017, figure 1).

    `stretches` are (low, high, count, mean confidence, accuracy); `error` is the expected calibration error.
    """

    name: str
    stretches: Sequence[tuple[float, float, int, float, float]]
    error: float


@dataclass(frozen=True)
class Scatter:
    """Points (N, 2) with the class (N,) of each, which colors it; `axes` names both axes."""

    title: str
    points: "np.ndarray"
    classes: Sequence[int]
    labels: tuple[str, ...]
    axes: tuple[str, str]


@dataclass(frozen=True)
class Pictures:
    """Rows of pictures, uint8 (N, H, W) or (N, H, W, 3) each, under each other; `rows` has the name of each row."""

    title: str
    rows: tuple[tuple[str, "np.ndarray"], ...]


Plot = Confusion | Reliability | Scatter | Pictures


class Said(NamedTuple):
    """What was said of an example, how probable that was, what is true, and how probable that was."""

    predicted: str
    probability: float
    true: str
    true_probability: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Values by example, in the order of the split: `loss` (N,), `right` bool (N,), `outputs` (N, ...); or None.

    `said(i)` puts the answer for example i in words; None if the task has no words for it.
    """

    loss: "np.ndarray | None" = None
    right: "np.ndarray | None" = None
    outputs: "np.ndarray | None" = None
    said: Callable[[int], Said] | None = None


class Result(Protocol):
    """What every evaluation gives. The first of `numbers` is the score; `watch` names what early stopping follows."""

    @property
    def count(self) -> int: ...
    @property
    def watch(self) -> str: ...
    @property
    def numbers(self) -> tuple[Number, ...]: ...
    @property
    def tables(self) -> tuple[Table, ...]: ...
    @property
    def plots(self) -> tuple[Plot, ...]: ...
    @property
    def samples(self) -> Samples | None: ...
    def to_json(self, detailed: bool = False) -> dict[str, Any]:
        """The keys of `result.json`; with `detailed` those that `eval --json` adds."""
        ...


@dataclass(frozen=True)
class Measures:
    """A result of plain parts. `record` is its JSON, which is that of the numbers if None.

    A number is an attribute too. Other attributes are those of `made`, the result of a user's own.
    """

    numbers: tuple[Number, ...]
    count: int
    watch: str = "loss"
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    samples: Samples | None = None
    record: Mapping[str, Any] | None = None
    made: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by copy and pickle before the fields are there
            raise AttributeError(name)
        if hasattr(self.made, name):
            return getattr(self.made, name)
        for number in self.numbers:
            if number.name == name:
                return number.value
        raise AttributeError(f"the result has no number {name!r}; it has {', '.join(n.name for n in self.numbers)}")

    def to_json(self, detailed: bool = False) -> dict[str, Any]:
        """The record, or each number by its name and the count."""
        if self.record is not None:
            return dict(self.record)
        return {number.name: json_value(number.value) for number in self.numbers} | {"count": self.count}


def json_value(value: Any, where: str = "result") -> Any:
    """A value as strict JSON has it: numbers and arrays of numpy and torch as Python's; NaN and infinity as None.

    Whole numbers that are larger than a float are None too. Raises WrongType for what JSON does not have.
    """
    value = as_python(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if is_small(value) else None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return [json_value(item, where) for item in cast("Sequence[Any]", value)]
    if not isinstance(value, dict):
        raise WrongType(
            f"{where}: expected a number, None, a text, or lists and dicts of them, received {type(value).__name__} "
            f"{value!r:.60}"
        )
    named = cast("dict[Any, Any]", value)
    if wrong := [name for name in named if not isinstance(name, str)]:
        raise WrongType(f"{where}: expected names that are texts, received {wrong[0]!r:.60}")
    return {name: json_value(item, f"{where}.{name}") for name, item in named.items()}


def is_small(value: int) -> bool:
    """Whether a whole number becomes a float."""
    return value.bit_length() <= _MOST_BITS


def logged(result: Result) -> dict[str, float | None]:
    """The numbers that a row of the log has, what early stopping follows first."""
    names = [result.watch, *(n.name for n in result.numbers if n.place == "log")]
    values = {number.name: number.value for number in result.numbers}
    return {name: values[name] for name in names}


def summary(result: Result) -> dict[str, Any]:
    """What the loop decides by and a checkpoint keeps: `score` (more is better), the numbers of the log, the count."""
    score = result.numbers[0].merit
    return {"score": 0.0 if score is None else score, **logged(result), "count": result.count}


# What the numbers of logs and of runs of older versions are: those files hold names and values alone.
KNOWN = {
    number.name: number
    for number in (
        Number("map", None, "share", label="mAP"),
        Number("accuracy", None, "share"),
        Number("score", None),
        Number("balanced_accuracy", None, "share", label="balanced"),
        Number("precision", None, "share", place="page"),
        Number("recall", None, "share", place="page"),
        Number("f1", None, "share", label="F1"),
        Number("micro_f1", None, "share", label="F1 of all"),
        Number("top5", None, "share", label="top 5", place="page"),
        Number("hamming", None, "share", "less", label="Hamming"),
        Number("auc", None, label="AUC"),
        Number("loss", None, better="less"),
        Number("brier", None, better="less", label="Brier"),
        Number("ece", None, "share", "less", label="ECE"),
    )
}
# In a row of a log the first of these that is there is the score; else the loss is.
SCORES = ("map", "accuracy", "score")


def known(name: str, value: float | None = None) -> Number:
    """The number called `name`, as it stands in `KNOWN`; a plain one if it is not there."""
    return KNOWN.get(name, Number(name, None))._replace(value=value)


def score_name(names: Iterable[str]) -> str:
    """Which of the numbers of a row of the log is the score."""
    there = set(names)
    return next((name for name in SCORES if name in there), "loss")


def compared(numbers: Sequence[Number]) -> dict[str, float | None]:
    """The values that a comparison shows, and a mean over several runs is taken of: those that belong in tables."""
    return {number.name: json_value(number.value) for number in numbers if number.place != "page"}


def numbers_to_json(result: Result) -> list[dict[str, Any]]:
    """The numbers with all that is known about them, the score first, for `result.json`."""
    return [
        {
            "name": n.name,
            "value": json_value(n.value),
            "unit": n.unit,
            "better": n.better,
            "label": n.title,
            "about": n.about,
            "place": n.place,
        }
        | ({} if n.interval is None else {"interval": json_value(n.interval)})
        for n in result.numbers
    ]


def results_to_json(results: Mapping[str, Result | None]) -> dict[str, Any]:
    """What `result.json` says of the splits: `metrics` by the task's own keys, `numbers` that say themselves."""
    return {
        "metrics": {split: result and result.to_json() for split, result in results.items()},
        "numbers": {split: result and numbers_to_json(result) for split, result in results.items()},
    }


def stored_numbers(record: Mapping[str, Any], split: str) -> tuple[Number, ...]:
    """The numbers of a split in what `results_to_json` gave, the score first; none if it was not evaluated."""
    metrics = record["metrics"].get(split)
    stored: Mapping[str, Any] = record.get("numbers") or {}
    return numbers_of(stored.get(split), metrics) if metrics else ()


def numbers_of(stored: Sequence[Mapping[str, Any]] | None, metrics: Mapping[str, Any]) -> tuple[Number, ...]:
    """The numbers as `numbers_to_json` stored them; for a run of an older version they come from its `metrics`."""
    if stored is not None:
        return tuple(
            Number(
                str(n["name"]), n["value"], n["unit"], n["better"], n.get("interval") and tuple(n["interval"]),
                about=str(n["about"]), label=str(n["label"]), place=n["place"],
            )
            for n in stored
        )  # fmt: skip
    plain = {name: v for name, v in metrics.items() if name != "count" and (v is None or type(v) in (int, float))}
    score = score_name(plain)
    names = sorted(plain, key=lambda name: name != score)  # stable: the others stay in their order
    bounds = metrics.get("interval")
    return tuple(
        known(name, plain[name])._replace(interval=tuple(bounds) if bounds and name == "accuracy" else None)
        for name in names
    )
