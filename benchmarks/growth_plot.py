"""The picture of `growth.py`: how time and memory grow along each axis, on logarithmic scales."""

from collections.abc import Mapping, Sequence
from typing import Any

from convsmith.report.axis import Axis
from convsmith.report.plot import Plot, sheet
from convsmith.report.svg import BLUE, VERMILLION
from convsmith.report.text import short

# What is drawn: the numbers of a row, how it is called, its color; dashed is what it should follow.
LINES = (
    ("milliseconds", "time for an image", BLUE, False),
    ("macs", "MACs of an image", BLUE, True),
    ("mebibytes", "memory", VERMILLION, False),
    ("activations", "activations of a batch", VERMILLION, True),
)
ACROSS = {"batch": "images in a batch", "depth": "layers", "width": "times the width", "resolution": "pixels a side"}


def growth_svg(rows: Sequence[Mapping[str, Any]], where: str) -> str:
    """Panels two by two, everything as a multiple of its first point; `where` names the machine."""
    plots = [_panel(row) for row in rows]
    told = "; ".join(
        f"{row['what']}: slope of time {row['time_slope']}, of memory {row['memory_slope']}" for row in rows
    )
    pairs = [plots[i : i + 2] for i in range(0, len(plots), 2)]
    return sheet(pairs, title="A training step, times its first point", note=where, told=told)


def _panel(row: Mapping[str, Any]) -> Plot:
    marks = [(value, f"{value:g}") for value in row["values"]]
    across, up = Axis(ACROSS[row["axis"]], log=True, marks=marks), Axis(low=0.5, high=2.0, log=True, words=short)
    plot = Plot(row["what"], across, up, width=360, height=230, size=12)
    for key, name, color, dashed in LINES:
        points = [(x, y / row[key][0]) for x, y in zip(row["values"], row[key], strict=True)]
        plot.line(points, color=color, name=name, dash="3 5" if dashed else "none", dots=0 if dashed else 7)
    return plot
