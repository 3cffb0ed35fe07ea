"""The image formats that are read: their extensions, and what decoding one takes. No torch here."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import features


@dataclass(frozen=True)
class Format:
    """A format of Pillow, the extensions of its files, and what its decoder takes, measured with Pillow 13.

    `working` is the memory, bytes a pixel, that it needs besides the image. It decodes `pixels` millions a second of
    an image of one colour, and reads `content` million bytes a second of one that is full of detail.
    """

    name: str
    extensions: tuple[str, ...]
    working: int
    pixels: float
    content: float


# Two cores of a cloud machine with other work on them: a quiet machine takes half the time.
_KNOWN = (
    Format("JPEG", ("jpg", "jpeg", "jpe", "jfif"), 0, 60, 40),
    Format("PNG", ("png", "apng"), 0, 80, 12),
    Format("BMP", ("bmp",), 0, 60, 200),
    Format("GIF", ("gif",), 0, 60, 40),
    Format("WEBP", ("webp",), 12, 20, 6),
    Format("TIFF", ("tif", "tiff"), 0, 40, 40),
    Format("PPM", ("ppm", "pgm", "pbm", "pnm"), 0, 60, 200),
    Format("AVIF", ("avif",), 10, 20, 1.5),
)
# Pillow is built with or without these.
_OPTIONAL = {"AVIF": "avif", "WEBP": "webp"}
# What Pillow here opens, by its name.
OPENED = {f.name: f for f in _KNOWN if f.name not in _OPTIONAL or features.check(_OPTIONAL[f.name])}
# The extensions, without the dot, of files that every verb takes for images.
EXTENSIONS = tuple(extension for f in OPENED.values() for extension in f.extensions)

_CONVERT = "convert it to PNG or JPEG"
_HEIC = "convert it to JPEG: with the package pillow-heif, or save it so in the program that shows it"
# Images of other kinds that people have, and what to do about them.
UNREAD = {
    **dict.fromkeys(("heic", "heif", "hif"), _HEIC),
    **dict.fromkeys(("jp2", "j2k", "jxl", "psd", "svg", "ico", "exr", "hdr", "tga", "pfm"), _CONVERT),
    **dict.fromkeys(("cr2", "cr3", "nef", "arw", "dng", "orf", "rw2", "raf"), "develop the raw photograph to JPEG"),
}
# Brands of the boxes that HEIC files begin with.
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def extension_of(name: str) -> str:
    """The extension of a file's name in lower case, without its dot: `jpg`; empty where there is none."""
    return os.path.splitext(name)[1].lower().removeprefix(".")


def is_image_name(name: str) -> bool:
    """Whether a file is taken for an image, by its extension."""
    return extension_of(name) in EXTENSIONS


def left_out_text(names: Iterable[str]) -> str:
    """Files that are no images by their extension, counted: `10 .heic, 3 .txt`, and how to mend what can be."""
    tally = Counter(extension_of(name) for name in names)
    kinds = [f"{count} {f'.{kind}' if kind else 'without extension'}" for kind, count in tally.most_common(6)]
    more = f" and {len(tally) - 6} kinds more" if len(tally) > 6 else ""
    mends = dict.fromkeys(f".{kind}: {UNREAD[kind]}" for kind, _ in tally.most_common(6) if kind in UNREAD)
    return ", ".join(kinds) + more + "".join(f"; {mend}" for mend in mends)


def not_read(head: bytes, name: str) -> str:
    """What to say of a file that is none of the formats, by its first bytes and its name."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return f"a HEIC photograph, which Pillow does not read; {_HEIC}"
    mend = UNREAD.get(extension_of(name))
    return f"not an image that can be read; expected one of {', '.join(OPENED)}" + (f"; {mend}" if mend else "")
