"""Linear filters along rows and columns, a pair for each sample: scaling of windows, and blur.

A filter is a matrix. Weights are multiples of 2**-16 and pixels are whole numbers, so sums are exact in float32 in any
order. So a sample's result does not depend on its batch or on the device.
"""

from functools import cache

import torch
from torch import Tensor


def filtered(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """uint8 (N, C, H, W) times `rows` (N or 1, h, H), then `columns` (N or 1, w, W), each rounded: (N, C, h, w)."""
    count, channels, height, width = images.shape
    rows, columns = _exact(rows).expand(count, -1, -1), _exact(columns).expand(count, -1, -1)
    across = torch.bmm(images.reshape(count, channels * height, width).float(), columns.transpose(1, 2))
    across = _whole(across).view(count, channels, height, -1).transpose(1, 2).reshape(count, height, -1)
    down = _whole(torch.bmm(rows, across)).view(count, rows.shape[1], channels, -1)
    return down.transpose(1, 2).to(torch.uint8).contiguous()


def nearest(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of (N, C, H, W), any dtype, at `rows` (int64, N, h) and `columns` (int64, N, w): (N, C, h, w)."""
    count, channels, _, width = images.shape
    lines = images.gather(2, rows[:, None, :, None].expand(count, channels, -1, width))
    return lines.gather(3, columns[:, None, None].expand(count, channels, rows.shape[1], -1))


def nearest_pixels(begins: Tensor, lengths: Tensor, out: int) -> Tensor:
    """The pixel at the center of each of `out` equal parts of the `lengths` pixels from `begins` on: int64 (N, out)."""
    odd = 2 * torch.arange(out, device=begins.device) + 1
    return begins[:, None] + odd * lengths[:, None] // (2 * out)


def scaling(begins: Tensor, lengths: Tensor, size: int, out: int) -> Tensor:
    """Matrices float64 (N, out, size) that scale the `lengths` pixels (int64) from `begins` on to `out` pixels.

    They interpolate linearly over the pixels that one pixel of the result covers: "bilinear with antialiasing".
    """
    device = begins.device
    scale = (lengths.double() / out)[:, None, None]
    centers = begins[:, None, None] + (torch.arange(out, device=device)[:, None] + 0.5) * scale
    at = torch.arange(size, device=device)
    weights = (1 - (at + 0.5 - centers).abs() / scale.clamp(min=1)).clamp_(min=0)
    inside = (at >= begins[:, None]) & (at < (begins + lengths)[:, None])
    weights *= inside[:, None]
    return weights / weights.sum(2, keepdim=True)


def gaussian(sigmas: Tensor, size: int, radius: int) -> Tensor:
    """Matrices float64 (N, size, size) that blur with Gaussians of deviations `sigmas` (pixels), mirrored at the ends.

    A Gaussian is cut at `radius` pixels, less than `size`; a deviation of 0 changes nothing.
    """
    distances = torch.arange(-radius, radius + 1, device=sigmas.device)
    bell = torch.exp(-((distances / sigmas.double().clamp(min=1e-3)[:, None]) ** 2) / 2)
    bell /= bell.sum(1, keepdim=True)
    return (bell @ _mirrored(size, radius, sigmas.device)).view(-1, size, size)


@cache
def _mirrored(size: int, radius: int, device: torch.device) -> Tensor:
    """For each distance, the matrix that moves pixels by it: float64 (2 radius + 1, size * size)."""
    at = torch.arange(size)[None] + torch.arange(-radius, radius + 1)[:, None]
    at = (size - 1) - ((size - 1) - at.abs()).abs()
    return torch.nn.functional.one_hot(at, size).flatten(1).double().to(device)


def _exact(weights: Tensor) -> Tensor:
    return (weights * 65536).round_().div_(65536).float()


def _whole(values: Tensor) -> Tensor:
    # A row of rounded weights may add up to slightly more than 1.
    return values.add_(0.5).floor_().clamp_(0, 255)
