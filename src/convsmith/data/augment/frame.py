"""The settings that all operations of an augmentation share."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Sampling = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class Frame:
    """The settings that all steps share: the final size (height, width), the fill (C, of the images' dtype), the epoch.

    The fill is the color of pixels from outside of the image. `sampling` says how a warp interpolates. With `labels`
    the images are planes of numbers, such as class ids: these are never blended, and color steps do nothing.
    """

    size: tuple[int, int]
    fill: Tensor
    epoch: int = 0
    sampling: Sampling = "bilinear"
    labels: bool = False
