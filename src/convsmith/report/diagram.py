"""A network's tree as a diagram: stages as panels, layers as boxes from top to bottom, branches side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.svg import BLUE, GRAY, GREEN, ORANGE, PURPLE, SKY, VERMILLION, tint
from convsmith.report.text import clean

Kind = Literal["conv", "linear", "pool", "other", "wire"]


@dataclass(frozen=True)
class Box:
    """A layer: what it is, and in smaller letters what rides on it. A `source` takes nothing from above."""

    text: str
    note: str = ""
    kind: Kind = "other"
    source: bool = False


@dataclass(frozen=True)
class Chain:
    """Items one after the other; with none it is a plain line."""

    items: tuple["Item", ...] = ()


@dataclass(frozen=True)
class Fork:
    """Branches side by side on one value, joined by `sign`: `+`, `×` or a word; the branch `straight` is drawn so."""

    sign: str
    branches: tuple[Chain, ...]
    straight: int | None = None


@dataclass(frozen=True)
class Repeat:
    """Items that come `count` times one after the other, or (in a fork) side by side; `note` says what differs."""

    count: int
    chain: Chain
    note: str = ""


Item = Box | Fork | Repeat


@dataclass(frozen=True)
class Panel:
    """A stage or head."""

    title: str
    note: str
    chain: Chain
    aside: bool = False


def diagram_svg(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The diagram on a white card; panels stand in rows, from left to right like words."""
    if not panels:
        raise UsageError(f"{title} has no stage to draw")
    cells = [_panel(panel) for panel in panels]
    rows = _rows(cells)
    width = max(sum(cell.width for cell in row) + _BETWEEN * (len(row) - 1) for row in rows) + 2 * _MARGIN
    width = max(width, svg.text_width(title, 17) + 2 * _MARGIN, svg.text_width(note) + 2 * _MARGIN)
    parts = [svg.label(_MARGIN, 36, clean(title, 120), font_size=17, font_weight=600)]
    parts.append(svg.label(_MARGIN, 56, clean(note, 200), muted=True))
    top = 76.0
    for number, row in enumerate(rows):
        left = _MARGIN
        for place, cell in enumerate(row):
            parts += cell.draw(left, top)
            if (number or place) and not cell.aside:
                parts.append(_arrow_right(left - (_BETWEEN - 3 if place else 18), left - 3, top + _TITLE / 2))
            left += cell.width + _BETWEEN
        top += max(cell.height for cell in row) + 22
    return svg.figure(width, top, title, parts, ", ".join(panel.title for panel in panels))


_MARGIN, _BETWEEN, _TITLE, _PADDING = 24.0, 26.0, 34.0, 14.0
_ROW = 1500.0  # panels that would go beyond stand in the next row
_TALLEST = 1500.0  # of a column within a panel
_STEP, _SIDE = 16.0, 18.0  # between items above each other, and between branches
_LINE = "#6e7781"
_COLORS: dict[Kind, str] = {"conv": BLUE, "linear": ORANGE, "pool": GREEN, "other": GRAY, "wire": VERMILLION}
_FRAME = "#9aa4af"

Draw = Callable[[float, float], list[str]]


@dataclass(frozen=True)
class _Cell:
    """Something with its size; `axis` is where, from its left, the value enters and leaves; `draw` takes its corner."""

    width: float
    height: float
    axis: float
    draw: Draw = field(repr=False)
    source: bool = False  # takes nothing from above
    aside: bool = False
    exit: float | None = None  # where the value leaves, where that is not at the axis
    open: bool = False  # begins with a line, so that an arrow into it would point at nothing


def _rows(cells: Sequence[_Cell]) -> list[list[_Cell]]:
    rows: list[list[_Cell]] = [[]]
    used = 0.0
    for cell in cells:
        if rows[-1] and used + cell.width > _ROW:
            rows.append([])
            used = 0.0
        rows[-1].append(cell)
        used += cell.width + _BETWEEN
    return rows


def _panel(panel: Panel) -> _Cell:
    inside = _columns(panel.chain)
    name, note = clean(panel.title, 40), clean(panel.note, 60)
    heading = svg.text_width(name, 15.5) + 18 + svg.text_width(note)  # bold letters are wider
    width = max(heading, inside.width) + 2 * _PADDING
    height = _TITLE + inside.height + 2 * _STEP + 6
    color = PURPLE if panel.aside else SKY

    def draw(x: float, y: float) -> list[str]:
        left = x + (width - inside.width) / 2
        axis = left + inside.axis
        head = svg.rectangle(x, y, width, _TITLE, rx=8, fill=tint(color, 0.22))
        edge = svg.rectangle(x, y, width, height, rx=8, fill="none", stroke=svg.BORDER)
        title = svg.label(x + _PADDING, y + 22, name, font_size=14, font_weight=600, **_INK)
        end = svg.label(x + width - _PADDING, y + 22, note, text_anchor="end", fill=svg.MUTED, **{"class": "cs-note"})
        start = y + _TITLE
        lines = _inlet(inside, axis, start, start + _STEP)
        foot = start + _STEP + inside.height
        out = axis if inside.exit is None else left + inside.exit
        lines.append(_down(out, foot, foot + _STEP))
        return [head, edge, title, end, *lines, *inside.draw(left, start + _STEP)]

    return _Cell(width, height, width / 2, draw, aside=panel.aside)


