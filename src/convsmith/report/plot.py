"""Plots: lines, dots, bars and bands over two axes, with marks, grid, reference lines and a legend.

Every figure with an x and a y is drawn here. A value without a place (NaN, infinite, not positive on a logarithmic
axis) is left out and a line beneath the plots says how many are.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from convsmith.report import svg
from convsmith.report.axis import LONGEST, Axis, Scale, across_marks, down_marks, lines_of, usable
from convsmith.report.legend import Key, apart, legend

_EDGE, _GAP, _NARROWEST = 24.0, 20.0, 380.0
_MOST_POINTS, _MOST_IN_ALL, _MOST_CIRCLES = 600, 60_000, 300

_STRIPE = "#f4f6f8"

Points = Iterable[tuple[float, float]]
# Left, right, bottom and top of a rectangle, in the values of the axes.
Box = tuple[float, float, float, float]
Draw = Callable[[Scale, Scale], list[str]]
_SHAPES = {"cross": "m-3-3l6 6m-6 0l6-6", "square": "m-3-3h6v6h-6z"}


@dataclass(frozen=True)
class _Layer:
    """What is drawn, the points that it shows, and the values that the two axes reach for it."""

    draw: Draw
    points: list[tuple[float, float]]
    xs: list[float]
    ys: list[float]


@dataclass(frozen=True)
class _Margins:
    left: float
    right: float
    top: float
    bottom: float


class Plot:
    """One plot of `width` x `height` pixels between its axes; margins come from what is written around it.

    What is added later is drawn over what was added before. A `name` puts what it names into the legend: the one that
    all plots of a `sheet` share, or with `own_legend` one beneath this plot.
    """

    def __init__(
        self, title: str = "", x: Axis | None = None, y: Axis | None = None, *,
        width: float = 560.0, height: float = 240.0, note: str = "", size: int = 15, own_legend: bool = False,
    ):  # fmt: skip
        x, y = x or Axis(), y or Axis()
        self.title, self.note, self.size, self.own_legend = title, note, size, own_legend
        self.width, self.height = width, height
        self.x = replace(x, tight=x.tight is not False, grid=bool(x.grid))
        self.y = replace(y, tight=bool(y.tight), grid=y.grid is not False)
        self.keys: list[Key] = []
        self._layers: list[_Layer] = []
        self._stripes: list[tuple[float, float]] = []
        self._beside: list[tuple[float, str, dict[str, object]]] = []
        self._lines, self._room, self._head = 0, 0.0, 0.0

    def line(
        self, points: Points, *, color: str, name: str = "", width: float = 2.0, dash: str = "none", dots: float = 0.0,
        opacity: float = 1.0, kind: str = "cs-run", end: str = "",
    ) -> None:  # fmt: skip
        """A line through the points, broken where one has no place; a point alone is a dot.

        `dots` is the size of a dot at each point, `end` a text at the last one, `kind` the class for a page's colors.
        """
        given = _pairs(points)
        self._lines += 1
        style = {"fill": "none", "stroke_linejoin": "round"} | svg.stroke(color, width) | {"class": kind}
        dashes = ({} if dash == "none" else {"stroke_dasharray": dash}) | _opacity(opacity)

        def draw(x: Scale, y: Scale) -> list[str]:
            most = max(16, min(_MOST_POINTS, _MOST_IN_ALL // self._lines))
            known = groupby(given, lambda p: x.holds(p[0]) and y.holds(p[1]))
            runs = [_thinned(list(run), most) for held, run in known if held]
            placed = [[f"{x.place(a):.1f} {y.place(b):.1f}" for a, b in run] for run in runs]
            path = "".join("M" + "L".join(run) for run in placed if len(run) > 1)
            spots = [spot for run in placed if dots or len(run) == 1 for spot in run]
            parts = [svg.element("path", {"d": path} | style | dashes)] if path else []
            return parts + ([_spots(spots, color, dots or width + 4, kind)] if spots else [])

        self._add(draw, given)
        sample = svg.line(0, -4, 26, -4, **(svg.stroke(color, width) | {"class": kind} | dashes))
        self._key(name, sample + (_circle(13, -4, min(dots, 8) / 2, color) if dots else ""), 34)
        places = [p for p in given if usable(p[0]) and usable(p[1])]
        if end and places:
            text = {"fill": color, "font_weight": 600, "class": f"{kind}-text"}
            self.beside(places[-1][1], end, **text)

    def dots(
        self, points: Points, *, color: str, name: str = "", size: float = 8.0, opacity: float = 1.0,
        shape: str = "dot", kind: str = "cs-run",
    ) -> None:  # fmt: skip
        """A `dot`, `ring`, `cross` or `square` at each point; a few dots are circles, darker where they overlap."""
        given = _pairs(points)

        def draw(x: Scale, y: Scale) -> list[str]:
            places = [(x.place(a), y.place(b)) for a, b in given if x.holds(a) and y.holds(b)]
            if shape == "ring":
                style = svg.stroke(color, 1.6) | {"fill": "none", "class": kind}
                return [svg.element("circle", {"cx": a, "cy": b, "r": size / 2} | style) for a, b in places]
            if shape == "dot" and len(places) <= _MOST_CIRCLES:
                return [_circle(a, b, size / 2, color, opacity) for a, b in places]
            spots = [f"{a:.1f} {b:.1f}" for a, b in places]
            return [_spots(spots, color, size, kind, shape, opacity)] if spots else []

        self._add(draw, given)
        sample = _circle(5, -4, 4, color, opacity) if shape == "dot" else _spots(["5 -4"], color, 8, kind, shape)
        self._key(name, sample, 16)

    def band(self, points: Iterable[tuple[float, float, float]], *, color: str, name: str = "", opacity=0.18) -> None:
        """The ground between two lines: x, lower and upper value."""
        given = [(_number(x), _number(low), _number(high)) for x, low, high in points]
        paint = {"fill": color, "fill_opacity": opacity, "class": "cs-run"}

        def draw(x: Scale, y: Scale) -> list[str]:
            known = groupby(given, lambda p: x.holds(p[0]) and y.holds(p[1]) and y.holds(p[2]))
            parts: list[str] = []
            for run in (list(run) for held, run in known if held):
                # A place alone is as wide as the plot.
                a, b = (x.start, x.end) if len(given) == 1 else (0.0, 0.0)
                ends = [(x.place(p), y.place(low), y.place(high)) for p, low, high in run]
                ends = [(a, *ends[0][1:]), (b, *ends[0][1:])] if a != b else ends
                there = [f"{p:.1f} {high:.1f}" for p, _, high in ends]
                back = [f"{p:.1f} {low:.1f}" for p, low, _ in reversed(ends)]
                parts.append(svg.element("path", {"d": "M" + "L".join(there + back) + "Z"} | paint))
            return parts

        self._add(draw, [(x, high) for x, _, high in given], [(x, low) for x, low, _ in given])
        self._key(name, svg.rectangle(0, -10, 11, 11, **paint), 17)

    def bars(
        self, boxes: Iterable[Box], *, color: str, name: str = "", gap: float = 0.0, texts: Sequence[str] = (),
        flat: bool = False,
    ) -> None:  # fmt: skip
        """Rectangles, `gap` pixels apart; `texts` stand at their ends: above, or beside those that lie `flat`.

        What is there but small is not shown as nothing. A base that a logarithmic axis cannot hold is its low end.
        """
        given = [(_number(a), _number(b), _number(c), _number(d)) for a, b, c, d in boxes]
        texts = [svg.fit(text, LONGEST) for text in texts]

        def draw(x: Scale, y: Scale) -> list[str]:
            path, labels = "", list[str]()
            for number, (left, right, bottom, top) in enumerate(given):
                if not (x.holds(right) and y.holds(top)):
                    continue
                a, b = x.place(left) if x.holds(left) else x.start, x.place(right)
                c, d = y.place(bottom) if y.holds(bottom) else y.start, y.place(top)
                wide, tall = b - a, c - d
                if flat:
                    wide, c, tall = _visible(wide, right - left), c - gap / 2, tall - gap
                else:
                    tall, a, wide = _visible(tall, top - bottom), a + gap / 2, wide - gap
                path += f"M{a:.2f} {c:.2f}v{0.0 - tall:.2f}h{wide:.2f}v{tall:.2f}z"
                if number < len(texts):
                    place = (a + wide + 6, c - tall / 2 + 4) if flat else (a + wide / 2, c - tall - 5)
                    anchor = {} if flat else {"text_anchor": "middle", "font_size": 11}
                    labels.append(svg.label(*place, texts[number], **anchor))
            return [*([svg.element("path", {"d": path, "fill": color})] if path else []), *labels]

        self._add(draw, [(b, d) for _, b, _, d in given], [(a, c) for a, _, c, _ in given])
        self._key(name, svg.rectangle(0, -10, 11, 11, rx=2, fill=color), 17)
        if texts and not flat:
            self._head = 10.0
        if flat:
            self._room = max([0.0, *(svg.text_width(text) + 6 for text in texts)])

    def rule(
        self, *, x: float | None = None, y: float | None = None, color: str = svg.GRAY, text: str = "",
        dash: str = "4 3",
    ) -> None:  # fmt: skip
        """A reference line through the whole plot, upright at `x` or level at `y`, where a `text` may stand beside."""

        def draw(across: Scale, up: Scale) -> list[str]:
            style = svg.stroke(color, 1.2) | {"stroke_dasharray": dash}
            if x is not None and across.holds(x):
                return [svg.line(across.place(x), 0, across.place(x), self.height, **style)]
            return [svg.line(0, up.place(y), self.width, up.place(y), **style)] if y is not None and up.holds(y) else []

        self._add(draw, [], [(math.nan if x is None else x, math.nan if y is None else y)])
        if text and y is not None:
            self.beside(y, text, fill=color, **{"class": "cs-run-text"})

    def text(self, x: float, y: float, text: str, *, dx: float = 0.0, dy: float = 0.0, **style: object) -> None:
        """A text at a point, moved by some pixels; a rim parts it from what lies behind."""

        def draw(across: Scale, up: Scale) -> list[str]:
            if not (across.holds(x) and up.holds(y)):
                return []
            place = (across.place(x) + dx, up.place(y) + dy)
            return [svg.label(*place, text, **{**svg.RIM, "text_anchor": "middle", **style})]

        self._add(draw, [], [(x, y)])

    def beside(self, y: float, text: str, **style: object) -> None:
        """A text to the right of the plot at the height of a value; such texts move apart."""
        self._beside.append((float(y), svg.fit(text, LONGEST), style))

    def stripe(self, left: float, right: float) -> None:
        """A ground between two values of the horizontal axis, behind the grid."""
        self._stripes.append((left, right))

    def layer(self, points: Points, draw: Draw) -> None:
        """Anything else: `draw` gives the shapes for the two scales, which reach the points."""
        self._add(draw, _pairs(points))

    def svg(self, *, title: str = "", note: str = "", told: str = "") -> str:
        """The plot as a figure of its own; `told` is what a screen reader says of its numbers."""
        return sheet([[self]], title=title, note=note, told=told)

    def scales(self) -> tuple[Scale, Scale]:
        """The two scales, with 0 at the left and at the top."""
        x = self.x.scale((x for layer in self._layers for x in layer.xs), 0.0, self.width)
        return x, self.y.scale((y for layer in self._layers for y in layer.ys), self.height, 0.0)

    def margins(self) -> _Margins:
        """The room that is needed around the plot for what is written there."""
        x, y = self.scales()
        left = max([4.0, *(svg.text_width(svg.fit(text, LONGEST)) + 10 for _, text in y.marks)])
        beside = [svg.text_width(text) + 14 for _, text, _ in self._beside]
        last = [svg.text_width(text.split("\n")[0][:80]) / 2 - self.width + x.place(at) for at, text in x.marks]
        top = 10 + self._head + (self.size + 7 if self.title else 0) + 17 * (bool(self.note) + bool(self.y.name))
        bottom = 6 + 16 * lines_of(x.marks) + (16 if self.x.groups else 0) + (18 if self.x.name else 0)
        if self.own_legend:
            bottom += 12 + legend(self.keys, self.width)[1]
        return _Margins(left, max([4.0, self._room, *beside, *last]), top, bottom)

    def missing(self) -> list[str]:
        """How many values have no place, in words."""
        x, y = self.scales()
        points = [point for layer in self._layers for point in layer.points]
        bad = sum(not (usable(a) and usable(b)) for a, b in points)
        low = sum(not (x.holds(a) and y.holds(b)) for a, b in points) - bad
        words = [(bad, "NaN, infinite or beyond 1e300"), (low, "not positive, as the logarithmic axis needs")]
        where = f"{svg.fit(self.title, 200)}: " if self.title else ""
        return [f"{where}{n:,} {'value is' if n == 1 else 'values are'} left out: {why}" for n, why in words if n]

    def draw(self, left: float, top: float) -> str:
        """All shapes with the upper left corner of the area between the axes at a place of the picture."""
        x, y = self.scales()
        ends = sorted((x.place(a), x.place(b)) for a, b in self._stripes)
        parts = [svg.rectangle(a, 0, b - a, self.height, fill=_STRIPE, **{"class": "cs-groove"}) for a, b in ends]
        if not self.y.names:
            parts.append(svg.line(0, self.height, self.width, self.height))
        parts += [*self._header(y), *down_marks(self.y, y, self.width), *across_marks(self.x, x, self.height)]
        for layer in self._layers:
            parts += layer.draw(x, y)
        if not any(x.holds(a) and y.holds(b) for layer in self._layers for a, b in layer.points):
            parts.append(svg.label(self.width / 2, self.height / 2, "no values", muted=True, text_anchor="middle"))
        beside = sorted((entry for entry in self._beside if y.holds(entry[0])), key=lambda entry: y.place(entry[0]))
        places = apart([y.place(at) for at, _, _ in beside], 16.0, 4.0, self.height - 4)
        for place, (_, text, style) in zip(places, beside, strict=True):
            parts.append(svg.label(self.width + 10, place + 4, text, **style))
        if self.own_legend:
            shapes, tall = legend(self.keys, self.width)
            parts.append(svg.group(0, self.height + self.margins().bottom - tall, *shapes))
        return svg.group(left, top, *parts)

    def _header(self, y: Scale) -> list[str]:
        """Title, note and name of the vertical axis, above each other; that values made it logarithmic is said."""
        name, at = self.y.name and f"{self.y.name}{' (logarithmic)' if y.log else ''}", -11.0 - self._head
        said = y.log and self.y.log is None and not name and self.title
        title = f"{self.title} (logarithmic)" if said else self.title
        parts: list[str] = []
        for text in filter(None, (name, self.note)):
            parts.append(svg.label(0, at, svg.fit(text, self.width), muted=True))
            at -= 17
        text = svg.fit(title, self.width, self.size)
        return [*parts, svg.label(0, at, text, font_size=self.size, font_weight=600)] if title else parts

    def _add(self, draw: Draw, points: list[tuple[float, float]], reach: Sequence[tuple[float, float]] = ()) -> None:
        """A layer that shows the points; `reach` are further ones that the axes reach for it."""
        every = [*points, *reach]
        self._layers.append(_Layer(draw, points, _ends([x for x, _ in every]), _ends([y for _, y in every])))

    def _key(self, name: str, sample: str, width: float) -> None:
        if name:
            self.keys.append(Key(name, sample, width))


def sheet(
    rows: Sequence[Sequence[Plot]], *, title: str = "", note: str = "", told: str = "", width: float | None = None
) -> str:  # fmt: skip
    """Plots in rows and columns as one figure, with a title, and a legend of all that is named in them.

    With a `width` all plots become as wide as makes the whole so wide.
    """
    count = max(len(row) for row in rows)
    columns = [[(plot, plot.margins()) for plot in (row[i] for row in rows if i < len(row))] for i in range(count)]
    lefts = [max(margins.left for _, margins in column) for column in columns]
    rights = [max(margins.right for _, margins in column) for column in columns]
    if width is not None:
        room = (width - 2 * _EDGE - sum(lefts) - sum(rights) - _GAP * (count - 1)) / count
        for plot in (plot for row in rows for plot in row):
            plot.width = max(80.0, room)
    widths = [max(plot.width for plot, _ in column) for column in columns]
    starts = [_EDGE + sum(lefts[: i + 1]) + sum(widths[:i]) + sum(rights[:i]) + _GAP * i for i in range(count)]
    whole = max(starts[-1] + widths[-1] + rights[-1] + _EDGE, _NARROWEST)
    y, parts = 14.0, list[str]()
    if title:
        parts.append(svg.label(_EDGE, 36, svg.fit(title, whole - 2 * _EDGE, 17), font_size=17, font_weight=600))
        y += 30
    if note:
        parts.append(svg.label(_EDGE, y + 12, svg.fit(note, whole - 2 * _EDGE), muted=True))
        y += 22
    for row in rows:
        margins = [plot.margins() for plot in row]
        top = max(one.top for one in margins)
        parts += [plot.draw(start, y + top) for plot, start in zip(row, starts, strict=False)]
        y += top + max(plot.height + one.bottom for plot, one in zip(row, margins, strict=True)) + 8
    keys = list(dict.fromkeys(key for row in rows for plot in row if not plot.own_legend for key in plot.keys))
    if keys:
        shapes, tall = legend(keys, whole - starts[0] - _EDGE)
        parts.append(svg.group(starts[0], y + 12, *shapes))
        y += 12 + tall
    for text in dict.fromkeys(text for row in rows for plot in row for text in plot.missing()):
        parts.append(svg.label(_EDGE, y + 14, svg.fit(text, whole - 2 * _EDGE), muted=True))
        y += 18
    name = title or ", ".join(plot.title for row in rows for plot in row if plot.title)
    return svg.figure(whole, y + 14, name or "Plot", parts, told)


def _ends(values: Sequence[float]) -> list[float]:
    """What an axis needs to know of values: the lowest, the lowest positive and the highest that can be drawn."""
    good = [value for value in values if usable(value)]
    return [min(good), min((value for value in good if value > 0), default=max(good)), max(good)] if good else []


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """No more points than can be seen: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= most:
        return points
    stretch, every = math.ceil(len(points) / (most // 2)), range(len(points))
    kept = {0, len(points) - 1}
    for i in range(0, len(points), stretch):
        part = every[i : i + stretch]
        kept |= {min(part, key=lambda j: points[j][1]), max(part, key=lambda j: points[j][1])}
    return [points[i] for i in sorted(kept)]


def _spots(places: Sequence[str], color: str, size: float, kind: str, shape: str = "dot", opacity: float = 1.0) -> str:
    """Dots as one path: lines of no length with round ends, the shortest way to write a circle."""
    path = "".join(f"M{place}{_SHAPES.get(shape, 'h0')}" for place in places)
    style = svg.stroke(color, size if shape == "dot" else 1.6) | {"class": kind, "stroke_linecap": "round"}
    return svg.element("path", {"d": path, "fill": "none"} | style | _opacity(opacity))


def _opacity(opacity: float) -> dict[str, object]:
    return {"stroke_opacity": opacity} if opacity < 1 else {}


def _circle(x: float, y: float, radius: float, color: str, opacity: float = 1.0) -> str:
    style: dict[str, object] = {"fill_opacity": opacity} if opacity < 1 else {}
    return svg.element("circle", {"cx": x, "cy": y, "r": radius, "fill": color} | style)


def _visible(length: float, value: float) -> float:
    return math.copysign(max(abs(length), 0.8), length) if value else 0.0


def _pairs(points: Points) -> list[tuple[float, float]]:
    return [(_number(x), _number(y)) for x, y in points]


def _number(value: float) -> float:
    """A float of any number; an integer that is too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
