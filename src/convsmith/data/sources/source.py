"""A source: a card and the splits as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.card import Card
from convsmith.data.examples import Examples, images_of_classes, spread
from convsmith.data.findings import Finding
from convsmith.data.image_sets import EncodedImages, FileImages, StoredSplit, store
from convsmith.data.images import upright_size
from convsmith.data.targets import labels_of

# A card needs the size and the mode of the images; of files the headers of this many per split are read.
HEADERS = 512

_GRAY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class Source:
    """Where images come from: the card, and the examples of each stored split (`train`, `val`, `test`).

    `findings` are what is wrong or odd about it apart from its images; `path` is what errors call it.
    """

    card: Card
    splits: dict[str, Examples]
    findings: tuple[Finding, ...] = ()
    path: str = ""


@dataclass(frozen=True)
class Origin:
    """The origin of a data set: its name, layout, license and source."""

    name: str
    kind: str
    license: str = "not stated"
    source: str = "local files"


def array_source(
    origin: Origin, classes: tuple[str, ...], splits: Mapping[str, Examples], fingerprint: str, notes: tuple = ()
) -> Source:
    """The source of arrays that share one size."""
    height, width, channels = np.asarray(next(iter(splits.values())).read(0)).shape
    named = {split: replace(e, targets=labels_of(e.labels, classes)) for split, e in splits.items()}
    return Source(_card(origin, classes, splits, channels, (height, width), fingerprint, notes), named)


def empty_card(origin: Origin) -> Card:
    """The card of a source without a single image, which has findings alone."""
    return _card(origin, (), {}, 3, None, "", ())


def file_source(
    origin: Origin,
    classes: tuple[str, ...],
    splits: Mapping[str, Examples],
    fingerprint: str,
    notes: tuple[str, ...] = (),
) -> Source:
    """The source of encoded images; their size and color are those of a sample of headers."""
    sizes, modes, unread = _headers(splits)
    findings: tuple[Finding, ...] = ()
    if not sizes:
        name = next(iter(splits.values())).name(0)
        none = f"none of the {unread} images that were looked at can be read; `data check` lists why"
        findings = (Finding(name, "refused", none),)
    size = next(iter(sizes)) if len(sizes) == 1 else None
    channels = 1 if modes and all(mode in _GRAY for mode in modes if mode != "turned") else 3
    read = sum(count for mode, count in modes.items() if mode != "turned")
    found = (*notes, *_mode_notes(modes, read))
    known = {
        split: replace(e, images=store(e.images, StoredSplit(origin.name, fingerprint, split, len(e))))
        for split, e in splits.items()
    }
    return Source(_card(origin, classes, splits, channels, size, fingerprint, found), known, findings)


def _card(
    origin: Origin,
    classes: tuple[str, ...],
    splits: Mapping[str, Examples],
    channels: int,
    size: tuple[int, int] | None,
    fingerprint: str,
    notes: tuple[str, ...],
) -> Card:
    return Card(
        name=origin.name,
        kind=origin.kind,
        classes=classes,
        channels=channels,
        size=size,
        counts={split: len(examples) for split, examples in splits.items()},
        class_counts={split: images_of_classes(e.labels, len(classes)) for split, e in splits.items()},
        license=origin.license,
        source=origin.source,
        fingerprint=fingerprint,
        notes=notes,
        multilabel=any(examples.labels.ndim == 2 for examples in splits.values()),
    )


def _headers(splits: Mapping[str, Examples]) -> tuple[set[tuple[int, int]], dict[str, int], int]:
    """The sizes, how often each mode (and `turned`) occurs, and how many headers cannot be read."""
    sizes: set[tuple[int, int]] = set()
    modes: dict[str, int] = {}
    unread = 0
    kinds = (FileImages, EncodedImages)
    for images in (e.images for e in splits.values() if isinstance(e.images, kinds)):
        for i in spread(len(images), HEADERS):
            try:
                with images.header(int(i)) as image:
                    size, mode, stored = upright_size(image), image.mode, (image.height, image.width)
            except BadFile:
                # Unreadable files are reported when they are decoded, or left out by on_bad=skip.
                unread += 1
                continue
            sizes.add(size)
            for key in (mode, "turned") if size != stored else (mode,):
                modes[key] = modes.get(key, 0) + 1
    return sizes, modes, unread


def _mode_notes(modes: dict[str, int], read: int) -> list[str]:
    """What is converted; what is lost or added by it is said of the training images, by `shapes.losses`."""
    conversions = [
        (modes.get("P", 0), "palette images are converted to color"),
        (modes.get("CMYK", 0), "CMYK images are converted to RGB"),
        (modes.get("turned", 0), "images are turned by their EXIF orientation"),
    ]
    return [f"{what} ({count} of {read} headers that were read)" for count, what in conversions if count]
