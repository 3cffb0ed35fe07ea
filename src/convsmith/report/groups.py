"""Groups of runs side by side: their courses, a dot for each run, a number over another, a number layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import fmean

from convsmith.base.errors import UsageError
from convsmith.report.axis import Axis, categories
from convsmith.report.plot import Plot, sheet
from convsmith.report.svg import BLUE, SERIES, VERMILLION
from convsmith.report.text import short

_SPREAD = 20  # places that lie this factor apart are drawn logarithmic
_LOWEST = 1e-30  # what is below has vanished
_DOTS = 9  # of theory along a line

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class CourseLine:
    """One group's course: (epoch, value) in training and on the validation images."""

    name: str
    train: Points
    val: Points


@dataclass(frozen=True)
class Panel:
    """Lines that share a plot."""

    title: str
    lines: Sequence[CourseLine]


@dataclass(frozen=True)
class DotRow:
    """A group's values on two splits; either may be empty."""

    name: str
    validation: Sequence[float]
    test: Sequence[float]


@dataclass(frozen=True)
class Point:
    """The values of several runs at one place of the horizontal axis."""

    place: float
    mean: float
    low: float
    high: float
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Points that are joined, from the left to the right."""

    name: str
    points: Sequence[Point]


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
    """Lines over the same layers; those of one name have one color in all panels."""

    title: str
    lines: Sequence[DepthLine]


def courses_svg(panels: Sequence[Panel], *, what: str, share: bool) -> str:
    """Courses in panels on one scale (He et al. 2016, figure 6): training thin, validation bold.

    `what` names the values, which are shares (shown in percent) or plain numbers.
    """
    points = [point for panel in panels for line in panel.lines for point in (*line.train, *line.val)]
    if not points:
        raise UsageError("courses need at least one point, received none")
    xs, ys = zip(*points, strict=True)
    across, up = Axis("epoch", min(xs), max(xs), whole=True), Axis("", min(ys), max(ys), None, share, zero=True)
    plots: list[Plot] = []
    for panel in panels:
        note = f"{what}: training thin, validation bold"
        plot = Plot(panel.title, across, up, width=400, height=260, note=note, own_legend=True)
        for number, line in enumerate(panel.lines):
            color = SERIES[number % len(SERIES)]
            plot.line(line.train, color=color, width=1.2)
            plot.line(line.val, color=color, width=2.8, name=line.name + _ends(line, share))
        plots.append(plot)
    told = "; ".join(f"{line.name}{_ends(line, share)}" for panel in panels for line in panel.lines)
    return sheet([plots], told=f"{what} by epoch: {told}")


def dots_svg(title: str, rows: Sequence[DotRow], *, what: str, share: bool) -> str:
    """A row for each group in the order given, on one axis: a dot for each run, a bar at the mean.

    `what` names the values (shares are shown in percent). The first row's means are drawn through all, for what the
    others are measured against.
    """
    if not any((*row.validation, *row.test) for row in rows):
        raise UsageError("dots need at least one value, received none")
    names = categories([row.name for row in rows], down=True)
    plot = Plot("", Axis(what, share=share, tight=False, grid=True), names, width=520, height=34.0 * len(rows))
    splits = (("validation", BLUE, [row.validation for row in rows]), ("test", VERMILLION, [row.test for row in rows]))
    for number, (split, color, values) in enumerate(splits):
        if values[0]:
            plot.rule(x=fmean(values[0]), color=color, dash="3 4")
        moved = -0.17 + 0.34 * number
        points = [(value, row + moved) for row, some in enumerate(values) for value in some]
        plot.dots(points, color=color, name=split, opacity=0.55)
        for row, some in enumerate(values):
            if some:
                bar = [(fmean(some), row + moved + end) for end in (-0.17, 0.17)]
                plot.line(bar, color=color, width=2.4)
    said = [(row.name, [value_text(fmean(v), share) for v in (row.validation, row.test) if v]) for row in rows]
    for number, (_, texts) in enumerate(said):
        plot.beside(number, " / ".join(texts), muted=True)
    told = "; ".join(f"{name} {', '.join(texts)}" for name, texts in said)
    note = "a dot for each run, a bar at the mean of the runs"
    return plot.svg(title=title, note=note, told=f"{what}, validation and test: {told}")


def lines_svg(title: str, series: Sequence[Series], *, what: str, axis: str, share: bool) -> str:
    """A number of runs over `axis`, which is logarithmic where places lie a factor of 20 apart.

    A line joins each series, a bar at each point reaches from the lowest to the highest run; shares are in percent.
    """
    places = sorted({point.place for one in series for point in one.points})
    if not places:
        raise UsageError("lines need at least one point, received none")
    log = places[0] > 0 and places[-1] / places[0] >= _SPREAD
    across = Axis(axis, log=log, marks=[(place, short(place)) for place in places], inset=20)
    plot = Plot("", across, Axis(share=share), height=280)
    for number, one in enumerate(series):
        color, points = SERIES[number % len(SERIES)], sorted(one.points, key=lambda point: point.place)
        for p in points:
            if p.low < p.high:
                plot.line([(p.place, p.low), (p.place, p.high)], color=color, width=1.4)
        plot.line([(p.place, p.mean) for p in points], color=color, width=2.2, dots=8, name=one.name)
    told = "; ".join(
        f"{one.name}: {', '.join(f'{short(p.place)} {value_text(p.mean, share)}' for p in one.points)}"
        for one in series
    )
    note = f"{what}; bars reach from the lowest to the highest run"
    return plot.svg(title=title, note=note, told=f"{what} over {axis}: {told}")


def depths_svg(title: str, told: str, panels: Sequence[DepthPanel]) -> str:
    """Positive numbers layer by layer, panels two by two: lines with their range, dots for what theory says.

    Each panel has its own logarithmic axis, so that none is crushed by another.
    """
    if not panels or not all(panel.lines for panel in panels):
        raise UsageError("depths need at least one line in each panel, received none")
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    plots: list[Plot] = []
    for panel in panels:
        plot = Plot(panel.title, Axis("layer", whole=True), Axis(log=True), width=420, height=230, size=12)
        for line in panel.lines:
            color = SERIES[names.index(line.name) % len(SERIES)]
            mean, low, high, theory = (
                [(i, max(value, _LOWEST)) for i, value in enumerate(values, 1)]
                for values in (line.mean, line.low, line.high, line.theory)
            )
            plot.band([(x, a, b) for (x, a), (_, b) in zip(low, high, strict=True)], color=color)
            plot.line(mean, color=color, name=line.name)
            plot.dots(theory[:: max(1, len(theory) // _DOTS)], color=color, size=6.4)
        plots.append(plot)
    rows = [[plot for plot in pair if plot] for pair in zip_longest(plots[::2], plots[1::2])]
    ends = "; ".join(
        f"{panel.title}, {line.name}: from {line.mean[0]:.2g} to {line.mean[-1]:.2g}"
        for panel in panels
        for line in panel.lines
    )
    return sheet(rows, title=title, note=told, told=f"{told}: {ends}")


def value_text(value: float, share: bool) -> str:
    """`12.3%` of a share, else three digits."""
    return f"{value:.1%}" if share else f"{value:.3g}"


def _ends(line: CourseLine, share: bool) -> str:
    found = [("training", line.train), ("validation", line.val)]
    said = [(name, value_text(points[-1][1], share)) for name, points in found if points]
    words = [f"{name} {'at' if i else 'ends at'} {value}" for i, (name, value) in enumerate(said)]
    return f": {', '.join(words)}" if words else ""