_INK = {"class": "cs-fixed"}  # text on a tinted ground stays dark on every page


def _item(item: Item) -> _Cell:
    if isinstance(item, Box):
        return _box(item)
    return _fork(item) if isinstance(item, Fork) else _repeat(item)


def _box(box: Box) -> _Cell:
    text, note = clean(box.text, 60), clean(box.note, 60)
    width = max(56.0, svg.text_width(text) + 20, svg.text_width(note, 10.5) + 20)
    height = 38.0 if note else 25.0
    color = _COLORS[box.kind]

    def draw(x: float, y: float) -> list[str]:
        style: dict[str, object] = {"rx": height / 2 if box.kind == "wire" else 5, "stroke": color}
        if box.kind == "wire":
            style["stroke_dasharray"] = "4 3"
        shape = svg.rectangle(x, y, width, height, fill=tint(color), **style)
        middle = x + width / 2
        lines = [svg.label(middle, y + 16.5, text, text_anchor="middle", **_INK)]
        if note:
            small = {"fill": svg.MUTED, "font_size": 10.5, "text_anchor": "middle", "class": "cs-note"}
            lines.append(svg.label(middle, y + 31, note, **small))
        return [shape, *lines]

    return _Cell(width, height, width / 2, draw, source=box.source)


def _chain(chain: Chain) -> _Cell:
    cells = [_item(item) for item in chain.items]
    if not cells:
        return _Cell(16.0, 0.0, 8.0, lambda x, y: [], open=True)
    axis = max(cell.axis for cell in cells)
    width = axis + max(cell.width - cell.axis for cell in cells)
    height = sum(cell.height for cell in cells) + _STEP * (len(cells) - 1)

    def draw(x: float, y: float) -> list[str]:
        parts: list[str] = []
        for number, cell in enumerate(cells):
            if number:
                parts += _inlet(cell, x + axis, y - _STEP, y)
            parts += cell.draw(x + axis - cell.axis, y)
            y += cell.height + _STEP
        return parts

    return _Cell(width, height, axis, draw, source=cells[0].source, open=cells[0].open)


def _columns(chain: Chain) -> _Cell:
    """A chain in columns like those of a newspaper where it would be taller than a page."""
    columns: list[list[Item]] = [[]]
    height = 0.0
    for item in chain.items:
        tall = _item(item).height + _STEP
        if columns[-1] and height + tall > _TALLEST:
            columns.append([])
            height = 0.0
        columns[-1].append(item)
        height += tall
    cells = [_chain(Chain(tuple(column))) for column in columns]
    if len(cells) == 1:
        return cells[0]
    lefts = [sum(cell.width + 2 * _BETWEEN for cell in cells[:i]) for i in range(len(cells))]
    bottom = max(cell.height for cell in cells)

    def draw(x: float, y: float) -> list[str]:
        parts: list[str] = []
        for number, (cell, left) in enumerate(zip(cells, lefts, strict=True)):
            parts += cell.draw(x + left, y)
            if number < len(cells) - 1:
                start, gap = x + left + cell.axis, x + lefts[number + 1] - _BETWEEN
                end = x + lefts[number + 1] + cells[number + 1].axis
                foot, head = y + cell.height, y - _STEP + 6
                if not cells[number + 1].source:
                    parts.append(_stroke(f"M{start:.1f} {foot:.1f}v8H{gap:.1f}V{head:.1f}H{end:.1f}"))
                    parts += _inlet(cells[number + 1], end, head, y)
        last = x + lefts[-1] + cells[-1].axis
        parts.append(_line(last, y + cells[-1].height, last, y + bottom))
        return parts

    width = lefts[-1] + cells[-1].width
    return _Cell(
        width, bottom, cells[0].axis, draw, source=cells[0].source, open=cells[0].open, exit=lefts[-1] + cells[-1].axis
    )


