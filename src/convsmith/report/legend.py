"""What the shapes of a plot are called: the entries of a legend, and texts that move apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.report import svg

_MOST, _LINE, _BETWEEN = 24, 20.0, 22.0


@dataclass(frozen=True)
class Key:
    """An entry: its name, the shape before it and how wide that is."""

    name: str
    sample: str
    width: float


def legend(keys: Sequence[Key], room: float) -> tuple[list[str], float]:
    """The entries in columns as wide as the widest, from (0, 0) downwards, and their height.

    Equal entries are one; of more than 24 the others are counted.
    """
    every = list(dict.fromkeys(keys))
    shown = every if len(every) <= _MOST else every[:_MOST]
    names = [svg.fit(key.name, room - key.width) for key in shown]
    widest = max((key.width + svg.text_width(n) + _BETWEEN for key, n in zip(shown, names, strict=True)), default=1.0)
    columns = max(1, int((room + _BETWEEN) // widest))
    parts: list[str] = []
    for i, (key, name) in enumerate(zip(shown, names, strict=True)):
        row, column = divmod(i, columns)
        parts.append(svg.group(column * widest, row * _LINE + 12, key.sample, svg.label(key.width, 0, name)))
    rows = math.ceil(len(shown) / columns)
    if len(every) > len(shown):
        parts.append(svg.label(0, rows * _LINE + 12, f"and {len(every) - len(shown):,} more", muted=True))
        rows += 1
    return parts, rows * _LINE


def apart(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Places in order, moved as little as possible so that neighbors are `step` apart, between two ends if all fit."""
    groups: list[list[float]] = []
    for i, place in enumerate(wanted):
        groups.append([place - i * step])
        while len(groups) > 1 and _mean(groups[-2]) > _mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    even = [_mean(group) for group in groups for _ in group]
    high -= step * (len(wanted) - 1)
    return [max(low, min(place, high)) + i * step for i, place in enumerate(even)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
