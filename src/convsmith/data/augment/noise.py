"""Gaussian noise, flipped pixels, and blur."""

import math
from functools import cache

import torch
from torch import Tensor

from convsmith.data import keys as counter
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.resample import filtered, gaussian
from convsmith.data.augment.warp import REACH
from convsmith.data.augmentations import Blur, Noise, PixelFlip


def noise(images: Tensor, keys: Tensor, step: Noise, frame: Frame) -> Tensor:
    """Add Gaussian noise to every value of uint8 (N, C, H, W) (`noisy`)."""
    return noisy(images, keys, step.deviation)


def noisy(images: Tensor, keys: Tensor, deviation: float) -> Tensor:
    """Add Gaussian noise of `deviation` (1 is white) to every value of uint8 (N, C, H, W).

    The noise is drawn from 65,536 quantiles of the normal distribution, which reach 4.3 deviations.
    """
    size = images[0].numel()
    drawn = _quantiles(images.device)[counter.words(keys, size).int() + 32768]
    changed = drawn.mul_(deviation * 255).view(images.shape).add_(images)
    return changed.round_().clamp_(0, 255).to(torch.uint8)


def pixel_flip(images: Tensor, keys: Tensor, step: PixelFlip, frame: Frame) -> Tensor:
    """Turn random pixels of uint8 (N, C, H, W), all channels at once, into their negative."""
    count, _, height, width = images.shape
    chosen = counter.words(keys, height * width).int() + 32768 < round(step.share * 65536)
    return torch.where(chosen.view(count, 1, height, width), ~images, images)


def blur(images: Tensor, keys: Tensor, step: Blur, frame: Frame) -> Tensor:
    """Blur uint8 (N, C, H, W) with Gaussians of random width; the borders are mirrored."""
    sigmas = counter.between(counter.fork(keys, 0), step.low, step.high)
    chosen = counter.uniform(counter.fork(keys, 1)) < step.probability
    return blurred(images, torch.where(chosen, sigmas, 0.0), math.ceil(REACH * step.high))


def blurred(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """The images, uint8 (N, C, H, W), blurred with Gaussians of `sigmas` pixels (N), cut at `radius` pixels."""
    rows, columns = (gaussian(sigmas, side, min(radius, side - 1)) for side in images.shape[2:])
    return filtered(images, rows, columns)


@cache
def _quantiles(device: torch.device) -> Tensor:
    """The quantiles of the normal distribution at the centers of 65,536 equal shares, float32 (65536)."""
    return torch.special.ndtri((torch.arange(65536, dtype=torch.float64) + 0.5) / 65536).float().to(device)
