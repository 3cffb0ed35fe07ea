"""The winners of a yearly contest as bars: error, entry, layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import BLUE, GREY, VERMILLION

_LEFT, _TOP, _TALL, _COLUMN, _BAR = 64.0, 104.0, 240.0, 116.0, 66.0


@dataclass(frozen=True)
class Entry:
    """One bar: error in percent; `layers` is a number or a word, such as `shallow`."""

    year: int
    name: str
    error: float
    layers: str


def winners_svg(title: str, note: str, entries: Sequence[Entry], human: float) -> str:
    """Bars of error by year, with a line at the error of a human; the depth of each stands under its name."""
    if not entries:
        raise UsageError("a chart of winners needs at least one entry, received none")
    bottom = _TOP + _TALL
    marks = svg.ticks(0, max(entry.error for entry in entries), 5)
    up = Axis(0.0, marks[-1], bottom, _TOP)
    end = _LEFT + _COLUMN * len(entries)
    parts = [svg.label(24, 36, title, font_size=17, font_weight=600), svg.label(24, 56, note, muted=True)]
    for mark in marks:
        y = up.place(mark)
        parts.append(svg.line(_LEFT, y, end, y))
        parts.append(svg.label(_LEFT - 8, y + 4, f"{mark:g}%", muted=True, text_anchor="end"))
    line = up.place(human)
    for number, entry in enumerate(entries):
        x, y = _LEFT + _COLUMN * (number + 0.5), up.place(entry.error)
        colour = BLUE if entry.layers.isdecimal() or entry.layers == "ensemble" else GREY
        parts.append(svg.rectangle(x - _BAR / 2, y, _BAR, bottom - y, fill=colour))
        above = line - 7 if line < y < line + 24 else y - 7  # a number does not stand on the line
        parts.append(svg.label(x, above, f"{entry.error:g}%", font_size=14, font_weight=700, text_anchor="middle"))
        below = [(f"{entry.year}", {"font_weight": 600})]
        below += [(line, {}) for line in svg.wrap(entry.name, _COLUMN - 8, lines=2)]
        layers = f"{entry.layers} layers" if entry.layers.isdecimal() else entry.layers
        below.append((layers, {"muted": True}))
        for place, (text, style) in enumerate(below):
            parts.append(svg.label(x, bottom + 20 + 16 * place, text, text_anchor="middle", **style))
    style = {"stroke": VERMILLION, "stroke_width": 1.6, "stroke_dasharray": "6 4", "class": "cs-human"}
    parts.append(svg.line(_LEFT, line, end, line, **style))
    parts.append(svg.label(end + 8, line + 4, f"one human {human:g}%", fill=VERMILLION, **{"class": "cs-human-text"}))
    told = ", ".join(f"{e.year} {e.name} {e.error:g}%" for e in entries)
    return svg.figure(end + 122, bottom + 100, f"{title}: {told}", parts)
