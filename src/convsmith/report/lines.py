"""A number of runs against a number of their recipes: a line for each series, a bar for the spread of each point."""

from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.courses import mark_text, value_text
from convsmith.report.palette import SERIES
from convsmith.report.text import short

_LEFT, _TOP, _WIDTH, _HEIGHT, _LINE = 64.0, 70.0, 560.0, 280.0, 20.0


@dataclass(frozen=True)
class Point:
    """The values of several runs at one place of the horizontal axis."""

    place: float
    mean: float
    low: float
    high: float
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Points that are joined, from the left to the right."""

    name: str
    points: Sequence[Point]


def lines_svg(title: str, series: Sequence[Series], *, what: str, axis: str, share: bool) -> str:
    """The series over `axis`, which is logarithmic where places lie a factor of 20 apart; shares are in percent."""
    points = [point for one in series for point in one.points]
    if not points:
        raise UsageError("lines need at least one point, received none")
    places = sorted({point.place for point in points})
    log = places[0] > 0 and places[-1] / places[0] >= 20
    bottom = _TOP + _HEIGHT
    across = Axis(places[0], places[-1], _LEFT + 20, _LEFT + _WIDTH - 20, log=log)
    marks = svg.ticks(min(p.low for p in points), max(p.high for p in points), 6)
    up = Axis(marks[0], marks[-1], bottom, _TOP)
    parts = [svg.label(_LEFT, 34, svg.fit(title, _WIDTH, 16), font_size=16, font_weight=600)]
    parts.append(svg.label(_LEFT, 54, f"{what}; bars reach from the lowest to the highest run", muted=True))
    for mark in marks:
        y = up.place(mark)
        parts.append(svg.line(_LEFT, y, _LEFT + _WIDTH, y))
        parts.append(svg.label(_LEFT - 8, y + 4, mark_text(mark, share), muted=True, text_anchor="end"))
    for place in _spaced(places, across):
        parts.append(svg.label(across.place(place), bottom + 18, short(place), muted=True, text_anchor="middle"))
    parts.append(svg.label(_LEFT + _WIDTH / 2, bottom + 38, axis, muted=True, text_anchor="middle"))
    for number, one in enumerate(series):
        colour, y = SERIES[number % len(SERIES)], bottom + 64 + _LINE * number
        parts += _drawn(one.points, across, up, colour)
        parts.append(svg.line(_LEFT, y - 4, _LEFT + 26, y - 4, **svg.stroke(colour, 2.4)))
        parts.append(svg.label(_LEFT + 34, y, svg.fit(one.name, _WIDTH)))
    told = "; ".join(
        f"{one.name}: {', '.join(f'{short(p.place)} {value_text(p.mean, share)}' for p in one.points)}"
        for one in series
    )
    height = bottom + 60 + _LINE * len(series)
    return svg.figure(_LEFT + _WIDTH + 30, height, f"{title}. {what} over {axis}: {told}", parts)


def _spaced(places: Sequence[float], across: Axis) -> list[float]:
    """The places whose labels do not touch."""
    kept: list[float] = []
    for place in places:
        if not kept or across.place(place) - across.place(kept[-1]) >= 44:
            kept.append(place)
    return kept


def _drawn(points: Sequence[Point], across: Axis, up: Axis, colour: str) -> list[str]:
    found = sorted(points, key=lambda point: point.place)
    path = "M" + "L".join(f"{across.place(p.place):.1f} {up.place(p.mean):.1f}" for p in found)
    parts = [svg.element("path", {"d": path, "fill": "none"} | svg.stroke(colour, 2.2))] if len(found) > 1 else []
    for p in found:
        x = across.place(p.place)
        if p.low < p.high:
            parts.append(svg.line(x, up.place(p.low), x, up.place(p.high), **svg.stroke(colour, 1.4)))
        parts.append(svg.element("circle", {"cx": x, "cy": up.place(p.mean), "r": 4.0, "fill": colour}))
    return parts
