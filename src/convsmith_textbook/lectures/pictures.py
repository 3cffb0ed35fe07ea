"""The examples' pictures: grids with the window that makes one output element."""

from collections.abc import Iterable, Sequence

import numpy as np

from convsmith.report.axis import Axis
from convsmith.report.plot import Plot, sheet
from convsmith.report.svg import BLUE, VERMILLION, element, escape, figure, fit, label, rectangle, text_width
from convsmith_textbook.lectures.grids import Array, Operands, correlate, pool, poolings, sums

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
    """One grid to draw: `window` cells from its upper left corner are marked, the `padding` cells are gray."""

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
    """Columns of grids side by side with a sign between them, each column centered, the first element's sum below."""
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
    return figure(width, TOP + tallest + 30 + SIDE, "the marked window gives the marked element", parts, caption)


def trials_svg(groups: Sequence[tuple[str, Sequence[tuple[int, float, float, float]]]]) -> str:
    """Trials (number, accuracy, learning rate, regularization) side by side on logarithmic axes; darker is better."""
    plots: list[Plot] = []
    for name, trials in groups:
        best = max(trials, key=lambda trial: trial[1])
        note = f"{name}: best {best[1]:.3f} at learning rate {best[2]:.2e}"
        across = Axis("learning rate", log=True, tight=False, inset=9)
        plot = Plot(note, across, Axis("regularization", log=True, inset=9), width=320, height=300, size=12)
        for trial in sorted(trials, key=lambda trial: trial[1]):
            shade = 0.1 + 0.9 * (trial[1] / best[1]) ** 4
            plot.dots([trial[2:]], color=BLUE, size=12, opacity=shade)
            plot.dots([trial[2:]], color=EDGE, size=12, shape="ring")
        plot.dots([best[2:]], color=VERMILLION, size=16, shape="ring")
        plots.append(plot)
    told = "validation accuracy of trials by learning rate and regularization"
    return sheet([plots], title="Trials: darker is better", told=told)
