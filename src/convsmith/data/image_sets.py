"""Ordered sets of images: the name, the place, the content and the cache slot of each image."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from convsmith.base.errors import BadFile, MissingPath
from convsmith.data.images import open_header, open_image


@dataclass(frozen=True)
class StoredSplit:
    """A stored split: the name and fingerprint of its source, its own name, and the number of its images.

    Images of up to `most` pixels are decoded without limits of memory and time (`open_image`).
    """

    source: str
    fingerprint: str
    split: str
    count: int
    most: int | None = None


class Slot(NamedTuple):
    """The slot of an image in the cache: its stored split, and its number there."""

    stored: StoredSplit
    number: int


class Images(Protocol):
    """An ordered set of images; nothing is decoded before `read`."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """The name of image `i` for errors and reports: its path, or the name of the set and a number."""
        ...

    def place(self, i: int) -> str:
        """The path of image `i` within its set, with slashes; it does not depend on where the set lies."""
        ...

    def read(self, i: int, least: int | None = None) -> Image.Image | np.ndarray:
        """Image `i`, decoded by Pillow or as uint8 (H, W, C). Raises BadFile.

        A JPEG may be decoded smaller, with a shorter side of at least `least` (`open_image`).
        """
        ...

    def subset(self, at: Sequence[int] | np.ndarray) -> "Images":
        """The images at `at`, in that order; they are shared, not copied."""
        ...

    def stores(self) -> Mapping[StoredSplit, int]:
        """The stored splits whose decoded pixels are worth caching, with the number of these images in each."""
        ...

    def slot(self, i: int) -> Slot | None:
        """The cache slot of image `i`; None if its set is not cached."""
        ...

    def stamp(self, i: int) -> tuple[int, int]:
        """The size and mtime of the file of image `i`, by which a later change is noticed."""
        ...


# eq=False compares by identity: an equality of arrays has no single truth value, and caches need a hash.
@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images of one array, uint8 (N, H, W, C); `numbers` picks the images of the set. They are not cached."""

    pixels: np.ndarray
    origin: str
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, i: int) -> str:
        return f"{self.origin} #{self.numbers[i]}"

    def place(self, i: int) -> str:
        return self.name(i)

    def read(self, i: int, least: int | None = None) -> np.ndarray:
        return self.pixels[self.numbers[i]]

    def stack(self, at: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at `at` in one array, uint8 (n, H, W, C)."""
        return self.pixels[self.numbers[np.asarray(at, dtype=np.int64)]]

    def subset(self, at: Sequence[int] | np.ndarray) -> "ArrayImages":
        return replace(self, numbers=self.numbers[np.asarray(at, dtype=np.int64)])

    def stores(self) -> Mapping[StoredSplit, int]:
        return {}

    def slot(self, i: int) -> Slot | None:
        return None

    def stamp(self, i: int) -> tuple[int, int]:
        return 0, 0


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images with a file each, at paths relative to `root`; `numbers` are their numbers in the stored split."""

    root: Path
    files: tuple[str, ...]
    numbers: np.ndarray | None = None
    stored: StoredSplit | None = None

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.root / self.files[i])

    def place(self, i: int) -> str:
        return self.files[i]

    def read(self, i: int, least: int | None = None) -> Image.Image:
        with _listed(self.name(i)):
            return open_image(self.root / self.files[i], self.name(i), least, _most(self.stored))

    def stores(self) -> Mapping[StoredSplit, int]:
        return {} if self.stored is None else {self.stored: len(self)}

    def slot(self, i: int) -> Slot | None:
        if self.stored is None:
            return None
        return Slot(self.stored, i if self.numbers is None else int(self.numbers[i]))

    def stamp(self, i: int) -> tuple[int, int]:
        """The size and mtime of the file; zeros if it is gone."""
        try:
            status = os.stat(self.root / self.files[i])
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def header(self, i: int) -> Image.Image:
        """The image with only its header read."""
        with _listed(self.name(i)):
            return open_header(self.root / self.files[i], self.name(i))

    def subset(self, at: Sequence[int] | np.ndarray) -> "FileImages":
        picked = np.asarray(at, dtype=np.int64)
        numbers = None if self.numbers is None else self.numbers[picked]
        return replace(self, files=tuple(self.files[i] for i in picked), numbers=numbers)


