"""Numbers about a source: counts, imbalance, sizes, modes, channel statistics, advice."""

import statistics
from typing import Any

from convsmith.data.advice import advice, may_flip
from convsmith.data.decoding import measure
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import preprocess_for
from convsmith.data.shapes import shapes_of
from convsmith.data.sources.source import Source
from convsmith.data.suit import colors_of

_IMBALANCE = 10


def stats(source: Source, workers: int = 2, options: DataOptions | None = None, start: str = "") -> dict[str, Any]:
    """The statistics of a source as JSON data; sizes and modes come from at most 2,000 training images.

    `options` are the options for training: the sentences on size, crop and color follow from the preprocessing record
    that they give. `start` says which weights training would start from, if any.
    """
    card = source.card
    train = source.splits["train"]
    counts = card.class_counts["train"]
    smallest, largest = min(counts), max(counts)
    imbalance = round(largest / smallest, 2) if smallest else None
    shapes = shapes_of(train)
    unread = shapes.unread
    channels = (options or DataOptions()).channels or card.channels
    record = preprocess_for(card, options or DataOptions(), ((0.5,) * channels, (0.5,) * channels))
    measured = None if unread else measure(train, record, workers)
    labels = None
    if card.multilabel:
        labels = _spread(train.labels.sum(axis=1).tolist())
    lighting = None
    if not unread and record.channels == 3:
        lighting = dict(zip(("deviations", "components"), map(list, colors_of(train, record, workers)), strict=True))
    numbers = {
        "name": card.name,
        "kind": card.kind,
        "splits": dict(card.counts),
        "classes": {
            name: {split: tally[label] for split, tally in card.class_counts.items()}
            for label, name in enumerate(card.classes)
        },
        "imbalance": imbalance,
        "labels_per_image": labels,
        "width": _spread([width for _, width in shapes.sizes]),
        "height": _spread([height for height, _ in shapes.sizes]),
        "modes": shapes.modes,
        "unreadable": unread,
        "mean": list(measured.mean) if measured else None,
        "std": list(measured.std) if measured else None,
        "lighting": lighting,
        "flip": may_flip(card.name),
        "warnings": [
            *_warnings(card.classes, counts, imbalance, unread),
            *(measured.warnings if measured else ()),
        ],
    }
    return numbers | {"advice": advice(card, numbers, shapes, record, start)}


def _spread(values: list[int]) -> dict[str, float] | None:
    if not values:
        return None
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _warnings(classes: tuple[str, ...], counts: tuple[int, ...], imbalance: float | None, unread: int) -> list[str]:
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    told = [
        (bool(empty), f"no training image of {', '.join(empty[:5])}"),
        (imbalance is not None and imbalance > _IMBALANCE, f"the largest class has {imbalance} times the smallest"),
        (bool(unread), f"{unread} of the images that were looked at cannot be read; `data check` lists them"),
    ]
    return [text for is_so, text in told if is_so]
