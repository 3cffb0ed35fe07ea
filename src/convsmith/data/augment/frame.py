"""What the operations of an augmentation share."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Sampling = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class Frame:
    """What the steps share: the final size (height, width), what comes into sight (C, of the images' dtype), the epoch.

    `sampling` says how a warp reads a place between the pixels. With `labels` the images are planes of numbers, such as
    ids of classes: no number is mixed with another, and a step that only changes colors does nothing.
    """

    size: tuple[int, int]
    fill: Tensor
    epoch: int = 0
    sampling: Sampling = "bilinear"
    labels: bool = False
