"""From an image to what a network gets: a versioned record, and its reference implementation in Pillow and numpy.

Training, validation, prediction, export and serving all follow the record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from PIL import Image, ImageOps

from convsmith.base import config
from convsmith.base.errors import UsageError
from convsmith.base.record import REQUIRED, Record, option
from convsmith.data.card import Card
from convsmith.data.fit import LONGEST, MOST_PIXELS, Fit, Placement, Size, frame, placed, shaped
from convsmith.data.images import blamed, open_image, orientation, quiet
from convsmith.data.options import DataOptions
from convsmith.report.text import many

# With 'draft' an image is decoded at twice the final side at least, as in Pillow's `thumbnail`, and then scaled.
_DRAFT = 2
# The share of the picture that the final crop keeps, 224 of 256, as in the evaluation of AlexNet and its successors.
_MARGIN = 256 / 224
_DEFAULT_SIZE = 224
# The gray of borders: black or white may carry meaning.
BORDER = 128
# Above so many pixels, and times the part that is cut, an image is not scaled whole: 64 MB in color.
_WHOLE_PIXELS, _WHOLE_TIMES = 2**24, 4
_STRIP_PIXELS = 2**20
UNFIT = "cannot be decoded and scaled"
# The limits for a record from a file.
MOST_MEAN, LEAST_STD = 1000.0, 1e-6
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, kw_only=True)
class ImageInput(Record, called="preprocessing"):
    """How an image becomes an array; sizes in pixels, `size` is (height, width), mean and std on a scale of 0 to 1.

    `resize` is the length that the shorter side gets before the center crop of `size`; as two numbers, a height and a
    width that the image is scaled to cover. Without it an image that has `size` already is left alone, and any other
    is scaled to cover it and cropped. With `fit` "pad" it is scaled to fit into `size` and bordered with gray (128 of
    255), with "squash" scaled to exactly it. With `decoding` "draft" a JPEG much larger than that is decoded smaller,
    at least twice as large as needed.
    """

    version: int = 1
    decoder: Literal["pillow"] = "pillow"
    exif: bool = True
    mode: Literal["L", "RGB"] = "RGB"
    bits: Literal[8] = 8
    resize: int | tuple[int, int] | None = None
    size: tuple[int, int] = option(REQUIRED, "height and width, pixels", least=1)
    fit: Fit = "crop"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    decoding: Literal["exact", "draft"] = "exact"
    mean: tuple[float, ...]
    std: tuple[float, ...] = option(REQUIRED, "deviation of each channel", above=0)

    def check(self) -> None:
        """Raise UsageError if sizes do not contain each other, or a channel lacks its mean or deviation."""
        if self.version != 1:
            raise UsageError(f"preprocessing: this convsmith knows version 1 of the record, received {self.version}")
        if len(self.size) != 2:
            raise UsageError(f"preprocessing: expected a size of (height, width), received {self.size}")
        if isinstance(self.resize, tuple) and len(self.resize) == 2 and self.resize[0] == self.resize[1]:
            # A square has one name, so that equal records are equal.
            object.__setattr__(self, "resize", self.resize[0])
        _check_frame(self)
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UsageError(
                f"preprocessing: mode {self.mode} needs {many(self.channels, 'mean')} and as many deviations, "
                f"received {self.mean} and {self.std}"
            )
        if not self.antialias:
            raise UsageError("preprocessing: Pillow always resizes with antialiasing; antialias cannot be false")

    @property
    def channels(self) -> int:
        """The number of channels: 1 for gray, 3 for color."""
        return 1 if self.mode == "L" else 3

    @property
    def least(self) -> int | None:
        """The shorter side below which a JPEG is not decoded smaller; None: it is decoded at its full size."""
        return None if self.decoding == "exact" else _DRAFT * max(frame(self) or self.size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return (self.channels, *self.size)

    def read(self, raw: Path | str | bytes | Image.Image | np.ndarray, name: str | None = None) -> np.ndarray:
        """The pixels of a file or an image, uint8 (C, H, W) of the final size. Raises BadFile."""
        name = name or _name(raw)
        with blamed(name, UNFIT):
            return np.ascontiguousarray(to_size(read_picture(raw, self, name), self).transpose(2, 0, 1))

    def normalize(self, batch: Any) -> Any:
        """(x / 255 - mean) / std of uint8 tensors (N, C, H, W), in float32; `augment.normalize` does it faster."""
        scaled = batch.float() / 255
        mean, std = (scaled.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return scaled.sub_(mean).div_(std)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        return config.plain(self)

    @staticmethod
    def from_json(data: Any) -> "ImageInput":
        """The record that `to_json` wrote; unknown keys, wrong types and numbers out of range name the field."""
        record = config.read(ImageInput, data, "preprocessing")
        if max(map(abs, record.mean)) > MOST_MEAN or not all(LEAST_STD <= value <= MOST_MEAN for value in record.std):
            raise UsageError(
                f"preprocessing: expected means of at most {MOST_MEAN:g} either way and deviations from "
                f"{LEAST_STD:g} to {MOST_MEAN:g}, on a scale of 0 to 1, received {record.mean} and {record.std}"
            )
        return record


def _check_frame(record: ImageInput) -> None:
    """Raise UsageError if the sizes of a record contradict each other or are out of range."""
    size, resize = record.size, record.resize
    if resize is not None and record.fit != "crop":
        raise UsageError(f"preprocessing: resize is for fit crop, received {resize} with fit {record.fit}")
    if isinstance(resize, tuple) and len(resize) != 2:
        raise UsageError(f"preprocessing: expected resize to be a number or (height, width), received {resize}")
    outer = frame(record) or size
    if any(have < want for have, want in zip(outer, size, strict=True)):
        raise UsageError(f"preprocessing: resize {resize} is smaller than the crop {size} taken from it")
    if max(outer) > LONGEST or outer[0] * outer[1] > MOST_PIXELS:
        raise UsageError(
            f"preprocessing: expected sizes of at most {LONGEST} pixels a side and {MOST_PIXELS:,} in all, received "
            f"{size} and resize {resize}"
        )


def preprocess_for(
    card: Card, options: DataOptions, mean_std: tuple[tuple[float, ...], tuple[float, ...]]
) -> ImageInput:
    """The record for a data set: with the size that all its images share, else with 224 cut from 256.

    With `options.size` images of one size are scaled to it, and of images that differ it is the crop. Without the crop
    (`options.fit` pad or squash) there is no margin either: nothing is cut off.
    """
    channels = options.channels or card.channels
    mean, std = mean_std
    size, resize = options.shape or card.size or (_DEFAULT_SIZE, _DEFAULT_SIZE), None
    if options.fit == "crop" and card.size != size:
        resize = size
        if card.size is None:
            short = round(min(size) * _MARGIN)
            resize = shaped(size, short)
    return ImageInput(
        mode="L" if channels == 1 else "RGB", resize=resize, size=size, fit=options.fit, decoding=options.decoding,
        mean=mean, std=std,
    )  # fmt: skip


def final_size(record: ImageInput, margin: bool) -> tuple[int, int]:
    """Height and width of a decoded image: the crop's, or with `margin` what random crops are cut from."""
    return (frame(record) if margin else None) or record.size


