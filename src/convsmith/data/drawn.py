"""Masks and boxes: targets with places in the picture, which move with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from convsmith.base.errors import BadFile, UsageError
from convsmith.data.fit import placed
from convsmith.data.image_sets import Images, join_images
from convsmith.data.preprocess import ImageInput
from convsmith.data.targets import At, Facts, Kind, Targets, alike

# The id of pixels without a class: unlabeled pixels, and pixels from outside of the picture.
VOID = 255
# A box is dropped if less than this share of its area is left: too little of the object is then visible.
LEAST_SHARE = 0.1
# The class of an absent box.
NO_BOX = -1
_MODES = ("L", "P", "1")


@dataclass(frozen=True, eq=False)
class Masks:
    """A class for each pixel: pictures of ids (gray or palette), 255 for void, each as large as its upright image.

    A batch holds uint8 (N, H, W).
    """

    kind: ClassVar[Kind] = "mask"
    moves: ClassVar[bool] = True
    images: Images
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= VOID:
            raise UsageError(f"masks: expected 1 to {VOID} classes, received {len(self.names)}")

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> np.ndarray:
        """The ids of mask `i`, uint8 (H, W). Raises BadFile."""
        image, name = self.images.read(i), self.images.name(i)
        mode = image.dtype.name if isinstance(image, np.ndarray) else image.mode
        if mode not in (*_MODES, "uint8"):
            raise BadFile(name, f"is not a mask: expected one id for each pixel (mode L or P), received mode {mode}")
        ids = np.asarray(image).astype(np.uint8)
        ids = ids[..., 0] if ids.ndim == 3 and ids.shape[2] == 1 else ids
        if ids.ndim != 2:
            raise BadFile(name, f"is not a mask: expected one id for each pixel, received values of shape {ids.shape}")
        wrong = np.flatnonzero(np.bincount(ids.ravel(), minlength=256)[len(self.names) : VOID])
        if len(wrong):
            last = len(self.names) - 1
            raise BadFile(
                name, f"has the id {len(self.names) + wrong[0]}; expected ids from 0 to {last}, or {VOID} for void"
            )
        return ids

    def subset(self, at: At) -> Self:
        return replace(self, images=self.images.subset(at))

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        masks = [self.read(int(i)) for i in at]
        if record is not None:
            masks = [mask_to_size(mask, record, margin) for mask in masks]
        return np.stack(masks) if masks else np.empty((0, 0, 0), np.uint8)

    def strata(self) -> np.ndarray | None:
        return None

    def facts(self) -> Facts:
        return Facts("mask", len(self), self.names)

    def followed_by(self, others: Sequence[Targets]) -> Self:
        parts = [self, *alike(self, others)]
        _check_names([part.names for part in parts])
        return replace(self, images=join_images([part.images for part in parts]))


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of objects: `corners` float32 (N, boxes, 4), `classes` int64 (N, boxes), -1 where there is no box.

    Corners are left, top, right and bottom in pixels of the upright stored picture, whose height and width are `sizes`,
    int64 (N, 2). A batch holds float32 (N, boxes, 5): the class, then the corners in pixels of the batch's pictures. An
    absent box, or one with less than a tenth of its area left, is -1 and four zeros.
    """

    kind: ClassVar[Kind] = "box"
    moves: ClassVar[bool] = True
    corners: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        shapes = (self.corners.shape, self.classes.shape, self.sizes.shape)
        count, most = self.classes.shape if self.classes.ndim == 2 else (-1, -1)
        if shapes != ((count, most, 4), (count, most), (count, 2)):
            raise UsageError(
                f"boxes: expected corners (N, boxes, 4), classes (N, boxes) and sizes (N, 2), received {shapes}"
            )
        there = self.classes != NO_BOX
        left, top, right, bottom = np.moveaxis(self.corners, 2, 0)
        height, width = self.sizes.T[:, :, None]
        good = (left >= 0) & (left < right) & (right <= width) & (top >= 0) & (top < bottom) & (bottom <= height)
        good &= (self.classes >= 0) & (self.classes < len(self.names))
        if (there & ~good).any():
            i, box = np.argwhere(there & ~good)[0]
            high, wide = self.sizes[i]
            raise UsageError(
                f"boxes: expected left < right and top < bottom inside of the picture and a class below "
                f"{len(self.names)}, received {self.corners[i, box].tolist()} of class {self.classes[i, box]} in "
                f"picture {i} of {high}x{wide}"
            )

    def __len__(self) -> int:
        return len(self.classes)

    def subset(self, at: At) -> Self:
        picked = np.asarray(at, dtype=np.int64)
        return replace(self, corners=self.corners[picked], classes=self.classes[picked], sizes=self.sizes[picked])

    def stack(self, at: At, record: ImageInput | None = None, margin: bool = False) -> np.ndarray:
        part = self.subset(at)
        corners = part.corners.astype(np.float32)
        if record is not None and len(part):
            corners = np.stack([_place(*pair, record, margin) for pair in zip(corners, part.sizes, strict=True)])
        there = (part.classes != NO_BOX) & (corners[..., 2] > corners[..., 0])
        rows = np.concatenate([part.classes[..., None].astype(np.float32), corners], axis=2)
        return np.where(there[..., None], rows, np.asarray([NO_BOX, 0, 0, 0, 0], np.float32)).astype(np.float32)

    def strata(self) -> np.ndarray | None:
        if self.classes.shape[1] == 1 and (self.classes != NO_BOX).all():
            return self.classes[:, 0]
        return (self.classes[:, :, None] == np.arange(len(self.names))).any(axis=1).astype(np.uint8)

    def facts(self) -> Facts:
        counts = np.bincount(self.classes[self.classes != NO_BOX], minlength=len(self.names))
        return Facts("box", len(self), self.names, tuple(counts.tolist()), boxes=self.classes.shape[1])

    def followed_by(self, others: Sequence[Targets]) -> Self:
        parts = [self, *alike(self, others)]
        _check_names([part.names for part in parts])
        most = max(part.classes.shape[1] for part in parts)
        room = [(0, most - part.classes.shape[1]) for part in parts]
        corners = [np.pad(part.corners, ((0, 0), more, (0, 0))) for part, more in zip(parts, room, strict=True)]
        classes = [
            np.pad(part.classes, ((0, 0), more), constant_values=NO_BOX) for part, more in zip(parts, room, strict=True)
        ]
        return replace(
            self,
            corners=np.concatenate(corners),
            classes=np.concatenate(classes),
            sizes=np.concatenate([part.sizes for part in parts]),
        )


