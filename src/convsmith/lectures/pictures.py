"""The examples' pictures: grids with the window that makes one output element."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from convsmith.lectures.grids import Array, Operands, correlate, pool, poolings, sums
from convsmith.report.palette import BLUE, VERMILLION
from convsmith.report.svg import element, escape, figure, fit, label, rectangle, text_width

CELL, GAP, TOP, SIDE = 34, 44, 44, 24
PLAIN, OUTER, WINDOW, RESULT, EDGE = "#ffffff", "#eef1f4", "#ffe8a3", "#bfe3c6", "#8c959f"
_LARGEST, _WIDEST = 24, 800  # cells a side, pixels of the caption


def convolution_svg(given: Operands) -> str:
    """Input, kernel and output of the layer; the window of the first output element is marked."""
    x, w, y = given.x, given.w, correlate(given)
    h, wide = w.shape[2:]
    inputs = [_Grid("input" if len(x) == 1 else f"input {i + 1}", a, (h, wide), given.padding) for i, a in enumerate(x)]
    kernels = [_Grid("kernel" if len(w[0]) == 1 else f"kernel {i + 1}", k, (h, wide)) for i, k in enumerate(w[0])]
    outputs = [_Grid("output" if len(y) == 1 else f"output {i + 1}", a, (1, 1), mark=RESULT) for i, a in enumerate(y)]
    if len(w) > 1:
        kernels = [_Grid(f"filter 1, {k.title}", k.values, k.window) for k in kernels]
        outputs[1:] = [_Grid(o.title, o.values, (0, 0)) for o in outputs[1:]]
    return _row([inputs, kernels, outputs], ["*", "="], sums(given)[0])


def max_pool_svg(given: Operands) -> str:
    """Input and output of max pooling; the window of the first output element is marked."""
    return _pooling(given, pool(given, np.max), "max", poolings(given, "max", np.max)[0])


def average_pool_svg(given: Operands) -> str:
    """Input and output of average pooling; the window of the first output element is marked."""
    return _pooling(given, pool(given, np.mean), "mean", poolings(given, "mean", np.mean)[0])


def _pooling(given: Operands, y: Array, name: str, caption: str) -> str:
    inputs = [_Grid("input" if len(y) == 1 else f"input {i + 1}", a, given.window, given.padding)
              for i, a in enumerate(given.x)]  # fmt: skip
    outputs = [_Grid("output" if len(y) == 1 else f"output {i + 1}", a, (1, 1), mark=RESULT) for i, a in enumerate(y)]
    return _row([inputs, outputs], [name], caption)


class _Grid:
    """One grid to draw: `window` cells from its upper left corner are marked, `padding` cells in all are grey."""

    def __init__(
        self, title: str, values: Array, window: Sequence[int], padding: Sequence[int] = (0, 0), mark: str = WINDOW
    ):
        rows, columns = (min(n, _LARGEST) for n in values.shape)
        if (rows, columns) != values.shape:
            title += f": {rows}x{columns} of {values.shape[0]}x{values.shape[1]}"
        self.title, self.values, self.window, self.padding, self.mark = title, values, window, padding, mark
        self.width, self.height = max(columns * CELL, text_width(title, 13)), rows * CELL

    def draw(self, left: float, top: float) -> Iterable[str]:
        rows, columns = self.values.shape
        before = [(p + 1) // 2 for p in self.padding]
        after = [n - p // 2 for n, p in zip(self.values.shape, self.padding, strict=True)]
        yield label(left, top - 8, self.title, font_size=13, muted=True)
        for i in range(min(rows, _LARGEST)):
            for j in range(min(columns, _LARGEST)):
                inside = before[0] <= i < after[0] and before[1] <= j < after[1]
                marked = i < self.window[0] and j < self.window[1]
                fill = self.mark if marked else PLAIN if inside else OUTER
                yield from _cell(left + j * CELL, top + i * CELL, f"{self.values[i, j]:.4g}", fill)


def _cell(x: float, y: float, text: str, fill: str) -> Iterable[str]:
    yield rectangle(x, y, CELL, CELL, fill=fill, stroke=EDGE)
    size = min(14.0, 14.0 * (CELL - 4) / max(1.0, text_width(text, 14)))
    attributes = {"x": x + CELL / 2, "y": y + CELL / 2 + size * 0.36, "font_size": size, "text_anchor": "middle"}
    yield element("text", attributes | {"fill": "#1f2328"}, escape(text))


def _row(columns: Sequence[Sequence[_Grid]], signs: Sequence[str], caption: str) -> str:
    """Columns of grids side by side with a sign between them, each column centred, the first element's sum below."""
    heights = [sum(g.height for g in column) + GAP * (len(column) - 1) for column in columns]
    tallest, x, parts = max(heights), float(SIDE), []
    for number, (column, height) in enumerate(zip(columns, heights, strict=True)):
        y = TOP + (tallest - height) / 2
        for grid in column:
            parts += grid.draw(x, y)
            y += grid.height + GAP
        x += max(g.width for g in column)
        if number < len(signs):
            room = max(GAP, text_width(signs[number], 16) + 24)
            middle = TOP + tallest / 2 + 6
            parts.append(label(x + room / 2, middle, signs[number], font_size=16, text_anchor="middle"))
            x += room
    width = max(x, min(SIDE + text_width(caption, 13), _WIDEST)) + SIDE
    parts.append(label(SIDE, TOP + tallest + 30, fit(caption, width - 2 * SIDE, 13), font_size=13))
    return figure(width, TOP + tallest + 30 + SIDE, f"the marked window gives the marked element: {caption}", parts)