def load(
    image: Path | str | bytes | Image.Image | np.ndarray, record: ImageInput, name: str | None = None,
    most: int | None = None,
) -> np.ndarray:  # fmt: skip
    """The network's input for a file or an image, float32 (C, H, W). Up to `most` pixels no limit of `price` holds."""
    name = name or _name(image)
    with blamed(name, UNFIT):
        return normalize(to_size(read_picture(image, record, name, most), record), record)


def decode(
    image: Path | str | bytes | Image.Image | np.ndarray, record: ImageInput, name: str | None = None,
    most: int | None = None,
) -> np.ndarray:  # fmt: skip
    """The pixels as uint8 (H, W, C) in the record's mode; `name` is what errors call the image.

    Turned upright by EXIF; the first frame of several; transparent pixels on white; palettes by their colors; CMYK
    and YCbCr to RGB; 16-bit gray divided by 257; color to gray by ITU-R 601-2. Raises BadFile.
    """
    name = name or _name(image)
    with blamed(name, UNFIT):
        return _pixels(read_picture(image, record, name, most))


def read_picture(
    image: Path | str | bytes | Image.Image | np.ndarray, record: ImageInput, name: str | None = None,
    most: int | None = None,
) -> Image.Image | np.ndarray:  # fmt: skip
    """The result of `decode`, but as Pillow's image if the input is not an array: scaling that saves two copies."""
    name = name or _name(image)
    if isinstance(image, str):
        image = Path(image)
    if isinstance(image, Path | bytes):
        image = open_image(image, name, record.least, most)
    if isinstance(image, np.ndarray):
        return _array(image, record)
    with blamed(name, f"cannot be converted to {record.mode}"):
        # exif_transpose copies even an image that is upright.
        if record.exif and orientation(image) != 1:
            with quiet():
                image = ImageOps.exif_transpose(image)
        flat = _flat(image, record.mode)
        flat.load()
        return flat


