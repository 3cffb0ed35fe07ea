"""Two stored splits as one, for folds over both. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from convsmith.data.examples import Examples
from convsmith.data.sources.source import Source

# What a division's record calls the stored train and the stored val, one after the other.
TRAIN_VAL = "train+val"


# eq=False as in data/examples.py.
@dataclass(frozen=True, eq=False)
class JoinedExamples:
    """Some of the examples of several parts: example `i` is number `indices[i]` of part `owners[i]`."""

    parts: tuple[Examples, ...]
    owners: np.ndarray
    indices: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        return self.parts[self.owners[i]].name(int(self.indices[i]))

    def place(self, i: int) -> str:
        return self.parts[self.owners[i]].place(int(self.indices[i]))

    def read(self, i: int, least: int | None = None) -> Image.Image | np.ndarray:
        return self.parts[self.owners[i]].read(int(self.indices[i]), least)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "JoinedExamples":
        picked = np.asarray(indices, dtype=np.int64)
        return JoinedExamples(self.parts, self.owners[picked], self.indices[picked], self.labels[picked])


def join(parts: Sequence[Examples]) -> JoinedExamples:
    """All examples of the parts, one part after the other."""
    counts = [len(part) for part in parts]
    return JoinedExamples(
        tuple(parts),
        np.repeat(np.arange(len(parts)), counts),
        np.concatenate([np.arange(count) for count in counts]),
        np.concatenate([part.labels for part in parts]),
    )


def stored_examples(source: Source, name: str) -> Examples | None:
    """A stored split, or train and val as one."""
    if name == TRAIN_VAL and {"train", "val"} <= set(source.splits):
        return join([source.splits["train"], source.splits["val"]])
    return source.splits.get(name)
