"""The picture of `growth.py`: how time and memory grow along each axis, on logarithmic scales."""

from collections.abc import Mapping, Sequence
from typing import Any

from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import BLUE, VERMILLION
from convsmith.report.text import short

LEFT, TOP, WIDTH, HEIGHT, GAP = 70.0, 116.0, 360.0, 230.0, 80.0
# What is drawn: the numbers of a row, how it is called, its colour; dashed is what it should follow.
LINES = (
    ("milliseconds", "time for an image", BLUE, False),
    ("macs", "MACs of an image", BLUE, True),
    ("mebibytes", "memory", VERMILLION, False),
    ("activations", "activations of a batch", VERMILLION, True),
)
ACROSS = {"batch": "images in a batch", "depth": "layers", "width": "times the width", "resolution": "pixels a side"}


def growth_svg(rows: Sequence[Mapping[str, Any]], where: str) -> str:
    """Panels two by two, everything as a multiple of its first point; `where` names the machine."""
    rooms = (len(rows) + 1) // 2
    parts = [svg.label(LEFT, 34, "A training step, times its first point", font_size=16, font_weight=600)]
    parts.append(svg.label(LEFT, 54, svg.fit(where, 2 * WIDTH), muted=True))
    for i, (_, name, colour, dashed) in enumerate(LINES):
        x = LEFT + 200 * i
        parts += [svg.line(x, 74, x + 24, 74, **_stroke(colour, dashed)), svg.label(x + 30, 78, name)]
    for i, row in enumerate(rows):
        parts += _panel(row, LEFT + (i % 2) * (WIDTH + LEFT), TOP + (i // 2) * (HEIGHT + GAP))
    told = "; ".join(
        f"{row['what']}: slope of time {row['time_slope']}, of memory {row['memory_slope']}" for row in rows
    )
    width, height = 2 * (LEFT + WIDTH) + 30, TOP + rooms * (HEIGHT + GAP)
    return svg.figure(width, height, f"Growth of time and memory of a training step. {told}", parts)


def _panel(row: Mapping[str, Any], left: float, top: float) -> list[str]:
    values, bottom = row["values"], top + HEIGHT
    series = [(name, colour, dashed, [v / row[name][0] for v in row[name]]) for name, _, colour, dashed in LINES]
    low, high = (pick(v for *_, found in series for v in found) for pick in (min, max))
    low, high = min(low, 0.5), max(high, 2.0)
    across, up = Axis(values[0], values[-1], left, left + WIDTH, log=True), Axis(low, high, bottom, top, log=True)
    parts = [svg.label(left, top - 10, row["what"], font_weight=600)]
    for mark in svg.log_ticks(low, high):
        y = up.place(mark)
        parts.append(svg.line(left, y, left + WIDTH, y))
        parts.append(svg.label(left - 8, y + 4, short(mark), muted=True, text_anchor="end"))
    for value in values:
        parts.append(svg.label(across.place(value), bottom + 18, f"{value:g}", muted=True, text_anchor="middle"))
    parts.append(svg.label(left + WIDTH / 2, bottom + 36, ACROSS[row["axis"]], muted=True, text_anchor="middle"))
    for _, colour, dashed, found in series:
        places = [(across.place(x), up.place(y)) for x, y in zip(values, found, strict=True)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(svg.element("path", {"d": path, "fill": "none"} | _stroke(colour, dashed)))
        if not dashed:
            parts += [svg.element("circle", {"cx": x, "cy": y, "r": 3.5, "fill": colour}) for x, y in places]
    return parts


def _stroke(colour: str, dashed: bool) -> dict[str, object]:
    return svg.stroke(colour, 2.0) | ({"stroke_dasharray": "3 5"} if dashed else {})
