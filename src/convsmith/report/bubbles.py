"""Accuracy against MACs, a bubble for each network as large as its parameters, a line through each family."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import SERIES
from convsmith.report.text import short

_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 28.0, 92.0, 56.0
# The size of the picture for fewer networks than that; the last is for any number.
_SIZES = ((16, (980.0, 620.0)), (48, (1240.0, 800.0)), (math.inf, (1680.0, 1120.0)))
_LARGEST, _SMALLEST = 34.0, 3.0  # radii in pixels
_LETTER = 11.0
_DISTANCES = (0.0, 14.0, 30.0, 50.0, 75.0)  # of a name from its bubble

_Place = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """A network: accuracy in percent, MACs for one image, parameters, and the family whose line it lies on."""

    name: str
    family: str
    accuracy: float
    macs: int
    params: int


def bubbles_svg(note: str, points: Sequence[Point]) -> str:
    """The chart; the area of a bubble is proportional to the parameters, the MACs are on a logarithmic axis."""
    if not points:
        raise UsageError("a chart of accuracy needs at least one network whose accuracy is known, received none")
    width, height = next(size for most, size in _SIZES if len(points) < most)
    right, up, marks, levels = _axes(points, width, height)
    colours = _colours(points)
    parts = [svg.label(24, 34, "Accuracy against multiply-accumulates", font_size=17, font_weight=600)]
    parts.append(svg.label(24, 54, note, muted=True))
    for mark in levels:
        y = up.place(mark)
        parts += [svg.line(_LEFT, y, width - _RIGHT, y), _tick(_LEFT - 8, y + 4, f"{mark:g}%", "end")]
    for mark in marks:
        x = right.place(mark)
        parts += [svg.line(x, _TOP, x, height - _BOTTOM), _tick(x, height - _BOTTOM + 18, _plain(mark), "middle")]
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(_tick(middle, height - 14, "MACs for one image (logarithmic)", "middle"))
    scale = _LARGEST / math.sqrt(max(point.params for point in points))
    placed = [
        _Bubble(p, right.place(p.macs), up.place(p.accuracy), max(_SMALLEST, scale * math.sqrt(p.params)))
        for p in points
    ]
    for family, colour in colours.items():
        line = sorted((b.x, b.y) for b in placed if b.point.family == family)
        if len(line) > 1:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
            parts.append(
                svg.element(
                    "path", {"d": path, "fill": "none", "stroke": colour, "stroke_width": 1.4, "stroke_opacity": 0.7}
                )
            )
    for b in sorted(placed, key=lambda b: -b.radius):
        ring = {"cx": b.x, "cy": b.y, "r": b.radius, "fill": colours[b.point.family], "fill_opacity": 0.3}
        parts.append(svg.element("circle", {**ring, "stroke": colours[b.point.family], "stroke_width": 1.4}))
    parts += _names(placed, width, height)
    parts += _size_key(scale, max(p.params for p in points), width)
    told = "; ".join(f"{p.name} {p.accuracy:g}% at {short(p.macs)}" for p in points)
    return svg.figure(width, height, f"Accuracy against MACs: {told}", parts)


@dataclass(frozen=True)
class _Bubble:
    point: Point
    x: float
    y: float
    radius: float


def _axes(points: Sequence[Point], width: float, height: float) -> tuple[Axis, Axis, list[float], list[float]]:
    low, high = min(p.macs for p in points), max(p.macs for p in points)
    right = Axis(low / 1.5, high * 1.6, _LEFT, width - _RIGHT, log=True)
    worst, best = min(p.accuracy for p in points), max(p.accuracy for p in points)
    room = max(1.0, 0.12 * (best - worst))
    low_end, high_end = worst - room, min(best + room, 100.0)
    levels = [level for level in svg.ticks(low_end, high_end, 8) if low_end <= level <= high_end]
    up = Axis(low_end, high_end, height - _BOTTOM, _TOP)
    return right, up, svg.log_ticks(right.low, right.high), levels


def _colours(points: Sequence[Point]) -> dict[str, str]:
    """A colour for each family, in the order in which they come; with more families than colours these come again."""
    families = list(dict.fromkeys(point.family for point in points))
    return {family: SERIES[i % len(SERIES)] for i, family in enumerate(families)}


def _plain(mark: float) -> str:
    text = short(mark)
    digits = text.rstrip("kMGTP")
    return f"{float(digits):g}{text[len(digits) :]}"


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return svg.label(x, y, text, muted=True, text_anchor=anchor)


def _names(bubbles: Sequence[_Bubble], across: float, down: float) -> list[str]:
    """Each name where it covers no other name and the fewest bubbles; a line leads to one that stands apart."""
    taken: list[_Place] = []
    parts: list[str] = []
    for b in sorted(bubbles, key=lambda b: (b.y, b.x)):
        width = svg.text_width(b.point.name, _LETTER)
        best: tuple[float, _Place, float] | None = None
        for rank, (x, y, away) in enumerate(_spots(b, width)):
            box = (x, y - _LETTER, x + width, y + 2)
            inside = box[0] >= _LEFT and box[2] <= across - 4 and box[1] >= _TOP - 20 and box[3] <= down - _BOTTOM
            if not inside or any(_meet(box, other) for other in taken):
                continue
            hidden = sum(3.0 for other in bubbles if _meet(box, _square(other, min(other.radius, 4.0))))
            score = 0.4 * rank + hidden + sum(1.0 for other in bubbles if other is not b and _meet(box, _square(other)))
            if best is None or score < best[0]:
                best = (score, box, away)
        if best:
            _, box, away = best
            taken.append(box)
            if away:
                near = min(max(b.x, box[0]), box[2]), min(max(b.y, box[1]), box[3])
                parts.append(svg.line(b.x, b.y, *near, stroke=svg.MUTED, stroke_width=0.8))
            # A rim in the card's colour parts the name from lines behind it.
            rim = {"paint_order": "stroke", "stroke": svg.CARD, "stroke_width": 3, "stroke_linejoin": "round"}
            parts.append(svg.label(box[0], box[3] - 2, b.point.name, font_size=_LETTER, **rim))
    return parts


def _spots(b: _Bubble, width: float) -> list[tuple[float, float, float]]:
    """Left end, baseline and distance of a name beside, above, below and further off its bubble, the best first."""
    spots = [(b.x - width / 2, b.y + 4, 0.0)] if width < 2 * b.radius - 4 else []
    for away in _DISTANCES:
        r = b.radius + away
        right, left, middle = b.x + r + 3, b.x - r - 3 - width, b.x - width / 2
        spots += [
            (right, b.y + 4, away),
            (middle, b.y - r - 4, away),
            (middle, b.y + r + 12, away),
            (left, b.y + 4, away),
        ]
        east, west = b.x + 0.8 * r + 3, b.x - 0.8 * r - 3 - width
        spots += [(x, y, away) for x in (east, west) for y in (b.y - 0.7 * r, b.y + 0.8 * r + 8)]
    return spots


def _square(b: _Bubble, half: float | None = None) -> _Place:
    """The square around a bubble or around its middle, which a name must not hide."""
    half = b.radius if half is None else half
    return (b.x - half, b.y - half, b.x + half, b.y + half)


def _meet(a: _Place, b: _Place) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _size_key(scale: float, largest: int, width: float) -> list[str]:
    """Three bubbles that say what their size means."""
    parts: list[str] = []
    top = 10.0 ** math.floor(math.log10(largest))
    amounts = [top / 10, top / 2, top] if largest < 4 * top else [top / 10, top, 4 * top]
    x = width - _RIGHT
    for amount in reversed(amounts):
        text = _plain(amount)
        radius = scale * math.sqrt(amount)
        x -= svg.text_width(text)
        parts.append(svg.label(x, 50, text, muted=True))
        x -= radius + 5
        parts.append(svg.element("circle", {"cx": x, "cy": 46, "r": radius, "fill": "none", "stroke": svg.MUTED}))
        x -= radius + 12
    parts.append(svg.label(x, 50, "parameters", muted=True, text_anchor="end"))
    return parts
