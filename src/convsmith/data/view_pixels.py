"""The views of a uint8 batch, as pure functions of the images, each with its share of the answer."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from convsmith.data import keys as counter
from convsmith.data.augment.geometry import center, padded
from convsmith.data.augment.noise import noisy
from convsmith.data.augmentations import Crop
from convsmith.data.views import Dense, Mirror, Noisy, TenCrop, Translate, View, pick

Size = tuple[int, int]


def seen(images: Tensor, views: Sequence[View], size: Size, fill: Tensor) -> Iterator[tuple[float, Tensor]]:
    """Each view of a batch (N, C, H, W) at one scale and its share; the shares add up to one.

    All are of `size` (height, width), but dense ones, which are whole. `fill` (uint8, C) is what padding holds.
    """
    chosen = pick(views, Noisy)
    for share, view in _placed(images, views, size, fill):
        if chosen:
            # By the image itself: in any batch and order, and in `predict` as in `eval`, it gets the same noise.
            image_keys = fingerprints(view)
            for draw in range(chosen.count):
                keys = counter.keys(chosen.seed, 0, image_keys, draw)
                yield share / chosen.count, noisy(view, keys, chosen.deviation)
        else:
            yield share, view


def fingerprints(images: Tensor) -> Tensor:
    """int64 (N): a number for each of uint8 (N, C, H, W) that depends on its values and their places alone."""
    flat = images.flatten(1)
    eights = functional.pad(flat, (0, -flat.shape[1] % 8)).view(torch.int64)
    places = counter.keys(0, 0, torch.arange(eights.shape[1], device=images.device), 0)
    return counter.fork(eights + places, 0).sum(1)


def _placed(images: Tensor, views: Sequence[View], size: Size, fill: Tensor) -> Iterator[tuple[float, Tensor]]:
    """The views by their places in the image."""
    crops, shift = pick(views, TenCrop), pick(views, Translate)
    if pick(views, Dense):
        parts = [(1.0, images)]
    elif crops:
        parts = [(0.1, crop) for crop in ten_crop(padded(images, Crop(crops.padding), fill), size)]
    elif shift:
        parts = list(zip((0.5, 0.25, 0.25), shifted(center(images, size), shift.pixels, fill), strict=True))
    else:
        parts = [(1.0, center(images, size))]
    for share, view in parts:
        if pick(views, Mirror):
            yield share / 2, view
            yield share / 2, view.flip(-1)
        else:
            yield share, view


def ten_crop(images: Tensor, size: Size) -> tuple[Tensor, ...]:
    """The upper left, upper right, lower left and lower right corner and the center, then those of the mirror image."""
    return (*_five_crop(images, size), *_five_crop(images.flip(-1), size))


def shifted(images: Tensor, pixels: int, fill: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The images, and them seen from `pixels` further up and left, and further down and right; borders mirror."""
    height, width = images.shape[2:]
    canvas = padded(images, Crop(pixels, "reflect"), fill)
    return images, canvas[:, :, :height, :width], canvas[:, :, 2 * pixels :, 2 * pixels :]


def _five_crop(images: Tensor, size: Size) -> tuple[Tensor, ...]:
    bottom, right = images.shape[2] - size[0], images.shape[3] - size[1]
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right))
    cut = (images[:, :, top : top + size[0], left : left + size[1]] for top, left in corners)
    return (*cut, center(images, size))


def log_mean(logarithms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The logarithm of the weighted mean of probabilities that are given with their shares, as logarithms."""
    return torch.logsumexp(torch.stack([each + torch.tensor(share).log() for share, each in logarithms]), dim=0)
