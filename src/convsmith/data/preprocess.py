"""From an image to what a network gets: a versioned record, and its reference implementation in Pillow and numpy.

Training, validation, prediction, export and serving all follow the record; no torch here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from convsmith.base import config
from convsmith.base.errors import BadFile, UsageError
from convsmith.data.card import Card
from convsmith.data.images import FAILURES, open_image, orientation, quiet
from convsmith.data.options import DataOptions

# What 'draft' leaves for the scaling that follows: twice the side that is wanted, as Pillow's thumbnail does.
_DRAFT = 2
# The share of the picture that the final crop keeps, 224 of 256, as in the evaluation of AlexNet and its successors.
_MARGIN = 256 / 224
_DEFAULT_SIZE = 224
# What a record from a file may ask for: an image of that side is 200 MB of numbers.
MOST_SIDE, MOST_MEAN, LEAST_STD = 4096, 1000.0, 1e-6
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes an array; sizes in pixels, `size` is (height, width), mean and std on a scale of 0 to 1.

    `resize` is the length that the shorter side gets before the centre crop of `size`. Without it an image that has
    `size` already is left alone, and any other is scaled to cover it and cropped. With `decoding` "draft" a JPEG
    much larger than that is decoded smaller, at least twice as large as needed.
    """

    version: int = 1
    decoder: Literal["pillow"] = "pillow"
    exif: bool = True
    mode: Literal["L", "RGB"] = "RGB"
    bits: Literal[8] = 8
    resize: int | None = None
    size: tuple[int, int]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    decoding: Literal["exact", "draft"] = "exact"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.version != 1:
            raise UsageError(f"preprocessing: this convsmith knows version 1 of the record, received {self.version}")
        if len(self.size) != 2 or min(self.size) < 1:
            raise UsageError(f"preprocessing: expected a size of (height, width), received {self.size}")
        if self.resize is not None and self.resize < max(self.size):
            raise UsageError(f"preprocessing: resize {self.resize} is smaller than the crop {self.size} taken from it")
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise UsageError(
                f"preprocessing: mode {self.mode} needs {self.channels} means and as many positive deviations, "
                f"received {self.mean} and {self.std}"
            )
        if not self.antialias:
            raise UsageError("preprocessing: Pillow always resizes with antialiasing; antialias cannot be false")

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return 1 if self.mode == "L" else 3

    @property
    def least(self) -> int | None:
        """The shorter side below which a JPEG is not decoded smaller; none: never smaller than it is."""
        return None if self.decoding == "exact" else _DRAFT * (self.resize or max(self.size))

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        return config.plain(self)

    @staticmethod
    def from_json(data: Any) -> "Preprocess":
        """The record that `to_json` wrote; unknown keys, wrong types and numbers out of range name the field."""
        record = config.read(Preprocess, data, "preprocessing")
        for name, side in (("size", max(record.size)), ("resize", record.resize or 1)):
            if side > MOST_SIDE:
                raise UsageError(f"preprocessing: {name}: expected at most {MOST_SIDE:,} pixels, received {side:,}")
        if max(map(abs, record.mean)) > MOST_MEAN or not all(LEAST_STD <= value <= MOST_MEAN for value in record.std):
            raise UsageError(
                f"preprocessing: expected means of at most {MOST_MEAN:g} either way and deviations from "
                f"{LEAST_STD:g} to {MOST_MEAN:g}, on a scale of 0 to 1, received {record.mean} and {record.std}"
            )
        return record


def preprocess_for(
    card: Card, options: DataOptions, mean_std: tuple[tuple[float, ...], tuple[float, ...]]
) -> Preprocess:
    """The record that fits a data set: its own size where all images share one, else 224 cut from 256.

    With `options.size` images of one size are scaled to it, and of images that differ it is the crop.
    """
    channels = options.channels or card.channels
    mean, std = mean_std
    side = options.size or _DEFAULT_SIZE
    if card.size is None:
        size, resize = (side, side), round(side * _MARGIN)
    elif options.size is None or card.size == (side, side):
        size, resize = card.size, None
    else:
        size, resize = (side, side), side
    mode = "L" if channels == 1 else "RGB"
    return Preprocess(mode=mode, resize=resize, size=size, decoding=options.decoding, mean=mean, std=std)