def _repeat(item: Repeat) -> _Cell:
    inside = _chain(item.chain)
    badge = f"{item.count}×"
    beside = svg.text_width(badge, 14) + 14
    note = clean(item.note, 70)
    left = 12.0
    right = max(12.0 + beside, inside.axis + 10 + svg.text_width(note, 10.5) - inside.width + 8 if note else 0.0)
    foot = 22.0 if note else 12.0
    width, height = left + inside.width + right, inside.height + 12 + foot

    def draw(x: float, y: float) -> list[str]:
        axis = x + left + inside.axis
        style = {"rx": 8, "fill": "none", "stroke": _FRAME, "stroke_dasharray": "2 3"}
        parts = [svg.rectangle(x, y, width, height, **style), *_inlet(inside, axis, y, y + 12)]
        parts.append(_line(axis, y + 12 + inside.height, axis, y + height))
        place = {"text_anchor": "end", "font_size": 14, "font_weight": 700, "fill": BLUE, "class": "cs-note"}
        parts.append(svg.label(x + width - 9, y + 20, badge, **place))
        if note:
            parts.append(svg.label(axis + 8, y + height - 7, note, muted=True, font_size=10.5))
        return [*parts, *inside.draw(x + left, y + 12)]

    return _Cell(width, height, left + inside.axis, draw, source=inside.source, open=True)


def _fork(fork: Fork) -> _Cell:
    cells = [_chain(branch) for branch in fork.branches]
    lefts: list[float] = []
    width = 0.0
    for cell in cells:
        lefts.append(width)
        width += cell.width + _SIDE
    width -= _SIDE
    axes = [left + cell.axis for left, cell in zip(lefts, cells, strict=True)]
    axis = (axes[0] + axes[-1]) / 2 if fork.straight is None else axes[fork.straight]
    tallest = max(cell.height for cell in cells)
    # A sum or product is a small circle, a concatenation a wide bar.
    sign_width, sign_height = (20.0, 20.0) if len(fork.sign) == 1 else (svg.text_width(fork.sign) + 18, 21.0)
    head = 10.0
    height = head + _STEP + tallest + 12 + sign_height
    before = max(0.0, sign_width / 2 - axis)
    lefts, axes, axis = [v + before for v in lefts], [v + before for v in axes], axis + before
    width = max(width + before, axis + sign_width / 2)

    def draw(x: float, y: float) -> list[str]:
        top, bottom = y + head, y + height - sign_height
        parts: list[str] = []
        fed = [a for a, cell in zip(axes, cells, strict=True) if not cell.source]
        if fed:
            parts.append(_line(x + axis, y, x + axis, top))
            parts.append(_line(x + min(*fed, axis), top, x + max(*fed, axis), top))
        for left, a, cell in zip(lefts, axes, cells, strict=True):
            start = top + _STEP
            parts += _inlet(cell, x + a, top, start)
            parts += cell.draw(x + left, start)
            parts += _joining(x + a, start + cell.height, x + axis, bottom, sign_width, sign_height)
        return [*parts, *_sign(fork.sign, x + axis, bottom, sign_width, sign_height)]

    return _Cell(width, height, axis, draw, source=all(cell.source for cell in cells), open=True)


def _joining(a: float, start: float, axis: float, bottom: float, width: float, height: float) -> list[str]:
    """From the end of a branch to the sign: from above where it stands over it, else from the side."""
    if abs(a - axis) < 0.5 or (width > 20 and abs(a - axis) < width / 2 - 4):
        return [_down(a, start, bottom)]
    middle = bottom + height / 2
    edge = axis + (width / 2 if a > axis else -width / 2)
    tip = 4.0 if a > edge else -4.0
    path = f"M{a:.1f} {start:.1f}V{middle:.1f}H{edge:.1f}M{edge + tip:.1f} {middle - 3.5:.1f}L{edge:.1f} {middle:.1f}"
    return [_stroke(f"{path}L{edge + tip:.1f} {middle + 3.5:.1f}")]


def _sign(sign: str, axis: float, top: float, width: float, height: float) -> list[str]:
    style = {"rx": height / 2, "fill": svg.CARD, "stroke": svg.INK, "stroke_width": 1.3}
    size = 15 if len(sign) == 1 else 12
    word = {"text_anchor": "middle", "font_size": size, "font_weight": 600, **_INK}
    return [
        svg.rectangle(axis - width / 2, top, width, height, **style),
        svg.label(axis, top + height / 2 + size * 0.35, sign, **word),
    ]


def _inlet(cell: _Cell, x: float, top: float, bottom: float) -> list[str]:
    """What leads into a cell from above."""
    if cell.source:
        return []
    return [_line(x, top, x, bottom) if cell.open else _down(x, top, bottom)]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return _stroke(f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}")


def _down(x: float, top: float, bottom: float) -> str:
    return _stroke(f"M{x:.1f} {top:.1f}V{bottom:.1f}M{x - 3.5:.1f} {bottom - 4:.1f}L{x:.1f} {bottom:.1f}l3.5 -4")


def _arrow_right(left: float, right: float, y: float) -> str:
    return _stroke(f"M{left:.1f} {y:.1f}H{right:.1f}M{right - 4:.1f} {y - 3.5:.1f}L{right:.1f} {y:.1f}l-4 3.5")


def _stroke(path: str) -> str:
    style = {"stroke": _LINE, "stroke_width": 1.3, "fill": "none", "stroke_linejoin": "round", "class": "cs-arrow"}
    return svg.element("path", {"d": path, **style})
