"""The sizes and modes of images, read from their headers, and what preprocessing takes from them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.examples import Examples, spread
from convsmith.data.fit import Size, enlargement, placed, size_text, size_word
from convsmith.data.image_sets import ArrayImages, EncodedImages, FileImages, Images
from convsmith.data.images import FAILURES, quiet, upright_size
from convsmith.data.preprocess import ImageInput
from convsmith.data.price import is_deep
from convsmith.report.text import many

# The number of headers that are read, spread over a split.
SAMPLE = 2_000
# Pictures that are enlarged more than so many times, of whose pixels 15 in 16 are interpolated, get a sentence.
_MUCH = 4
# Pictures that keep at least this share of their area get no sentence.
_WHOLE = 0.995
_GRAY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass
class Shapes:
    """The size (height, width) of each image, and the number of images in each of Pillow's modes.

    `deep` counts the images with more than 8 bits a channel, `clear` those with transparency, `unread` those whose
    header cannot be read.
    """

    sizes: list[Size] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)
    deep: int = 0
    clear: int = 0
    unread: int = 0


def shapes_of(examples: Examples, most: int = SAMPLE) -> Shapes:
    """The shapes of at most `most` images, spread evenly over the examples. No pixel is decoded."""
    shapes, images = Shapes(), examples.images
    if isinstance(images, ArrayImages):
        height, width, channels = images.pixels.shape[1:]
        count = min(len(examples), most)
        return Shapes([(height, width)] * count, {"L" if channels == 1 else "RGB": count})
    for i in spread(len(examples), most):
        try:
            _look(images, int(i), shapes)
        except BadFile:
            shapes.unread += 1
    return shapes


def _look(images: Images, i: int, shapes: Shapes) -> None:
    if isinstance(images, FileImages | EncodedImages):
        with images.header(i) as image:
            size, mode, deep, clear = upright_size(image), image.mode, is_deep(image), False
            try:
                with quiet():
                    clear = image.has_transparency_data
            except FAILURES:  # the file is damaged, which is reported when it is decoded
                pass
    else:
        pixels = np.asarray(images.read(i))
        size, mode, deep, clear = pixels.shape[:2], "L" if pixels.ndim == 2 else "RGB", False, False
    shapes.sizes.append((size[0], size[1]))
    shapes.modes[mode] = shapes.modes.get(mode, 0) + 1
    shapes.deep += deep
    shapes.clear += clear


def losses(shapes: Shapes, record: ImageInput) -> list[str]:
    """A sentence for each thing that `record` cuts from the images or makes up; empty if they stay as they are."""
    if not shapes.sizes:
        return []
    return [*_cut(shapes.sizes, record), *_enlarged(shapes.sizes, record), *_values(shapes, record)]


def _cut(sizes: Sequence[Size], record: ImageInput) -> list[str]:
    shares = {size: placed(size, record).share for size in set(sizes)}
    worst = min(shares, key=lambda size: shares[size])
    if shares[worst] >= _WHOLE:
        return []
    mend = "--data.fit pad or squash keeps all"
    if len(shares) == 1:
        return [f"the center {shares[worst]:.0%} of each picture is used ({size_text(record.size)}); {mend}"]
    median, least = statistics.median(shares[size] for size in sizes), _percent(shares[worst])
    return [
        f"the center {median:.0%} of the median picture is used ({size_text(record.size)}), {least} of the worst "
        f"({size_text(worst)}); {mend}"
    ]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"


def _enlarged(sizes: Sequence[Size], record: ImageInput) -> list[str]:
    times = statistics.median(enlargement(size, record) for size in sizes)
    if times <= _MUCH:
        return []
    height, width = (statistics.median(size[axis] for size in sizes) for axis in (0, 1))
    own = (max(8, int(height)), max(8, int(width)))
    each = "each picture" if len(set(sizes)) == 1 else "the median picture"
    size = own if own[0] == own[1] or len(set(sizes)) == 1 else (min(own), min(own))
    stored = size_text((height, width))
    return [f"{each} of {stored} pixels is enlarged {times:.2g} times; --size {size_word(size)} does without"]


def _values(shapes: Shapes, record: ImageInput) -> list[str]:
    """A sentence for each change of the pixels' values."""
    total = len(shapes.sizes)
    gray = sum(count for mode, count in shapes.modes.items() if mode in _GRAY)
    color = record.mode == "RGB"
    told = [
        (shapes.deep, "values of more than 8 bits are squeezed to 8"),
        (shapes.clear, "transparent pixels are laid on white"),
        (0 if color else total - gray, "colors are dropped; --data.channels 3 keeps them"),
        (gray if color else 0, "gray pictures get three equal channels"),
    ]
    return [f"{what} ({count:,} of {many(total, 'picture')} looked at)" for count, what in told if count]
