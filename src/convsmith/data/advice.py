"""Advice for training on a data set, in sentences that follow from its statistics."""

import re
from collections.abc import Sequence
from typing import Any

from convsmith.base.config import kind_of
from convsmith.data.augmentations import MIRRORS, Augment
from convsmith.data.card import Card
from convsmith.data.fit import size_text
from convsmith.data.preprocess import ImageInput
from convsmith.data.shapes import Shapes, losses
from convsmith.report.text import many

# Sets whose classes change meaning in a mirror.
_NO_FLIP = re.compile(r"digits|(?<!fashion)(?<!fashion[ _-])e?mnist|svhn|letters")
# If the largest class has this many times the images of the smallest, sampling or weights are advised.
_UNEVEN = 2
# Images of at most this many pixels a side are cropped by a few pixels, larger ones by any share.
_SMALL = 64
# With fewer training images for each class, a start from trained weights gains most.
_FEW = 500


def may_flip(name: str) -> bool:
    """Whether mirrored images keep their class, judged by the name of the data set."""
    return _NO_FLIP.search(name.lower()) is None


def mirror_note(card: Card, augments: Sequence[Augment]) -> str | None:
    """A note if `augments` mirror images of a set whose classes change meaning in a mirror, else None."""
    names = [kind_of(type(step)) for step in augments if isinstance(step, MIRRORS)]
    if not names or may_flip(card.name):
        return None
    return f"{', '.join(names)}: {_mirrored(card)}; leave that out with another --augment"


def advice(card: Card, numbers: dict[str, Any], shapes: Shapes, record: ImageInput, start: str = "") -> list[str]:
    """Sentences on the statistics `numbers` of a data set whose images training would preprocess by `record`."""
    return [
        *_flip(card, "crop(4)" if max(record.size) <= _SMALL else "resized_crop"),
        *_balance(card),
        *_amount(card, start),
        *_size(card, numbers, shapes, record),
        *_pixels(numbers, start),
    ]


def _flip(card: Card, crop: str) -> list[str]:
    if may_flip(card.name):
        return [f"flip: a mirror keeps the classes, as far as the name tells; --augment '{crop},flip'"]
    return [f"no flip: {_mirrored(card)}; --augment '{crop}'"]


def _mirrored(card: Card) -> str:
    return f"in a mirror the {many(len(card.classes), 'class', 'classes')} of {card.name} become others or none"


def _balance(card: Card) -> list[str]:
    tally = {name: n for name, n in zip(card.classes, card.class_counts["train"], strict=True) if n}
    if len(tally) < 2:
        return []
    least, most = min(tally, key=lambda name: tally[name]), max(tally, key=lambda name: tally[name])
    ratio = tally[most] / tally[least]
    if ratio == 1:
        return [f"balance: each class has {many(tally[most], 'training image')}"]
    counts = f"{most!r} has {tally[most]:,} training images, {least!r} {tally[least]:,}, {ratio:.3g} times fewer"
    if ratio < _UNEVEN:
        return [f"balance: {counts}: nothing needs to be done"]
    means = "--data.sampling square_root or balanced, or " if not card.multilabel else ""
    return [f"imbalance: {counts}; {means}--loss.class_weights balanced; judge by the balanced accuracy of eval"]


def _amount(card: Card, start: str) -> list[str]:
    total = card.counts["train"]
    each = total / len(card.classes)
    classes = many(len(card.classes), "class", "classes")
    text = f"amount: {many(total, 'training image')}, {each:,.0f} for each of {classes}"
    gain = "so few gain from trained weights (train photos --pretrained); --kfold 5 gives a surer number"
    gain = "on so few --kfold 5 gives a surer number" if start else gain
    return [f"{text}; {gain}" if each < _FEW else text]


def _size(card: Card, numbers: dict[str, Any], shapes: Shapes, record: ImageInput) -> list[str]:
    """The sizes of the images, the size of the network's input, and the losses between them."""
    if not numbers["width"]:
        return []
    gets = f"training uses them at {size_text(record.size)}; another is set with --size"
    if card.size is not None:
        stored = f"all images have {size_text(card.size)} pixels (height x width)"
        gets = "training uses them so" if card.size == record.size else gets
    else:
        height, width = (numbers[side]["median"] for side in ("height", "width"))
        stored = f"the median image has {size_text((height, width))} pixels (height x width)"
    return [f"size: {stored}; {gets}", *(f"size: {text}" for text in losses(shapes, record))]


def _pixels(numbers: dict[str, Any], start: str) -> list[str]:
    if not numbers["mean"]:
        return []
    sentences = [f"normalization: {start or 'a run measures mean and std of its training images, and keeps them'}"]
    if numbers["lighting"]:
        deviations, components = numbers["lighting"]["deviations"], numbers["lighting"]["components"]
        main = _listed(components[:3])
        share = deviations[0] ** 2 / (sum(d**2 for d in deviations) or 1)
        sentences.append(
            f"colors: deviations {_listed(deviations)} along the principal components, {share:.0%} of the variance "
            f"along the first ({main}); --augment lighting draws from them"
        )
    return sentences


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
