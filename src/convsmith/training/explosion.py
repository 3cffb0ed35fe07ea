"""When a training loss has exploded: its mean over the last steps is far above the start. Pure numbers, no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Steps of the mean, however many an epoch has. ResNet-18 learns 192 pictures of two classes, 6 steps an epoch, and its
# loss is up to 6.5 times the start in single steps, 3.7 in the mean of 6 and 2.3 in that of 20 (benchmarks/curves.py).
WINDOW = 20
# The limit is so many times wider until SETTLING steps after the warm-up of the rate: until then a rate that is large
# for the batch may throw a small set about. That network's mean is up to 3.7 in batches of 8, and 5.1 at the rate 0.1.
WARMING, SETTLING = 3.0, 100
# The limit is so many times wider where the task does not know the loss of a guess: before WINDOW steps, when the first
# loss, which may be near 0 by chance, stands for the start; and later.
FIRST, UNKNOWN = 1000.0, 3.0


@dataclass(frozen=True)
class Stop:
    """The rule: a mean over `WINDOW` steps above `factor` times the start stops a run; a factor of 0 never does.

    The start is the larger of the first step's loss and `guess`, the loss of an answer that knows nothing: a run from
    good weights begins far below it. A `guess` of 0 or below has no scale, as of a loss of either sign: the start is
    then the median magnitude of the first `WINDOW` losses. `warmup` counts the steps in which the rate rises.
    """

    factor: float
    guess: float
    warmup: int = 0

    def start(self, losses: Sequence[float]) -> float | None:
        """The start by the `losses` of a run's first steps; None while there are too few."""
        if self.guess > 0:
            return max(self.guess, abs(losses[0]))
        return median(map(abs, losses)) if len(losses) >= WINDOW else None

    def allowed(self, step: int, count: int) -> float:
        """How many times the start the mean of the last `count` losses may be at step `step` (from 0).

        The first steps of a run, fewer than `WINDOW`, are allowed together what `WINDOW` steps are.
        """
        if not self.factor:
            return math.inf
        warming = WARMING if step < self.warmup + SETTLING else 1.0
        unknown = 1.0 if self.guess > 0 else UNKNOWN if count == WINDOW else FIRST
        return self.factor * warming * unknown * WINDOW / count

    def exploded(self, losses: Sequence[float], step: int, start: float | None) -> bool:
        """Whether the last `losses`, at most `WINDOW`, of which that of step `step` is the newest, are too large.

        The first loss stands for a start that is not known yet; a start of 0 compares with nothing.
        """
        start = abs(losses[0]) if start is None else start
        return start > 0 and sum(losses) / len(losses) > self.allowed(step, len(losses)) * start
