"""Accuracy against MACs, a bubble for each network as large as its parameters, a line through each family."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis, Scale
from convsmith.report.plot import Plot
from convsmith.report.svg import SERIES
from convsmith.report.text import short

# The size of the plot for fewer networks than that; the last is for any number.
_SIZES = ((16, (880.0, 470.0)), (48, (1150.0, 650.0)), (math.inf, (1590.0, 970.0)))
_LARGEST, _SMALLEST = 34.0, 3.0  # radii in pixels
_LETTER = 11.0
_KEY = -36.0  # where the key of the sizes stands above the plot
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
    low, high = min(p.macs for p in points), max(p.macs for p in points)
    worst, best = min(p.accuracy for p in points), max(p.accuracy for p in points)
    room = max(1.0, 0.12 * (best - worst))
    across = Axis("MACs for one image", low / 1.5, high * 1.6, log=True, grid=True, words=_plain)
    up = Axis("", worst - room, min(best + room, 100.0), tight=True, words=lambda mark: f"{mark:g}%", wanted=8)
    plot = Plot("", across, up, width=width, height=height)
    colors, scale = _colors(points), _LARGEST / math.sqrt(max(1, *(point.params for point in points)))
    for family, color in colors.items():
        line = sorted((p.macs, p.accuracy) for p in points if p.family == family)
        if len(line) > 1:
            plot.line(line, color=color, width=1.4, opacity=0.7)
    plot.layer([(p.macs, p.accuracy) for p in points], lambda x, y: _drawn(points, colors, scale, x, y))
    told = "; ".join(f"{p.name} {p.accuracy:g}% at {short(p.macs)}" for p in points)
    title = "Accuracy against multiply-accumulates"
    return plot.svg(title=title, note=note or " ", told=told)


@dataclass(frozen=True)
class _Bubble:
    point: Point
    x: float
    y: float
    radius: float


def _drawn(points: Sequence[Point], colors: dict[str, str], scale: float, x: Scale, y: Scale) -> list[str]:
    """The bubbles, the largest at the back, and their names."""
    bubbles = [
        _Bubble(p, x.place(p.macs), y.place(p.accuracy), max(_SMALLEST, scale * math.sqrt(p.params)))
        for p in points
        if x.holds(p.macs) and y.holds(p.accuracy)
    ]
    parts: list[str] = []
    for b in sorted(bubbles, key=lambda b: -b.radius):
        ring = {"cx": b.x, "cy": b.y, "r": b.radius, "fill": colors[b.point.family], "fill_opacity": 0.3}
        parts.append(svg.element("circle", {**ring, "stroke": colors[b.point.family], "stroke_width": 1.4}))
    return [*parts, *_names(bubbles, x.end, y.start), *_size_key(scale, max(1, *(p.params for p in points)), x.end)]


def _colors(points: Sequence[Point]) -> dict[str, str]:
    """A color for each family, in the order in which they come; with more families than colors these come again."""
    families = list(dict.fromkeys(point.family for point in points))
    return {family: SERIES[i % len(SERIES)] for i, family in enumerate(families)}


def _plain(mark: float) -> str:
    text = short(mark)
    digits = text.rstrip("kMGTP")
    return f"{float(digits):g}{text[len(digits) :]}"


def _names(bubbles: Sequence[_Bubble], across: float, down: float) -> list[str]:
    """Each name where it covers no other name and the fewest bubbles; a line leads to one that stands apart."""
    taken: list[_Place] = []
    parts: list[str] = []
    for b in sorted(bubbles, key=lambda b: (b.y, b.x)):
        width = svg.text_width(b.point.name, _LETTER)
        best: tuple[float, _Place, float] | None = None
        for rank, (x, y, away) in enumerate(_spots(b, width)):
            box = (x, y - _LETTER, x + width, y + 2)
            inside = box[0] >= 0 and box[2] <= across + 20 and box[1] >= 0 and box[3] <= down
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
            parts.append(svg.label(box[0], box[3] - 2, b.point.name, **{**svg.RIM, "font_size": _LETTER}))
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


def _size_key(scale: float, largest: int, x: float) -> list[str]:
    """Three bubbles that say what their size means, above the upper right corner, which lies at x."""
    parts: list[str] = []
    top = 10.0 ** math.floor(math.log10(largest))
    amounts = [top / 10, top / 2, top] if largest < 4 * top else [top / 10, top, 4 * top]
    for amount in reversed(amounts):
        text = _plain(amount)
        radius = scale * math.sqrt(amount)
        x -= svg.text_width(text)
        parts.append(svg.label(x, _KEY + 4, text, muted=True))
        x -= radius + 5
        parts.append(svg.element("circle", {"cx": x, "cy": _KEY, "r": radius, "fill": "none", "stroke": svg.MUTED}))
        x -= radius + 12
    parts.append(svg.label(x, _KEY + 4, "parameters", muted=True, text_anchor="end"))
    return parts
