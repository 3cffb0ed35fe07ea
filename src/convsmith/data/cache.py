"""Decoded images kept on the disk: one file for each stored split and way of decoding, a slot for each image.

No torch here.
"""

from typing import Any, Literal

from PIL import __version__ as pillow_version
from PIL import features

from convsmith.data.examples import Examples
from convsmith.data.fit import frame
from convsmith.data.image_sets import Images, StoredSplit
from convsmith.data.kept import Kept, open_kept
from convsmith.data.preprocess import BORDER, Preprocess, final_size
from convsmith.data.slots import PIXELS, stride
from convsmith.report.text import many
from convsmith.report.text import size as size_text

Use = Literal["auto", "on", "off"]

# Sets with less than this in encoded bytes are decoded in a moment: 'auto' does not keep them.
WORTH_BYTES = 16_000_000


def open_cache(examples: Examples, record: Preprocess, margin: bool, use: Use) -> tuple[Kept | None, str]:
    """The slots for the examples' decoded images; or None and the reason for the user, empty if it is no surprise."""
    images = examples.images
    if use == "off" or (use == "auto" and not _is_worth(images)):
        return None, ""
    margin = record.resize is not None and (margin or crops_from_margin(record))
    shape = (record.channels, *final_size(record, margin))
    cache, problem = open_kept(images, lambda stored: _about(stored, record, shape, margin), PIXELS)
    return cache, problem and f"decoded images are {problem}"


def cache_note(examples: Examples, record: Preprocess, use: Use) -> str:
    """The note before training: what the decoded images will take, what was damaged, or why they are not kept.

    It is empty if all are kept.
    """
    cache, problem = open_cache(examples, record, True, use)
    if cache is None:
        return problem
    damage = cache.damage()
    kept = _kept_note(cache, cache.missing(examples.images))
    return "; ".join(note for note in (damage and f"decoded images: {damage}", kept) if note)


def _kept_note(cache: Kept, missing: int) -> str:
    if not missing:
        return ""
    if slots := cache.read_only:
        return f"{many(missing, 'image is', 'images are')} decoded in every epoch: {slots.path} cannot be written"
    return (
        f"{many(missing, 'decoded image')} will be kept in {cache.folder}, "
        f"{size_text(missing * stride(cache.shape))}, "
        "for later epochs and runs (--data.cache off: none)"
    )


def crops_from_margin(record: Preprocess) -> bool:
    """Whether the final image is, pixel for pixel, the middle of the frame that training crops from.

    Corners are rounded halves, to the even: only an even part of a corner can be taken off before the rounding.
    """
    outer = frame(record)
    return outer is not None and all((have - want) % 4 == 0 for have, want in zip(outer, record.size, strict=True))


def _is_worth(images: Images) -> bool:
    """Whether decoding takes so long that it is kept; looks at no more files than it must."""
    total = 0
    for i in range(len(images)):
        total += images.stamp(i)[0]
        if total >= WORTH_BYTES:
            return True
    return False


def decoders() -> list[str]:
    """The names and versions of the libraries that decode images. Other versions may give other pixels."""
    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")]
    return [f"pillow {pillow_version}", *codecs]


def _about(stored: StoredSplit, record: Preprocess, shape: tuple[int, int, int], margin: bool) -> dict[str, Any]:
    """All that the pixels in a file depend on. Other decoders or other fields of the record make another file."""
    # Fields with their defaults are left out, so that the files of older versions keep their names.
    fit: dict[str, Any] = {} if record.fit == "crop" else {"fit": record.fit, "border": BORDER}
    limit: dict[str, Any] = {} if stored.most is None else {"most": stored.most}
    return {
        "source": stored.source,
        "split": stored.split,
        "count": stored.count,
        "fingerprint": stored.fingerprint,
        "shape": list(shape),
        "margin": margin,
        "exif": record.exif,
        "mode": record.mode,
        "resize": list(record.resize) if isinstance(record.resize, tuple) else record.resize,
        "interpolation": record.interpolation,
        "decoding": record.decoding,
        "decoder": decoders(),
        **fit,
        **limit,
    }
