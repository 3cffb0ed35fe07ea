"""The rule for a training loss that has exploded: its mean over the last steps is far above the start. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# The number of steps of the mean. ResNet-18 learns 192 pictures of two classes in 6 steps an epoch: its loss is up to
# 6.5 times the start in a single step, 3.7 times in the mean of 6 steps, 2.3 in that of 20 (benchmarks/curves.py).
WINDOW = 20
# Until SETTLING steps after the warm-up the limit is WARMING times wider: a learning rate that is large for the batch
# makes the loss of a small set jump. The mean of that network is up to 3.7 in batches of 8, and 5.1 at the rate 0.1.
WARMING, SETTLING = 3.0, 100
# If the task does not know the loss of a guess, the limit is UNKNOWN times wider. Before WINDOW steps it is FIRST times
# wider: the first loss then stands for the start, and may be near 0 by chance.
FIRST, UNKNOWN = 1000.0, 3.0


@dataclass(frozen=True)
class Stop:
    """The rule: a run stops if its mean loss over `WINDOW` steps is above `factor` times the start; 0 switches it off.

    The start is the larger of the first step's loss and `guess`, the loss of an answer that knows nothing; a run from
    good weights begins far below `guess`. If `guess` is not positive, for instance since the loss may have either sign,
    the start is the median magnitude of the first `WINDOW` losses. `warmup` is the number of steps of the warm-up.
    """

    factor: float
    guess: float
    warmup: int = 0

    def start(self, losses: Sequence[float]) -> float | None:
        """The start, from the `losses` of a run's first steps; None while they are too few."""
        if self.guess > 0:
            return max(self.guess, abs(losses[0]))
        return median(map(abs, losses)) if len(losses) >= WINDOW else None

    def allowed(self, step: int, count: int) -> float:
        """The largest allowed ratio of the mean of the last `count` losses to the start, at step `step` (from 0).

        If `count` is below `WINDOW`, the sum of the losses may be as large as that of `WINDOW` steps.
        """
        if not self.factor:
            return math.inf
        warming = WARMING if step < self.warmup + SETTLING else 1.0
        unknown = 1.0 if self.guess > 0 else UNKNOWN if count == WINDOW else FIRST
        return self.factor * warming * unknown * WINDOW / count

    def exploded(self, losses: Sequence[float], step: int, start: float | None) -> bool:
        """Whether the mean of `losses` is too large: those of the last steps, at most `WINDOW`, up to step `step`.

        If `start` is None, the first loss is the start. If the start is 0, the answer is False.
        """
        start = abs(losses[0]) if start is None else start
        return start > 0 and sum(losses) / len(losses) > self.allowed(step, len(losses)) * start
