"""A number of several runs: its mean and how far the runs lie apart."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1); None if there are too few values."""

    mean: float | None
    deviation: float | None


def spread(values: Iterable[float | None]) -> Spread:
    """The spread of the values that are not None; one value has no deviation."""
    there = [value for value in values if value is not None]
    return Spread(fmean(there) if there else None, stdev(there) if len(there) > 1 else None)


def mean_interval(values: Iterable[float | None]) -> tuple[float, float] | None:
    """The 95% interval of the mean by Student's t, for independent values; None for fewer than two values."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return None
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # slow to import

    half = float(stdtrit(len(there) - 1, 0.975)) * stdev(there) / math.sqrt(len(there))
    return fmean(there) - half, fmean(there) + half
