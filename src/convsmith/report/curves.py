"""The course of training as curves: loss and score of one run with its learning rate, or of several over each other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.result import KNOWN, SCORES, known, score_name
from convsmith.report import svg
from convsmith.report.axis import Axis, usable
from convsmith.report.plot import Plot, sheet
from convsmith.report.results import full_name
from convsmith.report.text import many

_WIDTH = 980.0
_COLORS = {"train": "#2563eb", "val": "#d9480f"}
_NAMES = {"train": "train", "val": "validation"}
_DASHES = ("none", "6 3", "2 3")

Points = list[tuple[float, float]]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """A run's name and the rows of its `metrics.jsonl`."""

    name: str
    rows: Rows


def curves_svg(rows: Rows) -> str:
    """Loss and score of `metrics.jsonl`, and the parts of the loss; what is missing is left out.

    The learning rate stands beneath each, a single row is a dot.
    """
    key, places = _steps(rows)
    panels = [(what, _lines(rows, places, what)) for what in ("loss", logged_score([rows]), *_parts(rows))]
    panels = [(what, lines) for what, lines in panels if lines]
    if not panels:
        text = svg.label(24, 44, "No epoch has been recorded yet.", muted=True, font_size=14)
        return svg.figure(_WIDTH, 76, "No epoch has been recorded yet", [text])
    rate = _finite(_points(rows, places, "lr"))
    ends = [x for _, lines in panels for points in lines.values() for x, _ in points]
    words = [(_NAMES[name], what, _finite(points)[-1][1]) for what, lines in panels for name, points in lines.items()]
    across = Axis(key, min(ends), max(ends), whole=max(ends) - min(ends) >= 1)
    width = min(_WIDTH, 640.0 * len(panels))
    drawn: list[list[Plot]] = []
    for begin in range(0, len(panels), 2):
        pair = panels[begin : begin + 2]
        drawn.append([_panel(what, lines, across, key, not rate) for what, lines in pair])
        drawn += [[_rate(rate, across) for _ in pair]] if rate else []
    told = "; ".join(f"{name} {what} ends at {_shown(what, value)}" for name, what, value in words)
    return sheet(drawn, told=f"Curves of training by {key}: {told}", width=width)


def run_curves_svg(courses: Sequence[Course]) -> str:
    """A line for each run, over the epoch; colors and then dashes tell them apart, names stand beneath."""
    if not courses:
        raise UsageError("curves need at least one run, received none")
    what = logged_score([course.rows for course in courses])
    score = full_name(what)[0].lower() + full_name(what)[1:]
    panels = (("loss", Plot("Validation loss", Axis("epoch", whole=True), Axis(log=None), height=230)),
              (what, Plot(f"Validation {score}", Axis("epoch", whole=True), _up(what), height=230)))  # fmt: skip
    for number, course in enumerate(courses):
        ends = _finite(_epochs(course, what))
        name = course.name + (f", ends at {ends[-1][1]:{'.1%' if _is_share(what) else '.4g'}}" if ends else "")
        for key, plot in panels:
            color, dash = svg.SERIES[number % len(svg.SERIES)], _DASHES[number // len(svg.SERIES) % len(_DASHES)]
            plot.line(_epochs(course, key), color=color, dash=dash, name=name)
    told = f"Validation loss and {score} of {many(len(courses), 'run')}: {', '.join(c.name for c in courses)}"
    return sheet([[plot for _, plot in panels]], told=told, width=_WIDTH)


def logged_score(runs: Sequence[Rows]) -> str:
    """What the rows of runs call the number that says how good they are: the first that the log of one has."""
    names = {name.removeprefix("val_") for rows in runs for row in rows for name in row if name.startswith("val_")}
    # A loss that is the score has its panel already; a log without a score says how far the accuracy came.
    return score_name(names) if names & set(SCORES) else "accuracy"


def _parts(rows: Rows) -> list[str]:
    """The parts of the loss: what is logged of training and has no common name."""
    names = dict.fromkeys(name.removeprefix("train_") for row in rows for name in row if name.startswith("train_"))
    return [name for name in names if name not in KNOWN]


def _is_share(what: str) -> bool:
    return known(what).unit == "share"


def _is_loss(what: str) -> bool:
    """Whether less is better: of the loss and its parts."""
    return what not in KNOWN or KNOWN[what].better == "less"


def _panel(what: str, lines: dict[str, Points], across: Axis, key: str, last: bool) -> Plot:
    """One plot: the best value in its note, the names and last values of its lines at their ends."""
    best, note = None, ""
    validated = _finite(lines.get("val", []))
    if len(validated) > 1 and what in KNOWN:  # less of a part of a loss need not be better
        best = (min if _is_loss(what) else max)(validated, key=lambda p: p[1])
        note = f"best validation {_shown(what, best[1])} at {key} {best[0]:g}"
    below = across if last else Axis(low=across.low, high=across.high, marks=())
    plot = Plot(full_name(what), below, _up(what), height=220, note=note)
    for name, points in lines.items():
        end = f"{_NAMES[name]} {_shown(what, _finite(points)[-1][1])}"
        dots = 6.0 if len(points) <= 12 else 0.0
        plot.line(points, color=_COLORS[name], kind=f"cs-{name}", end=end, dots=dots)
    if best:
        plot.dots([best], color=_COLORS["val"], size=9.0, shape="ring", kind="cs-val")
    return plot


def _up(what: str) -> Axis:
    """A share in percent; a loss that falls through more than a factor of 30 is drawn logarithmic."""
    return Axis(share=True) if _is_share(what) else Axis(log=None if what == "loss" else False, zero=what == "loss")


def _rate(rate: Points, across: Axis) -> Plot:
    """The learning rate as a thin filled strip."""
    low, high = across.low or 0.0, across.high or 0.0
    inside = [(x, y) for x, y in rate if low <= x <= high] or rate[-1:]
    most = max(y for _, y in inside)
    up = Axis(low=0.0, tight=True, grid=False, marks=[(most, f"{most:.3g}")])
    plot = Plot("", across, up, height=34)
    plot.band([(x, 0.0, max(0.0, y)) for x, y in inside], color="#8b949e", opacity=0.35)
    plot.beside(0.0, f"learning rate {rate[-1][1]:.2g}", muted=True)
    return plot


def _steps(rows: Rows) -> tuple[str, list[float]]:
    """What the rows are drawn over: the epoch, the step where epochs repeat, else the number of the row."""
    for key in ("epoch", "step"):
        values = [_number(row.get(key)) for row in rows]
        known = [value for value in values if value is not None and usable(value)]
        if len(known) == len(rows) and all(a < b for a, b in pairwise(known)):
            return key, known
    return "row", [float(i + 1) for i in range(len(rows))]


def _epochs(course: Course, what: str) -> Points:
    return _points(course.rows, [row.get("epoch") for row in course.rows], f"val_{what}")


def _lines(rows: Rows, places: list[float], what: str) -> dict[str, Points]:
    found = {name: _points(rows, places, f"{name}_{what}") for name in _NAMES}
    return {name: points for name, points in found.items() if _finite(points)}


def _points(rows: Rows, places: Sequence[object], key: str) -> Points:
    """The numbers of a column with their places; what is there but not finite stays, for the plot to say."""
    pairs = [(_number(x), _number(row.get(key))) for x, row in zip(places, rows, strict=True)]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _finite(points: Points) -> Points:
    return [(x, y) for x, y in points if usable(x) and usable(y)]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if usable(value) else math.nan


def _shown(what: str, value: float) -> str:
    return f"{value:.1%}" if _is_share(what) else f"{value:.3g}"
