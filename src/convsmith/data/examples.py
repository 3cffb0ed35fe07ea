"""Examples: labels with a way to read the image that each belongs to. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from convsmith.data.images import open_header, open_image


class Examples(Protocol):
    """An ordered set of labelled images; nothing is decoded before `read`."""

    @property
    def labels(self) -> np.ndarray:
        """The classes, int64, of shape (N,)."""
        ...

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """How errors and reports call example `i`: its path, or the set and its number there."""
        ...

    def place(self, i: int) -> str:
        """Where example `i` lies within its set, with slashes: the same wherever the set itself lies."""
        ...

    def read(self, i: int) -> Image.Image | np.ndarray:
        """The image of example `i`: decoded by Pillow, or uint8 of shape (H, W, C). Raises BadFile."""
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

    def read(self, i: int) -> np.ndarray:
        return self.images[self.numbers[i]]

    def stack(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at `indices` in one array, uint8 (n, H, W, C)."""
        return self.images[self.numbers[np.asarray(indices, dtype=np.int64)]]

    def subset(self, indices: Sequence[int] | np.ndarray) -> "ArrayExamples":
        picked = np.asarray(indices, dtype=np.int64)
        return ArrayExamples(self.images, self.labels[picked], self.origin, self.numbers[picked])


@dataclass(frozen=True, eq=False)
class FileExamples:
    """Examples that are one file each, their paths relative to `root`."""

    root: Path
    files: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        return str(self.root / self.files[i])

    def place(self, i: int) -> str:
        return self.files[i]

    def read(self, i: int) -> Image.Image:
        return open_image(self.root / self.files[i], self.name(i))

    def header(self, i: int) -> Image.Image:
        """The image with its pixels not yet decoded."""
        return open_header(self.root / self.files[i], self.name(i))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "FileExamples":
        picked = np.asarray(indices, dtype=np.int64)
        return FileExamples(self.root, tuple(self.files[i] for i in picked), self.labels[picked])


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

    def read(self, i: int) -> Image.Image:
        return open_image(self.content(i), self.name(i))

    def header(self, i: int) -> Image.Image:
        """The image with its pixels not yet decoded."""
        return open_header(self.content(i), self.name(i))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "EncodedExamples":
        picked = np.asarray(indices, dtype=np.int64)
        return EncodedExamples(self.encoded, self.labels[picked], self.origin, self.numbers[picked])


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
