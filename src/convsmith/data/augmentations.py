"""The steps of augmentation as a user writes them: flat, typed records. No torch here."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from convsmith.base.config import kind_of, option
from convsmith.base.errors import UsageError


@dataclass(frozen=True)
class Flip:
    """Mirror left and right with a probability."""

    tagged: ClassVar[bool] = True
    probability: float = option(0.5, "probability of a flip")

    def __post_init__(self) -> None:
        _share(self, "probability")


@dataclass(frozen=True)
class VerticalFlip:
    """Mirror top and bottom with a probability."""

    tagged: ClassVar[bool] = True
    probability: float = option(0.5, "probability of a flip")

    def __post_init__(self) -> None:
        _share(self, "probability")


@dataclass(frozen=True)
class AlternatingFlip:
    """Mirror left and right: at random in the first epoch, then every image the other way round in every next epoch.

    Two epochs together show both sides of every image (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds").
    """

    tagged: ClassVar[bool] = True


@dataclass(frozen=True)
class Crop:
    """Pad every side, then cut a window of the final size at a random place."""

    tagged: ClassVar[bool] = True
    padding: int = option(4, "pixels added on every side")
    mode: Literal["zero", "reflect"] = option("zero", "what the padding holds: the mean colour, or the mirrored image")

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise UsageError(f"crop: expected a padding of 0 or more pixels, received {self.padding}")
        if self.mode not in ("zero", "reflect"):
            raise UsageError(f"crop: expected mode zero or reflect, received {self.mode!r}")


@dataclass(frozen=True)
class Translate:
    """Shift by whole pixels along both axes; what comes into sight has the mean colour."""

    tagged: ClassVar[bool] = True
    pixels: int = option(4, "largest shift along each axis")

    def __post_init__(self) -> None:
        _from_zero(self, "pixels")


@dataclass(frozen=True)
class ScaleCrop:
    """Scale the shorter side to a random length, then cut the final size at a random place.

    The range is that of He et al. 2016 for crops of 224 (section 3.4, after Simonyan and Zisserman 2015).
    """

    tagged: ClassVar[bool] = True
    low: int = option(256, "shortest length of the shorter side, pixels")
    high: int = option(480, "longest length of the shorter side, pixels")

    def __post_init__(self) -> None:
        _range(self, "low", "high", 1, None)


@dataclass(frozen=True)
class ResizedCrop:
    """Cut a window of a random area and aspect ratio, and scale it to the final size.

    The ranges are those of Szegedy et al. 2015 (section 6).
    """

    tagged: ClassVar[bool] = True
    low: float = option(0.08, "smallest area of the window, as a share of the image")
    high: float = option(1.0, "largest area of the window, as a share of the image")
    aspect: float = option(4 / 3, "width to height lies between 1/aspect and aspect")

    def __post_init__(self) -> None:
        _range(self, "low", "high", 0, 1)
        _aspect(self)
        if self.low == 0:
            raise UsageError("resized_crop: expected low above 0, received 0")


@dataclass(frozen=True)
class Rotate:
    """Turn about the centre by an angle within plus and minus `degrees`; the corners get the mean colour."""

    tagged: ClassVar[bool] = True
    degrees: float = option(15.0, "largest angle, either way")

    def __post_init__(self) -> None:
        _from_zero(self, "degrees", 180)


@dataclass(frozen=True)
class Affine:
    """Turn, shift, scale and shear together; what comes into sight has the mean colour."""

    tagged: ClassVar[bool] = True
    degrees: float = option(10.0, "largest angle, either way")
    translate: float = option(0.1, "largest shift along each axis, as a share of the side")
    scale: float = option(0.1, "size from 1 - scale to 1 + scale")
    shear: float = option(10.0, "largest slant of each axis in degrees, either way")

    def __post_init__(self) -> None:
        _from_zero(self, "degrees", 180)
        _share(self, "translate")
        _from_zero(self, "scale", 0.9)
        _from_zero(self, "shear", 60)


@dataclass(frozen=True)
class Elastic:
    """Warp smoothly: shift every pixel by Gaussian-smoothed noise (Simard, Steinkraus and Platt 2003, section 2).

    Their alpha 34 and sigma 4 shift by 1.4 pixels (standard deviation).
    """

    tagged: ClassVar[bool] = True
    pixels: float = option(1.0, "standard deviation of the shift along each axis")
    sigma: float = option(4.0, "width of the smoothing, pixels: how far neighbours move together")

    def __post_init__(self) -> None:
        _from_zero(self, "pixels")
        if not self.sigma > 0:
            raise UsageError(f"elastic: expected sigma above 0, received {self.sigma}")


@dataclass(frozen=True)
class ColourJitter:
    """Change brightness, contrast, saturation and hue, in this order, each by its own random amount.

    The first three multiply by a factor from 1 - x to 1 + x. Grey images have no saturation and no hue: set both to 0.
    """

    tagged: ClassVar[bool] = True
    brightness: float = option(0.4, "largest change of brightness")
    contrast: float = option(0.4, "largest change of contrast")
    saturation: float = option(0.4, "largest change of saturation")
    hue: float = option(0.1, "largest turn of the colour circle, either way; 0.5 is half of it")

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _share(self, name)
        _from_zero(self, "hue", 0.5)


@dataclass(frozen=True)
class Lighting:
    """Add one random colour to all pixels of an image, drawn along the principal components of the training pixels.

    (Krizhevsky, Sutskever and Hinton 2012, section 4.1.) `deviations` and `components` are the basis on a scale of 0
    to 1: the standard deviation along each component, and the components (red, green, blue) one after another. Without
    them they are computed from the training images when a run is prepared, and then `measured`: a run on other images
    that takes this over computes them anew.
    """

    tagged: ClassVar[bool] = True
    strength: float = option(0.1, "standard deviation of the random factor of each component")
    deviations: tuple[float, ...] = option((), "3 numbers; none: from the training images")
    components: tuple[float, ...] = option((), "9 numbers; none: from the training images")
    measured: bool = option(False, "whether these numbers came from a run's training images")

    def __post_init__(self) -> None:
        _from_zero(self, "strength")
        if (len(self.deviations), len(self.components)) not in ((0, 0), (3, 9)):
            raise UsageError(
                "lighting: expected 3 deviations with 9 numbers of components, or neither, "
                f"received {len(self.deviations)} and {len(self.components)}"
            )


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise to every pixel and channel."""

    tagged: ClassVar[bool] = True
    deviation: float = option(0.05, "standard deviation, where black is 0 and white 1")

    def __post_init__(self) -> None:
        _from_zero(self, "deviation", 1)


@dataclass(frozen=True)
class PixelFlip:
    """Turn random pixels into their negative."""

    tagged: ClassVar[bool] = True
    share: float = option(0.02, "share of the pixels")

    def __post_init__(self) -> None:
        _share(self, "share")


@dataclass(frozen=True)
class Blur:
    """Blur with a Gaussian of random width."""

    tagged: ClassVar[bool] = True
    low: float = option(0.1, "smallest standard deviation, pixels")
    high: float = option(2.0, "largest standard deviation, pixels")
    probability: float = option(0.5, "probability of a blur")

    def __post_init__(self) -> None:
        _range(self, "low", "high", 0, None)
        _share(self, "probability")


@dataclass(frozen=True)
class Cutout:
    """Cover a square around a random pixel with the mean colour (DeVries and Taylor 2017); it may cross the border."""

    tagged: ClassVar[bool] = True
    size: int = option(8, "side of the square, pixels")

    def __post_init__(self) -> None:
        _from_zero(self, "size")


@dataclass(frozen=True)
class Erase:
    """Cover a random rectangle inside the image (random erasing, Zhong et al. 2020)."""

    tagged: ClassVar[bool] = True
    probability: float = option(0.5, "probability of a rectangle")
    low: float = option(0.02, "smallest area, as a share of the image")
    high: float = option(0.33, "largest area, as a share of the image")
    aspect: float = option(3.3, "width to height lies between 1/aspect and aspect")
    fill: Literal["mean", "noise"] = option("mean", "what the rectangle holds: the mean colour, or random pixels")

    def __post_init__(self) -> None:
        _share(self, "probability")
        _range(self, "low", "high", 0, 1)
        _aspect(self)
        if self.fill not in ("mean", "noise"):
            raise UsageError(f"erase: expected fill mean or noise, received {self.fill!r}")


@dataclass(frozen=True)
class Autoaugment:
    """One of 25 pairs of operations, found by search on the named data set (Cubuk et al. 2019)."""

    tagged: ClassVar[bool] = True
    policy: Literal["cifar10", "imagenet", "svhn"] = option("cifar10", "the data set that it was found on")

    def __post_init__(self) -> None:
        if self.policy not in ("cifar10", "imagenet", "svhn"):
            raise UsageError(f"autoaugment: expected policy cifar10, imagenet or svhn, received {self.policy!r}")


@dataclass(frozen=True)
class Randaugment:
    """Several operations of one strength, one after another (Cubuk et al. 2020)."""

    tagged: ClassVar[bool] = True
    operations: int = option(2, "how many")
    magnitude: int = option(9, "strength of each, from 0 to 30")

    def __post_init__(self) -> None:
        _from_zero(self, "operations", 20)
        _from_zero(self, "magnitude", 30)


@dataclass(frozen=True)
class Trivialaugment:
    """One operation of a random strength from a wide range (TrivialAugment Wide, Müller and Hutter 2021)."""

    tagged: ClassVar[bool] = True


@dataclass(frozen=True)
class Augmix:
    """A blend of the image and of several chains of one to three operations (Hendrycks et al. 2020).

    The augmented image alone; the paper's consistency loss over several versions of an image is not part of it.
    """

    tagged: ClassVar[bool] = True
    severity: int = option(3, "strength of the operations, from 1 to 10")
    width: int = option(3, "how many chains")

    def __post_init__(self) -> None:
        for name, highest in (("severity", 10), ("width", 10)):
            if not 1 <= getattr(self, name) <= highest:
                raise UsageError(f"augmix: expected {name} from 1 to {highest}, received {getattr(self, name)}")


@dataclass(frozen=True)
class Mixup:
    """Blend pairs of images of a batch, and their labels by the same share (Zhang et al. 2018)."""

    tagged: ClassVar[bool] = True
    alpha: float = option(0.2, "the share is drawn from Beta(alpha, alpha); 0: nothing is blended")
    probability: float = option(1.0, "probability that an image is blended")

    def __post_init__(self) -> None:
        _from_zero(self, "alpha")
        _share(self, "probability")


@dataclass(frozen=True)
class Cutmix:
    """Paste a rectangle of another image of the batch, and mix the labels by its area (Yun et al. 2019)."""

    tagged: ClassVar[bool] = True
    alpha: float = option(1.0, "the share is drawn from Beta(alpha, alpha); 0: nothing is pasted")
    probability: float = option(0.5, "probability that an image gets a rectangle")

    def __post_init__(self) -> None:
        _from_zero(self, "alpha")
        _share(self, "probability")


# Every augmentation, in the order of docs/augment.md.
Augment = (
    Flip | VerticalFlip | AlternatingFlip | Crop | Translate | ScaleCrop | ResizedCrop | Rotate | Affine | Elastic
    | ColourJitter | Lighting | Noise | PixelFlip | Blur | Cutout | Erase
    | Autoaugment | Randaugment | Trivialaugment | Augmix | Mixup | Cutmix
)  # fmt: skip
# Those that need a second image, and give labels of shares.
MIXING = (Mixup, Cutmix)
MIRRORS = (Flip, VerticalFlip, AlternatingFlip)


def _share(record: Any, name: str) -> None:
    value = getattr(record, name)
    if not 0 <= value <= 1:
        kind = "a probability" if name == "probability" else f"{name}"
        raise UsageError(f"{kind_of(type(record))}: expected {kind} from 0 to 1, received {value}")


def _from_zero(record: Any, name: str, highest: float | None = None) -> None:
    value = getattr(record, name)
    if not 0 <= value < float("inf") or (highest is not None and value > highest):
        to = " or more" if highest is None else f" to {highest}"
        raise UsageError(f"{kind_of(type(record))}: expected {name} from 0{to}, received {value}")


def _range(record: Any, low: str, high: str, least: float, most: float | None) -> None:
    begin, end = getattr(record, low), getattr(record, high)
    if not least <= begin <= end < float("inf") or (most is not None and end > most):
        limits = f"from {least} or more" if most is None else f"between {least} and {most}"
        raise UsageError(
            f"{kind_of(type(record))}: expected {low} to {high} to be a range {limits}, received {begin} to {end}"
        )


def _aspect(record: Any) -> None:
    if not 1 <= record.aspect < float("inf"):
        raise UsageError(f"{kind_of(type(record))}: expected an aspect of 1 or more, received {record.aspect}")
