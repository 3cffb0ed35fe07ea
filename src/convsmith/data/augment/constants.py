"""Numbers that every batch needs on its device, copied there once, since each copy waits for the GPU."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The values as a cached tensor, which no caller may change."""
    return torch.tensor(values, dtype=dtype, device=device)
