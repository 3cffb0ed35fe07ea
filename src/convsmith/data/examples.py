"""Examples: images with their targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from convsmith.data.image_sets import ArrayImages, Images, join_images
from convsmith.data.targets import ClassLabels, Targets, label_array


# eq=False as for sets of images.
@dataclass(frozen=True, eq=False)
class Examples:
    """An ordered set of images with a target for each."""

    images: Images
    targets: Targets

    def __post_init__(self) -> None:
        if len(self.images) != len(self.targets):
            raise ValueError(f"expected as many targets as images, received {len(self.targets)} and {len(self.images)}")

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        """The name of example `i` for errors and reports (`Images.name`)."""
        return self.images.name(i)

    def place(self, i: int) -> str:
        """The place of example `i` within its data set (`Images.place`)."""
        return self.images.place(i)

    def read(self, i: int, least: int | None = None) -> Image.Image | np.ndarray:
        """The image of example `i` (`Images.read`)."""
        return self.images.read(i, least)

    def subset(self, at: Sequence[int] | np.ndarray) -> "Examples":
        """The examples at `at`, in that order; the images themselves are shared, not copied."""
        picked = np.asarray(at, dtype=np.int64)
        return Examples(self.images.subset(picked), self.targets.subset(picked))

    @property
    def labels(self) -> np.ndarray:
        """The classes, int64 (N,); or 0 or 1 for each class, uint8 (N, classes), if an image may have several.

        Raises UsageError for other targets.
        """
        return label_array(self.targets)


def join(parts: Sequence[Examples]) -> Examples:
    """All examples of the parts, one part after the other."""
    first, *others = (part.targets for part in parts)
    return Examples(join_images([part.images for part in parts]), first.followed_by(others))


def images_of_classes(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """The number of images of each class; an image with several labels counts for each of its classes."""
    counts = np.bincount(labels, minlength=classes) if labels.ndim == 1 else labels.sum(axis=0, dtype=np.int64)
    return tuple(int(count) for count in counts)


def from_arrays(images: np.ndarray, labels: np.ndarray, origin: str) -> Examples:
    """Examples of images uint8 (N, H, W) or (N, H, W, C) and as many labels."""
    images = images[..., None] if images.ndim == 3 else images
    return Examples(ArrayImages(images, origin, np.arange(len(labels))), ClassLabels(labels.astype(np.int64)))


def spread(count: int, limit: int) -> np.ndarray:
    """At most `limit` of `count` indices, ascending: one from each of `limit` equal intervals.

    The place inside the interval varies by the golden ratio. With a fixed step the mean of a sample of MNIST is 6% off,
    since its even and its odd images come from different writers.
    """
    if count <= limit:
        return np.arange(count)
    ends = np.arange(limit + 1) * count // limit
    places = (np.arange(limit) * ((5**0.5 - 1) / 2)) % 1
    return ends[:-1] + (places * np.diff(ends)).astype(np.int64)
