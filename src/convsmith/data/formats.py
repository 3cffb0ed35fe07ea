"""The image formats that are read: their extensions, and the memory and time of decoding."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from PIL import features


@dataclass(frozen=True)
class Format:
    """A format of Pillow, the extensions of its files, and the speed and memory of its decoder (measured, Pillow 13).

    `working` is the decoder's memory besides the image, in bytes for each pixel; `kept` is its memory for each pixel of
    the full size, even if a JPEG is decoded smaller. `pixels` is its speed on an image of one color, in million pixels
    a second, `shrunk` the speed for a JPEG decoded smaller, and `scan` the speed for each further scan of a JPEG.
    `content` is its speed on noise, in million bytes of the file a second.
    """

    name: str
    extensions: tuple[str, ...]
    working: int
    pixels: float
    content: float
    kept: int = 0
    shrunk: float = 0.0
    scan: float = 0.0


# Measured on two cores of a busy cloud machine; an idle machine takes half the time.
_KNOWN = (
    Format("JPEG", ("jpg", "jpeg", "jpe", "jfif"), 0, 60, 40, shrunk=250, scan=250),
    Format("PNG", ("png", "apng"), 0, 80, 12),
    Format("BMP", ("bmp",), 0, 60, 200),
    Format("GIF", ("gif",), 0, 60, 40),
    Format("WEBP", ("webp",), 12, 20, 6),
    Format("TIFF", ("tif", "tiff"), 0, 40, 40),
    Format("PPM", ("ppm", "pgm", "pbm", "pnm"), 0, 60, 200),
    Format("AVIF", ("avif",), 10, 20, 1.5),
)
# Slower or larger decoders of the same formats, by Pillow's name of the decoder (for a JPEG: by its scans).
SCANS = "several scans"
DECODERS = {
    # A JPEG in several scans, such as a progressive one, keeps three planes of 16-bit coefficients.
    SCANS: replace(_KNOWN[0], kept=6),
    "bmp_rle": replace(_KNOWN[2], kept=2),  # Pillow keeps two copies of the expanded run lengths
    "ppm_plain": replace(_KNOWN[6], content=1.5),  # Pillow's decoder of plain (ASCII) PPM is written in Python
}
# Pillow may be built without these formats: the name of each in `PIL.features`.
_OPTIONAL = {"AVIF": "avif", "WEBP": "webp"}
# The formats that the installed Pillow opens, by name.
OPENED = {f.name: f for f in _KNOWN if f.name not in _OPTIONAL or features.check(_OPTIONAL[f.name])}
# The extensions, without the dot, of the files that every command reads as images.
EXTENSIONS = tuple(extension for f in OPENED.values() for extension in f.extensions)

_CONVERT = "convert it to PNG or JPEG"
_HEIC = "convert it to JPEG: with the package pillow-heif, or save it so in the program that shows it"
# The extensions of pictures and films that are not read, and the mend for each.
UNREAD = {
    **dict.fromkeys(("heic", "heif", "hif"), _HEIC),
    **dict.fromkeys(("jp2", "j2k", "jpf", "jpx", "jxl", "exr", "hdr", "tga", "dds", "pfm", "ico", "icns"), _CONVERT),
    **dict.fromkeys(("psd", "xcf", "svg", "ai", "eps", "pdf", "dcm", "nii"), _CONVERT),
    **dict.fromkeys(("npy", "npz"), "write each array as a PNG"),
    **dict.fromkeys(("mp4", "mov", "avi", "mkv", "webm"), "a film: write its frames as PNG or JPEG"),
    **dict.fromkeys(
        ("raw", "cr2", "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "pef", "srw"),
        "develop the raw photograph to JPEG",
    ),
}
# The brands in the `ftyp` box that a HEIC file begins with.
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def extension_of(name: str) -> str:
    """The extension of a file's name in lower case, without its dot: `jpg`; empty if the name has none."""
    return os.path.splitext(name)[1].lower().removeprefix(".")


def is_image_name(name: str) -> bool:
    """Whether a file has the extension of an image that is read."""
    return extension_of(name) in EXTENSIONS


def is_unread_picture(name: str) -> bool:
    """Whether a file has the extension of a picture (or a film) in a format that is not read."""
    return extension_of(name) in UNREAD and not is_image_name(name)


def why_left_out(name: str) -> str:
    """The reason, by its extension, why a file is not read, and the mend for a picture."""
    if not is_unread_picture(name):
        return "not an image by its extension"
    return f"a picture in a format that is not read; {UNREAD[extension_of(name)]}"


def mends(names: Iterable[str]) -> str:
    """The mends for pictures that are not read, for the end of a message: `; .heic: convert it ...`."""
    kinds = dict.fromkeys(map(extension_of, names))
    return "".join(f"; .{kind}: {UNREAD[kind]}" for kind in [k for k in kinds if k in UNREAD][:3])


def not_read(head: bytes, name: str) -> str:
    """The message for a file that is in none of the formats, by its first bytes and its name."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return f"a HEIC photograph, which Pillow does not read; {_HEIC}"
    mend = UNREAD.get(extension_of(name))
    return f"not an image that can be read; expected one of {', '.join(OPENED)}" + (f"; {mend}" if mend else "")
