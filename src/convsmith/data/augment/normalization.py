"""The normalization of a batch by the preprocessing record, and the fill color that it maps to nearly zero."""

from functools import cache

import torch
from torch import Tensor

from convsmith.data.preprocess import ImageInput


def normalize(
    images: Tensor,
    preprocess: ImageInput,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """(x / 255 - mean) / std of uint8 (N, C, H, W), computed in float32 as `preprocess.normalize` does."""
    mean, std, _ = _constants(preprocess, images.device)
    scaled = images.to(torch.float32, memory_format=memory_format).div_(255).sub_(mean).div_(std)
    return scaled.to(dtype)


def mean_color(preprocess: ImageInput, device: torch.device) -> Tensor:
    """The rounded mean, uint8 (C), which normalization maps to nearly zero."""
    return _constants(preprocess, device)[2]


@cache
def _constants(preprocess: ImageInput, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and fill on the device; cached, since copying them for every batch would wait for the device."""
    mean = torch.tensor(preprocess.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(preprocess.std, device=device).view(1, -1, 1, 1)
    fill = torch.tensor([round(value * 255) for value in preprocess.mean], dtype=torch.uint8, device=device)
    return mean, std, fill
