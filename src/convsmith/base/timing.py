"""How long a callable takes."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds a call, over `repeats` calls after `warmup` that were not counted."""

    median: float
    minimum: float
    maximum: float
    repeats: int


def measure(call: Callable[[], object], repeats: int = 10, warmup: int = 2) -> Timing:
    """Time `call`; the median is the figure to print, since a shared machine has slow moments."""
    for _ in range(warmup):
        call()
    seconds: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return Timing(statistics.median(seconds), min(seconds), max(seconds), repeats)
