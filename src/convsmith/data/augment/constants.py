"""Numbers that every batch needs on its device: brought there once, as a GPU is waited for when they are."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The values as a tensor that nobody may change."""
    return torch.tensor(values, dtype=dtype, device=device)