def final_size(record: Preprocess, margin: bool) -> tuple[int, int]:
    """Height and width of a decoded image: the crop's, or with `margin` what random crops are cut from."""
    return (record.resize, record.resize) if margin and record.resize else record.size


def load(image: Path | str | bytes | Image.Image | np.ndarray, record: Preprocess) -> np.ndarray:
    """The whole way from a file or an image to float32 (C, H, W)."""
    return normalise(to_size(read_picture(image, record), record), record)


def decode(
    image: Path | str | bytes | Image.Image | np.ndarray, record: Preprocess, name: str | None = None
) -> np.ndarray:
    """The pixels as uint8 (H, W, C) in the record's mode; `name` is what errors call the image.

    Turned upright by EXIF; the first frame of several; transparent pixels on white; palettes by their colours; CMYK
    and YCbCr to RGB; 16-bit grey divided by 257; colour to grey by ITU-R 601-2. Raises BadFile.
    """
    return _pixels(read_picture(image, record, name))


def read_picture(
    image: Path | str | bytes | Image.Image | np.ndarray, record: Preprocess, name: str | None = None
) -> Image.Image | np.ndarray:
    """What `decode` gives, as Pillow's image where it was no array: scaled as it is, it is copied once, not thrice."""
    if isinstance(image, str):
        image = Path(image)
    if isinstance(image, Path | bytes):
        name = name or (str(image) if isinstance(image, Path) else f"an image of {len(image)} bytes")
        image = open_image(image, name, record.least)
    if isinstance(image, np.ndarray):
        return _array(image, record)
    try:
        # exif_transpose copies even an image that is upright.
        if record.exif and orientation(image) != 1:
            with quiet():
                image = ImageOps.exif_transpose(image)
        flat = _flat(image, record.mode)
        flat.load()
        return flat
    except BadFile:
        raise
    except FAILURES as error:
        raise BadFile(name or "the image", f"cannot be converted to {record.mode} ({error})") from None


def to_size(image: Image.Image | np.ndarray, record: Preprocess, margin: bool = False) -> np.ndarray:
    """Scale and crop to uint8 (H, W, C) as the record says; an image that needs no scaling is not resampled.

    `margin` keeps the centre square of side `resize`, from which training cuts at random. The rounding of the longer
    side and of the crop's corner is torchvision's (`Resize(resize)`, `CenterCrop(size)`).
    """
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
    goal = record.size
    if record.resize is None:
        scale = max(goal[0] / height, goal[1] / width)
        scaled = (max(goal[0], round(height * scale)), max(goal[1], round(width * scale)))
    else:
        short = min(height, width)
        scaled = (record.resize * height // short, record.resize * width // short)
        goal = (record.resize, record.resize) if margin else goal
    if scaled != (height, width):
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        image = image.resize((scaled[1], scaled[0]), _FILTERS[record.interpolation])
    return centre(_pixels(image), goal)


def _pixels(image: Image.Image | np.ndarray) -> np.ndarray:
    """uint8 (H, W, C)."""
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def centre(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of (H, W, C), of `size` (height, width)."""
    top, left = (round((have - want) / 2) for have, want in zip(image.shape[:2], size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def normalise(image: np.ndarray, record: Preprocess) -> np.ndarray:
    """(x / 255 - mean) / std of uint8 (H, W, C), as float32 (C, H, W)."""
    mean = np.asarray(record.mean, dtype=np.float32)
    std = np.asarray(record.std, dtype=np.float32)
    scaled = (image.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode L or RGB, with nothing transparent left in it."""
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range is not known")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = _on_white(image)
    elif image.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image) -> Image.Image:
    # Premultiplied alpha has no direct conversion to the others.
    direct = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
    grey = image.mode in ("1", "L", "LA", "La")
    image = (image.convert(direct) if direct else image).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("L" if grey else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise ValueError(f"expected 16-bit values, found {values.min()} to {values.max()}")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _array(image: np.ndarray, record: Preprocess) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise UsageError(
            f"expected uint8 of shape (H, W), (H, W, 1) or (H, W, 3), received {image.dtype} {image.shape}"
        )
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[2] == record.channels:
        return image
    if record.channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]
