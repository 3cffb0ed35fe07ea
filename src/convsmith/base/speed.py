"""The speedup of one variant over another, both measured in turn, and the least speedup that counts."""

from collections.abc import Sequence
from statistics import median

# The least speedup for which a variant is taken: less is noise.
CLEARLY = 1.05


def ratio(before: Sequence[float], after: Sequence[float]) -> float:
    """The speedup of `after` over `before`, seconds of each round: the median of the ratios of the rounds."""
    return median(b / a for b, a in zip(before, after, strict=True))
