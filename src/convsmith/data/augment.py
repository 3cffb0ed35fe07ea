"""Augmentation of uint8 batches: pure functions of images and keys, so that a sample depends on its key alone."""

from functools import cache

import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data import keys as counter
from convsmith.data.options import Augment, Crop, Flip
from convsmith.data.preprocess import Preprocess


def augment(
    images: Tensor, augments: tuple[Augment, ...], seed: int, epoch: int, positions: Tensor, preprocess: Preprocess
) -> Tensor:
    """The batch uint8 (N, C, H, W) after every augmentation in turn, of the record's final size.

    `positions` (int64, N) are the samples' places in the epoch; each augmentation draws by its own index. Images
    that are still larger than the final size are cropped at their centre.
    """
    _, _, fill = _constants(preprocess, images.device)
    for draw, step in enumerate(augments):
        keys = counter.keys(seed, epoch, positions, draw)
        if isinstance(step, Flip):
            images = flip(images, keys, step.probability)
        elif isinstance(step, Crop):
            images = crop(images, keys, step, preprocess.size, fill)
    return centre(images, preprocess.size)


def flip(images: Tensor, keys: Tensor, probability: float) -> Tensor:
    """Mirror left and right those images whose key says so."""
    chosen = counter.uniform(keys) < probability
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def crop(images: Tensor, keys: Tensor, step: Crop, size: tuple[int, int], fill: Tensor) -> Tensor:
    """Pad (N, C, H, W) on every side, then cut a window of `size` (height, width) whose corner the key tells.

    `fill` (uint8, C) is the padding of mode zero: the rounded mean, which normalisation maps to (nearly) zero, as
    papers pad after it.
    """
    canvas = _pad(images, step, fill)
    rows, columns = canvas.shape[2] - size[0] + 1, canvas.shape[3] - size[1] + 1
    if rows < 1 or columns < 1:
        raise UsageError(f"crop: cannot cut {size} from images of {tuple(images.shape[2:])} padded by {step.padding}")
    if rows == columns == 1:
        return canvas
    top = counter.integers(counter.fork(keys, 0), 0, rows)
    left = counter.integers(counter.fork(keys, 1), 0, columns)
    return _windows(canvas, top, left, size)


def centre(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of (N, C, H, W), of `size`, as `preprocess.centre` cuts it; the batch itself if it has that size."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    top, left = (round((have - want) / 2) for have, want in zip(images.shape[2:], size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]]


def normalise(
    images: Tensor,
    preprocess: Preprocess,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """(x / 255 - mean) / std of uint8 (N, C, H, W), computed in float32 as `preprocess.normalise` does."""
    mean, std, _ = _constants(preprocess, images.device)
    scaled = images.to(torch.float32, memory_format=memory_format).div_(255).sub_(mean).div_(std)
    return scaled.to(dtype)


@cache
def _constants(preprocess: Preprocess, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and fill on the device; kept, since copying them for every batch would make it wait."""
    mean = torch.tensor(preprocess.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(preprocess.std, device=device).view(1, -1, 1, 1)
    fill = torch.tensor([round(value * 255) for value in preprocess.mean], dtype=torch.uint8, device=device)
    return mean, std, fill


def _pad(images: Tensor, step: Crop, fill: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    pad = step.padding
    if pad == 0:
        return images
    canvas = fill.view(1, channels, 1, 1).repeat(count, 1, height + 2 * pad, width + 2 * pad)
    canvas[:, :, pad : pad + height, pad : pad + width] = images
    if step.mode == "reflect":
        if pad >= min(height, width):
            raise UsageError(f"crop: a reflection of {pad} pixels needs larger images than {height}x{width}")
        _mirror(canvas, 3, pad)
        _mirror(canvas, 2, pad)
    return canvas


def _mirror(canvas: Tensor, axis: int, pad: int) -> None:
    """Fill both borders along `axis` with the pixels beside them, the edge itself not repeated."""
    end = canvas.shape[axis] - pad
    canvas.narrow(axis, 0, pad).copy_(canvas.narrow(axis, pad + 1, pad).flip(axis))
    canvas.narrow(axis, end, pad).copy_(canvas.narrow(axis, end - 1 - pad, pad).flip(axis))


def _windows(canvas: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    count, channels, height, width = canvas.shape
    canvas = canvas.contiguous()
    plane = height * width
    # A view of the window at every corner, as one long row: picking windows then copies whole rows of pixels and
    # needs one index per image, which took half the time of the best indexing by pixels.
    corners = canvas.numel() - (channels - 1) * plane - (size[0] - 1) * width - size[1] + 1
    windows = canvas.as_strided((corners, channels, *size), (1, plane, width, 1))
    begins = torch.arange(count, device=canvas.device) * (channels * plane)
    return windows.index_select(0, begins + top * width + left)
