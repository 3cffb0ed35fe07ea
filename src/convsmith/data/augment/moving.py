"""Masks and boxes move with their picture: by the same keys, each number whole, void where the outside comes in."""

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
from convsmith.data.preprocess import Preprocess
from convsmith.data.targets import Kind

Size = tuple[int, int]


def augment_batch(
    batch: Batch, kind: Kind, augments: tuple[Augment, ...], seed: int, epoch: int, preprocess: Preprocess
) -> Batch:
    """The batch after every augmentation but mixing (`augment`); targets of a `kind` that moves move along.

    Masks are uint8 (N, H, W), boxes float32 (N, boxes, 5) as `Boxes` has them. A box becomes the smallest one that
    holds what is seen of it; one of which less than a tenth of the area is seen is dropped.
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
    """Masks (N, H, W) moved: (N, h, w), each pixel from `at` (`places`), void where that is outside."""
    found = masks.flatten(1).gather(1, at.flatten(1).clamp(min=0).long()).view(at.shape)
    return torch.where(at < 0, VOID, found)


def moved_boxes(boxes: Tensor, at: Tensor, width: int) -> Tensor:
    """Boxes (N, boxes, 5) of pictures `width` wide, whose pixels come from `at` (`places`, N, h, w).

    A box is a mask of one rectangle: a pixel of the result belongs to it if the middle of the pixel that it comes from
    lies inside. Its corners are those of the smallest rectangle around these pixels.
    """
    inside = at >= 0
    y, x = at.div(width, rounding_mode="floor") + 0.5, at.remainder(width) + 0.5
    each = _area_of_a_pixel(at, width)
    found = torch.full_like(boxes, 0)
    for number in range(boxes.shape[1]):
        kind, left, top, right, bottom = (part[:, None, None] for part in boxes[:, number].unbind(1))
        seen = inside & (kind != NO_BOX) & (x >= left) & (x < right) & (y >= top) & (y < bottom)
        area = ((right - left) * (bottom - top)).flatten()
        kept = (seen.sum((1, 2)) * each >= LEAST_SHARE * area) & seen.any(2).any(1)
        columns, rows = (_ends(seen.any(axis)) for axis in (1, 2))
        corners = torch.stack((columns.first, rows.first, columns.last + 1, rows.last + 1), 1)
        found[:, number, 0] = torch.where(kept, boxes[:, number, 0], NO_BOX)
        found[:, number, 1:] = torch.where(kept[:, None], corners, 0).to(boxes.dtype)
    return found


@dataclass(frozen=True)
class _Ends:
    first: Tensor
    last: Tensor


def _ends(marked: Tensor) -> _Ends:
    """The first and the last index of bool (N, L) that is true."""
    return _Ends(marked.int().argmax(1), marked.shape[1] - 1 - marked.int().flip(1).argmax(1))


def _area_of_a_pixel(at: Tensor, width: int) -> Tensor:
    """float64 (N): the area of the source that a pixel of the result shows.

    It is the determinant of the affine map that is nearest: the mean steps along x and y from a pixel to the next one.
    """
    y, x = at.div(width, rounding_mode="floor").double(), at.remainder(width).double()
    steps: list[Tensor] = []
    for axis in (1, 2):
        length = at.shape[axis] - 1
        here, there = (at.narrow(axis, begin, length) >= 0 for begin in (0, 1))
        pairs = here & there
        count = pairs.sum((1, 2)).clamp(min=1)
        for source in (x, y):
            step = (source.narrow(axis, 1, length) - source.narrow(axis, 0, length)) * pairs
            # The size is the mean of sizes: a mirrored border goes back as far as it goes on.
            steps.append(step.abs().sum((1, 2)) / count * step.sum((1, 2)).sign())
    x_down, y_down, x_across, y_across = steps
    return (x_across * y_down - x_down * y_across).abs()


def mixed_by_kind(targets: Tensor, kind: Kind, mixtures: tuple[Mixture, ...], classes: int) -> Tensor:
    """The targets of a batch after what `mix` did: shares of classes, pasted masks; others stay as they are."""
    if kind in ("class", "labels"):
        return mixed_targets(targets, mixtures, classes)
    return pasted_masks(targets, mixtures) if kind == "mask" else targets


def pasted_masks(masks: Tensor, mixtures: tuple[Mixture, ...]) -> Tensor:
    """Masks (N, H, W) after what `mix` did: CutMix pastes the partner's mask with its pixels. Mixup is refused."""
    for mixture in mixtures:
        if mixture.pasted is None:
            raise UsageError("mixup: it blends two pictures, so that no mask fits them; leave mixup out")
        masks = torch.where(mixture.pasted[:, 0], masks.index_select(0, mixture.partners), masks)
    return masks


def resized_targets(targets: Tensor, kind: Kind, full: Sequence[int], size: Sequence[int]) -> Tensor:
    """The targets of a batch whose pictures are scaled from `full` to `size`, as progressive resizing does.

    In masks each pixel takes the id in its middle.
    """
    if tuple(full) == tuple(size) or kind not in ("mask", "box"):
        return targets
    if kind == "box":
        scale = torch.tensor([1.0, size[1] / full[1], size[0] / full[0]], device=targets.device)
        return targets * scale[[0, 1, 2, 1, 2]]
    begin = torch.zeros(len(targets), dtype=torch.int64, device=targets.device)
    rows, columns = (nearest_pixels(begin, begin + have, want) for have, want in zip(full, size, strict=True))
    return nearest(targets[:, None], rows, columns)[:, 0]
