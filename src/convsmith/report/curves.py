"""The course of a training run as curves: loss, accuracy, and the learning rate beneath each."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.scores import SCORES, SHARES, score_of

_WIDTH, _PLOT_TOP, _PLOT_HEIGHT, _RATE_GAP, _RATE_HEIGHT = 980.0, 62.0, 220.0, 22.0, 34.0
_LEFT, _RIGHT, _MOST_POINTS = 58.0, 142.0, 600
_COLOURS = {"train": "#2563eb", "val": "#d9480f"}
_NAMES = {"train": "train", "val": "validation"}

Points = list[tuple[float, float]]


def curves_svg(rows: Sequence[Mapping[str, Any]]) -> str:
    """Loss and accuracy of `metrics.jsonl`, or what stands for the latter in `SCORES`; what is missing is left out.

    Values that are not finite are left out too; a single row is a dot.
    """
    key, places = _steps(rows)
    panels = [(what, _lines(rows, places, what)) for what in ("loss", logged_score([rows]))]
    panels = [(what, lines) for what, lines in panels if lines]
    if not panels:
        text = svg.label(24, 44, "No epoch has been recorded yet.", muted=True, font_size=14)
        return svg.figure(_WIDTH, 76, "No epoch has been recorded yet", [text])
    rate = _points(rows, places, "lr")
    height = _PLOT_TOP + _PLOT_HEIGHT + (_RATE_GAP + _RATE_HEIGHT if rate else 0) + 48
    room = min(_WIDTH / len(panels), 640.0)
    parts: list[str] = []
    for i, (what, lines) in enumerate(panels):
        ends = [x for points in lines.values() for x, _ in points]
        across = Axis(min(ends), max(ends), i * room + _LEFT, (i + 1) * room - _RIGHT)
        parts += _panel(what, lines, across, key)
        parts += _rate_strip(rate, across) if rate else []
        parts += _x_axis(across, key, height - 48)
    told = "; ".join(f"{_NAMES[n]} {w} ends at {_shown(w, p[-1][1])}" for w, lines in panels for n, p in lines.items())
    return svg.figure(room * len(panels), height, f"Curves of training by {key}: {told}", parts)


def logged_score(runs: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """What the rows of runs call the number that says how good they are: the first that the log of one has."""
    names = {name.removeprefix("val_") for rows in runs for row in rows for name in row if name.startswith("val_")}
    return score_of(names) or "accuracy"


def _steps(rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[float]]:
    """What the rows are drawn over: the epoch, the step where epochs repeat, else the number of the row."""
    for key in ("epoch", "step"):
        values = [_number(row.get(key)) for row in rows]
        known = [value for value in values if value is not None]
        if len(known) == len(rows) and all(a < b for a, b in pairwise(known)):
            return key, known
    return "row", [float(i + 1) for i in range(len(rows))]


def _lines(rows: Sequence[Mapping[str, Any]], places: list[float], what: str) -> dict[str, Points]:
    found = {name: _points(rows, places, f"{name}_{what}") for name in _NAMES}
    return {name: points for name, points in found.items() if points}


def _points(rows: Sequence[Mapping[str, Any]], places: list[float], key: str) -> Points:
    pairs = [(x, _number(row.get(key))) for x, row in zip(places, rows, strict=True)]
    return _thinned([(x, y) for x, y in pairs if y is not None])


def _number(value: object) -> float | None:
    # The bound leaves out what is not finite, and numbers that the arithmetic of an axis would take beyond what is.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return None
    return float(value)


def _thinned(points: Points) -> Points:
    """No more points than can be seen: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= _MOST_POINTS:
        return points
    stretch = math.ceil(len(points) / (_MOST_POINTS // 2))
    kept = {points[0], points[-1]}
    for i in range(0, len(points), stretch):
        part = points[i : i + stretch]
        kept |= {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
    return sorted(kept)


def _panel(what: str, lines: dict[str, Points], across: Axis, key: str) -> list[str]:
    """One plot: title with the best value, grid, lines, and their names at their ends."""
    up, marks = _up_axis(what, [y for points in lines.values() for _, y in points])
    name = SCORES.get(what, what.capitalize()) + (" (logarithmic)" if up.log else "")
    parts = [svg.label(across.start, 30, name, font_size=15, font_weight=600)]
    for mark in marks:
        y = up.place(mark)
        parts.append(svg.line(across.start, y, across.end, y))
        text = f"{mark * 100:g}%" if what in SHARES else f"{mark:g}"
        parts.append(svg.label(across.start - 8, y + 4, text, muted=True, text_anchor="end"))
    parts += [_curve(points, across, up, _COLOURS[name], f"cs-{name}") for name, points in lines.items()]
    if len(lines.get("val", ())) > 1:
        best = (min if what == "loss" else max)(lines["val"], key=lambda p: p[1])
        text = f"best validation {_shown(what, best[1])} at {key} {best[0]:g}"
        parts.append(svg.label(across.start, 48, text, muted=True))
        ring = {"cx": across.place(best[0]), "cy": up.place(best[1]), "r": 4.5, "fill": "none", "stroke_width": 1.6}
        parts.append(svg.element("circle", {**ring, "stroke": _COLOURS["val"], "class": "cs-val"}))
    return parts + _end_labels(what, lines, across, up)


def _up_axis(what: str, values: list[float]) -> tuple[Axis, list[float]]:
    """The vertical axis and its marks; a loss that falls through more than a factor of 30 is drawn logarithmic."""
    low, high, bottom = min(values), max(values), _PLOT_TOP + _PLOT_HEIGHT
    if what == "loss" and low > 0 and high / low >= 30:
        axis = Axis(low / 1.15, high * 1.15, bottom, _PLOT_TOP, log=True)
        return axis, svg.log_ticks(axis.low, axis.high)
    if what == "loss" and low > 0 and (low < high * 0.6 or low == high):
        low = 0.0
    if what in SHARES and low == high:
        low, high = 0.0, 1.0
    marks = svg.ticks(low, high, 5)
    if what in SHARES:
        marks = [mark for mark in marks if 0 <= mark <= 1] or [0.0, 1.0]
    return Axis(min(low, marks[0]), max(high, marks[-1]), bottom, _PLOT_TOP), marks


def _curve(points: Points, across: Axis, up: Axis, colour: str, kind: str) -> str:
    """A line through the points, with dots while these are few."""
    places = [(across.place(x), up.place(y)) for x, y in points]
    style = {"stroke": colour, "fill": "none", "stroke_width": 2, "stroke_linejoin": "round", "stroke_linecap": "round"}
    drawn = ""
    if len(places) > 1:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        drawn = svg.element("path", {"d": path, **style, "class": kind})
    if len(places) <= 12:
        # Lines of no length with round ends are dots.
        dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
        drawn += svg.element("path", {"d": dots, **style, "stroke_width": 6, "class": kind})
    return drawn


def _end_labels(what: str, lines: dict[str, Points], across: Axis, up: Axis) -> list[str]:
    """The name and last value of each line at its end, moved apart where they would cover each other."""
    ends = sorted((up.place(points[-1][1]), name) for name, points in lines.items())
    places = [y for y, _ in ends]
    if len(places) == 2 and places[1] - places[0] < 17:
        middle = min(max(sum(places) / 2, _PLOT_TOP + 8), _PLOT_TOP + _PLOT_HEIGHT - 8)
        places = [middle - 8.5, middle + 8.5]
    parts: list[str] = []
    for y, (_, name) in zip(places, ends, strict=True):
        text = f"{_NAMES[name]} {_shown(what, lines[name][-1][1])}"
        style = {"fill": _COLOURS[name], "font_weight": 600, "class": f"cs-{name}-text"}
        parts.append(svg.label(across.end + 10, y + 4, text, **style))
    return parts


def _shown(what: str, value: float) -> str:
    return f"{value:.1%}" if what in SHARES else f"{value:.3g}"


def _rate_strip(rate: Points, across: Axis) -> list[str]:
    """The learning rate as a thin filled strip on the same horizontal axis."""
    inside = [(x, y) for x, y in rate if across.low <= x <= across.high] or rate[-1:]
    bottom = _PLOT_TOP + _PLOT_HEIGHT + _RATE_GAP + _RATE_HEIGHT
    highest = max(y for _, y in inside)
    up = Axis(0.0, highest if highest > 0 else 1.0, bottom, bottom - _RATE_HEIGHT)
    places = [(across.place(x), up.place(max(0.0, y))) for x, y in inside]
    if len(places) == 1:
        places = [(across.start, places[0][1]), (across.end, places[0][1])]
    path = f"M{places[0][0]:.1f} {bottom:.1f}" + "".join(f"L{x:.1f} {y:.1f}" for x, y in places)
    area = {"d": f"{path}L{places[-1][0]:.1f} {bottom:.1f}Z", "fill": "#8b949e", "fill_opacity": 0.35}
    return [
        svg.element("path", area),
        svg.line(across.start, bottom, across.end, bottom),
        svg.label(across.start - 8, bottom - _RATE_HEIGHT + 10, f"{highest:.3g}", muted=True, text_anchor="end"),
        svg.label(across.end + 10, bottom - 12, "learning rate", muted=True),
        svg.label(across.end + 10, bottom + 3, f"ends at {rate[-1][1]:.2g}", muted=True),
    ]


def _x_axis(across: Axis, key: str, bottom: float) -> list[str]:
    marks = [mark for mark in svg.ticks(across.low, across.high, 6) if across.low <= mark <= across.high]
    if across.high == across.low:
        marks = [across.low]
    elif across.high - across.low >= 1:
        marks = [m for m in svg.ticks(across.low, across.high, 6, whole=True) if across.low <= m <= across.high]
    parts = [svg.label(across.place(m), bottom + 18, f"{m:,g}", muted=True, text_anchor="middle") for m in marks]
    middle = (across.start + across.end) / 2
    return [*parts, svg.label(middle, bottom + 36, key, muted=True, text_anchor="middle")]
