"""A limit of time for a command: `10min`."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from convsmith.base.errors import UsageError
from convsmith.report.text import duration

_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|min|m|h)\s*")
_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
# The share of the remaining time that steps may take: speed varies, and the last evaluation and the report follow.
_SHARE = 0.9


@dataclass(frozen=True)
class Limit:
    """The seconds from now in which a command should end. `given` says that the user set the limit.

    `sizes` says whether images may be made smaller for it; they may not if the user set their size.
    """

    seconds: float
    given: bool = True
    sizes: bool = True
    began: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """The seconds that training may still take; at least 1, so that a step is taken."""
        return max(1.0, _SHARE * (self.seconds - (time.monotonic() - self.began)))

    def __str__(self) -> str:
        return f"within {duration(self.seconds)}" + ("" if self.given else " (--within sets another time)")


def read_limit(text: str, sizes: bool = True) -> Limit:
    """The limit that `10min`, `90s` or `1.5h` states; UsageError for other texts."""
    match = _TEXT.fullmatch(str(text))
    if not match or float(match[1]) <= 0:
        raise UsageError(f"within: expected a time such as 90s, 10min or 2h, received {text!r}")
    return Limit(float(match[1]) * _SECONDS[match[2]], sizes=sizes)


def say_overrun(limit: Limit | None, say: Callable[[str], None]) -> None:
    """Say at the end of a command that it took longer than the user allowed, if it did."""
    if limit is not None and limit.given and (took := time.monotonic() - limit.began) > limit.seconds:
        over = f"this took {duration(took)}, longer than the {duration(limit.seconds)} of --within"
        say(f"{over}: the machine was slower than measured, or the least possible work takes longer")
