"""The result of an evaluation: numbers, tables, plots and values by example, each with all that is needed to show it.

The commands, the page, comparisons, series of runs and trackers read these records and nothing else.
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
    """A number with its name, unit and interval.

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
        """The name for people."""
        return self.label or self.name

    @property
    def merit(self) -> float | None:
        """The value, or its negative if less is better, so that more is always better. None if it is not defined."""
        return self.value if self.value is None or self.better == "more" else -self.value


class Column(NamedTuple):
    """A column of a table; its cells are texts, or numbers of `unit`."""

    title: str
    unit: Unit | Literal["text"] = "text"


@dataclass(frozen=True)
class Table:
    """Rows of values, such as the classes.

    If there are too many rows to show, the rows with the smallest value in column `order` come first. None is not
    defined.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str | float | None]]
    order: int | None = None


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix: `matrix[i][j]` counts the examples of class i that were predicted as class j."""

    labels: tuple[str, ...]
    matrix: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: accuracy by confidence (Guo et al. 2017, figure 1).

    `stretches` are (low, high, count, mean confidence, accuracy); `error` is the expected calibration error.
    """

    name: str
    stretches: Sequence[tuple[float, float, int, float, float]]
    error: float


@dataclass(frozen=True)
class Scatter:
    """Points (N, 2) in the color of their class (N,); `axes` names both axes."""

    title: str
    points: "np.ndarray"
    classes: Sequence[int]
    labels: tuple[str, ...]
    axes: tuple[str, str]


@dataclass(frozen=True)
class Pictures:
    """Rows of pictures, each uint8 (N, H, W) or (N, H, W, 3); `rows` holds the name of each row."""

    title: str
    rows: tuple[tuple[str, "np.ndarray"], ...]


Plot = Confusion | Reliability | Scatter | Pictures


class Said(NamedTuple):
    """The predicted answer for an example and its probability, and the true answer and its probability."""

    predicted: str
    probability: float
    true: str
    true_probability: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Values by example, in the order of the split: `loss` (N,), `right` bool (N,), `outputs` (N, ...), each or None.

    `said(i)` puts the answer for example i in words; None if the task has no words for it.
    """

    loss: "np.ndarray | None" = None
    right: "np.ndarray | None" = None
    outputs: "np.ndarray | None" = None
    said: Callable[[int], Said] | None = None


class Result(Protocol):
    """The result of an evaluation. The first of `numbers` is the score; `watch` names the number for early stopping."""

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
        """The result as JSON data for `result.json`; with `detailed` also the keys that `eval --json` adds."""
        ...


@dataclass(frozen=True)
class Measures:
    """A result made of plain parts. `record` is its JSON data; None for the JSON of the numbers.

    Each number is an attribute too. Other attributes come from `made`, the result of a task of the user's own.
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
        if name.startswith("__"):  # copy and pickle ask for these before the fields are set
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
    """A value as strict JSON: numbers and arrays of numpy and torch become Python's, NaN and infinity become None.

    Whole numbers larger than any float become None too. Raises WrongType for a value that JSON cannot hold.
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
    """The numbers for a row of the log, the one that early stopping follows first."""
    names = [result.watch, *(n.name for n in result.numbers if n.place == "log")]
    values = {number.name: number.value for number in result.numbers}
    return {name: values[name] for name in names}


def summary(result: Result) -> dict[str, Any]:
    """The summary for the training loop and the checkpoint: `score` (more is better), the logged numbers, the count."""
    score = result.numbers[0].merit
    return {"score": 0.0 if score is None else score, **logged(result), "count": result.count}


# The numbers that logs and runs of older versions name: those files hold names and values alone.
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
# The score of a row of a log is the first of these that the row has, else the loss.
SCORES = ("map", "accuracy", "score")


def known(name: str, value: float | None = None) -> Number:
    """The number called `name` as `KNOWN` describes it, with this value; a plain number if `KNOWN` lacks it."""
    return KNOWN.get(name, Number(name, None))._replace(value=value)


def score_name(names: Iterable[str]) -> str:
    """The name of the score among the names in a row of the log."""
    there = set(names)
    return next((name for name in SCORES if name in there), "loss")


def compared(numbers: Sequence[Number]) -> dict[str, float | None]:
    """The values of the numbers that belong in tables: comparisons show them, and series average them over runs."""
    return {number.name: json_value(number.value) for number in numbers if number.place != "page"}


def numbers_to_json(result: Result) -> list[dict[str, Any]]:
    """The numbers with all their fields, the score first, for `result.json`."""
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
    """The splits' results for `result.json`: `metrics` by the task's own keys, `numbers` with all their fields."""
    return {
        "metrics": {split: result and result.to_json() for split, result in results.items()},
        "numbers": {split: result and numbers_to_json(result) for split, result in results.items()},
    }


def stored_numbers(record: Mapping[str, Any], split: str) -> tuple[Number, ...]:
    """The numbers of a split from the JSON of `results_to_json`, the score first; empty if it was not evaluated."""
    metrics = record["metrics"].get(split)
    stored: Mapping[str, Any] = record.get("numbers") or {}
    return numbers_of(stored.get(split), metrics) if metrics else ()


def numbers_of(stored: Sequence[Mapping[str, Any]] | None, metrics: Mapping[str, Any]) -> tuple[Number, ...]:
    """The numbers that `numbers_to_json` stored; for a run of an older version the numbers in its `metrics`."""
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
    names = sorted(plain, key=lambda name: name != score)  # the sort is stable: the others keep their order
    bounds = metrics.get("interval")
    return tuple(
        known(name, plain[name])._replace(interval=tuple(bounds) if bounds and name == "accuracy" else None)
        for name in names
    )
