"""Copies among images: files with the same bytes, arrays with the same pixels."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convsmith.data.examples import Examples, join
from convsmith.data.image_sets import ArrayImages, EncodedImages, FileImages, Images, JoinedImages
from convsmith.data.sources.source import Source
from convsmith.data.sources.split_names import SPLITS
from convsmith.report.text import many

# Files of equal size are first compared by this many bytes at both ends, where most different files differ.
_ENDS = 1024
LOUD = 0.1  # a larger share of images with two labels is a warning


@dataclass(frozen=True)
class Copies:
    """For each example the index of the first example with the same image (its own if it is the first), int64 (N,)."""

    first: np.ndarray

    @property
    def any(self) -> bool:
        """Whether an image occurs more than once."""
        return bool((self.first != np.arange(len(self.first))).any())

    def heads(self, allowed: np.ndarray) -> np.ndarray:
        """The first copy of each image among the indices `allowed`, ascending."""
        _, places = np.unique(self.first[allowed], return_index=True)
        return allowed[np.sort(places)]

    def with_copies(self, heads: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """The indices among `allowed` whose image is a copy of one of `heads`, ascending."""
        return allowed[np.isin(self.first[allowed], self.first[heads])]

    def merged(self, names: list[str]) -> list[str]:
        """The group of each example; groups that share an image are merged under the name of the first."""
        owner: dict[str, str] = {}

        def top(name: str) -> str:
            while (above := owner.get(name, name)) != name:
                name = above
            return name

        for group in self.groups():
            goal = top(names[int(group[0])])
            for i in group.tolist():
                if i < len(names) and top(names[i]) != goal:
                    owner[top(names[i])] = goal
        return [top(name) for name in names] if owner else names

    def groups(self) -> list[np.ndarray]:
        """The indices of the copies of each image that occurs more than once, ascending."""
        again = np.flatnonzero(self.first != np.arange(len(self.first)))
        copies: dict[int, list[int]] = {}
        for i in again.tolist():
            copies.setdefault(int(self.first[i]), [int(self.first[i])]).append(i)
        return [np.asarray(numbers, dtype=np.int64) for numbers in copies.values()]


def find_copies(examples: Examples) -> Copies:
    """The copies among the examples. Sizes are compared first, then both ends, then all bytes; no image is decoded.

    A file that cannot be read counts as no copy.
    """
    first = np.arange(len(examples))
    contents = _contents(examples.images)
    for sizes in _by(range(len(examples)), lambda i: contents[i].size()):
        for ends in _by(sizes, lambda i: contents[i].ends()):
            for copies in _by(ends, lambda i: contents[i].whole()):
                first[copies] = copies[0]
    return Copies(first)


def copies_of(source: Source) -> Copies:
    """The copies among all images of a source; indices count through train, then val, then test."""
    return find_copies(join([source.splits[split] for split in SPLITS if split in source.splits]))


def copy_notes(source: Source, copies: Copies) -> tuple[str, ...]:
    """Notes for the user on images that occur more than once: in one split, in two splits, with two labels."""
    if not copies.any:
        return ()
    parts = [(split, source.splits[split]) for split in SPLITS if split in source.splits]
    owners = np.repeat(np.arange(len(parts)), [len(examples) for _, examples in parts])
    joined = join([examples for _, examples in parts])
    groups = copies.groups()
    notes: list[str] = []
    leaks = [group for group in groups if len(set(owners[group].tolist())) > 1]
    within = len(groups) - len(leaks)
    if within:
        often = many(within, "image occurs", "images occur")
        notes.append(f"{often} more than once; copies stay in one split (`data check` lists them)")
    if leaks:
        lie = many(len(leaks), "image lies", "images lie")
        last = next(int(i) for i in leaks[0] if owners[i] != owners[leaks[0][0]])
        notes.append(
            f"{lie} in two of the given splits, which flatters numbers: {joined.place(last)} in "
            f"{parts[owners[last]][0]} is {joined.place(int(leaks[0][0]))} in {parts[owners[leaks[0][0]]][0]}; `data "
            "check` lists them"
        )
    labels = joined.targets.strata()
    two = [] if labels is None else contradictions(labels, copies)
    if labels is not None and two:
        one = two[0][0]
        other = next(i for i in two[0] if (labels[i] != labels[one]).any())
        line = (
            f"contradictory labels: {many(len(two), 'image occurs', 'images occur')} with different labels, as "
            f"{joined.place(int(one))} and {joined.place(int(other))}; `data check` lists them"
        )
        concerned = sum(map(len, two))
        if concerned > LOUD * len(joined):
            line = f"WARNING: {two_labels_line(concerned, len(joined))}; {line}"
        notes.append(line)
    return tuple(notes)


def two_labels_line(count: int, total: int) -> str:
    """The sentence for a data set in which `count` of `total` images have a copy with another label."""
    share = f"{count:,} of {many(total, 'image')} ({count / total:.0%})"
    return f"{share} {'carries' if count == 1 else 'carry'} two labels, so that no network can learn them"


def contradictions(labels: np.ndarray, copies: Copies) -> list[np.ndarray]:
    """The groups of copies whose labels differ."""
    return [group for group in copies.groups() if (labels[group] != labels[group[0]]).any()]


def _by(numbers: Sequence[int] | range, key: Callable[[int], object]) -> list[list[int]]:
    """Groups of two or more numbers with an equal key. A number whose key is None is in no group."""
    groups: dict[object, list[int]] = {}
    for i in numbers:
        value = key(i)
        if value is not None:
            groups.setdefault(value, []).append(i)
    return [alike for alike in groups.values() if len(alike) > 1]


@dataclass(frozen=True, slots=True)
class _File:
    """The bytes of a file; each method returns None if the file cannot be read."""

    path: str

    def size(self) -> int | None:
        try:
            return os.stat(self.path).st_size or None
        except OSError:
            return None

    def ends(self) -> bytes | None:
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                size = os.fstat(file).st_size
                return os.pread(file, _ENDS, max(0, size - _ENDS)) + os.pread(file, min(_ENDS, max(0, size - _ENDS)), 0)
            finally:
                os.close(file)
        except OSError:
            return None

    def whole(self) -> bytes | None:
        try:
            with open(self.path, "rb") as file:
                return hashlib.file_digest(file, "blake2b").digest()
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class _Held:
    """The bytes or pixels of an image in memory."""

    images: Images
    number: int

    def size(self) -> object:
        if isinstance(self.images, EncodedImages):
            return self.images.stamp(self.number)[0] or None
        return self.images.pixels.shape[1:] if isinstance(self.images, ArrayImages) else None

    def ends(self) -> bytes:
        return self.whole()

    def whole(self) -> bytes:
        if isinstance(self.images, EncodedImages):
            return hashlib.blake2b(self.images.content(self.number)).digest()
        return hashlib.blake2b(np.ascontiguousarray(self.images.read(self.number)).data).digest()


def _contents(images: Images) -> list[_File | _Held]:
    if isinstance(images, FileImages):
        root = os.fspath(images.root)
        return [_File(f"{root}/{file}") for file in images.files]
    if isinstance(images, JoinedImages):
        parts = [_contents(part) for part in images.parts]
        return [parts[o][i] for o, i in zip(images.owners.tolist(), images.indices.tolist(), strict=True)]
    return [_Held(images, i) for i in range(len(images))]
