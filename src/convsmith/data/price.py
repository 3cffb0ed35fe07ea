"""What decoding one image takes, told by its header: memory and time, and the limit on both. No torch here."""

from dataclasses import dataclass
from math import ceil

from PIL import Image

from convsmith.data.formats import OPENED
from convsmith.report.text import size as size_text

# What one image may take unless a user allows more. Seconds are those of the table in `formats`.
MOST_BYTES, MOST_SECONDS = 2**29, 5.0
OPTION = "--max-megapixels"

# Bytes a pixel as Pillow stores a mode, four for all others.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# A progressive JPEG keeps three planes of 16-bit coefficients, also where it is decoded smaller.
_COEFFICIENTS = 6
# For strips that are converted one by one, and for the rows of a picture that is scaled.
_BUFFERS = 2**25
# Pillow's decoder of run lengths in BMP keeps two copies.
_RUNS = 2
# Decoded smaller, a JPEG takes this many million pixels of its full size a second.
_DRAFT_PIXELS = 250
# Pillow's decoder of PPM written in digits is Python: million bytes a second.
_DIGITS = 1.5


@dataclass(frozen=True)
class Price:
    """Bytes and seconds that an image takes."""

    bytes: int
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether an image may take so much."""
        return self.bytes <= MOST_BYTES and self.seconds <= MOST_SECONDS


def price_of(image: Image.Image, content: int, turned: bool = False, shrunk: int = 1) -> Price:
    """What decoding an image of which only the header is read takes, from a file of `content` bytes, and converting it.

    `turned`: it is turned upright afterwards. `shrunk`: a JPEG is decoded at 1/2, 1/4 or 1/8 of its sides.
    """
    decoder = OPENED[kind_of(image)]
    pixels, stored = pixels_of(image), _STORED.get(image.mode, 4)
    working = _COEFFICIENTS if image.info.get("progressive") else _RUNS if _decoder_name(image) == "bmp_rle" else 0
    copied = 0 if image.mode == "RGB" and not turned else 4
    taken = (stored + max(decoder.working, copied)) / shrunk**2 + working
    rate = decoder.pixels if shrunk == 1 else _DRAFT_PIXELS
    reading = _DIGITS if _decoder_name(image) == "ppm_plain" else decoder.content
    return Price(
        _BUFFERS + content + ceil(pixels * taken),
        pixels / 1e6 / rate * (2 if is_deep(image) else 1) + content / 1e6 / reading,
    )


def too_dear(image: Image.Image, price: Price) -> str:
    """Why an image of this price is not decoded, and the option with the value that would."""
    over = f"{size_text(price.bytes)} of memory, more than {size_text(MOST_BYTES)}"
    if price.bytes <= MOST_BYTES:
        over = f"{price.seconds:.0f} s, more than {MOST_SECONDS:g} s"
    return (
        f"has {image.width:,}x{image.height:,} pixels (width x height), and decoding them would take about {over}; "
        f"if you trust the file: {OPTION} {ceil(pixels_of(image) / 1e6)}, else make it smaller or remove it"
    )


def pixels_of(image: Image.Image) -> int:
    """How many pixels the decoder makes: those of the tile where a TIFF is cut out of a larger one."""
    width, height = (max(pair) for pair in zip(image.size, getattr(image, "_tile_size", image.size), strict=True))
    return width * height


def kind_of(image: Image.Image) -> str:
    """The format of an image; MPO is JPEG with a second picture, as many cameras write it."""
    return "JPEG" if image.format == "MPO" else image.format or ""


def is_deep(image: Image.Image) -> bool:
    """Whether an image of which only the header is read has more than 8 bits a channel."""
    return image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())[:1])


def _decoder_name(image: Image.Image) -> str:
    tiles = getattr(image, "tile", ())
    return str(tiles[0][0]) if tiles else ""