@dataclass(frozen=True)
class Encoded:
    """Encoded images end to end: image `i` is `data[offsets[i]:offsets[i + 1]]` (uint8; offsets int64)."""

    data: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    paths: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images whose files lie inside another file, such as Parquet."""

    encoded: Encoded
    origin: str
    numbers: np.ndarray
    stored: StoredSplit | None = None

    def __len__(self) -> int:
        return len(self.numbers)

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
        return open_image(self.content(i), self.name(i), least, _most(self.stored))

    def stores(self) -> Mapping[StoredSplit, int]:
        return {} if self.stored is None else {self.stored: len(self)}

    def slot(self, i: int) -> Slot | None:
        return None if self.stored is None else Slot(self.stored, int(self.numbers[i]))

    def stamp(self, i: int) -> tuple[int, int]:
        """The length of the encoded image; the fingerprint of the source covers every byte of it."""
        return int(np.diff(self.encoded.offsets[self.numbers[i] : self.numbers[i] + 2])[0]), 0

    def header(self, i: int) -> Image.Image:
        """The image with only its header read."""
        return open_header(self.content(i), self.name(i))

    def subset(self, at: Sequence[int] | np.ndarray) -> "EncodedImages":
        return replace(self, numbers=self.numbers[np.asarray(at, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class JoinedImages:
    """Some of the images of several sets: image `i` is number `indices[i]` of set `owners[i]`."""

    parts: tuple[Images, ...]
    owners: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def owner(self, i: int) -> tuple[Images, int]:
        """The set that image `i` belongs to, and its number there."""
        return self.parts[self.owners[i]], int(self.indices[i])

    def name(self, i: int) -> str:
        part, at = self.owner(i)
        return part.name(at)

    def place(self, i: int) -> str:
        part, at = self.owner(i)
        return part.place(at)

    def read(self, i: int, least: int | None = None) -> Image.Image | np.ndarray:
        part, at = self.owner(i)
        return part.read(at, least)

    def stores(self) -> Mapping[StoredSplit, int]:
        totals: dict[StoredSplit, int] = {}
        for part, owned in zip(self.parts, np.bincount(self.owners, minlength=len(self.parts)), strict=True):
            for stored, count in part.stores().items():
                totals[stored] = totals.get(stored, 0) + min(count, int(owned))
        return {stored: count for stored, count in totals.items() if count}

    def slot(self, i: int) -> Slot | None:
        part, at = self.owner(i)
        return part.slot(at)

    def stamp(self, i: int) -> tuple[int, int]:
        part, at = self.owner(i)
        return part.stamp(at)

    def subset(self, at: Sequence[int] | np.ndarray) -> "JoinedImages":
        picked = np.asarray(at, dtype=np.int64)
        return JoinedImages(self.parts, self.owners[picked], self.indices[picked])


def join_images(parts: Sequence[Images]) -> JoinedImages:
    """All images of the sets, one set after the other."""
    counts = [len(part) for part in parts]
    owners = np.repeat(np.arange(len(parts)), counts)
    return JoinedImages(tuple(parts), owners, np.concatenate([np.arange(count) for count in counts]))


def store(images: Images, stored: StoredSplit) -> Images:
    """The images of a whole stored split, marked as such, so that each subset knows its stored split."""
    if not isinstance(images, FileImages | EncodedImages):
        return images
    return replace(images, numbers=np.arange(len(images)), stored=stored)


def allow(images: Images, most: int | None) -> Images:
    """The images; each of up to `most` pixels is decoded without limits of memory and time."""
    if not isinstance(images, FileImages | EncodedImages) or images.stored is None:
        return images
    return replace(images, stored=replace(images.stored, most=most))


def _most(stored: StoredSplit | None) -> int | None:
    return None if stored is None else stored.most


@contextmanager
def _listed(name: str) -> Iterator[None]:
    """Turn MissingPath into BadFile, for a file that was listed and is gone, or is a link to nothing."""
    try:
        yield
    except MissingPath:
        raise BadFile(name, "is not there any more, or is a link that leads nowhere") from None
