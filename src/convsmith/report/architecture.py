"""A network as a picture: one block for each stage, as high as its maps and as wide as its channels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.text import count, short

_WIDTH, _MARGIN, _GUTTER = 900.0, 22.0, 140.0
_TOP, _TALLEST, _LOWEST = 24.0, 142.0, 15.0
_SLANT = 0.26  # how far a block goes back, as a share of its height
_COLORS = ((0x4C, 0xC9, 0xF0), (0x3B, 0x82, 0xF6), (0x5B, 0x5F, 0xF0), (0x8B, 0x45, 0xE6))
_VECTOR = (0xF5, 0x9E, 0x0B)
_DOT, _DOT_ROWS, _NUMBERS = 5.0, 9, 36

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Stage:
    """One stage: what it is made of, what it puts out (`size` is empty for a vector) and what it costs.

    `activations` are values, `receptive_field` input pixels per axis; `auxiliary` is a head that only training runs.
    """

    name: str
    detail: str
    channels: int
    size: tuple[int, ...]
    params: int
    macs: int
    layers: int
    activations: int = 0
    receptive_field: tuple[int, ...] = ()
    auxiliary: bool = False


def stages_svg(stages: Sequence[Stage]) -> str:
    """The picture of a network, 900 wide on a white card; with more than eight stages it grows wider."""
    if not stages:
        raise UsageError("a picture of a network needs at least one stage, received none")
    column = max(92.0, (_WIDTH - 2 * _MARGIN - _GUTTER) / len(stages))
    # Few stages stay together instead of drifting apart.
    column = min(column, 190.0)
    width = _GUTTER + 2 * _MARGIN + column * len(stages)
    lefts = [_MARGIN + _GUTTER + i * column for i in range(len(stages))]
    blocks = [_block(stages, i, lefts[i], column) for i in range(len(stages))]
    middle = _TOP + (_TALLEST * (1 + _SLANT)) / 2
    parts = [_arrow(a.right + 3, b.left - 4, middle) for a, b in pairwise(blocks)]
    parts += [_draw_block(block, middle) for block in blocks]
    for i, words in enumerate(("height: size of maps", "width: channels", "(both logarithmic)")):
        parts.append(svg.label(_MARGIN, _TOP + 10 + 15 * i, words, muted=True, font_size=11))
    y = _TOP + _TALLEST * (1 + _SLANT) + 24
    details = [svg.wrap(stage.detail, column - 12) for stage in stages]
    for stage, left, detail in zip(stages, lefts, details, strict=True):
        parts.append(svg.label(left, y, svg.fit(stage.name, column - 10, 15), font_size=15, font_weight=600))
        parts += [svg.label(left, y + 18 + 16 * i, part, muted=True) for i, part in enumerate(detail)]
    y += 22 + 16 * max(len(detail) for detail in details)
    parts.append(svg.label(_MARGIN, y, "output", muted=True))
    parts += [svg.label(x, y, svg.fit(_output(s), column - 6)) for s, x in zip(stages, lefts, strict=True)]
    bottom, bars = _bars(stages, lefts, column, y + 14)
    words = ", ".join(f"{stage.name} {_output(stage)}" for stage in stages)
    return svg.figure(width, bottom + 20, "The stages of the network", [*parts, *bars], words)


@dataclass(frozen=True)
class _Block:
    """Where a block stands and how large it is."""

    left: float
    width: float
    height: float
    color: Color

    @property
    def depth(self) -> float:
        return self.height * _SLANT

    @property
    def right(self) -> float:
        return self.left + self.width + self.depth


def _block(stages: Sequence[Stage], index: int, left: float, column: float) -> _Block:
    sides = [_side(stage) for stage in stages]
    widths = [max(1, stage.channels) for stage in stages]
    tall = math.log(sides[index]) / math.log(max(2.0, *sides))
    low, high = math.log(min(widths)), math.log(max(widths))
    wide = (math.log(widths[index]) - low) / (high - low) if high > low else 0.5
    height = _LOWEST + (_TALLEST - _LOWEST) * tall
    room = column - 30 - height * _SLANT
    return _Block(left, min(room, 12 + (min(74.0, column * 0.6) - 12) * wide), height, _colors(stages)[index])


def _colors(stages: Sequence[Stage]) -> list[Color]:
    """Maps go through the scale from first to last, vectors have a color of their own."""
    maps = [i for i, stage in enumerate(stages) if _side(stage) > 1]
    last = max(3, len(maps) - 1)  # two stages are neighbors on the scale, not its ends
    return [_blend(maps.index(i) / last) if i in maps else _VECTOR for i in range(len(stages))]


def _side(stage: Stage) -> float:
    """The side of a map, the geometric mean of its axes; 1 for a vector."""
    return math.prod(max(1, s) for s in stage.size) ** (1 / len(stage.size)) if stage.size else 1.0


def _blend(share: float) -> Color:
    """The color at a place between the first and the last of the scale."""
    place = share * (len(_COLORS) - 1)
    first = min(int(place), len(_COLORS) - 2)
    return _mix(_COLORS[first], _COLORS[first + 1], place - first)


def _mix(a: Color, b: Color, share: float) -> Color:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _draw_block(block: _Block, middle: float) -> str:
    """A box seen from the front, its top lighter and its side darker."""
    x, w, h, d = block.left, block.width, block.height, block.depth
    y = middle - h / 2 + d / 2
    light, dark = _mix(block.color, (255, 255, 255), 0.45), _mix(block.color, (0, 0, 0), 0.22)
    faces = (
        ((x, y), (x + d, y - d), (x + w + d, y - d), (x + w, y), light),
        ((x + w, y), (x + w + d, y - d), (x + w + d, y + h - d), (x + w, y + h), dark),
        ((x, y), (x + w, y), (x + w, y + h), (x, y + h), block.color),
    )
    drawn: list[str] = []
    for *corners, color in faces:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        style = {"points": points, "fill": _hex(color), "stroke": _hex(color), "stroke_linejoin": "round"}
        drawn.append(svg.element("polygon", style))
    return "".join(drawn)


def _arrow(start: float, end: float, y: float) -> str:
    if end - start < 8:
        return ""
    style = {"stroke": "#9aa4af", "stroke_width": 1.5, "fill": "none", "stroke_linecap": "round"}
    path = f"M{start:.1f} {y:.1f}H{end:.1f}M{end - 5:.1f} {y - 4:.1f}L{end:.1f} {y:.1f}L{end - 5:.1f} {y + 4:.1f}"
    return svg.element("path", {"d": path, **style, "stroke_linejoin": "round", "class": "cs-arrow"})


def _output(stage: Stage) -> str:
    return "×".join(str(n) for n in (*stage.size, stage.channels))


def _bars(stages: Sequence[Stage], lefts: Sequence[float], column: float, top: float) -> tuple[float, list[str]]:
    """The rows that compare the stages, and where they end."""
    colors = [_hex(color) for color in _colors(stages)]
    per_row = max(4, int((column - 50) // _DOT))
    rows = max(1, -(-max(stage.layers for stage in stages) // per_row))
    y, parts = top + 20, [svg.line(_MARGIN, top, lefts[-1] + column - 10, top)]
    parts += _row_name("layers", count(sum(stage.layers for stage in stages)), y)
    for stage, left, color in zip(stages, lefts, colors, strict=True):
        parts.append(svg.label(left, y, count(stage.layers)))
        if rows <= _DOT_ROWS:
            parts.append(_dots(stage.layers, per_row, left + _NUMBERS, y - 4, color))
    y += _DOT * (rows - 1 if rows <= _DOT_ROWS else 0)
    for name, amounts in (("parameters", [s.params for s in stages]), ("MACs", [s.macs for s in stages])):
        y += 22
        parts += _row_name(name, short(sum(amounts)), y)
        for amount, left, color in zip(amounts, lefts, colors, strict=True):
            parts += _share(amount / (sum(amounts) or 1), left, y, column - _NUMBERS - 12, color)
    return y, parts


def _row_name(name: str, total: str, y: float) -> list[str]:
    end = _MARGIN + _GUTTER - 16
    return [svg.label(_MARGIN, y, name, muted=True), svg.label(end, y, total, text_anchor="end", font_weight=600)]


def _dots(layers: int, per_row: int, left: float, top: float, color: str) -> str:
    """A dot for each layer: lines of no length with round ends, the shortest way to write a circle."""
    places = (f"M{left + 2 + i % per_row * _DOT:g} {top + i // per_row * _DOT:g}h0" for i in range(layers))
    style = {"stroke": color, "stroke_width": 3.6, "stroke_linecap": "round"}
    return svg.element("path", {"d": "".join(places), **style}) if layers else ""


def _share(share: float, left: float, y: float, room: float, color: str) -> list[str]:
    """A share as a number and a bar; what is there but small is not shown as nothing."""
    text = "0%" if share == 0 else "<1%" if share < 0.005 else f"{share:.0%}"
    groove = svg.rectangle(left + _NUMBERS, y - 8, room, 7, rx=3.5, fill=svg.GRID, **{"class": "cs-groove"})
    parts = [svg.label(left, y, text), groove]
    if share > 0:
        parts.append(svg.rectangle(left + _NUMBERS, y - 8, max(3.0, room * share), 7, rx=3.5, fill=color))
    return parts
