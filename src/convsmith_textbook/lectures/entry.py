"""An entry: printed figures of the lectures, the function that computes them, and the reasons for differences."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convsmith.base.errors import UsageError
from convsmith_textbook.lectures.grids import Operands

Value = Any  # a number, a text, or a grid: a tuple of rows
Quotes = tuple[tuple[str, ...], ...]  # a table, its first row the header

# The five lectures by their subject.
LECTURES = {
    "residual": "the machine learning lecture on residual networks",
    "recap": "the recap on residual networks",
    "convnets": "the lecture on convolutional networks, from the neocognitron to other tasks",
    "layers": "the lecture on convolution layers, from the perceptron to batch normalization",
    "regularization": "the lecture on regularization and architectures",
}
_NUMBER = re.compile(r"(?P<number>\d[\d,]*(?:\.(?P<digits>\d+))?)(?:e(?P<power>\d+))? ?(?P<unit>[KMGPx%]?)\Z")
_UNITS = {"": 1, "x": 1, "%": 1, "K": 10**3, "M": 10**6, "G": 10**9, "P": 10**15}


@dataclass(frozen=True)
class Figure:
    """One figure: the entry's `compute` gives it under `name`, and it must be `correct`.

    `printed` is the figure of the slides: a number such as "13.6G" ("11x", "1.4%"), a text, a grid, or None if they
    omit it. If printed and correct differ, `why` is the reason, and `mistake` names the computed value that reproduces
    the printed one, if there is one.
    """

    name: str
    printed: Value
    correct: Value
    why: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Entry:
    """A printed example, table or formula.

    `rows` are the rows of docs/coverage.md that it shows. `compute` gives values by the names of the figures; if there
    are `operands`, it takes them or the user's own. `steps` gives lines of text, `picture` an SVG; both take the
    operands too. `takes_image`: the picture can show the user's photograph. `quotes` is a table of published results,
    which are quoted, not computed.
    """

    title: str
    rows: str
    lectures: str
    compute: Callable[..., Mapping[str, Value]]
    figures: tuple[Figure, ...] = ()
    source: str = ""
    operands: Operands | None = None
    steps: Callable[..., Sequence[str]] | None = None
    picture: Callable[..., str] | None = None
    quotes: Quotes = ()
    takes_image: bool = False

    @property
    def places(self) -> list[str]:
        """The lectures that print it."""
        return [LECTURES[name] for name in self.lectures.split()]

    def given(self, function: Callable[..., Any], operands: Operands | None = None) -> Any:
        """`function` of the user's operands, else of the entry's own; UsageError if it takes none."""
        if self.operands is None:
            if operands is not None:
                raise UsageError(f"{self.title}: takes no operands")
            return function()
        return function(operands or self.operands)


def prints_as(printed: Value, value: Value) -> bool:
    """Whether `value`, rounded or cut to the digits of `printed`, equals it; "1 to 2" and "< 1" are ranges."""
    if not isinstance(printed, str) or not isinstance(value, int | float) or isinstance(value, bool):
        return equal(printed, value)
    if printed.startswith("< "):
        return value < _number(printed[2:])[0]
    low, to, high = printed.partition(" to ")
    if to:
        return _number(low)[0] <= value <= _number(high)[0]
    number, step = _number(printed)
    # Slides often cut digits in place of rounding: 16.78M is printed as 16M.
    return number - step / 2 <= value * (1 + 1e-12) < number + step


def _number(text: str) -> tuple[float, float]:
    """A printed number and the value of one unit of its last digit; NaN for a text without a number."""
    match = _NUMBER.match(text)
    if match is None:
        return math.nan, 0
    scale = _UNITS[match["unit"]] * 10 ** int(match["power"] or 0)
    return float(match["number"].replace(",", "")) * scale, scale / 10 ** len(match["digits"] or "")


def equal(correct: Value, value: Value) -> bool:
    """Whether a computed value is correct: whole numbers and texts exactly, others to 1 part in 10,000."""
    if isinstance(correct, tuple):
        same = isinstance(value, tuple) and len(value) == len(correct)
        return same and all(equal(c, v) for c, v in zip(correct, value, strict=True))
    if isinstance(correct, float):
        return isinstance(value, int | float) and math.isclose(correct, value, rel_tol=1e-4, abs_tol=1e-9)
    return correct == value
