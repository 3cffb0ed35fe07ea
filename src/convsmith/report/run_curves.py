"""The courses of several runs over each other: loss and accuracy on the validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.curves import logged_score
from convsmith.report.palette import SERIES
from convsmith.report.scores import SCORES, SHARES

_LEFT, _TOP, _WIDTH, _HEIGHT, _PANEL, _LINE = 58.0, 58.0, 400.0, 230.0, 490.0, 20.0
_DASHES = ("none", "6 3", "2 3")

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Course:
    """A run's name and the rows of its `metrics.jsonl`."""

    name: str
    rows: Sequence[Mapping[str, Any]]


def run_curves_svg(courses: Sequence[Course]) -> str:
    """A line for each run, over the epoch; colours and then dashes tell them apart, names stand beneath."""
    if not courses:
        raise UsageError("curves need at least one run, received none")
    bottom = _TOP + _HEIGHT
    parts: list[str] = []
    what = logged_score([course.rows for course in courses])
    score = SCORES[what][0].lower() + SCORES[what][1:]
    panels = (("val_loss", "Validation loss"), (f"val_{what}", f"Validation {score}"))
    for number, (key, title) in enumerate(panels):
        lines = [_points(course.rows, key) for course in courses]
        parts += _panel(title, lines, number * _PANEL + _LEFT, number == 1 and what in SHARES)
    for number, course in enumerate(courses):
        y = bottom + 62 + _LINE * number
        ends = _points(course.rows, f"val_{what}")
        last = f", ends at {ends[-1][1]:{'.1%' if what in SHARES else '.4g'}}" if ends else ""
        parts.append(svg.line(_LEFT, y - 4, _LEFT + 26, y - 4, **_style(number)))
        parts.append(svg.label(_LEFT + 34, y, svg.fit(course.name + last, 2 * _PANEL - 2 * _LEFT, 12)))
    told = f"Validation loss and {score} of {len(courses)} runs: {', '.join(c.name for c in courses)}"
    return svg.figure(_PANEL * len(panels), bottom + 62 + _LINE * len(courses), told, parts)


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> Points:
    """(epoch, value) where both are there and finite."""
    pairs = [(_number(row.get("epoch")), _number(row.get(key))) for row in rows]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _number(value: object) -> float | None:
    # The bound also leaves out what is not finite.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return None
    return float(value)


def _panel(title: str, lines: Sequence[Points], left: float, share: bool) -> list[str]:
    parts = [svg.label(left, 36, title, font_size=15, font_weight=600)]
    places = [point for line in lines for point in line]
    if not places:
        return [*parts, svg.label(left, _TOP + 20, "not recorded", muted=True)]
    xs, ys = [x for x, _ in places], [y for _, y in places]
    log = not share and min(ys) > 0 and max(ys) / min(ys) >= 30
    if log:
        up = Axis(min(ys) / 1.15, max(ys) * 1.15, _TOP + _HEIGHT, _TOP, log=True)
        marks = svg.log_ticks(up.low, up.high)
    else:
        marks = svg.ticks(min(ys), max(ys))
        marks = ([mark for mark in marks if 0 <= mark <= 1] or [0.0, 1.0]) if share else marks
        up = Axis(min(*ys, marks[0]), max(*ys, marks[-1]), _TOP + _HEIGHT, _TOP)
    across = Axis(min(xs), max(xs), left, left + _WIDTH)
    for mark in marks:
        y = up.place(mark)
        parts.append(svg.line(left, y, left + _WIDTH, y))
        text = f"{mark * 100:g}%" if share else f"{mark:g}"
        parts.append(svg.label(left - 8, y + 4, text, muted=True, text_anchor="end"))
    for mark in svg.ticks(across.low, across.high, 6, whole=True):
        if across.low <= mark <= across.high:
            x = across.place(mark)
            parts.append(svg.label(x, _TOP + _HEIGHT + 18, f"{mark:,g}", muted=True, text_anchor="middle"))
    parts.append(svg.label(left + _WIDTH / 2, _TOP + _HEIGHT + 36, "epoch", muted=True, text_anchor="middle"))
    return parts + [_curve(line, across, up, number) for number, line in enumerate(lines) if line]


def _curve(points: Points, across: Axis, up: Axis, number: int) -> str:
    places = [(across.place(x), up.place(y)) for x, y in points]
    style = _style(number) | {"fill": "none", "stroke_linejoin": "round"}
    if len(places) == 1:
        (x, y), dot = places[0], {"r": 3.5, "fill": style["stroke"]}
        return svg.element("circle", {"cx": x, "cy": y, **dot})
    return svg.element("path", {"d": "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), **style})


def _style(number: int) -> dict[str, object]:
    """How the line of run `number` is drawn."""
    dashes = _DASHES[number // len(SERIES) % len(_DASHES)]
    # An own class, so that a page does not recolour it as a grid.
    return {
        "stroke": SERIES[number % len(SERIES)], "stroke_width": 2, "stroke_dasharray": dashes, "class": "cs-run",
    }  # fmt: skip
