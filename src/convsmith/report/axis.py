"""One direction of a plot: where its values lie, where it is marked, and what the marks say."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from convsmith.report import svg

# The arithmetic of an axis takes larger numbers beyond what is finite.
_LARGEST = 1e300
# Positive values that lie this factor apart are drawn logarithmic where the axis leaves that to them.
_DECADES = 30
_LINES = 3  # of the text of a mark
LONGEST = 230.0  # of the text of a mark, in pixels

# Places and their texts; a text of several lines has its first line in bold.
Marks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Scale:
    """The values at the ends of one direction of a plot, where on the picture these lie, and the marks between."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    marks: Marks = ()

    def place(self, value: float) -> float:
        """Where a value lies."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * share

    def holds(self, value: float) -> bool:
        """Whether the value has a place: it is finite, and positive where the scale is logarithmic."""
        return usable(value) and (value > 0 or not self.log)


@dataclass(frozen=True)
class Axis:
    """How the values of one direction are laid out and written.

    `low` and `high` are values that the axis reaches in any case; it always reaches every value. `log=None` makes it
    logarithmic where all values are positive and a factor of 30 apart. `share` shows 0 to 1 in percent, `zero` begins
    at 0 where the values come near to it, `whole` marks whole numbers only. A `tight` axis ends at its values, another
    one at a mark (None: the horizontal one is tight). `marks` replaces round numbers, `words` their texts; with `names`
    the marks are names and not numbers. `groups` are names in bold beneath the marks. `inset` keeps the values that
    many pixels from the ends.
    """

    name: str = ""
    low: float | None = None
    high: float | None = None
    log: bool | None = False
    share: bool = False
    zero: bool = False
    whole: bool = False
    tight: bool | None = None
    grid: bool | None = None
    down: bool = False
    names: bool = False
    marks: Marks | None = None
    groups: Marks = ()
    words: Callable[[float], str] | None = None
    wanted: int = 0
    inset: float = 0.0

    def scale(self, values: Iterable[float], start: float, end: float) -> Scale:
        """The axis for these values between two places of the picture; values without a place count for nothing."""
        good = [value for value in values if usable(value)]
        log = bool(good and min(good) > 0 and max(good) / min(good) >= _DECADES) if self.log is None else self.log
        good += [value for value in (self.low, self.high) if usable(value)]
        good = [value for value in good if value > 0] or [1.0] if log else good or [0.0, 1.0]
        low, high = min(good), max(good)
        if not log and self.zero and low > 0 and (low < high * 0.6 or low == high):
            low = 0.0
        if not log and not self.tight and high - low <= 1e-9 * abs(high):
            # Values that are equal but for rounding lie in the middle, shares between nothing and all.
            around = abs(high) / 10 or 1.0
            low, high = (min(low, 0.0), max(high, 1.0)) if self.share else (low - around, high + around)
        wanted = self.wanted or max(2, round(abs(end - start) / (85 if end > start else 55)) + 1)
        if self.down:
            start, end = end, start
        if self.marks is not None:
            marks = self.marks
        elif log:
            low, high = (low, high) if self.tight else (low / 1.15, high * 1.15)
            found = svg.log_ticks(low, high)
            if not self.tight and len(found) < 2:
                found = _decades(low, high)
                low, high = min(low, found[0]), max(high, found[-1])
            marks = self._texts(found or [low, high])
        else:
            found = self._marks(low, high, wanted)
            low, high = min(low, found[0]), max(high, found[-1])
            marks = self._texts(found)
        inset = math.copysign(self.inset, end - start)
        return Scale(low, high, start + inset, end - inset, log, marks)

    def _marks(self, low: float, high: float, wanted: int) -> list[float]:
        found = svg.ticks(low, high, wanted, self.whole)
        if self.share and low >= 0 and high <= 1:
            found = [mark for mark in found if 0 <= mark <= 1] or [0.0, 1.0]
        if self.tight:
            found = [mark for mark in found if low <= mark <= high] or [low]
        return found

    def _texts(self, marks: Sequence[float]) -> Marks:
        if self.words is not None:
            return [(mark, self.words(mark)) for mark in marks]
        factor, sign = (100, "%") if self.share else (1, "")
        texts: list[str] = []
        for digits in (6, 9, 12, 17):  # as few as tell the marks apart
            texts = [f"{mark * factor:,.{digits}g}{sign}".replace("e-0", "e-").replace("e+0", "e") for mark in marks]
            if len(set(texts)) == len(texts):
                break
        return list(zip(marks, texts, strict=True))


def categories(names: Sequence[str], *, down: bool = False) -> Axis:
    """An axis with a name at each of 0, 1, 2, ..., from the top `down` or from the left."""
    marks = list(enumerate(names))
    return Axis(low=-0.5, high=len(names) - 0.5, tight=True, grid=False, names=True, marks=marks, down=down)


def down_marks(axis: Axis, scale: Scale, width: float) -> list[str]:
    """The marks of a vertical axis, their texts at its left; a text that would touch the one before is left out."""
    parts, last = list[str](), math.inf
    for value, text in scale.marks:
        y = scale.place(value)
        if axis.grid:
            parts.append(svg.line(0, y, width, y))
        if text and abs(y - last) >= 13:
            last, style = y, {"muted": not axis.names, "text_anchor": "end"}
            parts.append(svg.label(-8, y + 4, svg.fit(text, LONGEST), **style))
    return parts


def across_marks(axis: Axis, scale: Scale, height: float) -> list[str]:
    """Marks, names of groups and the axis's name beneath; a text that would touch the one before is left out."""
    parts, end, y = list[str](), -math.inf, height
    room = max(60.0, abs(scale.place(1) - scale.place(0)) - 6) if axis.names else LONGEST
    for value, text in scale.marks:
        x, lines = scale.place(value), [svg.fit(line, room) for line in text.split("\n", _LINES - 1)]
        if axis.grid:
            parts.append(svg.line(x, 0, x, height))
        half = max(map(svg.text_width, lines)) * 0.45
        if text and x - half >= end:
            end = x + half + 6
            for i, line in enumerate(lines):
                style = {"muted": i == len(lines) - 1} | ({"font_weight": 600} if i == 0 < len(lines) - 1 else {})
                parts.append(svg.label(x, height + 18 + 16 * i, line, text_anchor="middle", **style))
    y += 16 * lines_of(scale.marks) + 18
    for value, text in axis.groups:
        parts.append(svg.label(scale.place(value), y, text, text_anchor="middle", font_weight=600))
    y += 16 if axis.groups else 2
    name = axis.name + (" (logarithmic)" if scale.log and axis.name else "")
    middle = (scale.start + scale.end) / 2
    return [*parts, svg.label(middle, y, name, muted=True, text_anchor="middle")] if name else parts


def lines_of(marks: Marks) -> int:
    """How many lines the texts of marks take beneath a plot."""
    return max((min(text.count("\n") + 1, _LINES) for _, text in marks), default=0)


def usable(value: object) -> TypeGuard[float]:
    """Whether a value is a number that can be drawn: neither NaN nor infinite, nor too large for arithmetic."""
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _decades(low: float, high: float) -> list[float]:
    """The powers of ten around two positive numbers."""
    first, last = max(-300, math.floor(math.log10(low))), math.ceil(math.log10(high))
    return [10.0**first, 10.0 ** max(last, first + 1)]
