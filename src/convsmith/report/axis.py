"""One direction of a plot."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """The values at the ends of one direction of a plot and where on the picture these lie."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * share
