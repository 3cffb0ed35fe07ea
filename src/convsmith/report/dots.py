"""Groups of runs as rows: a dot for each run, a bar at the mean; validation beside test."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.courses import mark_text, value_text
from convsmith.report.palette import BLUE, VERMILLION

_MARGIN, _TOP, _ROW, _WIDTH = 24.0, 92.0, 34.0, 520.0


@dataclass(frozen=True)
class DotRow:
    """A group's values on two splits; either may be empty."""

    name: str
    validation: Sequence[float]
    test: Sequence[float]


def dots_svg(title: str, rows: Sequence[DotRow], *, what: str, share: bool) -> str:
    """A row for each group in the order given, on one axis; `what` names the values (shares are shown in percent).

    The first row's means are drawn through all, for what the others are measured against.
    """
    values = [value for row in rows for value in (*row.validation, *row.test)]
    if not values:
        raise UsageError("dots need at least one value, received none")
    names = [svg.fit(row.name, 230, 13) for row in rows]
    left = _MARGIN + max(*(svg.text_width(name, 14) for name in names), 60.0) + 18
    bottom = _TOP + _ROW * len(rows)
    marks = svg.ticks(min(values), max(values), 6)
    across = Axis(marks[0], marks[-1], left, left + _WIDTH)
    parts = [svg.label(_MARGIN, 34, svg.fit(title, left + _WIDTH, 16), font_size=16, font_weight=600)]
    parts += _legend(left, what)
    for mark in marks:
        x = across.place(mark)
        parts.append(svg.line(x, _TOP - 8, x, bottom))
        parts.append(svg.label(x, bottom + 18, mark_text(mark, share), muted=True, text_anchor="middle"))
    for colour, first in ((BLUE, rows[0].validation), (VERMILLION, rows[0].test)):
        if first:
            x = across.place(fmean(first))
            parts.append(svg.line(x, _TOP - 8, x, bottom, **svg.stroke(colour, 1.0), stroke_dasharray="3 4"))
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        y = _TOP + _ROW * number + 8
        parts.append(svg.label(left - 14, y + 8, name, font_size=13, text_anchor="end"))
        parts += _dots(row.validation, across, y, BLUE) + _dots(row.test, across, y + 12, VERMILLION)
        means = [value_text(fmean(found), share) for found in (row.validation, row.test) if found]
        parts.append(svg.label(left + _WIDTH + 14, y + 8, " / ".join(means), muted=True))
    told = "; ".join(
        f"{row.name} {', '.join(value_text(fmean(v), share) for v in (row.validation, row.test) if v)}" for row in rows
    )
    return svg.figure(left + _WIDTH + 120, bottom + 34, f"{title}. {what}, validation and test: {told}", parts)


def _legend(left: float, what: str) -> list[str]:
    parts = [svg.label(_MARGIN, 58, what, muted=True)]
    for place, (name, colour) in enumerate((("validation", BLUE), ("test", VERMILLION))):
        x = left + 110 * place
        parts += [_dot(x + 5, 54, colour), svg.label(x + 14, 58, name)]
    return [*parts, svg.label(left + 190, 58, "bar: mean of the runs", muted=True)]


def _dots(values: Sequence[float], across: Axis, y: float, colour: str) -> list[str]:
    if not values:
        return []
    mean = across.place(fmean(values))
    return [*(_dot(across.place(value), y, colour) for value in values), _bar(mean, y, colour)]


def _dot(x: float, y: float, colour: str) -> str:
    return svg.element("circle", {"cx": x, "cy": y, "r": 4.0, "fill": colour, "fill_opacity": 0.55})


def _bar(x: float, y: float, colour: str) -> str:
    return svg.line(x, y - 6, x, y + 6, **svg.stroke(colour, 2.4))
