"""Opening image files safely: known formats, limits on memory and time, every failure a `BadFile`."""

import io
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from convsmith.base.errors import BadFile, ConvsmithError, MissingPath
from convsmith.data.formats import OPENED, not_read
from convsmith.data.price import MOST_BYTES, OPTION, kind_of, pixels_of, price_of, scans_of, too_dear
from convsmith.report.text import many

# `Image.preinit` registers the other formats; these are registered when their plugins are imported.
_PLUGINS = (TiffImagePlugin, WebPImagePlugin, AvifImagePlugin)

# The errors of Pillow's parsers and decoders for damaged files; absurd sizes in a header raise MemoryError.
FAILURES = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# warnings.catch_warnings and Pillow's limit are settings of the whole process: one thread at a time may change them.
_SETTINGS = threading.Lock()

# Reading the EXIF orientation takes longer than decoding a small image; below this size it changes no decision.
_SMALL_PIXELS = 8_000_000

# The nouns for other types of files, by the type in their status.
_OTHER_FILES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAnImage(BadFile):
    """A file whose content is in none of the image formats that are read."""


def open_image(content: Path | bytes, name: str, least: int | None = None, most: int | None = None) -> Image.Image:
    """The image in a file or in bytes, its first frame fully decoded; errors call it `name`.

    With `least` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if its shorter side keeps at least that many pixels.
    That saves time; the pixels are close, but not equal, to those of a full decoding that is scaled. An image that
    would take more than 512 MB or 5 s, judged by its header, is refused; a JPEG is decoded smaller if that is enough.
    An image of up to `most` pixels is decoded without these limits.
    """
    if isinstance(content, Path):
        # Bytes, since Pillow would keep the handle of a file with several frames open.
        content = _content(content, name, most)
    image = open_header(content, name)
    with blamed(name, "the image is cut short or damaged", "; replace or remove it"):
        shrunk = _shrunk(image, content, name, most)
        # Only TIFF warns here; holding the lock for every format would keep threads from decoding side by side.
        with quiet() if image.format == "TIFF" else nullcontext():
            if least is not None or shrunk > 1:
                width, height = (min(least or side, side // shrunk) for side in image.size)
                image.draft(None, (width, height))
            image.load()
    return image


def _shrunk(image: Image.Image, content: bytes, name: str, most: int | None) -> int:
    """The divisor of the sides that keeps decoding within the limits: 1, or 2, 4, 8 for a JPEG. Raises BadFile."""
    pixels = pixels_of(image)
    turned = pixels > _SMALL_PIXELS and image.format != "PNG" and orientation(image) != 1
    scans = scans_of(image, content)
    price = price_of(image, len(content), turned, scans=scans)
    if price.fits or pixels <= (most or 0):
        return 1
    if kind_of(image) == "JPEG":
        for shrunk in (2, 4, 8):
            if price_of(image, len(content), turned, shrunk, scans).fits:
                return shrunk
    raise BadFile(name, too_dear(image, price))


def open_header(content: Path | bytes, name: str) -> Image.Image:
    """The image with only its header read: format, size and mode are known, pixels are not. Raises BadFile."""
    if (check_regular(content, name) if isinstance(content, Path) else len(content)) == 0:
        raise BadFile(name, "the file is empty (0 bytes); expected an image")
    Image.preinit()
    with blamed(name, "the header of the image is damaged"):
        try:
            with quiet():
                source = content if isinstance(content, Path) else io.BytesIO(content)
                return Image.open(source, formats=tuple(OPENED))
        except UnidentifiedImageError:
            raise NotAnImage(name, not_read(_head(content), name)) from None


def check_regular(path: Path, name: str) -> int:
    """The size of a regular file in bytes. Raises BadFile for other types of files, since reading one may never end."""
    try:
        status = path.stat()
    except (FileNotFoundError, ValueError):  # ValueError: a NUL in the name
        raise MissingPath(f"no such file: {name}") from None
    except OSError as error:
        raise BadFile(name, f"cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        what = _OTHER_FILES.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise BadFile(name, f"is {what} and cannot be read as an image; expected a regular file")
    return status.st_size


@contextmanager
def blamed(name: str, problem: str, mend: str = "") -> Iterator[None]:
    """Turn any error of decoding or scaling into BadFile with this name, so that one file never stops a folder."""
    try:
        yield
    except ConvsmithError:
        raise
    except FAILURES as error:
        raise BadFile(name, f"{problem} ({_reason(error)}){mend}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about odd metadata, and lift its limit on pixels: `price` has limits of its own."""
    with _SETTINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def orientation(image: Image.Image) -> int:
    """The EXIF orientation: 1 is upright, 5 to 8 swap width and height. It is 1 if the entry cannot be read."""
    try:
        with quiet():
            entry = image.getexif().get(0x0112, 1)
    except FAILURES:
        return 1
    return entry if entry in range(1, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """The height and width of the image after it is turned upright."""
    # In a PNG the EXIF entry may follow the pixels, so reading it would decode all of them.
    turned = image.format != "PNG" and orientation(image) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def _content(path: Path, name: str, most: int | None) -> bytes:
    size = check_regular(path, name)
    if size > MOST_BYTES and most is None:
        raise BadFile(
            name, f"the file has {size:,} bytes, more than one image may take; if you trust it: {OPTION} 1000"
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingPath(f"no such file: {name}") from None
    except OSError as error:
        raise BadFile(name, f"cannot be read ({error.strerror})") from None
    except MemoryError:
        raise BadFile(name, f"its {many(size, 'byte')} do not fit into memory") from None


def _head(content: Path | bytes) -> bytes:
    if isinstance(content, bytes):
        return content[:16]
    with suppress(OSError), open(content, "rb") as file:
        return file.read(16)
    return b""


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
