"""Numbers about a source: counts, imbalance, sizes, modes, channel statistics, advice. No torch here."""

import statistics
from typing import Any

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.advice import advice, may_flip
from convsmith.data.decoding import mean_and_std
from convsmith.data.examples import ArrayExamples, EncodedExamples, Examples, FileExamples, spread
from convsmith.data.images import upright_size
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import preprocess_for
from convsmith.data.sources.source import Source
from convsmith.data.suit import colours_of

_SAMPLE = 2_000
_IMBALANCE = 10


def stats(source: Source, workers: int = 2) -> dict[str, Any]:
    """The numbers of a source as JSON data; sizes and modes are of at most 2,000 spread training images."""
    card = source.card
    train = source.splits["train"]
    counts = card.class_counts["train"]
    smallest, largest = min(counts), max(counts)
    imbalance = round(largest / smallest, 2) if smallest else None
    widths, heights, modes, unread = _shapes(train)
    record = preprocess_for(card, DataOptions(), ((0.5,) * card.channels, (0.5,) * card.channels))
    mean, std = (None, None) if unread else mean_and_std(train, record, workers)
    labels = None
    if card.multilabel:
        labels = _spread(train.labels.sum(axis=1).tolist())
    lighting = None
    if not unread and record.channels == 3:
        lighting = dict(zip(("deviations", "components"), map(list, colours_of(train, record, workers)), strict=True))
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
        "width": _spread(widths),
        "height": _spread(heights),
        "modes": modes,
        "unreadable": unread,
        "mean": list(mean) if mean else None,
        "std": list(std) if std else None,
        "lighting": lighting,
        "flip": may_flip(card.name),
        "warnings": _warnings(card.classes, counts, imbalance, unread),
    }
    return numbers | {"advice": advice(card, numbers, record.size)}


def _shapes(examples: Examples) -> tuple[list[int], list[int], dict[str, int], int]:
    widths: list[int] = []
    heights: list[int] = []
    modes: dict[str, int] = {}
    unread = 0
    for i in spread(len(examples), _SAMPLE):
        try:
            height, width, mode = _shape(examples, int(i))
        except BadFile:
            unread += 1
            continue
        widths.append(width)
        heights.append(height)
        modes[mode] = modes.get(mode, 0) + 1
    return widths, heights, modes, unread


def _shape(examples: Examples, i: int) -> tuple[int, int, str]:
    if isinstance(examples, ArrayExamples):
        height, width, channels = examples.images.shape[1:]
        return height, width, "L" if channels == 1 else "RGB"
    if isinstance(examples, FileExamples | EncodedExamples):
        with examples.header(i) as image:
            return *upright_size(image), image.mode
    pixels = np.asarray(examples.read(i))
    return pixels.shape[0], pixels.shape[1], "L" if pixels.ndim == 2 else "RGB"


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
