"""Which images are copies of one another: files of the same bytes, arrays of the same pixels. No torch here."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convsmith.data.examples import ArrayExamples, EncodedExamples, Examples, FileExamples
from convsmith.data.joined import JoinedExamples, join
from convsmith.data.sources.source import Source
from convsmith.data.sources.split_names import SPLITS

# Of files of equal size this many bytes at their ends are compared first: most that differ do so there.
_ENDS = 4096


@dataclass(frozen=True)
class Copies:
    """For each example the number of the first that is the same image, int64 (N,): its own where it is the first."""

    first: np.ndarray

    @property
    def any(self) -> bool:
        """Whether an image occurs more than once."""
        return bool((self.first != np.arange(len(self.first))).any())

    def heads(self, allowed: np.ndarray) -> np.ndarray:
        """The first of each image's copies among `allowed`, ascending."""
        _, places = np.unique(self.first[allowed], return_index=True)
        return allowed[np.sort(places)]

    def with_copies(self, heads: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """All of `allowed` that are copies of `heads`, and these, ascending."""
        return allowed[np.isin(self.first[allowed], self.first[heads])]

    def merged(self, names: list[str]) -> list[str]:
        """The names of groups, where groups that share an image are one: they get the first one's name."""
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
        """The images that occur more than once: the numbers of each one's copies, ascending."""
        again = np.flatnonzero(self.first != np.arange(len(self.first)))
        found: dict[int, list[int]] = {}
        for i in again.tolist():
            found.setdefault(int(self.first[i]), [int(self.first[i])]).append(i)
        return [np.asarray(numbers, dtype=np.int64) for numbers in found.values()]


def find_copies(examples: Examples) -> Copies:
    """The copies among the examples. Sizes are compared first, then both ends, then all bytes; nothing is decoded.

    A file that cannot be read is a copy of none.
    """
    first = np.arange(len(examples))
    sizes = _by(range(len(examples)), lambda i: _size(examples, i))
    for ends in (_by(alike, lambda i: _digest(examples, i, _ENDS)) for alike in sizes):
        for same in ends:
            for copies in _by(same, lambda i: _digest(examples, i)):
                first[copies] = copies[0]
    return Copies(first)


def copies_of(source: Source) -> Copies:
    """The copies among all images of a source: train first, then val, then test, one after the other."""
    return find_copies(join([source.splits[split] for split in SPLITS if split in source.splits]))


def copy_notes(source: Source, copies: Copies) -> tuple[str, ...]:
    """What is said before training of images that occur more than once: in a split, in two, with two labels."""
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
        notes.append(f"{within:,} images occur more than once; copies stay in one split (`data check` lists them)")
    if leaks:
        last = next(int(i) for i in leaks[0] if owners[i] != owners[leaks[0][0]])
        notes.append(
            f"{len(leaks):,} images lie in two of the given splits, which flatters numbers: {joined.place(last)} in "
            f"{parts[owners[last]][0]} is {joined.place(int(leaks[0][0]))} in {parts[owners[leaks[0][0]]][0]}; `data "
            "check` lists them"
        )
    two = contradictions(joined.labels, copies)
    if two:
        one = two[0][0]
        other = next(i for i in two[0] if (joined.labels[i] != joined.labels[one]).any())
        notes.append(
            f"contradictory labels: {len(two):,} images occur with different labels, as {joined.place(int(one))} and "
            f"{joined.place(int(other))}; `data check` lists them"
        )
    return tuple(notes)


def contradictions(labels: np.ndarray, copies: Copies) -> list[np.ndarray]:
    """The groups of copies that do not all have the same label, or labels."""
    return [group for group in copies.groups() if (labels[group] != labels[group[0]]).any()]


def _by(numbers: Sequence[int] | range, key: Callable[[int], object]) -> list[list[int]]:
    """The numbers in lists of equal keys, only those of two or more; None is equal to nothing."""
    found: dict[object, list[int]] = {}
    for i in numbers:
        value = key(i)
        if value is not None:
            found.setdefault(value, []).append(i)
    return [alike for alike in found.values() if len(alike) > 1]


def _size(examples: Examples, i: int) -> object:
    examples, i = _owner(examples, i)
    if isinstance(examples, FileExamples | EncodedExamples):
        return examples.stamp(i)[0] or None
    return examples.images.shape[1:] if isinstance(examples, ArrayExamples) else None


def _digest(examples: Examples, i: int, ends: int | None = None) -> bytes | None:
    """A hash of the content: with `ends`, of so many bytes at its two ends."""
    examples, i = _owner(examples, i)
    if isinstance(examples, FileExamples):
        return _of_file(examples, i, ends)
    if isinstance(examples, EncodedExamples):
        content = examples.content(i)
        return hashlib.blake2b(content if ends is None else content[:ends] + content[-ends:]).digest()
    pixels = np.ascontiguousarray(examples.read(i))
    return hashlib.blake2b(pixels.data if ends is None else pixels.tobytes()[:ends]).digest()


def _of_file(examples: FileExamples, i: int, ends: int | None) -> bytes | None:
    try:
        with open(examples.root / examples.files[i], "rb") as file:
            if ends is None:
                return hashlib.file_digest(file, "blake2b").digest()
            head = file.read(ends)
            size = examples.stamp(i)[0]
            file.seek(max(0, size - ends))
            return hashlib.blake2b(head + file.read(ends)).digest()
    except OSError:
        return None


def _owner(examples: Examples, i: int) -> tuple[Examples, int]:
    """The part that example `i` of several is of, and its number there."""
    if isinstance(examples, JoinedExamples):
        return _owner(examples.parts[examples.owners[i]], int(examples.indices[i]))
    return examples, i
