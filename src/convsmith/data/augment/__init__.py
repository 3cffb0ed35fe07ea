"""Augmentation of uint8 batches: pure functions of images and keys, so that a sample depends on its key alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data import keys as counter
from convsmith.data.augment.colour import colour_jitter, lighting
from convsmith.data.augment.erase import cutout, erase
from convsmith.data.augment.geometry import (
    alternating_flip,
    centre,
    crop,
    flip,
    resized_crop,
    scale_crop,
    translate,
    vertical_flip,
)
from convsmith.data.augment.mix import Mixture, mix, mixed_targets
from convsmith.data.augment.noise import blur, noise, pixel_flip
from convsmith.data.augment.normalisation import mean_colour, normalise
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
    ColourJitter,
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
from convsmith.data.preprocess import Preprocess

__all__ = ["augment", "normalise", "mix", "mixed_targets", "Mixture", "centre", "crop", "flip"]


@dataclass(frozen=True)
class Frame:
    """What the steps share: the final size (height, width), the mean colour (uint8, C), the epoch."""

    size: tuple[int, int]
    fill: Tensor
    epoch: int


Apply = Callable[[Tensor, Tensor, Any, Frame], Tensor]

# What each record does to images, uint8 (N, C, H, W), with keys, int64 (N).
STEPS: dict[type, Apply] = {
    Flip: lambda images, keys, step, frame: flip(images, keys, step.probability),
    VerticalFlip: lambda images, keys, step, frame: vertical_flip(images, keys, step.probability),
    AlternatingFlip: lambda images, keys, step, frame: alternating_flip(images, keys, frame.epoch),
    Crop: lambda images, keys, step, frame: crop(images, keys, step, frame.size, frame.fill),
    Translate: lambda images, keys, step, frame: translate(images, keys, step.pixels, frame.fill),
    ScaleCrop: lambda images, keys, step, frame: scale_crop(images, keys, step, frame.size),
    ResizedCrop: lambda images, keys, step, frame: resized_crop(images, keys, step, frame.size),
    Rotate: lambda images, keys, step, frame: rotate(images, keys, step.degrees, frame.fill),
    Affine: lambda images, keys, step, frame: affine(images, keys, step, frame.fill),
    Elastic: lambda images, keys, step, frame: elastic(images, keys, step, frame.fill),
    ColourJitter: lambda images, keys, step, frame: colour_jitter(images, keys, step),
    Lighting: lambda images, keys, step, frame: lighting(images, keys, step),
    Noise: lambda images, keys, step, frame: noise(images, keys, step.deviation),
    PixelFlip: lambda images, keys, step, frame: pixel_flip(images, keys, step.share),
    Blur: lambda images, keys, step, frame: blur(images, keys, step),
    Cutout: lambda images, keys, step, frame: cutout(images, keys, step.size, frame.fill),
    Erase: lambda images, keys, step, frame: erase(images, keys, step, frame.fill),
    Autoaugment: lambda images, keys, step, frame: autoaugment(images, keys, step, frame.fill),
    Randaugment: lambda images, keys, step, frame: randaugment(images, keys, step, frame.fill),
    Trivialaugment: lambda images, keys, step, frame: trivialaugment(images, keys, frame.fill),
    Augmix: lambda images, keys, step, frame: augmix(images, keys, step, frame.fill),
}


def augment(
    images: Tensor,
    augments: tuple[Augment, ...],
    seed: int,
    epoch: int,
    positions: Tensor,
    preprocess: Preprocess,
    samples: Tensor | None = None,
) -> Tensor:
    """The batch uint8 (N, C, H, W) after every augmentation in turn, of the record's final size.

    `positions` (int64, N) are the samples' places in the epoch; each augmentation draws by its own index. `samples`
    (int64, N) are their indices in the split, which an alternating flip needs. Images that are still larger than the
    final size are cropped at their centre. Mixing is left to `mix`.
    """
    frame = Frame(preprocess.size, mean_colour(preprocess, images.device), epoch)
    for draw, step in enumerate(augments):
        if isinstance(step, MIXING):
            continue
        keys = counter.keys(seed, epoch, positions, draw)
        if isinstance(step, AlternatingFlip):
            if samples is None:
                raise UsageError("alternating_flip: it must know which image is which, and was given no `samples`")
            keys = counter.keys(seed, 0, samples, draw)
        images = STEPS[type(step)](images, keys, step, frame)
    return centre(images, preprocess.size)
