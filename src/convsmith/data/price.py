"""The memory and the time that decoding one image takes, estimated from its header, and their limits."""

from dataclasses import dataclass
from math import ceil

from PIL import Image

from convsmith.data.formats import DECODERS, OPENED, SCANS, Format
from convsmith.report.text import size as size_text

# The limits for one image, unless a user allows more. The seconds are estimated from the table in `formats`.
MOST_BYTES, MOST_SECONDS = 2**29, 5.0
OPTION = "--max-megapixels"

# The bytes that Pillow stores for a pixel of a mode; all other modes take four.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# Bytes for the strips that are converted one after the other, and for the rows of a picture that is scaled.
_BUFFERS = 2**25
# A progressive JPEG has about ten scans as encoders write it; the measured speeds include these.
_USUAL_SCANS = 10


@dataclass(frozen=True)
class Price:
    """The bytes of memory and the seconds that decoding an image takes."""

    bytes: int
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether the price is within the limits."""
        return self.bytes <= MOST_BYTES and self.seconds <= MOST_SECONDS


def price_of(image: Image.Image, content: int, turned: bool = False, shrunk: int = 1, scans: int = 1) -> Price:
    """The price of decoding and converting `image`, of which only the header is read, from a file of `content` bytes.

    `turned` says that the image is turned upright afterwards. `shrunk` is 2, 4 or 8 for a JPEG that is decoded at 1/2,
    1/4 or 1/8 of its sides, and `scans` counts its scans: each goes over all pixels, however few its bytes are.
    """
    decoder = _decoder(image, scans)
    pixels, stored = pixels_of(image), _STORED.get(image.mode, 4)
    copied = 0 if image.mode == "RGB" and not turned else 4
    taken = (stored + max(decoder.working, copied)) / shrunk**2 + decoder.kept
    rate = (decoder.pixels if shrunk == 1 else decoder.shrunk) / (2 if is_deep(image) else 1)
    more = max(0, scans - _USUAL_SCANS)
    seconds = (
        pixels / 1e6 / rate + content / 1e6 / decoder.content + (more * pixels / 1e6 / decoder.scan if more else 0)
    )
    return Price(_BUFFERS + content + ceil(pixels * taken), seconds)


def scans_of(image: Image.Image, content: bytes) -> int:
    """How many scans a JPEG has: SOS markers up to the end of its first picture. 1 for other formats."""
    if kind_of(image) != "JPEG":
        return 1
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] != b"\xda":  # thumbnails lie in these segments
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    end = content.find(b"\xff\xd9", at)
    return content.count(b"\xff\xda", at, end if end >= 0 else len(content))


def too_dear(image: Image.Image, price: Price) -> str:
    """The message for an image of this price that is refused, with the value of the option that accepts it."""
    over = f"{size_text(price.bytes)} of memory, more than {size_text(MOST_BYTES)}"
    if price.bytes <= MOST_BYTES:
        over = f"{price.seconds:.0f} s, more than {MOST_SECONDS:g} s"
    return (
        f"has {image.width:,}x{image.height:,} pixels (width x height), and decoding them would take about {over}; "
        f"if you trust the file: {OPTION} {ceil(pixels_of(image) / 1e6)}, else make it smaller or remove it"
    )


def pixels_of(image: Image.Image) -> int:
    """How many pixels the decoder makes. A TIFF whose tile is larger than the image makes those of the tile."""
    width, height = (max(pair) for pair in zip(image.size, getattr(image, "_tile_size", image.size), strict=True))
    return width * height


def kind_of(image: Image.Image) -> str:
    """Pillow's name of an image's format. MPO, a JPEG with further pictures that many cameras write, is JPEG."""
    return "JPEG" if image.format == "MPO" else image.format or ""


def is_deep(image: Image.Image) -> bool:
    """Whether an image of which only the header is read has more than 8 bits a channel."""
    return image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())[:1])


def _decoder(image: Image.Image, scans: int) -> Format:
    if scans > 1 or image.info.get("progressive"):
        return DECODERS[SCANS]
    tiles = getattr(image, "tile", ())
    return DECODERS.get(str(tiles[0][0]) if tiles else "") or OPENED[kind_of(image)]
