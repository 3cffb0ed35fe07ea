"""The targets of images: classes, texts, the picture itself, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.data.preprocess import ImageInput

Kind = Literal["class", "labels", "mask", "box", "text", "image", "none"]
At = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Facts:
    """The facts on targets for a head and for `data stats`.

    `classes` are the names of the classes, or their numbers as texts; `counts` says how many images (of masks: pixels;
    of boxes: boxes) each class has. `vocabulary` and `length` are of texts: the number of tokens that there are, and
    that one has. `boxes` is the largest number of boxes of an image.
    """

    kind: Kind
    count: int
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    vocabulary: int = 0
    length: int = 0
    boxes: int = 0


class Targets(Protocol):
    """The targets of an ordered set of images. `moves` says that they are drawn on the picture and move with it."""

    kind: ClassVar[Kind]
    moves: ClassVar[bool]

    def __len__(self) -> int: ...

    def subset(self, at: At) -> Self:
        """The targets at `at`, in that order."""
        ...

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        """The targets at `at` for a batch, stacked along the first axis.

        Masks and boxes are placed as `record` and `margin` place the picture (`preprocess.to_size`).
        """
        ...

    def strata(self) -> np.ndarray | None:
        """The labels for stratified splits: classes (N,), or 0 or 1 for each class (N, classes); None if none."""
        ...

    def facts(self) -> Facts:
        """The facts for a head and for `data stats`."""
        ...

    def followed_by(self, others: Sequence["Targets"]) -> Self:
        """These targets, then the others, which are of the same kind."""
        ...


OfOneKind = TypeVar("OfOneKind", bound=Targets)


# eq=False as for sets of images.
@dataclass(frozen=True, eq=False)
class ClassLabels:
    """One class for each image: its number, int64 (N,). `names` are those of the classes, where they are known."""

    kind: ClassVar[Kind] = "class"
    moves: ClassVar[bool] = False
    labels: np.ndarray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, at: At) -> Self:
        return replace(self, labels=self.labels[np.asarray(at, dtype=np.int64)])

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        return self.labels[np.asarray(at, dtype=np.int64)]

    def strata(self) -> np.ndarray | None:
        return self.labels

    def facts(self) -> Facts:
        counts = np.bincount(self.labels, minlength=len(self.names))
        return Facts("class", len(self), _named(self.names, len(counts)), tuple(counts.tolist()))

    def followed_by(self, others: Sequence[Targets]) -> Self:
        return replace(self, labels=np.concatenate([part.labels for part in (self, *alike(self, others))]))


@dataclass(frozen=True, eq=False)
class SeveralLabels:
    """Any number of classes for each image: 0 or 1 for each class, uint8 (N, classes)."""

    kind: ClassVar[Kind] = "labels"
    moves: ClassVar[bool] = False
    labels: np.ndarray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, at: At) -> Self:
        return replace(self, labels=self.labels[np.asarray(at, dtype=np.int64)])

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        return self.labels[np.asarray(at, dtype=np.int64)]

    def strata(self) -> np.ndarray | None:
        return self.labels

    def facts(self) -> Facts:
        counts = self.labels.sum(axis=0, dtype=np.int64)
        return Facts("labels", len(self), _named(self.names, len(counts)), tuple(counts.tolist()))

    def followed_by(self, others: Sequence[Targets]) -> Self:
        return replace(self, labels=np.concatenate([part.labels for part in (self, *alike(self, others))]))


@dataclass(frozen=True, eq=False)
class TextTargets:
    """A text for each image: tokens int64 (N, length), 0 where it has ended. `vocabulary[0]` is the padding."""

    kind: ClassVar[Kind] = "text"
    moves: ClassVar[bool] = False
    tokens: np.ndarray
    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or self.tokens.dtype != np.int64:
            raise UsageError(
                f"texts: expected tokens int64 (N, length), received {self.tokens.dtype} {self.tokens.shape}"
            )
        if self.tokens.size and not 0 <= self.tokens.min() <= self.tokens.max() < len(self.vocabulary):
            raise UsageError(
                f"texts: expected tokens from 0 to {len(self.vocabulary) - 1}, the last of the vocabulary, received "
                f"{self.tokens.min()} to {self.tokens.max()}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def subset(self, at: At) -> Self:
        return replace(self, tokens=self.tokens[np.asarray(at, dtype=np.int64)])

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        return self.tokens[np.asarray(at, dtype=np.int64)]

    def strata(self) -> np.ndarray | None:
        return None

    def facts(self) -> Facts:
        return Facts("text", len(self), vocabulary=len(self.vocabulary), length=self.tokens.shape[1])

    def followed_by(self, others: Sequence[Targets]) -> Self:
        parts = [self, *alike(self, others)]
        if any(part.vocabulary != self.vocabulary for part in parts):
            raise UsageError("texts: they cannot be joined with those of other vocabularies")
        tokens = [part.tokens for part in parts]
        length = max(part.shape[1] for part in tokens)
        return replace(self, tokens=np.concatenate([np.pad(t, ((0, 0), (0, length - t.shape[1]))) for t in tokens]))


@dataclass(frozen=True, eq=False)
class NoTargets:
    """No targets for `count` images. A batch holds empty rows, uint8 (N, 0)."""

    kind: ClassVar[Kind] = "none"
    moves: ClassVar[bool] = False
    count: int

    def __len__(self) -> int:
        return self.count

    def subset(self, at: At) -> Self:
        return replace(self, count=len(at))

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        return np.empty((len(at), 0), np.uint8)

    def strata(self) -> np.ndarray | None:
        return None

    def facts(self) -> Facts:
        return Facts(self.kind, self.count)

    def followed_by(self, others: Sequence[Targets]) -> Self:
        return replace(self, count=self.count + sum(map(len, alike(self, others))))


class ImageTargets(NoTargets):
    """The picture itself, as the network gets it: the batch's own inputs are the targets. Nothing is stored."""

    kind: ClassVar[Kind] = "image"


def labels_of(labels: np.ndarray, names: tuple[str, ...] = ()) -> ClassLabels | SeveralLabels:
    """The targets of labels int64 (N,), or 0 or 1 for each class, uint8 (N, classes)."""
    return ClassLabels(labels, names) if labels.ndim == 1 else SeveralLabels(labels, names)


def label_array(targets: Targets) -> np.ndarray:
    """The array of labels (`ClassLabels`, `SeveralLabels`); UsageError for targets of another kind."""
    if isinstance(targets, ClassLabels | SeveralLabels):
        return targets.labels
    raise UsageError(f"expected images with classes, received images with targets of kind {targets.kind!r}")


def alike(targets: OfOneKind, others: Sequence[Targets]) -> list[OfOneKind]:
    """The others, typed as the same kind. Raises UsageError if one is of another kind."""
    same = [other for other in others if isinstance(other, type(targets)) and other.kind == targets.kind]
    if wrong := [other.kind for other in others if other not in same]:
        raise UsageError(f"targets of kind {targets.kind!r} cannot be joined with those of kind {wrong[0]!r}")
    return same


def _named(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    return names or tuple(map(str, range(count)))
