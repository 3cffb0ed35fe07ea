"""Convolution and pooling of small grids, written out: each output element as its sum.

Padding is the TOTAL number of added rows or columns, as in the lectures. The larger half of an odd total comes first.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.report.text import many

Array = np.ndarray
Pair = tuple[int, int]
_MOST_STEPS, _MOST_TERMS = 36, 64


@dataclass(frozen=True)
class Operands:
    """The operands of an operation: `input` (C, H, W), `kernels` (O, C, h, w) or a `window` for pooling, as tuples."""

    input: tuple
    kernels: tuple = ()
    window: Pair = (2, 2)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)  # total rows and columns

    @property
    def x(self) -> Array:
        """The input, padded."""
        x = np.array(self.input, float)
        return np.pad(x, ((0, 0), *(((p + 1) // 2, p // 2) for p in self.padding)))

    @property
    def w(self) -> Array:
        """The kernels."""
        return np.array(self.kernels, float)


def numbers(array: Array) -> Any:
    """An array as nested tuples, whole numbers without a fraction."""
    if array.ndim == 0:
        return int(array) if float(array).is_integer() else float(array)
    return tuple(numbers(row) for row in array)


def positions(size: int, window: int, stride: int) -> range:
    """The positions of a window along an axis."""
    return range(0, size - window + 1, stride)


def windows(x: Array, window: Pair, stride: Pair) -> Iterator[tuple[Pair, Array]]:
    """Each output position of a window over x (..., H, W), with the values under the window."""
    (h, w), (height, width) = window, x.shape[-2:]
    for i, top in enumerate(positions(height, h, stride[0])):
        for j, left in enumerate(positions(width, w, stride[1])):
            yield (i, j), x[..., top : top + h, left : left + w]


def slid(x: Array, window: Pair, stride: Pair, combine: Callable[[Array], Array | float]) -> Array:
    """The grid of `combine` of the values under each position of the window."""
    shape = [len(positions(n, k, s)) for n, k, s in zip(x.shape[-2:], window, stride, strict=True)]
    if 0 in shape:
        raise UsageError(_too_small(x.shape[-2:], window))
    values = [combine(part) for _, part in windows(x, window, stride)]
    return np.moveaxis(np.array(values), 0, -1).reshape(*np.shape(values[0]), *shape)


def correlate(given: Operands) -> Array:
    """The convolution layer (cross-correlation) without bias: (O, H', W')."""
    x, w = given.x, given.w
    if w.shape[1] != len(x):
        raise UsageError(
            f"the input has {many(len(x), 'channel')} and the kernel {w.shape[1]}; write one grid for each, "
            "separated by '|'"
        )
    return slid(x, w.shape[2:], given.stride, lambda part: (w * part).sum((1, 2, 3)))


def convolve(given: Operands) -> Array:
    """The true convolution: the cross-correlation with the kernel turned by half a turn."""
    return correlate(replace(given, kernels=numbers(given.w[..., ::-1, ::-1])))


def pool(given: Operands, combine: Callable[..., Array]) -> Array:
    """Pooling of each channel; padding consists of zeros."""
    return slid(given.x, given.window, given.stride, lambda part: combine(part, (1, 2)))


def sums(given: Operands) -> list[str]:
    """Every output element of the convolution layer, written as its sum."""
    x, w, y = given.x, given.w, correlate(given)
    filters = [f"filter {o + 1}, " if len(w) > 1 else "" for o in range(len(w))]
    lines = []
    for o, kernel in enumerate(w):
        for (i, j), part in windows(x, w.shape[2:], given.stride):
            channels = [
                " + ".join(f"{a:g}*{_factor(b)}" for a, b in zip(p.flat, k.flat, strict=True))
                for p, k in zip(part, kernel, strict=True)
            ]
            text = channels[0] if len(channels) == 1 else " + ".join(f"({c})" for c in channels)
            lines.append(f"{filters[o]}y[{i},{j}] = {text} = {y[o, i, j]:g}")
    return _shortened(lines, w[0].size)


def poolings(given: Operands, name: str, combine: Callable[..., Array]) -> list[str]:
    """Every output element of a pooling, written as a function of its window."""
    x, y = given.x, pool(given, combine)
    lines = []
    for c in range(len(x)):
        channel = f"channel {c + 1}, " if len(x) > 1 else ""
        for (i, j), part in windows(x[c], given.window, given.stride):
            lines.append(f"{channel}y[{i},{j}] = {name}({', '.join(f'{v:g}' for v in part.flat)}) = {y[c, i, j]:g}")
    return _shortened(lines, math.prod(given.window))


def grid_lines(array: Array) -> list[str]:
    """A grid as aligned rows; the channels of a stack have a blank line between them."""
    if array.ndim == 3:
        parts = [grid_lines(a) for a in array]
        return [line for part in parts for line in ["", *part]][1:]
    cells = [[f"{v:g}" for v in row] for row in array]
    width = max(len(cell) for row in cells for cell in row)
    return ["  ".join(cell.rjust(width) for cell in row) for row in cells]


def read_grids(text: str, what: str) -> tuple:
    """Grids written as `0 1 2; 3 4 5`, channels separated by `|`; or a .txt or .csv file of rows and blank lines."""
    if text.lower().endswith((".txt", ".csv")):
        text = _file_text(Path(text))
    return tuple(_read_grid(part, what) for part in text.split("|"))


def _file_text(path: Path) -> str:
    try:
        blocks = "\n".join(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()).strip()
    except FileNotFoundError:
        raise MissingPath(f"{path}: no such file; expected rows of numbers, or write them: '0 1 2; 3 4 5'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, f"could not be read as text ({error}); expected rows of numbers") from None
    parts = [part.strip() for part in blocks.split("\n\n")]
    return "|".join(part.replace("\n", ";") for part in parts if part)


def _read_grid(text: str, what: str) -> tuple:
    rows = [row.replace(",", " ").split() for row in text.strip().strip(";").split(";")]
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise UsageError(
            f"{what}: expected rows of one length such as '0 1 2; 3 4 5', received rows of {lengths} numbers"
        )
    try:
        values = np.array([[float(v) for v in row] for row in rows])
    except ValueError:
        raise UsageError(f"{what}: expected numbers such as '0 1 2; 3 4 5', received {text.strip()!r:.60}") from None
    if not np.isfinite(values).all():
        raise UsageError(f"{what}: expected finite numbers, received {text.strip()!r:.60}")
    return numbers(values)


MOST = 1000  # the largest window, stride or padding that is accepted


def read_pair(text: str, what: str, least: int) -> Pair:
    """`2` for both axes, or `3,2` for rows and columns."""
    parts = text.replace("x", ",").split(",")
    fits = all(p.strip().isdecimal() and len(p.strip()) < 5 and least <= int(p) <= MOST for p in parts)
    if len(parts) > 2 or not fits:
        raise UsageError(f"{what}: expected a whole number from {least} to {MOST}, or two as in 3,2, received {text!r}")
    return int(parts[0]), int(parts[-1])


def _too_small(input: Sequence[int], window: Pair) -> str:
    need = "x".join(str(max(0, k - n)) for n, k in zip(input, window, strict=True))
    size, kernel = "x".join(map(str, input)), "x".join(map(str, window))
    return f"a window of {kernel} does not fit into {size}, padding included; it needs {need} more padding in all"


def _factor(value: float) -> str:
    return f"{value:g}" if value >= 0 else f"({value:g})"


def _shortened(lines: list[str], terms: int) -> list[str]:
    if terms > _MOST_TERMS:
        return [f"({len(lines)} elements, each of {terms} terms: too many to write out)"]
    rest = len(lines) - _MOST_STEPS
    return [*lines[:_MOST_STEPS], f"... and {rest} more"] if rest > 0 else lines
