"""The user's options for data: a flat, typed record."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.base.record import Record, option
from convsmith.data.fit import Fit, Size, read_size, size_word

# The largest image that a JPEG can hold: 65,535 pixels a side.
MOST_MEGAPIXELS = 4295


def check_source(text: str) -> None:
    """Raise UsageError for a source without a name."""
    if not text.strip():
        raise UsageError("data.source: expected a known name or a path, received an empty text")


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise UsageError for fewer than two classes, or for a class that is named twice."""
    if len(classes) == 1 or len(set(classes)) < len(classes):
        raise UsageError(f"data.classes: expected at least 2, each named once, received {', '.join(classes)}")


def fold_of(text: str) -> tuple[int, int]:
    """The number (from 1) of the fold and the count of folds in a text such as `2/5`. Raises UsageError."""
    number, _, count = text.partition("/")
    numbers = number.isdecimal() and count.isdecimal() and len(text) <= 20
    if not numbers or not 1 <= int(number) <= int(count) or int(count) < 2:
        raise UsageError(f"data.fold: expected its number and how many there are, such as 2/5, received {text!r}")
    return int(number), int(count)


def split_shares(text: str) -> tuple[float, float, float]:
    """The three shares in a text such as `80/10/10`, as fractions that add up to 1; only test may be 0."""
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    total = sum(shares)
    if len(shares) != 3 or not total < float("inf") or shares[0] <= 0 or shares[1] <= 0 or shares[2] < 0:
        raise UsageError(
            f"data.split: expected train/val/test shares such as 80/10/10 (train and val above 0), received {text!r}"
        )
    return shares[0] / total, shares[1] / total, shares[2] / total


@dataclass(frozen=True, kw_only=True)
class DataOptions(Record, called="data"):
    """The source of the images, their size, their splits and their loader."""

    source: str = option(
        "digits",
        "name of a known data set, or a path whose kind is recognized from what lies there",
        check=check_source,
    )
    size: int | str | None = option(
        None,
        "side of the square that the network gets, or height x width as in 32x128; none: the set's own, else 224",
        check=partial(read_size, what="data.size"),
    )
    fit: Fit = option("crop", "images of another shape: cut off what is longer, add gray borders, or change the shape")
    channels: Literal[1, 3] | None = option(None, "1 (gray) or 3 (color); none: as the set has")
    classes: tuple[str, ...] = option(
        (), "only the images of these classes, numbered in this order; none: all", check=check_classes
    )
    images: int | None = option(None, "train on only so many images, by class and split_seed; none: all", least=2)
    split: str = option(
        "80/10/10", "train/val/test shares of what the source does not divide itself", check=split_shares
    )
    split_seed: int = option(0, "seed of the division into splits")
    fold: str | None = option(
        None, "'2/5': the second fifth of train and val validates, the rest trains", check=fold_of
    )
    group: str | None = option(None, "regex on the path, or CSV file `file,group`: groups never straddle splits")
    sampling: Literal["natural", "balanced", "square_root"] = option(
        "natural", "how often a class is seen in training: as it is, all alike, by the square root of its images"
    )
    loader: Literal["auto", "resident", "streaming"] = option("auto", "whole set in memory, or read while training")
    workers: int = option(2, "processes of the streaming loader, threads that decode for the resident one", least=0)
    labels: Literal["auto", "one", "several"] = option(
        "auto", "labels of an image in a table: one, several (or none), or what the table shows"
    )
    timeout: float = option(
        60.0, "seconds in which a process of the streaming loader must decode an image", least=1, most=86400
    )
    on_bad: Literal["error", "skip"] = option("error", "what to do with a file that cannot be decoded or is not there")
    max_megapixels: int | None = option(
        None,
        "read images of up to so many million pixels, whatever that takes; none: what takes 512 MB and 5 s",
        least=1,
        most=MOST_MEGAPIXELS,
    )
    cache: Literal["auto", "on", "off"] = option("auto", "keep decoded images on the disk for later epochs and runs")
    decoding: Literal["exact", "draft"] = option(
        "exact", "draft: large JPEGs decoded smaller, not quite the same pixels"
    )

    def check(self) -> None:
        """Write 64x64 as 64, so that equal options compare equal."""
        if self.shape is not None:
            object.__setattr__(self, "size", size_word(self.shape))

    @property
    def shape(self) -> Size | None:
        """The size that the user set, as (height, width); None if not set."""
        return None if self.size is None else read_size(self.size)
