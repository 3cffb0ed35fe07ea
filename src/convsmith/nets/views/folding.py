"""Repeats in a sequence."""

from collections.abc import Hashable, Sequence

LONGEST = 6  # items that repeat together: a unit with what stands between it and the next


def fold(keys: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """Where equal runs repeat: (start, items in one repeat, repeats), covering the whole sequence in order.

    From left to right the repeat that covers most is taken, the shortest of those: a b a b c is (0, 2, 2), (4, 1, 1).
    """
    found: list[tuple[int, int, int]] = []
    start = 0
    while start < len(keys):
        period, count = _best(keys, start)
        found.append((start, period, count))
        start += period * count
    return found


def _best(keys: Sequence[Hashable], start: int) -> tuple[int, int]:
    best = (1, 1)
    for period in range(1, min(LONGEST, (len(keys) - start) // 2) + 1):
        once, count = keys[start : start + period], 1
        while keys[start + count * period : start + (count + 1) * period] == once:
            count += 1
        if count > 1 and period * count > best[0] * best[1]:
            best = (period, count)
    return best
