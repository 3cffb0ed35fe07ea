"""Flips, shifts, crops and scaled crops. They move pixels; only scaling makes new values."""

import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data import keys as counter
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.resample import filtered, nearest, nearest_pixels, scaling
from convsmith.data.augmentations import AlternatingFlip, Crop, Flip, ResizedCrop, ScaleCrop, Translate, VerticalFlip
from convsmith.report.text import many

# The most draws of a window of a random shape until one fits.
_TRIES = 10


def flip(images: Tensor, keys: Tensor, step: Flip, frame: Frame) -> Tensor:
    """Mirror left and right with the step's probability, which each image's key decides."""
    return _where(counter.uniform(keys) < step.probability, images.flip(-1), images)


def vertical_flip(images: Tensor, keys: Tensor, step: VerticalFlip, frame: Frame) -> Tensor:
    """Mirror top and bottom with the step's probability, which each image's key decides."""
    return _where(counter.uniform(keys) < step.probability, images.flip(-2), images)


def alternating_flip(images: Tensor, keys: Tensor, step: AlternatingFlip, frame: Frame) -> Tensor:
    """Mirror left and right half of the images in epoch 0, then each image every second epoch.

    `keys` must be those of the samples in epoch 0, so that a sample has the same key in every epoch.
    """
    return _where((counter.uniform(keys) < 0.5) ^ (frame.epoch % 2 == 1), images.flip(-1), images)


def crop(images: Tensor, keys: Tensor, step: Crop, frame: Frame) -> Tensor:
    """Pad (N, C, H, W) on every side, then cut a window of the final size at a corner that the key draws.

    Mode `mean` pads with the frame's fill, the rounded mean, which normalization maps to nearly zero: papers pad with
    zeros after normalization.
    """
    canvas, size = padded(images, step, frame.fill), frame.size
    rows, columns = canvas.shape[2] - size[0] + 1, canvas.shape[3] - size[1] + 1
    if rows < 1 or columns < 1:
        raise UsageError(f"crop: cannot cut {size} from images of {tuple(images.shape[2:])} padded by {step.padding}")
    if rows == columns == 1:
        return canvas
    return _random_windows(canvas, keys, size)


def translate(images: Tensor, keys: Tensor, step: Translate, frame: Frame) -> Tensor:
    """Shift (N, C, H, W) along each axis; pixels from outside get the frame's fill."""
    if step.pixels == 0:
        return images
    return _random_windows(padded(images, Crop(step.pixels), frame.fill), keys, (images.shape[2], images.shape[3]))


def scale_crop(images: Tensor, keys: Tensor, step: ScaleCrop, frame: Frame) -> Tensor:
    """Scale the shorter side to a random length of the step's range, then cut the final size at random.

    Only the window that the final size covers in the unscaled image is scaled; its sides are whole pixels.
    """
    short = min(images.shape[2:])
    lengths = counter.integers(counter.fork(keys, 0), step.low, step.high + 1)
    sides = [
        (goal * short / lengths.double()).round().long().clamp(1, side)
        for goal, side in zip(frame.size, images.shape[2:], strict=True)
    ]
    return _scaled_windows(images, counter.fork(keys, 1), sides[0], sides[1], frame)


def resized_crop(images: Tensor, keys: Tensor, step: ResizedCrop, frame: Frame) -> Tensor:
    """Cut a window of a random area and aspect ratio and scale it to the final size.

    If no drawn window fits, it is the largest one of an allowed aspect ratio, as in torchvision's RandomResizedCrop.
    """
    rows, columns = images.shape[2:]
    height, width = random_shapes(counter.fork(keys, 0), (rows, columns), step.low, step.high, step.aspect)
    empty = height == 0
    height = torch.where(empty, min(rows, round(columns * step.aspect)), height)
    width = torch.where(empty, min(columns, round(rows * step.aspect)), width)
    return _scaled_windows(images, counter.fork(keys, 1), height, width, frame)


