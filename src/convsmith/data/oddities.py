"""Oddities of an image that can be read, in words."""

import hashlib

import numpy as np
from PIL import Image

from convsmith.data.formats import OPENED, extension_of
from convsmith.data.images import FAILURES, orientation, quiet
from convsmith.data.preprocess import strips
from convsmith.data.price import kind_of

_LARGE, _SMALL, _ASPECT = 50_000_000, 8, 10
_FORMAT_OF = {extension: f.name for f in OPENED.values() for extension in f.extensions}
_ODD_MODES = {
    "CMYK": "CMYK colors",
    "P": "a palette",
    "RGBA": "an alpha channel",
    "LA": "an alpha channel",
    "PA": "an alpha channel",
    "1": "one bit per pixel",
}


def oddities(name: str, image: Image.Image) -> list[str]:
    """A phrase for each oddity of a decoded image; `name` is the name of its file."""
    width, height = image.size
    extension = extension_of(name)
    stated, found = _FORMAT_OF.get(extension), kind_of(image)
    turned, frames = orientation(image), _frames(image)
    told = [
        (image.mode in _ODD_MODES, f"has {_ODD_MODES.get(image.mode)}"),
        (image.mode[0] in "IF", f"has more than 8 bits per pixel (mode {image.mode})"),
        (turned != 1, f"is turned by its EXIF orientation {turned}"),
        (frames > 1, f"has {frames} frames; the first is used"),
        (stated is not None and found not in ("", stated), f"is called .{extension} and holds {found}"),
        (width * height > _LARGE, f"is very large: {width}x{height}"),
        (min(width, height) < _SMALL, f"is very small: {width}x{height}"),
        (max(width, height) > _ASPECT * min(width, height), f"is very long: {width}x{height}"),
    ]
    return [detail for is_so, detail in told if is_so]


def pixels_digest(image: Image.Image | np.ndarray) -> bytes:
    """SHA-256 of the height, width and values of an image; a large image is read strip by strip, without a copy."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    digest = hashlib.sha256(f"{image.mode} {image.height} {image.width}".encode())
    for box in strips(image):
        digest.update(image.crop(box).tobytes())
    return digest.digest()


def _frames(image: Image.Image) -> int:
    """The number of frames of an image; 1 if the frames after the first are damaged."""
    try:
        with quiet():
            return int(getattr(image, "n_frames", 1))
    except FAILURES:
        return 1
