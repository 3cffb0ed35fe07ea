"""What a user chooses about data: a flat, typed record. No torch here."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.config import option
from convsmith.base.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images, at which size, divided how, and how they are fed."""

    source: str = option("digits", "name of a known data set, or a path whose kind is recognised from what lies there")
    size: int | None = option(None, "side of the square image the network gets; none: the set's own size, else 224")
    channels: Literal[1, 3] | None = option(None, "1 (grey) or 3 (colour); none: as the set has")
    split: str = option("80/10/10", "train/val/test shares of what the source does not divide itself")
    split_seed: int = option(0, "seed of the division into splits")
    group: str | None = option(None, "regex on the path, or CSV file `file,group`: groups never straddle splits")
    loader: Literal["auto", "resident", "streaming"] = option("auto", "whole set in memory, or read while training")
    workers: int = option(2, "processes of the streaming loader, threads that decode for the resident one")
    on_bad: Literal["error", "skip"] = option("error", "what to do with a file that cannot be decoded")

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise UsageError("data source: expected a known name or a path, received an empty text")
        if self.size is not None and self.size < 1:
            raise UsageError(f"size: expected a whole number of at least 1 pixel, received {self.size}")
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels: expected 1 or 3, received {self.channels!r}")
        if self.workers < 0:
            raise UsageError(f"workers: expected 0 or more, received {self.workers}")
        for name, value, known in (
            ("loader", self.loader, ("auto", "resident", "streaming")),
            ("on_bad", self.on_bad, ("error", "skip")),
        ):
            if value not in known:
                raise UsageError(f"{name}: expected {', '.join(known)}, received {value!r}")
        split_shares(self.split)


def split_shares(text: str) -> tuple[float, float, float]:
    """The three shares that `80/10/10` states, as fractions that add up to one; only test may be 0."""
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    total = sum(shares)
    if len(shares) != 3 or not total < float("inf") or shares[0] <= 0 or shares[1] <= 0 or shares[2] < 0:
        raise UsageError(
            f"split: expected train/val/test shares such as 80/10/10 (train and val above 0), received {text!r}"
        )
    return shares[0] / total, shares[1] / total, shares[2] / total
