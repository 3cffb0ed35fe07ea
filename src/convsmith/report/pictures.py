"""Arrays of pixels as picture files."""

import base64
import io

import numpy as np
from PIL import Image

from convsmith.base.errors import UsageError, WrongType


def png(image: np.ndarray) -> bytes:
    """The PNG file of a uint8 image (height, width) or (height, width, 1, 3 or 4 channels)."""
    return _encoded(_picture(image))


def thumbnail(data: bytes, limit: int = 128) -> tuple[bytes, str, int, int]:
    """A picture file made small enough to stand in a page: its bytes, their type, width and height.

    Up to `limit` pixels a side the file stays as it is; a larger one becomes a JPEG of twice the limit.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if max(picture.size) <= limit:
                return data, "image/png", picture.width, picture.height
            small = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"expected the bytes of a PNG picture, could not read {len(data)} bytes ({error})") from None
    small.thumbnail((2 * limit, 2 * limit), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return file.getvalue(), "image/jpeg", small.width, small.height


def address(data: bytes, kind: str = "image/png") -> str:
    """A picture file as the address of an `img` or `image`, which then loads nothing."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def shrunk(image: np.ndarray, limit: int) -> np.ndarray:
    """A uint8 image with at most `limit` pixels a side, in its own shape's proportions."""
    picture = _picture(image)
    if max(picture.size) <= limit:
        return image
    picture.thumbnail((limit, limit), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _picture(image: np.ndarray) -> Image.Image:
    if image.dtype != np.uint8:
        raise WrongType(f"expected an image of uint8, received {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if not good or 0 in image.shape:
        raise UsageError(f"expected an image (height, width[, 1, 3 or 4 channels]), received shape {image.shape}")
    return Image.fromarray(np.ascontiguousarray(image))


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
