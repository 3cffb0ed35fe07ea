"""Positive numbers layer by layer on a logarithmic axis: lines with their range, dots for what theory says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import SERIES

_LEFT, _TOP, _WIDTH, _HEIGHT, _GAP, _LINE = 66.0, 104.0, 420.0, 230.0, 78.0, 20.0
_LOWEST = 1e-30  # what is below has vanished
_DOTS = 9  # of theory along a line


@dataclass(frozen=True)
class DepthLine:
    """One number for each layer, the first at the left: the mean, the lowest, the highest, and what is expected."""

    name: str
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    theory: Sequence[float]


@dataclass(frozen=True)
class DepthPanel:
    """Lines over the same layers; those of one name have one colour in all panels."""

    title: str
    lines: Sequence[DepthLine]


def depths_svg(title: str, told: str, panels: Sequence[DepthPanel]) -> str:
    """Panels two by two; each has its own logarithmic axis, so that none is crushed by another."""
    if not panels or not all(panel.lines for panel in panels):
        raise UsageError("depths need at least one line in each panel, received none")
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    colours = {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}
    rows = math.ceil(len(panels) / 2)
    width = 2 * (_LEFT + _WIDTH) + 30
    parts = [svg.label(_LEFT, 34, svg.fit(title, width - 100, 16), font_size=16, font_weight=600)]
    parts.append(svg.label(_LEFT, 54, svg.fit(told, width - 100), muted=True))
    for i, panel in enumerate(panels):
        left = _LEFT + (i % 2) * (_WIDTH + _LEFT)
        parts += _panel(panel, left, _TOP + (i // 2) * (_HEIGHT + _GAP), colours)
    bottom = _TOP + rows * (_HEIGHT + _GAP)
    for i, name in enumerate(names):
        x, y = _LEFT + (i % 3) * 310, bottom + _LINE * (i // 3)
        parts.append(svg.line(x, y - 4, x + 26, y - 4, **svg.stroke(colours[name], 2.4)))
        parts.append(svg.label(x + 34, y, svg.fit(name, 270)))
    ends = "; ".join(
        f"{panel.title}, {line.name}: from {line.mean[0]:.2g} to {line.mean[-1]:.2g}"
        for panel in panels
        for line in panel.lines
    )
    height = bottom + _LINE * math.ceil(len(names) / 3) + 10
    return svg.figure(width, height, f"{title}. {told}: {ends}", parts)


def _panel(panel: DepthPanel, left: float, top: float, colours: dict[str, str]) -> list[str]:
    bottom, depth = top + _HEIGHT, len(panel.lines[0].mean)
    values = [max(v, _LOWEST) for line in panel.lines for part in (line.low, line.high, line.theory) for v in part]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    if low == high:
        low, high = low - 1, high + 1
    up = Axis(10.0**low, 10.0**high, bottom, top, log=True)
    across = Axis(1, depth, left, left + _WIDTH)
    parts = [svg.label(left, top - 12, panel.title, font_weight=600)]
    step = max(1, math.ceil((high - low) / 6))
    for power in range(low, high + 1, step):
        y = up.place(10.0**power)
        parts.append(svg.line(left, y, left + _WIDTH, y))
        parts.append(svg.label(left - 8, y + 4, f"1e{power}" if power else "1", muted=True, text_anchor="end"))
    for mark in (m for m in svg.ticks(1, depth, 6, whole=True) if 1 <= m <= depth):
        parts.append(svg.label(across.place(mark), bottom + 18, f"{mark:g}", muted=True, text_anchor="middle"))
    parts.append(svg.label(left + _WIDTH / 2, bottom + 36, "layer", muted=True, text_anchor="middle"))
    for line in panel.lines:
        parts += _drawn(line, across, up, colours[line.name])
    return parts


def _drawn(line: DepthLine, across: Axis, up: Axis, colour: str) -> list[str]:
    def places(values: Sequence[float]) -> list[str]:
        return [f"{across.place(i):.1f} {up.place(max(v, _LOWEST)):.1f}" for i, v in enumerate(values, 1)]

    band = "M" + "L".join([*places(line.low), *reversed(places(line.high))]) + "Z"
    parts = [svg.element("path", {"d": band, "fill": colour, "fill_opacity": 0.18, "class": "cs-run"})]
    parts.append(svg.element("path", {"d": "M" + "L".join(places(line.mean)), "fill": "none"} | svg.stroke(colour, 2)))
    every = max(1, len(line.theory) // _DOTS)
    for place in places(line.theory)[::every]:
        x, y = place.split()
        parts.append(svg.element("circle", {"cx": x, "cy": y, "r": 3.2, "fill": colour}))
    return parts
