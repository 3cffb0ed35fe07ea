"""Lengths of training as one type: `90ep`, `2000steps`, `10%`."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from convsmith.base.errors import UsageError, WrongType

Unit = Literal["ep", "steps", "%"]
_TEXT = re.compile(r"^\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\s*(ep|epochs?|steps?|%)\s*$")
_UNITS: dict[str, Unit] = {"ep": "ep", "epoch": "ep", "epochs": "ep", "step": "steps", "steps": "steps", "%": "%"}


@dataclass(frozen=True)
class Duration:
    """An amount of training in epochs, steps or percent; `steps` gives the number of optimizer steps."""

    amount: float
    unit: Unit

    @staticmethod
    def parse(text: object) -> "Duration":
        """The duration in `90ep`, `2000steps` or `10%`. Raises UsageError."""
        if isinstance(text, Duration):
            return text
        if not isinstance(text, str):
            raise WrongType(f"expected a duration such as '90ep', '2000steps' or '10%', received {text!r}")
        match = _TEXT.match(text)
        if not match:
            raise UsageError(f"expected a duration such as '90ep', '2000steps' or '10%', received {text!r}")
        return Duration(float(match[1]), _UNITS[match[2]])

    def steps(self, steps_per_epoch: int, total_steps: int | None = None) -> int:
        """The number of optimizer steps, rounded up; a percentage needs `total_steps`, the length of the run."""
        amount = Fraction(str(self.amount))  # as written: the float 0.07 times 100 is above 7
        if self.unit == "steps":
            return math.ceil(amount)
        if self.unit == "ep":
            return math.ceil(amount * steps_per_epoch)
        if total_steps is None:
            raise UsageError(f"the length of a run cannot be {self}, a share of itself; use epochs or steps")
        return math.ceil(amount * total_steps / 100)

    def __str__(self) -> str:
        amount = int(self.amount) if self.amount % 1 == 0 else self.amount  # NaN and infinity have no int
        return f"{amount}{self.unit}"
