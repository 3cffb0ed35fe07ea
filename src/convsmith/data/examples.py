"""Examples: labels with a way to read the image that each belongs to. No torch here."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from convsmith.base.errors import BadFile, MissingPath
from convsmith.data.images import open_header, open_image


@dataclass(frozen=True)
class StoredSplit:
    """What examples are some of: the name and fingerprint of their source, the split there, and how many it has."""

    source: str
    fingerprint: str
    split: str
    count: int


class Examples(Protocol):
    """An ordered set of labelled images; nothing is decoded before `read`."""

    @property
    def labels(self) -> np.ndarray:
        """The classes, int64 of shape (N,); where an image may have several, 0 or 1 for each, uint8 (N, classes)."""
        ...

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """How errors and reports call example `i`: its path, or the set and its number there."""
        ...

    def place(self, i: int) -> str:
        """Where example `i` lies within its set, with slashes: the same wherever the set itself lies."""
        ...

    def read(self, i: int, least: int | None = None) -> Image.Image | np.ndarray:
        """The image of example `i`: decoded by Pillow, or uint8 of shape (H, W, C). Raises BadFile.

        A JPEG may come smaller, with its shorter side no less than `least` (`open_image`).
        """
        ...

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Examples":
        """The examples at `indices`, in that order; the images themselves are shared, not copied."""
        ...


# eq=False keeps identity as equality: comparing arrays element by element has no use here, and caches need a hash.
@dataclass(frozen=True, eq=False)
class ArrayExamples:
    """Examples of one array of images, uint8 (N, H, W, C); `numbers` picks those of the array that belong to it."""

    images: np.ndarray
    labels: np.ndarray
    origin: str
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        return f"{self.origin} #{self.numbers[i]}"

    def place(self, i: int) -> str:
        return self.name(i)

    def read(self, i: int, least: int | None = None) -> np.ndarray:
        return self.images[self.numbers[i]]

    def stack(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at `indices` in one array, uint8 (n, H, W, C)."""
        return self.images[self.numbers[np.asarray(indices, dtype=np.int64)]]

    def subset(self, indices: Sequence[int] | np.ndarray) -> "ArrayExamples":
        picked = np.asarray(indices, dtype=np.int64)
        return ArrayExamples(self.images, self.labels[picked], self.origin, self.numbers[picked])


@dataclass(frozen=True, eq=False)
class FileExamples:
    """Examples that are one file each, their paths relative to `root`; `numbers` are their places in `stored`.

    Images of up to `most` pixels are decoded whatever they take (`open_image`).
    """

    root: Path
    files: tuple[str, ...]
    labels: np.ndarray
    numbers: np.ndarray | None = None
    stored: StoredSplit | None = None
    most: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        return str(self.root / self.files[i])

    def place(self, i: int) -> str:
        return self.files[i]

    def read(self, i: int, least: int | None = None) -> Image.Image:
        with _listed(self.name(i)):
            return open_image(self.root / self.files[i], self.name(i), least, self.most)

    def number(self, i: int) -> int:
        """The place of example `i` in the stored split."""
        return i if self.numbers is None else int(self.numbers[i])

    def stamp(self, i: int) -> tuple[int, int]:
        """Size and time of change of the file, by which a later change of it is noticed; zeros where it is gone."""
        try:
            status = os.stat(self.root / self.files[i])
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def header(self, i: int) -> Image.Image:
        """The image with its pixels not yet decoded."""
        with _listed(self.name(i)):
            return open_header(self.root / self.files[i], self.name(i))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "FileExamples":
        picked = np.asarray(indices, dtype=np.int64)
        numbers = None if self.numbers is None else self.numbers[picked]
        files = tuple(self.files[i] for i in picked)
        return replace(self, files=files, labels=self.labels[picked], numbers=numbers)


@dataclass(frozen=True)
class Encoded:
    """Many encoded images end to end: image `i` is `data[offsets[i]:offsets[i + 1]]` (uint8; offsets int64)."""

    data: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    paths: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class EncodedExamples:
    """Examples whose files lie inside another file, such as Parquet."""

    encoded: Encoded
    labels: np.ndarray
    origin: str
    numbers: np.ndarray
    stored: StoredSplit | None = None
    most: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        number = self.numbers[i]
        path = self.encoded.paths[number] if self.encoded.paths else ""
        return f"{self.origin} #{number}" + (f" ({path})" if path else "")

    def place(self, i: int) -> str:
        number = self.numbers[i]
        return self.encoded.paths[number] if self.encoded.paths else f"#{number}"

    def content(self, i: int) -> bytes:
        """The bytes of the encoded image."""
        begin, end = self.encoded.offsets[self.numbers[i] : self.numbers[i] + 2]
        return self.encoded.data[begin:end].tobytes()

    def read(self, i: int, least: int | None = None) -> Image.Image:
        return open_image(self.content(i), self.name(i), least, self.most)

    def number(self, i: int) -> int:
        """The place of example `i` in the stored split."""
        return int(self.numbers[i])

    def stamp(self, i: int) -> tuple[int, int]:
        """The length of the encoded image; the fingerprint of the source covers every byte of it."""
        return int(np.diff(self.encoded.offsets[self.numbers[i] : self.numbers[i] + 2])[0]), 0

    def header(self, i: int) -> Image.Image:
        """The image with its pixels not yet decoded."""
        return open_header(self.content(i), self.name(i))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "EncodedExamples":
        picked = np.asarray(indices, dtype=np.int64)
        return replace(self, labels=self.labels[picked], numbers=self.numbers[picked])


def allow(examples: Examples, most: int | None) -> Examples:
    """The examples, whose images of up to `most` pixels are decoded without limits of memory and time."""
    return replace(examples, most=most) if isinstance(examples, FileExamples | EncodedExamples) else examples


@contextmanager
def _listed(name: str) -> Iterator[None]:
    """Turn MissingPath into BadFile: a file that is gone since it was listed, or a link to nothing, is a bad file."""
    try:
        yield
    except MissingPath:
        raise BadFile(name, "is not there any more, or is a link that leads nowhere") from None


def images_of_classes(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """How many images each class has; of several labels an image counts for each of its own."""
    counts = np.bincount(labels, minlength=classes) if labels.ndim == 1 else labels.sum(axis=0, dtype=np.int64)
    return tuple(int(count) for count in counts)


def from_arrays(images: np.ndarray, labels: np.ndarray, origin: str) -> ArrayExamples:
    """Examples of images uint8 (N, H, W) or (N, H, W, C) and as many labels."""
    images = images[..., None] if images.ndim == 3 else images
    return ArrayExamples(images, labels.astype(np.int64), origin, np.arange(len(labels)))


def spread(count: int, limit: int) -> np.ndarray:
    """At most `limit` of `count` indices, ascending: one from each of `limit` equal stretches.

    The place inside the stretch varies (by the golden ratio). With a fixed step a sample of MNIST has a mean 6% off,
    since its even and its odd images come from different writers.
    """
    if count <= limit:
        return np.arange(count)
    ends = np.arange(limit + 1) * count // limit
    places = (np.arange(limit) * ((5**0.5 - 1) / 2)) % 1
    return ends[:-1] + (places * np.diff(ends)).astype(np.int64)
