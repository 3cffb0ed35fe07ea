"""What the operations of an augmentation share."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Sampling = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class Frame:
    """What the steps share: the final size (height, width), what comes into sight (C, of the images' dtype), the epoch.

    `sampling` says how a warp looks up a place between the pixels. With `labels` what moves is no picture but planes of
    numbers, such as ids of classes: each number stays whole, and what only changes colors does nothing.
    """

    size: tuple[int, int]
    fill: Tensor
    epoch: int = 0
    sampling: Sampling = "bilinear"
    labels: bool = False
