"""Augmentation of uint8 batches: pure functions of images and keys, so that a sample depends on its key alone."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data import keys as counter
from convsmith.data.augment.color import color_jitter, lighting
from convsmith.data.augment.erase import cutout, erase
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.geometry import (
    alternating_flip,
    center,
    crop,
    flip,
    resized_crop,
    scale_crop,
    translate,
    vertical_flip,
)
from convsmith.data.augment.mix import Mixture, mix, mixed_targets
from convsmith.data.augment.noise import blur, noise, pixel_flip
from convsmith.data.augment.normalization import mean_color, normalize
from convsmith.data.augment.policy import augmix, autoaugment, randaugment, trivialaugment
from convsmith.data.augment.warp import affine, elastic, rotate
from convsmith.data.augmentations import (
    MIXING,
    Affine,
    AlternatingFlip,
    Augment,
    Augmix,
    Autoaugment,
    Blur,
    ColorJitter,
    Crop,
    Cutout,
    Elastic,
    Erase,
    Flip,
    Lighting,
    Noise,
    PixelFlip,
    Randaugment,
    ResizedCrop,
    Rotate,
    ScaleCrop,
    Translate,
    Trivialaugment,
    VerticalFlip,
)
from convsmith.data.moves import MOVES, blends
from convsmith.data.preprocess import ImageInput

__all__ = ["augment", "places", "normalize", "mix", "mixed_targets", "Mixture", "center", "crop", "flip"]

# The value in `places` of a pixel that comes from outside of the image.
OUTSIDE = -1


Apply = Callable[[Tensor, Tensor, Any, Frame], Tensor]

# The function of each record: of images, uint8 (N, C, H, W), and keys, int64 (N). Functions that move pixels
# (`data.moves`) take planes of any numbers too.
STEPS: dict[type, Apply] = {
    Flip: flip,
    VerticalFlip: vertical_flip,
    AlternatingFlip: alternating_flip,
    Crop: crop,
    Translate: translate,
    ScaleCrop: scale_crop,
    ResizedCrop: resized_crop,
    Rotate: rotate,
    Affine: affine,
    Elastic: elastic,
    ColorJitter: color_jitter,
    Lighting: lighting,
    Noise: noise,
    PixelFlip: pixel_flip,
    Blur: blur,
    Cutout: cutout,
    Erase: erase,
    Autoaugment: autoaugment,
    Randaugment: randaugment,
    Trivialaugment: trivialaugment,
    Augmix: augmix,
}


def augment(
    images: Tensor,
    augments: tuple[Augment, ...],
    seed: int,
    epoch: int,
    positions: Tensor,
    preprocess: ImageInput,
    samples: Tensor | None = None,
) -> Tensor:
    """The batch uint8 (N, C, H, W) after every augmentation in order; its size is the record's final size.

    `positions` (int64, N) are the samples' places in the epoch; each augmentation draws by its own index. `samples`
    (int64, N) are their indices in the split, which an alternating flip needs. Images that are still larger than the
    final size are cropped at their center. Mixing is left to `mix`.
    """
    frame = Frame(preprocess.size, mean_color(preprocess, images.device), epoch)
    for step, keys in _drawn(augments, seed, epoch, positions, samples):
        images = STEPS[type(step)](images, keys, step, frame)
    return center(images, preprocess.size)


def places(
    size: tuple[int, int],
    augments: tuple[Augment, ...],
    seed: int,
    epoch: int,
    positions: Tensor,
    preprocess: ImageInput,
    samples: Tensor | None = None,
) -> Tensor:
    """The place that `augment` takes each pixel from, for images of `size` (height, width): int32 (N, height, width).

    A place is row times width plus column in the original image, and -1 outside of it. If `augment` interpolates, it is
    the nearest pixel. Raises UsageError for a step that blends several places of an image.
    """
    device = positions.device
    numbers = torch.arange(size[0] * size[1], dtype=torch.int32, device=device).view(1, 1, *size)
    moved = numbers.expand(len(positions), 1, *size)
    outside = torch.full((1,), OUTSIDE, dtype=torch.int32, device=device)
    frame = Frame(preprocess.size, outside, epoch, "nearest", labels=True)
    for step, keys in _drawn(augments, seed, epoch, positions, samples):
        if MOVES[type(step)] == "blends":
            raise UsageError(blends(step))
        if MOVES[type(step)] == "moves":
            moved = STEPS[type(step)](moved, keys, step, frame)
    return center(moved, preprocess.size)[:, 0]


def _drawn(
    augments: tuple[Augment, ...], seed: int, epoch: int, positions: Tensor, samples: Tensor | None
) -> Iterator[tuple[Augment, Tensor]]:
    """Each step except mixing, with its keys."""
    for draw, step in enumerate(augments):
        if isinstance(step, MIXING):
            continue
        keys = counter.keys(seed, epoch, positions, draw)
        if isinstance(step, AlternatingFlip):
            if samples is None:
                raise UsageError("alternating_flip: it must know which image is which, and was given no `samples`")
            keys = counter.keys(seed, 0, samples, draw)
        yield step, keys
