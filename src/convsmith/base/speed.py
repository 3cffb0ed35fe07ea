"""How much faster one of two is that take turns, and from where on that is worth something."""

from collections.abc import Sequence
from statistics import median

# How much faster something must be to be taken: less is noise.
CLEARLY = 1.05


def ratio(before: Sequence[float], after: Sequence[float]) -> float:
    """How many times faster `after` is: the median over the rounds, in each of which both took their turn (seconds)."""
    return median(b / a for b, a in zip(before, after, strict=True))
