"""Rotation, affine maps and smooth warping, which interpolate each pixel of the result.

A map gives the place in the image of each pixel of the result, in pixels from the center.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from convsmith.data import keys as counter
from convsmith.data.augment.constants import constant
from convsmith.data.augment.frame import Frame, Sampling
from convsmith.data.augment.resample import gaussian
from convsmith.data.augmentations import Affine, Elastic, Rotate

# A Gaussian is cut at three deviations.
REACH = 3


def rotate(images: Tensor, keys: Tensor, step: Rotate, frame: Frame) -> Tensor:
    """Rotate (N, C, H, W) by a random angle of up to the step's degrees in either direction."""
    angles = counter.between(keys, -step.degrees, step.degrees)
    return mapped(images, inverse(linear(angles)), frame.fill, frame.sampling) if step.degrees else images


def affine(images: Tensor, keys: Tensor, step: Affine, frame: Frame) -> Tensor:
    """Rotate, scale, shear and shift (N, C, H, W), each by its own random amount."""
    height, width = images.shape[2:]
    draws = [counter.between(counter.fork(keys, i), -1, 1) for i in range(6)]
    forward = linear(draws[0] * step.degrees, 1 + draws[1] * step.scale, draws[2] * step.shear, draws[3] * step.shear)
    shift = torch.stack((draws[4] * (step.translate * width), draws[5] * (step.translate * height)), 1)
    if not (step.degrees or step.translate or step.scale or step.shear):
        return images
    return mapped(images, inverse(forward, shift), frame.fill, frame.sampling)


def elastic(images: Tensor, keys: Tensor, step: Elastic, frame: Frame) -> Tensor:
    """Shift every pixel of (N, C, H, W) by smoothed noise."""
    if step.pixels == 0:
        return images
    return displaced(images, smooth_shifts(keys, images.shape[2:], step), frame.fill, frame.sampling)


def smooth_shifts(keys: Tensor, size: tuple[int, ...], step: Elastic) -> Tensor:
    """A shift (right, down) in pixels for each pixel, float64 (N, H, W, 2), of the step's deviation far from edges."""
    height, width = size
    noise = counter.words(keys, 2 * height * width).double().view(-1, 2, height, width) / (65536 / math.sqrt(12))
    rows, columns = (_smoothing(step.sigma, side, keys.device) for side in size)
    # One matrix for all samples. In float64, since a product may differ in the last bit with the size of the batch,
    # and such a difference must not reach a pixel.
    smooth = rows @ noise @ columns.T
    middle = rows[height // 2].square().sum().sqrt() * columns[width // 2].square().sum().sqrt()
    return (smooth * (step.pixels / middle)).permute(0, 2, 3, 1)


def linear(
    degrees: Tensor, scale: Tensor | float = 1.0, shear_x: Tensor | float = 0.0, shear_y: Tensor | float = 0.0
) -> Tensor:
    """Matrices float64 (N, 2, 2): shear along y, then x, rotate counter-clockwise, then scale; angles in degrees."""
    turn, x, y = (torch.deg2rad(_tensor(a, degrees.device)) for a in (degrees, shear_x, shear_y))
    cosine, sine, x, y = turn.cos(), turn.sin(), x.tan(), y.tan()
    # Rows of pixels are counted downwards, so a counter-clockwise rotation has its minus sign below.
    first = torch.stack((cosine - sine * y, sine - x * (cosine - sine * y)), -1)
    second = torch.stack((-sine - cosine * y, cosine + x * (sine + cosine * y)), -1)
    return torch.stack((first, second), 1) * _tensor(scale, degrees.device).view(-1, 1, 1)


def _tensor(value: Tensor | float, device: torch.device) -> Tensor:
    """The value as a tensor. The device fills in a number itself, so nothing waits for a copy."""
    return value if isinstance(value, Tensor) else torch.full((), value, device=device)


def inverse(forward: Tensor, shift: Tensor | None = None) -> Tensor:
    """The inverse map (N, 2, 3) of x -> `forward` (N, 2, 2) x + `shift` (N, 2), (right, down)."""
    (a, b), (c, d) = (row.unbind(1) for row in forward.unbind(1))
    back = torch.stack((torch.stack((d, -b), 1), torch.stack((-c, a), 1)), 1) / (a * d - b * c).view(-1, 1, 1)
    if shift is None:
        return torch.cat((back, torch.zeros_like(back[:, :, :1])), 2)
    return torch.cat((back, -(back * shift[:, None]).sum(2, keepdim=True)), 2)


def mapped(images: Tensor, maps: Tensor, fill: Tensor, sampling: Sampling = "bilinear") -> Tensor:
    """The images (N, C, H, W) under affine `maps` (float64, N, 2, 3), with `fill` (C) outside."""
    x, y = _centered(images)
    # Written out, since a matrix product may add in another order for another batch size.
    m = maps[:, :, :, None, None]
    across = _shares(m[:, 0, 0] * x, images.shape[3]) + _shares(m[:, 0, 1] * y + m[:, 0, 2], images.shape[3])
    down = _shares(m[:, 1, 0] * x, images.shape[2]) + _shares(m[:, 1, 1] * y + m[:, 1, 2], images.shape[2])
    return _looked_up(images, across, down, fill, sampling)


def displaced(images: Tensor, shifts: Tensor, fill: Tensor, sampling: Sampling = "bilinear") -> Tensor:
    """The images (N, C, H, W) with each pixel read `shifts` (float64, N, H, W, 2: right, down) pixels away."""
    x, y = _centered(images)
    across = _shares(x + shifts[..., 0], images.shape[3])
    return _looked_up(images, across, _shares(y + shifts[..., 1], images.shape[2]), fill, sampling)


def _shares(pixels: Tensor, side: int) -> Tensor:
    """Distances from the center as shares of half the side, float32, as grid_sample expects them."""
    return (pixels / (side / 2)).float()


def _looked_up(images: Tensor, across: Tensor, down: Tensor, fill: Tensor, sampling: Sampling) -> Tensor:
    outside = fill.view(1, -1, 1, 1).float()
    # grid_sample pads with zeros. The fill is subtracted before and added after, so the padding is the fill, and is
    # interpolated at the border as pixels are.
    grid = torch.stack((across, down), 3)
    pixels = grid_sample(images.float().sub_(outside), grid, sampling, "zeros", align_corners=False)
    return pixels.add_(outside).round_().to(images.dtype)


def _centered(images: Tensor) -> tuple[Tensor, Tensor]:
    """The distances of the pixels from the center: float64 x (1, W) and y (H, 1)."""
    height, width = images.shape[2:]
    x = torch.arange(width, dtype=torch.float64, device=images.device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float64, device=images.device) - (height - 1) / 2
    return x[None], y[:, None]


def _smoothing(sigma: float, side: int, device: torch.device) -> Tensor:
    sigmas = constant((sigma,), torch.float64, device)
    return gaussian(sigmas, side, min(math.ceil(REACH * sigma), side - 1))[0]