def bars_svg(title: str, rows: Sequence[tuple[str, float, str]], low: float = 0) -> str:
    """Horizontal bars from `low`: (name, value, text at the end of the bar)."""
    left = SIDE + max(text_width(name) for name, _, _ in rows) + 12
    room, height = 360, 22
    top = max(value for _, value, _ in rows)
    parts = [label(SIDE, 34, title, font_size=15, font_weight=600)]
    for number, (name, value, text) in enumerate(rows):
        y, width = 54 + number * (height + 8), (value - low) / (top - low) * room
        parts.append(label(left - 12, y + 15, name, text_anchor="end"))
        parts.append(rectangle(left, y, width, height, fill=BLUE, rx=2))
        parts.append(label(left + width + 6, y + 15, text))
    end = 54 + len(rows) * (height + 8)
    if low:
        parts.append(label(left, end + 12, f"bars begin at {low:g}", muted=True))
    widest = max(text_width(text) for _, _, text in rows)
    return figure(left + room + widest + 12 + SIDE, end + SIDE, title, parts)


def scatter_svg(groups: Sequence[tuple[str, Sequence[tuple[int, float, float, float]]]]) -> str:
    """Trials (number, accuracy, learning rate, regularisation) side by side on logarithmic axes; darker is better."""
    side, top, parts = 300, 60, [label(SIDE, 32, "Trials: darker is better", font_size=15, font_weight=600)]
    for number, (name, trials) in enumerate(groups):
        left = 78 + number * (side + 90)
        best = max(trials, key=lambda trial: trial[1])
        axes = [[math.log10(trial[k]) for trial in trials] for k in (2, 3)]
        (x0, x1), (y0, y1) = ((math.floor(min(axis)), math.ceil(max(axis))) for axis in axes)
        parts.append(rectangle(left, top, side, side, fill="none", stroke=EDGE))
        parts.append(label(left, top - 8, f"{name}: best {best[1]:.3f} at learning rate {best[2]:.2e}", muted=True))
        for power in range(x0, x1 + 1):
            x = left + (power - x0) / (x1 - x0) * side
            parts.append(label(x, top + side + 18, f"1e{power}", text_anchor="middle", muted=True, font_size=11))
        for power in range(y0, y1 + 1):
            y = top + side - (power - y0) / (y1 - y0) * side
            parts.append(label(left - 8, y + 4, f"1e{power}", text_anchor="end", muted=True, font_size=11))
        for trial, x, y in zip(trials, *axes, strict=True):
            place = {"cx": left + (x - x0) / (x1 - x0) * side, "cy": top + side - (y - y0) / (y1 - y0) * side}
            ring = {"stroke": VERMILLION, "stroke_width": 3} if trial is best else {"stroke": EDGE}
            shade = {"fill": BLUE, "fill_opacity": 0.1 + 0.9 * (trial[1] / best[1]) ** 4}
            parts.append(element("circle", place | {"r": 6} | shade | ring))
        parts.append(label(left + side / 2, top + side + 38, "learning rate", text_anchor="middle"))
    parts.append(label(14, top + side / 2, "regularisation", transform=f"rotate(-90 14 {top + side // 2})",
                       text_anchor="middle"))  # fmt: skip
    width = 78 + len(groups) * (side + 90) - 90 + SIDE
    return figure(width, top + side + 56, "validation accuracy of trials by learning rate and regularisation", parts)
