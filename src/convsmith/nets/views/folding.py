"""Repeats in a sequence."""

from collections.abc import Hashable, Sequence

LONGEST = 6  # items in one repeat: a unit and the nodes between it and the next unit


def fold(keys: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """The repeats in a sequence, in order: (start, items in one repeat, number of repeats); they cover the sequence.

    Greedy from left to right: the repeat that covers most items, the shortest one if several do. a b a b c is
    (0, 2, 2), (4, 1, 1).
    """
    runs: list[tuple[int, int, int]] = []
    start = 0
    while start < len(keys):
        period, count = _best(keys, start)
        runs.append((start, period, count))
        start += period * count
    return runs


def _best(keys: Sequence[Hashable], start: int) -> tuple[int, int]:
    best = (1, 1)
    for period in range(1, min(LONGEST, (len(keys) - start) // 2) + 1):
        once, count = keys[start : start + period], 1
        while keys[start + count * period : start + (count + 1) * period] == once:
            count += 1
        if count > 1 and period * count > best[0] * best[1]:
            best = (period, count)
    return best
