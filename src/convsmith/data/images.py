"""Opening image files safely: an allow-list of formats, a limit on pixels, every failure a `BadFile`. No torch here."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from convsmith.base.errors import BadFile, MissingPath

EXTENSIONS = ("jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm")
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

# Pillow knows the other formats from the start; these two when their plugins are imported.
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)

# What a damaged file makes Pillow's parsers raise; MemoryError comes from absurd sizes in a header.
FAILURES = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# warnings.catch_warnings changes a setting of the whole process, so only one thread at a time may be inside it.
_WARNINGS = threading.Lock()


class NotAnImage(BadFile):
    """A file whose content is none of the image formats that are read."""


def open_image(content: Path | bytes, name: str, least: int | None = None) -> Image.Image:
    """The image in a file or in bytes, its first frame fully decoded; `name` is what errors call it.

    With `least` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where its shorter side then still has so many pixels:
    the decoder leaves out work, and the pixels are close to those of a full decoding that is scaled, not equal.
    The limit is Pillow's: above 178,956,970 pixels an image is taken for a decompression bomb and refused.
    """
    if isinstance(content, Path):
        # Of files with several frames Pillow would keep the handle open; bytes have none.
        content = _content(content, name)
    image = open_header(content, name)
    try:
        # Only TIFF warns here; holding the lock for every format would keep threads from decoding side by side.
        with quiet() if image.format == "TIFF" else nullcontext():
            if least is not None:
                image.draft(None, (least, least))
            image.load()
    except FAILURES as error:
        raise BadFile(name, f"the image is cut short or damaged ({_reason(error)}); replace or remove it") from None
    return image


def open_header(content: Path | bytes, name: str) -> Image.Image:
    """The image with only its header read: format, size and mode are known, pixels are not."""
    if isinstance(content, Path) and not content.exists():
        raise MissingPath(f"no such file: {name}")
    if (content.stat().st_size if isinstance(content, Path) else len(content)) == 0:
        raise BadFile(name, "the file is empty (0 bytes); expected an image")
    Image.preinit()
    try:
        with quiet():
            return Image.open(content if isinstance(content, Path) else io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise NotAnImage(name, f"not an image that can be read; expected one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise BadFile(name, f"its header claims more than {limit:,} pixels: a decompression bomb, refused") from None
    except FAILURES as error:
        raise BadFile(name, f"the header of the image is damaged ({_reason(error)})") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings: about odd metadata, and about photographs of half the size that is refused."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def orientation(image: Image.Image) -> int:
    """The EXIF orientation: 1 is upright, 5 to 8 swap width and height; 1 too where the entry cannot be read."""
    try:
        with quiet():
            found = image.getexif().get(0x0112, 1)
    except FAILURES:
        return 1
    return found if found in range(1, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width as they are once the image is turned upright."""
    # Of a PNG the entry may follow the pixels, and reading it would decode them all.
    turned = image.format != "PNG" and orientation(image) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def _content(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingPath(f"no such file: {name}") from None
    except OSError as error:
        raise BadFile(name, f"cannot be read ({error.strerror})") from None


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
