"""Courses of groups of runs in panels: training thin, validation bold, one scale for all (He et al. 2016, figure 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import SERIES

_LEFT, _TOP, _WIDTH, _HEIGHT, _PANEL, _LINE = 64.0, 64.0, 390.0, 260.0, 500.0, 20.0

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


def courses_svg(panels: Sequence[Panel], *, what: str, share: bool) -> str:
    """The panels side by side; `what` names the values, which are shares (shown in percent) or plain numbers."""
    places = [point for panel in panels for line in panel.lines for point in (*line.train, *line.val)]
    if not places:
        raise UsageError("courses need at least one point, received none")
    up, marks = _up_axis([y for _, y in places], share)
    xs = [x for x, _ in places]
    bottom, most = _TOP + _HEIGHT, max(len(panel.lines) for panel in panels)
    height = bottom + 66 + _LINE * most
    parts: list[str] = []
    for number, panel in enumerate(panels):
        across = Axis(min(xs), max(xs), number * _PANEL + _LEFT, number * _PANEL + _LEFT + _WIDTH)
        parts.append(svg.label(across.start, 34, svg.fit(panel.title, _WIDTH, 15), font_size=15, font_weight=600))
        parts.append(svg.label(across.start, 52, f"{what}: training thin, validation bold", muted=True))
        parts += _grid(across, up, marks, share)
        for place, line in enumerate(panel.lines):
            colour, y = SERIES[place % len(SERIES)], bottom + 62 + _LINE * place
            parts += [_curve(line.train, across, up, colour, 1.2), _curve(line.val, across, up, colour, 2.8)]
            parts.append(svg.line(across.start, y - 4, across.start + 26, y - 4, **svg.stroke(colour, 2.8)))
            parts.append(svg.label(across.start + 34, y, svg.fit(f"{line.name}{_ends(line, share)}", _WIDTH)))
    told = "; ".join(f"{line.name}{_ends(line, share)}" for panel in panels for line in panel.lines)
    return svg.figure(_PANEL * len(panels), height, f"{what} by epoch: {told}", parts)


def value_text(value: float, share: bool) -> str:
    """`12.3%` of a share, else three digits."""
    return f"{value:.1%}" if share else f"{value:.3g}"


def mark_text(value: float, share: bool) -> str:
    """A mark of an axis: `12.5%` of a share, without needless digits."""
    return f"{value * 100:g}%" if share else f"{value:g}"


def _up_axis(values: Sequence[float], share: bool) -> tuple[Axis, list[float]]:
    low, high = min(values), max(values)
    if not share and low > 0 and high / low >= 30:
        axis = Axis(low / 1.15, high * 1.15, _TOP + _HEIGHT, _TOP, log=True)
        return axis, svg.log_ticks(axis.low, axis.high)
    low = 0.0 if 0 < low < high * 0.6 else low
    marks = svg.ticks(low, high, 6)
    marks = [mark for mark in marks if 0 <= mark <= 1] if share else marks
    return Axis(min(low, marks[0]), max(high, marks[-1]), _TOP + _HEIGHT, _TOP), marks


def _grid(across: Axis, up: Axis, marks: Sequence[float], share: bool) -> list[str]:
    parts: list[str] = []
    for mark in marks:
        y = up.place(mark)
        parts.append(svg.line(across.start, y, across.end, y))
        parts.append(svg.label(across.start - 8, y + 4, mark_text(mark, share), muted=True, text_anchor="end"))
    below = _TOP + _HEIGHT + 18
    for mark in svg.ticks(across.low, across.high, 6, whole=True):
        if across.low <= mark <= across.high:
            parts.append(svg.label(across.place(mark), below, f"{mark:,g}", muted=True, text_anchor="middle"))
    middle = (across.start + across.end) / 2
    return [*parts, svg.label(middle, below + 18, "epoch", muted=True, text_anchor="middle")]


def _curve(points: Points, across: Axis, up: Axis, colour: str, width: float) -> str:
    places = [(across.place(x), up.place(y)) for x, y in points]
    if len(places) == 1:
        (x, y), kind = places[0], {"class": "cs-run"}
        return svg.element("circle", {"cx": x, "cy": y, "r": 1.5 + width / 2, "fill": colour} | kind)
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    joined = {"fill": "none", "stroke_linejoin": "round"}
    return svg.element("path", {"d": path} | svg.stroke(colour, width) | joined) if places else ""


def _ends(line: CourseLine, share: bool) -> str:
    found = [("training", line.train), ("validation", line.val)]
    said = [f"{name} ends at {value_text(points[-1][1], share)}" for name, points in found if points]
    return f": {', '.join(said)}" if said else ""
