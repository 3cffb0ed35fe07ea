"""Arrays of pixels as PNG files: one image, or a contact sheet."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from convsmith.base.errors import UsageError, WrongType
from convsmith.report.text import clean

_SMALLEST, _LARGEST, _GAP, _LINE, _TEXT = 112, 256, 12, 17, 13


def png(image: np.ndarray) -> bytes:
    """The PNG file of a uint8 image (height, width) or (height, width, 1, 3 or 4 channels)."""
    return _encoded(_picture(image))


def grid_png(images: Sequence[np.ndarray], columns: int = 8, captions: Sequence[str] = ()) -> bytes:
    """A contact sheet: small images enlarged by whole factors, large ones shrunk, each with its caption beneath it."""
    if not images:
        raise UsageError("a contact sheet needs at least one image, received none")
    if columns < 1:
        raise UsageError(f"a contact sheet needs at least one column, received {columns}")
    if captions and len(captions) != len(images):
        raise UsageError(f"expected a caption for each of {len(images)} images, received {len(captions)}")
    pictures = [_resized(_picture(image)) for image in images]
    texts = [[clean(part) for part in caption.split("\n")[:3]] for caption in captions] or [[] for _ in images]
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    columns, below = min(columns, len(pictures)), _LINE * max(len(text) for text in texts)
    rows = -(-len(pictures) // columns)
    pitch_x, pitch_y = width + _GAP, height + below + _GAP
    sheet = Image.new("RGB", (columns * pitch_x + _GAP, rows * pitch_y + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for i, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        left, top = _GAP + i % columns * pitch_x, _GAP + i // columns * pitch_y
        corner = (left + (width - picture.width) // 2, top + (height - picture.height) // 2)
        sheet.paste(picture, corner, picture if picture.mode == "RGBA" else None)
        for number, part in enumerate(text):
            place = (left, top + height + 3 + number * _LINE)
            draw.text(place, _fitted(part, width, font), fill="#1f2328", font=font)
    return _encoded(sheet)


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


def _picture(image: np.ndarray) -> Image.Image:
    if image.dtype != np.uint8:
        raise WrongType(f"expected an image of uint8, received {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if not good or 0 in image.shape:
        raise UsageError(f"expected an image (height, width[, 1, 3 or 4 channels]), received shape {image.shape}")
    return Image.fromarray(np.ascontiguousarray(image))


def _resized(picture: Image.Image) -> Image.Image:
    """Between the smallest and the largest side of a contact sheet; enlarging keeps pixels square and sharp."""
    if picture.mode == "L":
        picture = picture.convert("RGB")
    longest = max(picture.size)
    if longest > _LARGEST:
        scale = _LARGEST / longest
        target = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        return picture.resize(target, Image.Resampling.LANCZOS)
    factor = max(1, -(-_SMALLEST // longest)) if longest < _SMALLEST else 1
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _fitted(text: str, room: int, font: Any) -> str:
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return text + "..."


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
