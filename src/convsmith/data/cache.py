"""The cache of decoded images on the disk: a file for each stored split and preprocessing, a slot for each image."""

from typing import Any, Literal

from PIL import __version__ as pillow_version
from PIL import features

from convsmith.data.examples import Examples
from convsmith.data.fit import frame
from convsmith.data.image_sets import Images, StoredSplit
from convsmith.data.kept import Kept, open_kept
from convsmith.data.preprocess import BORDER, ImageInput, final_size
from convsmith.data.slots import PIXELS, stride
from convsmith.report.text import many
from convsmith.report.text import size as size_text

Use = Literal["auto", "on", "off"]

# Data sets with fewer encoded bytes are decoded in a moment, so 'auto' does not keep them.
WORTH_BYTES = 16_000_000


def open_cache(examples: Examples, record: ImageInput, margin: bool, use: Use) -> tuple[Kept | None, str]:
    """The slots for the examples' decoded images; or None and the reason as a line for the user.

    The reason is empty if the user switched the cache off or the data set is not worth it.
    """
    images = examples.images
    if use == "off" or (use == "auto" and not _is_worth(images)):
        return None, ""
    # Validation reads the file that training writes if its images are exactly the centers of the frames there. So
    # folds, which use an image for both, decode it once.
    margin = record.resize is not None and (margin or crops_from_margin(record))
    shape = (record.channels, *final_size(record, margin))
    cache, problem = open_kept(images, lambda stored: _about(stored, record, shape, margin), PIXELS)
    return cache, problem and f"decoded images are {problem}"


def cache_note(examples: Examples, record: ImageInput, use: Use) -> str:
    """The note before training: the space for the decoded images, damage to the cache, or why images are not kept.

    It is empty if all images are in the cache.
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


def crops_from_margin(record: ImageInput) -> bool:
    """Whether the final image equals, pixel for pixel, the center of the frame that training crops from.

    If so, one cached frame serves training and evaluation.
    """
    outer = frame(record)
    # The corner of a centered crop is half a difference, rounded half to even. Two crops (image to frame, frame to
    # final size) reach the corner of one crop only if the second half is even: round(a + b) is round(a) + b for even b,
    # and may differ for odd b. So the difference must be a multiple of 4.
    return outer is not None and all((have - want) % 4 == 0 for have, want in zip(outer, record.size, strict=True))


def _is_worth(images: Images) -> bool:
    """Whether the images have at least WORTH_BYTES of encoded bytes. It reads the sizes of only as many as needed."""
    total = 0
    for i in range(len(images)):
        total += images.stamp(i)[0]
        if total >= WORTH_BYTES:
            return True
    return False


def decoders() -> list[str]:
    """The names and versions of the libraries that decode images; other versions may give other pixels."""
    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")]
    return [f"pillow {pillow_version}", *codecs]


def _about(stored: StoredSplit, record: ImageInput, shape: tuple[int, int, int], margin: bool) -> dict[str, Any]:
    """All values that the cached pixels depend on; the hash of them is the file's name."""
    # A field that is missing here would let a run read the pixels of another preprocessing. Mean and std are not here:
    # they apply to the pixels later.
    # Fields that older versions lacked are left out at their defaults, so that older files keep their names.
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