def mask_to_size(mask: np.ndarray, record: ImageInput, margin: bool = False) -> np.ndarray:
    """The mask, uint8 (H, W), scaled and cropped as `preprocess.to_size` does with its picture.

    Each pixel takes the id at its center. Borders are void.
    """
    place = placed((mask.shape[0], mask.shape[1]), record, margin)
    rows, columns = (_sources(*sides) for sides in zip(mask.shape, place.scaled, place.goal, strict=True))
    ids = mask[np.maximum(rows, 0)][:, np.maximum(columns, 0)]
    ids[rows < 0] = VOID
    ids[:, columns < 0] = VOID
    return ids


def _sources(stored: int, scaled: int, goal: int) -> np.ndarray:
    """For each of `goal` pixels the index of its source among `stored` pixels, int64; -1 outside."""
    at = np.arange(goal) + _begin(scaled, goal)
    return np.where((at >= 0) & (at < scaled), (2 * at + 1) * stored // (2 * scaled), -1)


def _begin(scaled: int, goal: int) -> int:
    """The first pixel of the goal in the scaled picture; negative if the goal is larger. Halves round to even."""
    return round((scaled - goal) / 2)


def _place(corners: np.ndarray, size: np.ndarray, record: ImageInput, margin: bool) -> np.ndarray:
    """Corners (boxes, 4) in a picture of `size` (height, width) as the batch has them; zeros if too little is left."""
    high, wide = (int(side) for side in size)
    place = placed((high, wide), record, margin)
    scale = np.asarray([place.scaled[1] / wide, place.scaled[0] / high] * 2)
    begin = np.asarray([_begin(place.scaled[1], place.goal[1]), _begin(place.scaled[0], place.goal[0])] * 2)
    moved = corners * scale - begin
    cut = np.clip(moved, 0, [place.goal[1], place.goal[0]] * 2)
    return np.where((_area(cut) >= LEAST_SHARE * _area(moved))[:, None], cut, 0).astype(np.float32)


def _area(corners: np.ndarray) -> np.ndarray:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def _check_names(names: Sequence[tuple[str, ...]]) -> None:
    if len(set(names)) > 1:
        raise UsageError("the parts to be joined have other classes")
