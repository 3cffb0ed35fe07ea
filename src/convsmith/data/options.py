"""What a user chooses about data: a flat, typed record. No torch here."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.config import option
from convsmith.base.errors import UsageError
from convsmith.data.fit import FITS, Size, read_size, size_word

# The largest image that a JPEG can hold: 65,535 pixels a side.
MOST_MEGAPIXELS = 4295


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images, at which size, divided how, and how they are fed."""

    source: str = option("digits", "name of a known data set, or a path whose kind is recognised from what lies there")
    size: int | str | None = option(
        None, "side of the square that the network gets, or height x width as in 32x128; none: the set's own, else 224"
    )
    fit: Literal["crop", "pad", "squash"] = option(
        "crop", "images of another shape: cut off what is longer, add grey borders, or change the shape"
    )
    channels: Literal[1, 3] | None = option(None, "1 (grey) or 3 (colour); none: as the set has")
    classes: tuple[str, ...] = option((), "only the images of these classes, numbered in this order; none: all")
    images: int | None = option(None, "train on only so many images, by class and split_seed; none: all")
    split: str = option("80/10/10", "train/val/test shares of what the source does not divide itself")
    split_seed: int = option(0, "seed of the division into splits")
    fold: str | None = option(None, "'2/5': the second fifth of train and val validates, the rest trains")
    group: str | None = option(None, "regex on the path, or CSV file `file,group`: groups never straddle splits")
    sampling: Literal["natural", "balanced", "square_root"] = option(
        "natural", "how often a class is seen in training: as it is, all alike, by the square root of its images"
    )
    loader: Literal["auto", "resident", "streaming"] = option("auto", "whole set in memory, or read while training")
    workers: int = option(2, "processes of the streaming loader, threads that decode for the resident one")
    labels: Literal["auto", "one", "several"] = option(
        "auto", "labels of an image in a table: one, several (or none), or what the table shows"
    )
    timeout: float = option(60.0, "seconds in which a process of the streaming loader must decode an image")
    on_bad: Literal["error", "skip"] = option("error", "what to do with a file that cannot be decoded or is not there")
    max_megapixels: int | None = option(
        None, "read images of up to so many million pixels, whatever that takes; none: what takes 512 MB and 5 s"
    )
    cache: Literal["auto", "on", "off"] = option("auto", "keep decoded images on the disk for later epochs and runs")
    decoding: Literal["exact", "draft"] = option(
        "exact", "draft: large JPEGs decoded smaller, not quite the same pixels"
    )

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise UsageError("data source: expected a known name or a path, received an empty text")
        if self.size is not None:
            # 64x64 and 64 are one size, so that equal options are equal.
            object.__setattr__(self, "size", size_word(read_size(self.size)))
        check_megapixels(self.max_megapixels)
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels: expected 1 or 3, received {self.channels!r}")
        if len(self.classes) == 1 or len(set(self.classes)) < len(self.classes):
            raise UsageError(f"classes: expected at least 2, each named once, received {', '.join(self.classes)}")
        if self.images is not None and self.images < 2:
            raise UsageError(f"images: expected at least 2 training images, received {self.images}")
        if self.workers < 0:
            raise UsageError(f"workers: expected 0 or more, received {self.workers}")
        if not 1 <= self.timeout <= 86400:
            raise UsageError(f"timeout: expected 1 to 86400 seconds, received {self.timeout}")
        for name, value, known in (
            ("loader", self.loader, ("auto", "resident", "streaming")),
            ("sampling", self.sampling, ("natural", "balanced", "square_root")),
            ("labels", self.labels, ("auto", "one", "several")),
            ("on_bad", self.on_bad, ("error", "skip")),
            ("cache", self.cache, ("auto", "on", "off")),
            ("fit", self.fit, FITS),
            ("decoding", self.decoding, ("exact", "draft")),
        ):
            if value not in known:
                raise UsageError(f"{name}: expected {', '.join(known)}, received {value!r}")
        split_shares(self.split)
        if self.fold is not None:
            fold_of(self.fold)

    @property
    def shape(self) -> Size | None:
        """The size that the user sets, as (height, width)."""
        return None if self.size is None else read_size(self.size)


def check_megapixels(value: int | None) -> None:
    """Raise UsageError for a number of million pixels that is out of range."""
    if value is not None and not 1 <= value <= MOST_MEGAPIXELS:
        raise UsageError(
            f"max_megapixels: expected a whole number from 1 to {MOST_MEGAPIXELS} (million pixels), received {value}"
        )


def fold_of(text: str) -> tuple[int, int]:
    """Number (from 1) and count of the folds that `2/5` states."""
    number, _, count = text.partition("/")
    numbers = number.isdecimal() and count.isdecimal() and len(text) <= 20
    if not numbers or not 1 <= int(number) <= int(count) or int(count) < 2:
        raise UsageError(f"fold: expected its number and how many there are, such as 2/5, received {text!r}")
    return int(number), int(count)


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