def _name(image: Any) -> str:
    if isinstance(image, bytes):
        return f"an image of {many(len(image), 'byte')}"
    return str(image) if isinstance(image, Path | str) else "the image"


def to_size(image: Image.Image | np.ndarray, record: ImageInput, margin: bool = False) -> np.ndarray:
    """Scale and crop to uint8 (H, W, C) as the record says; an image that needs no scaling is not resampled.

    `margin` keeps what `resize` makes, from which training cuts at random. The rounding of the longer side and of the
    crop's corner is torchvision's (`Resize(resize)`, `CenterCrop(size)`).
    """
    size = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
    place = placed((size[0], size[1]), record, margin)
    if place.scaled != size:
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        image = _scaled(image, place, _FILTERS[record.interpolation])
    if record.fit == "pad":
        return _bordered(_pixels(image), place.goal)
    if isinstance(image, Image.Image):
        top, left = _corner((image.height, image.width), place.goal)
        image = image.crop((left, top, left + place.goal[1], top + place.goal[0]))
    return center(_pixels(image), place.goal)


def _scaled(image: Image.Image, place: Placement, filter: Image.Resampling) -> Image.Image:
    """The image scaled; or only the part that the crop needs, if the whole would have far more pixels than the crop.

    The two agree but for the last bit of a weight, so that what fits is scaled whole, as torchvision does.
    """
    (height, width), goal = place.scaled, place.goal
    if height * width <= max(_WHOLE_PIXELS, _WHOLE_TIMES * goal[0] * goal[1]):
        return image.resize((width, height), filter)
    top, left = _corner(place.scaled, goal)
    down, right = image.height / height, image.width / width
    box = (
        left * right,
        top * down,
        min(image.width, (left + goal[1]) * right),
        min(image.height, (top + goal[0]) * down),
    )
    return image.resize((goal[1], goal[0]), filter, box=box)


def _bordered(image: np.ndarray, size: Size) -> np.ndarray:
    """The image in the middle of a gray canvas."""
    top, left = _corner(size, (image.shape[0], image.shape[1]))
    canvas = np.full((*size, image.shape[2]), BORDER, np.uint8)
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def _pixels(image: Image.Image | np.ndarray) -> np.ndarray:
    """The pixels as uint8 (H, W, C)."""
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def center(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of (H, W, C), of `size` (height, width)."""
    top, left = _corner((image.shape[0], image.shape[1]), size)
    return image[top : top + size[0], left : left + size[1]]


def _corner(outer: Size, inner: Size) -> Size:
    """The top and the left of a centered box, rounded half to even as by torchvision."""
    return round((outer[0] - inner[0]) / 2), round((outer[1] - inner[1]) / 2)


def normalize(image: np.ndarray, record: ImageInput) -> np.ndarray:
    """(x / 255 - mean) / std of uint8 (H, W, C), as float32 (C, H, W)."""
    mean = np.asarray(record.mean, dtype=np.float32)
    std = np.asarray(record.std, dtype=np.float32)
    scaled = (image.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode L or RGB, without transparency.

    A large one is converted strip by strip, so that only one copy of it is made.
    """
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range is not known")
    if image.mode.startswith("I"):
        low, high = cast("tuple[int, int]", image.getextrema())
        if low < 0 or high > 65535:
            raise ValueError(f"expected 16-bit values, found {low} to {high}")
    if image.width * image.height <= _STRIP_PIXELS:
        return _converted(image, mode)
    if image.mode == mode and not image.has_transparency_data:
        return image
    flat = Image.new(mode, image.size)
    for box in strips(image):
        flat.paste(_converted(image.crop(box), mode), box)
    return flat


def strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """The boxes of parts of about a million pixels that make up an image, row by row."""
    wide, high = min(image.width, _STRIP_PIXELS), max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, high):
        for left in range(0, image.width, wide):
            yield left, top, min(left + wide, image.width), min(top + high, image.height)


def _converted(image: Image.Image, mode: str) -> Image.Image:
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
    gray = image.mode in ("1", "L", "LA", "La")
    image = (image.convert(direct) if direct else image).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("L" if gray else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _array(image: np.ndarray, record: ImageInput) -> np.ndarray:
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
