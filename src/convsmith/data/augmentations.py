"""The steps of augmentation as a user writes them: flat, typed records."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.errors import UsageError
from convsmith.base.record import Tagged, check_order, option


@dataclass(frozen=True)
class Flip(Tagged):
    """Mirror left and right with a probability."""

    probability: float = option(0.5, "probability of a flip", least=0, most=1)


@dataclass(frozen=True)
class VerticalFlip(Tagged):
    """Mirror top and bottom with a probability."""

    probability: float = option(0.5, "probability of a flip", least=0, most=1)


@dataclass(frozen=True)
class AlternatingFlip(Tagged):
    """Mirror left and right: at random in the first epoch, then each image the other way round from epoch to epoch.

    Two epochs together show both sides of every image (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds").
    """


@dataclass(frozen=True)
class Crop(Tagged):
    """Pad every side, then cut a window of the final size at a random place."""

    padding: int = option(4, "pixels added on every side", least=0)
    mode: Literal["mean", "reflect"] = option("mean", "what the padding holds: the mean color, or the mirrored image")


@dataclass(frozen=True)
class Translate(Tagged):
    """Shift by whole pixels along both axes; pixels from outside get the mean color."""

    pixels: int = option(4, "largest shift along each axis", least=0)


@dataclass(frozen=True)
class ScaleCrop(Tagged):
    """Scale the shorter side to a random length, then cut the final size at a random place.

    The range is that of He et al. 2016 for crops of 224 (section 3.4, after Simonyan and Zisserman 2015).
    """

    low: int = option(256, "shortest length of the shorter side, pixels", least=1)
    high: int = option(480, "longest length of the shorter side, pixels", least=1)

    def check(self) -> None:
        """Raise UsageError if the lengths are not in order."""
        check_order(self, "low", "high")


@dataclass(frozen=True)
class ResizedCrop(Tagged):
    """Cut a window of a random area and aspect ratio, and scale it to the final size.

    The ranges are those of Szegedy et al. 2015 (section 6).
    """

    low: float = option(0.08, "smallest area of the window, as a share of the image", above=0, most=1)
    high: float = option(1.0, "largest area of the window, as a share of the image", above=0, most=1)
    aspect: float = option(4 / 3, "width to height lies between 1/aspect and aspect", least=1)

    def check(self) -> None:
        """Raise UsageError if the areas are not in order."""
        check_order(self, "low", "high")


@dataclass(frozen=True)
class Rotate(Tagged):
    """Rotate about the center by an angle between minus and plus `degrees`; the corners get the mean color."""

    degrees: float = option(15.0, "largest angle in degrees, either way", least=0, most=180)


@dataclass(frozen=True)
class Affine(Tagged):
    """Rotate, shift, scale and shear at once; pixels from outside get the mean color."""

    degrees: float = option(10.0, "largest angle in degrees, either way", least=0, most=180)
    translate: float = option(0.1, "largest shift along each axis, as a share of the side", least=0, most=1)
    scale: float = option(0.1, "size from 1 - scale to 1 + scale", least=0, most=0.9)
    shear: float = option(10.0, "largest slant of each axis in degrees, either way", least=0, most=60)


@dataclass(frozen=True)
class Elastic(Tagged):
    """Warp smoothly: shift every pixel by Gaussian-smoothed noise (Simard, Steinkraus and Platt 2003, section 2).

    Their alpha 34 and sigma 4 shift by 1.4 pixels (standard deviation).
    """

    pixels: float = option(1.0, "standard deviation of the shift along each axis, pixels", least=0)
    sigma: float = option(4.0, "width of the smoothing, pixels: how far neighbors move together", above=0)


@dataclass(frozen=True)
class ColorJitter(Tagged):
    """Change brightness, contrast, saturation and hue, in this order, each by its own random amount.

    The first three multiply by a factor from 1 - x to 1 + x. Gray images have no saturation and no hue: set both to 0.
    """

    brightness: float = option(0.4, "largest change of brightness", least=0, most=1)
    contrast: float = option(0.4, "largest change of contrast", least=0, most=1)
    saturation: float = option(0.4, "largest change of saturation", least=0, most=1)
    hue: float = option(0.1, "largest turn of the color circle, either way; 0.5 is half of it", least=0, most=0.5)


@dataclass(frozen=True)
class Lighting(Tagged):
    """Add one random color to all pixels of an image, drawn along the principal components of the training pixels.

    (Krizhevsky, Sutskever and Hinton 2012, section 4.1.) `deviations` and `components` are the basis on a scale of 0
    to 1: the standard deviation along each component, and the components (red, green, blue) one after another. If they
    are empty, a run computes them from its training images and sets `measured`; a run on other images that takes over
    a measured basis computes it anew.
    """

    strength: float = option(0.1, "standard deviation of the random factor of each component", least=0)
    deviations: tuple[float, ...] = option((), "3 numbers; none: from the training images")
    components: tuple[float, ...] = option((), "9 numbers; none: from the training images")
    measured: bool = option(False, "whether these numbers came from a run's training images")

    def check(self) -> None:
        """Raise UsageError if the basis is neither complete nor empty."""
        if (len(self.deviations), len(self.components)) not in ((0, 0), (3, 9)):
            raise UsageError(
                "lighting: expected 3 deviations with 9 numbers of components, or neither, "
                f"received {len(self.deviations)} and {len(self.components)}"
            )


@dataclass(frozen=True)
class Noise(Tagged):
    """Add Gaussian noise to every pixel and channel."""

    deviation: float = option(0.05, "standard deviation, where black is 0 and white 1", least=0, most=1)


@dataclass(frozen=True)
class PixelFlip(Tagged):
    """Turn random pixels into their negative."""

    share: float = option(0.02, "share of the pixels", least=0, most=1)


@dataclass(frozen=True)
class Blur(Tagged):
    """Blur with a Gaussian of random width."""

    low: float = option(0.1, "smallest standard deviation, pixels", least=0)
    high: float = option(2.0, "largest standard deviation, pixels", least=0)
    probability: float = option(0.5, "probability of a blur", least=0, most=1)

    def check(self) -> None:
        """Raise UsageError if the deviations are not in order."""
        check_order(self, "low", "high")


@dataclass(frozen=True)
class Cutout(Tagged):
    """Cover a square around a random pixel with the mean color (DeVries and Taylor 2017); it may cross the border."""

    size: int = option(8, "side of the square, pixels", least=0)


@dataclass(frozen=True)
class Erase(Tagged):
    """Cover a random rectangle inside the image (random erasing, Zhong et al. 2020)."""

    probability: float = option(0.5, "probability of a rectangle", least=0, most=1)
    low: float = option(0.02, "smallest area, as a share of the image", least=0, most=1)
    high: float = option(0.33, "largest area, as a share of the image", least=0, most=1)
    aspect: float = option(3.3, "width to height lies between 1/aspect and aspect", least=1)
    fill: Literal["mean", "noise"] = option("mean", "what the rectangle holds: the mean color, or random pixels")

    def check(self) -> None:
        """Raise UsageError if the areas are not in order."""
        check_order(self, "low", "high")


@dataclass(frozen=True)
class Autoaugment(Tagged):
    """One of 25 pairs of operations, which a search on the named data set gave (Cubuk et al. 2019)."""

    policy: Literal["cifar10", "imagenet", "svhn"] = option("cifar10", "the data set that it was found on")


@dataclass(frozen=True)
class Randaugment(Tagged):
    """Several operations of one strength, one after another (Cubuk et al. 2020)."""

    operations: int = option(2, "how many", least=0, most=20)
    magnitude: int = option(9, "strength of each", least=0, most=30)


@dataclass(frozen=True)
class Trivialaugment(Tagged):
    """One operation of a random strength from a wide range (TrivialAugment Wide, Müller and Hutter 2021)."""


@dataclass(frozen=True)
class Augmix(Tagged):
    """A blend of the image and of several chains of one to three operations (Hendrycks et al. 2020).

    This step gives the augmented image alone, without the paper's consistency loss over several versions of an image.
    """

    severity: int = option(3, "strength of the operations", least=1, most=10)
    width: int = option(3, "how many chains", least=1, most=10)


@dataclass(frozen=True)
class Mixup(Tagged):
    """Blend pairs of images of a batch, and their labels by the same share (Zhang et al. 2018)."""

    alpha: float = option(0.2, "the share is drawn from Beta(alpha, alpha); 0: nothing is blended", least=0)
    probability: float = option(1.0, "probability that an image is blended", least=0, most=1)


@dataclass(frozen=True)
class Cutmix(Tagged):
    """Paste a rectangle of another image of the batch, and mix the labels by its area (Yun et al. 2019)."""

    alpha: float = option(1.0, "the share is drawn from Beta(alpha, alpha); 0: nothing is pasted", least=0)
    probability: float = option(0.5, "probability that an image gets a rectangle", least=0, most=1)


# Every augmentation, in the order of docs/augment.md.
Augment = (
    Flip | VerticalFlip | AlternatingFlip | Crop | Translate | ScaleCrop | ResizedCrop | Rotate | Affine | Elastic
    | ColorJitter | Lighting | Noise | PixelFlip | Blur | Cutout | Erase
    | Autoaugment | Randaugment | Trivialaugment | Augmix | Mixup | Cutmix
)  # fmt: skip
# The augmentations that need a second image and give shares of classes as labels.
MIXING = (Mixup, Cutmix)
MIRRORS = (Flip, VerticalFlip, AlternatingFlip)