def center(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The center of (N, C, H, W) of `size`, as `preprocess.center` cuts it; the batch itself if it has that size."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    top, left = (round((have - want) / 2) for have, want in zip(images.shape[2:], size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]]


def random_shapes(keys: Tensor, size: tuple[int, int], low: float, high: float, aspect: float) -> tuple[Tensor, Tensor]:
    """Heights and widths (int64, N) of windows in `size`: area uniform in [low, high), logarithm of the aspect uniform.

    A window is the first of ten draws that fits and is not empty; 0 by 0 if none does.
    """
    total = size[0] * size[1]
    area = total * counter.between(counter.forks(counter.fork(keys, 0), _TRIES), low, high)
    # In float64, so that devices whose exp and log differ in the last bit give the same whole pixels.
    ratio = aspect ** counter.between(counter.forks(counter.fork(keys, 1), _TRIES), -1, 1)
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (heights >= 1) & (heights <= size[0]) & (widths >= 1) & (widths <= size[1])
    first = fits.int().argmax(1, keepdim=True)
    height, width = (torch.where(fits, sides, 0).gather(1, first).squeeze(1) for sides in (heights, widths))
    return height, width


def resized(
    images: Tensor, corners: tuple[Tensor, Tensor], sides: tuple[Tensor, Tensor], size: tuple[int, int],
    labels: bool = False,
) -> Tensor:  # fmt: skip
    """The windows at `corners` (top, left) of `sides` (height, width), each int64 (N), scaled to `size`.

    With `labels` nothing is interpolated: each pixel takes the number at its center.
    """
    if labels:
        rows, columns = (nearest_pixels(*part) for part in zip(corners, sides, size, strict=True))
        return nearest(images, rows, columns)
    rows = scaling(corners[0], sides[0], images.shape[2], size[0])
    columns = scaling(corners[1], sides[1], images.shape[3], size[1])
    return filtered(images, rows, columns)


def _where(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, 1, 1, 1), yes, no)


def _scaled_windows(images: Tensor, keys: Tensor, height: Tensor, width: Tensor, frame: Frame) -> Tensor:
    top = corner(counter.fork(keys, 0), images.shape[2] - height)
    left = corner(counter.fork(keys, 1), images.shape[3] - width)
    return resized(images, (top, left), (height, width), frame.size, frame.labels)


def corner(keys: Tensor, room: Tensor) -> Tensor:
    """Random corners, int64 (N), each uniform in [0, room]."""
    return (counter.uniform(keys).double() * (room + 1)).long()


def padded(images: Tensor, step: Crop, fill: Tensor) -> Tensor:
    """The images (N, C, H, W) with the step's padding around them."""
    count, channels, height, width = images.shape
    pad = step.padding
    if pad == 0:
        return images
    canvas = fill.view(1, channels, 1, 1).repeat(count, 1, height + 2 * pad, width + 2 * pad)
    canvas[:, :, pad : pad + height, pad : pad + width] = images
    if step.mode == "reflect":
        if pad >= min(height, width):
            raise UsageError(f"crop: a reflection of {many(pad, 'pixel')} needs larger images than {height}x{width}")
        _mirror(canvas, 3, pad)
        _mirror(canvas, 2, pad)
    return canvas


def _mirror(canvas: Tensor, axis: int, pad: int) -> None:
    """Fill both borders along `axis` with the mirrored pixels beside them; the edge pixel is not repeated."""
    end = canvas.shape[axis] - pad
    canvas.narrow(axis, 0, pad).copy_(canvas.narrow(axis, pad + 1, pad).flip(axis))
    canvas.narrow(axis, end, pad).copy_(canvas.narrow(axis, end - 1 - pad, pad).flip(axis))


def _random_windows(canvas: Tensor, keys: Tensor, size: tuple[int, int]) -> Tensor:
    top = counter.integers(counter.fork(keys, 0), 0, canvas.shape[2] - size[0] + 1)
    left = counter.integers(counter.fork(keys, 1), 0, canvas.shape[3] - size[1] + 1)
    return _windows(canvas, top, left, size)


def _windows(canvas: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    count, channels, height, width = canvas.shape
    canvas = canvas.contiguous()
    plane = height * width
    # A view of the window at every corner, as one long row. Indexing it copies whole rows of pixels and needs one
    # index for each image, which took half the time of the best indexing by pixels.
    corners = canvas.numel() - (channels - 1) * plane - (size[0] - 1) * width - size[1] + 1
    windows = canvas.as_strided((corners, channels, *size), (1, plane, width, 1))
    begins = torch.arange(count, device=canvas.device) * (channels * plane)
    return windows.index_select(0, begins + top * width + left)
