"""Masks and boxes moved with their picture by the same keys. Ids are never blended; pixels from outside are void."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data.augment import augment, places
from convsmith.data.augment.mix import Mixture, mixed_targets
from convsmith.data.augment.resample import nearest, nearest_pixels
from convsmith.data.augmentations import Augment
from convsmith.data.drawn import LEAST_SHARE, NO_BOX, VOID
from convsmith.data.loaders import Batch
from convsmith.data.moves import MOVES
from convsmith.data.preprocess import ImageInput
from convsmith.data.targets import Kind

Size = tuple[int, int]


def augment_batch(
    batch: Batch, kind: Kind, augments: tuple[Augment, ...], seed: int, epoch: int, preprocess: ImageInput
) -> Batch:
    """The batch after every augmentation except mixing (`augment`); targets of a `kind` that moves are moved with it.

    Masks are uint8 (N, H, W), boxes float32 (N, boxes, 5) as in `Boxes`. A box becomes the smallest box around its
    visible part, and is dropped if less than a tenth of its area is visible.
    """
    images, targets = batch.images, batch.targets
    size = (images.shape[2], images.shape[3])
    if kind in ("mask", "box") and (size != preprocess.size or any(MOVES[type(s)] in _MOVING for s in augments)):
        at = places(size, augments, seed, epoch, batch.positions, preprocess, batch.samples)
        targets = moved_masks(targets, at) if kind == "mask" else moved_boxes(targets, at, size[1])
    images = augment(images, augments, seed, epoch, batch.positions, preprocess, batch.samples)
    return batch._replace(inputs=images, targets=targets)


_MOVING = ("moves", "blends")


def moved_masks(masks: Tensor, at: Tensor) -> Tensor:
    """The moved masks (N, h, w) of masks (N, H, W): each pixel comes from `at` (`places`) and is void outside."""
    moved = masks.flatten(1).gather(1, at.flatten(1).clamp(min=0).long()).view(at.shape)
    return torch.where(at < 0, VOID, moved)


def moved_boxes(boxes: Tensor, at: Tensor, width: int) -> Tensor:
    """The moved boxes (N, boxes, 5) of pictures `width` wide, whose pixels come from `at` (`places`, N, h, w).

    A box is a mask of one rectangle: a pixel of the result belongs to the box if the center of its source pixel lies
    inside. The corners of the moved box are those of the smallest rectangle around these pixels.
    """
    inside = at >= 0
    y, x = at.div(width, rounding_mode="floor") + 0.5, at.remainder(width) + 0.5
    each = _area_of_a_pixel(at, width)
    moved = torch.full_like(boxes, 0)
    for number in range(boxes.shape[1]):
        kind, left, top, right, bottom = (part[:, None, None] for part in boxes[:, number].unbind(1))
        seen = inside & (kind != NO_BOX) & (x >= left) & (x < right) & (y >= top) & (y < bottom)
        area = ((right - left) * (bottom - top)).flatten()
        kept = (seen.sum((1, 2)) * each >= LEAST_SHARE * area) & seen.any(2).any(1)
        columns, rows = (_ends(seen.any(axis)) for axis in (1, 2))
        corners = torch.stack((columns.first, rows.first, columns.last + 1, rows.last + 1), 1)
        moved[:, number, 0] = torch.where(kept, boxes[:, number, 0], NO_BOX)
        moved[:, number, 1:] = torch.where(kept[:, None], corners, 0).to(boxes.dtype)
    return moved


@dataclass(frozen=True)
class _Ends:
    first: Tensor
    last: Tensor


def _ends(marked: Tensor) -> _Ends:
    """The first and the last true index along each row of bool (N, L)."""
    return _Ends(marked.int().argmax(1), marked.shape[1] - 1 - marked.int().flip(1).argmax(1))


def _area_of_a_pixel(at: Tensor, width: int) -> Tensor:
    """The area in source pixels that one pixel of the result shows, float64 (N).

    It is the determinant of the nearest affine map: of the mean steps along x and y from a pixel to the next.
    """
    y, x = at.div(width, rounding_mode="floor").double(), at.remainder(width).double()
    steps: list[Tensor] = []
    for axis in (1, 2):
        length = at.shape[axis] - 1
        is_inside, next_is_inside = (at.narrow(axis, begin, length) >= 0 for begin in (0, 1))
        pairs = is_inside & next_is_inside
        count = pairs.sum((1, 2)).clamp(min=1)
        for source in (x, y):
            step = (source.narrow(axis, 1, length) - source.narrow(axis, 0, length)) * pairs
            # The mean of absolute values: in a mirrored border the steps change sign and would cancel.
            steps.append(step.abs().sum((1, 2)) / count * step.sum((1, 2)).sign())
    x_down, y_down, x_across, y_across = steps
    return (x_across * y_down - x_down * y_across).abs()


def mixed_by_kind(targets: Tensor, kind: Kind, mixtures: tuple[Mixture, ...], classes: int) -> Tensor:
    """The targets of a batch after `mix`: shares of classes or pasted masks; targets of other kinds do not change."""
    if kind in ("class", "labels"):
        return mixed_targets(targets, mixtures, classes)
    return pasted_masks(targets, mixtures) if kind == "mask" else targets


def pasted_masks(masks: Tensor, mixtures: tuple[Mixture, ...]) -> Tensor:
    """Masks (N, H, W) after `mix`: CutMix pastes the partner's mask with its pixels. Raises UsageError for mixup."""
    for mixture in mixtures:
        if mixture.pasted is None:
            raise UsageError("mixup: it blends two pictures, so that no mask fits them; leave mixup out")
        masks = torch.where(mixture.pasted[:, 0], masks.index_select(0, mixture.partners), masks)
    return masks


def resized_targets(targets: Tensor, kind: Kind, full: Sequence[int], size: Sequence[int]) -> Tensor:
    """The targets of a batch whose pictures progressive resizing scales from `full` to `size`, (height, width).

    Each pixel of a mask takes the id at its center.
    """
    if tuple(full) == tuple(size) or kind not in ("mask", "box"):
        return targets
    if kind == "box":
        scale = torch.tensor([1.0, size[1] / full[1], size[0] / full[0]], device=targets.device)
        return targets * scale[[0, 1, 2, 1, 2]]
    begin = torch.zeros(len(targets), dtype=torch.int64, device=targets.device)
    rows, columns = (nearest_pixels(begin, begin + have, want) for have, want in zip(full, size, strict=True))
    return nearest(targets[:, None], rows, columns)[:, 0]
