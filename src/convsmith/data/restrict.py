"""A part of a data set: only some of its classes, or only some of the training images."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from convsmith.base.errors import UsageError, unknown
from convsmith.data.examples import Examples, images_of_classes
from convsmith.data.findings import Finding
from convsmith.data.sources.source import Source
from convsmith.data.targets import ClassLabels

NO_IMAGE = "has no image: left out"


def of_classes(source: Source, classes: Sequence[str]) -> Source:
    """The source with only the images of these classes, which are numbered in this order.

    The fingerprint stays that of the whole content: it tells which data this is a part of.
    """
    card = source.card
    for name in classes:
        if name not in card.classes:
            raise unknown(f"class of {card.name} in data.classes:", name, card.classes)
    numbers = [card.classes.index(name) for name in classes]
    splits = {split: _renumbered(examples, numbers, tuple(classes)) for split, examples in source.splits.items()}
    for split, examples in splits.items():
        if not len(examples):
            raise UsageError(f"data.classes: {card.name} has no {split} image of {', '.join(classes)}; name others")
    tallies = {split: tuple(tally[number] for number in numbers) for split, tally in card.class_counts.items()}
    part = replace(
        card,
        classes=tuple(classes),
        counts={split: len(examples) for split, examples in splits.items()},
        class_counts=tallies,
    )
    return replace(source, card=part, splits=splits)


def of_seen_classes(source: Source) -> Source:
    """The source without the classes that have no image in any split, with a note and a finding for them."""
    card = source.card
    tallies = list(card.class_counts.values())
    unseen = [name for i, name in enumerate(card.classes) if not any(tally[i] for tally in tallies)]
    if not unseen:
        return source
    part = of_classes(source, [name for name in card.classes if name not in unseen])
    findings = [Finding(source.path or card.name, "empty_class", f"{name}: {NO_IMAGE}") for name in unseen]
    noted = replace(part.card, notes=(*card.notes, *no_image_of(unseen)))
    return replace(part, card=noted, findings=(*source.findings, *findings))


def without(source: Source, skipped: Mapping[str, Collection[int]]) -> Source:
    """The source without the examples of these indices of each split."""
    card = source.card
    splits = {
        split: examples.subset([i for i in range(len(examples)) if i not in skipped.get(split, ())])
        for split, examples in source.splits.items()
    }
    part = replace(
        card,
        counts={split: len(examples) for split, examples in splits.items()},
        class_counts={split: images_of_classes(e.labels, len(card.classes)) for split, e in splits.items()},
    )
    return replace(source, card=part, splits=splits)


def no_image_of(names: Sequence[str]) -> list[str]:
    """The note on the classes `names`, which a table or a file names and which have no image; none without names."""
    more = f" and {len(names) - 6:,} more" if len(names) > 6 else ""
    return [f"no image of {', '.join(names[:6])}{more}, left out"] if names else []


def fewer(labels: np.ndarray, count: int, allowed: np.ndarray, order: Callable[[int], bytes]) -> np.ndarray:
    """`count` of the `allowed` indices, ascending, with each class in proportion to its images there.

    Within a class the first by `order` are taken, so that a smaller choice is part of a larger one's class.
    """
    if labels.ndim != 1:
        raise UsageError("data.images: images with several labels each cannot be chosen by class; leave it out")
    classes, tallies = np.unique(labels[allowed], return_counts=True)
    if not len(classes) <= count <= len(allowed):
        raise UsageError(
            f"data.images: expected {len(classes)} (one of each class) to {len(allowed)} (all that train), received "
            f"{count}; none takes all"
        )
    picked: list[int] = []
    for label, share in zip(classes, _shares(tallies, count), strict=True):
        members = allowed[labels[allowed] == label].tolist()
        picked += sorted(members, key=order)[:share]
    return np.asarray(sorted(picked), dtype=np.int64)


def _shares(tallies: np.ndarray, count: int) -> list[int]:
    """`count` divided by the tallies: at least 1 and never more than there are, the rest by the largest remainders."""
    exact = tallies * (count / tallies.sum())
    shares = np.clip(np.floor(exact + 1e-9).astype(int), 1, tallies)
    while shares.sum() != count:
        step = 1 if shares.sum() < count else -1
        room = shares < tallies if step > 0 else shares > 1
        wanting = np.where(room, step * (exact - shares), -np.inf)
        shares[int(np.argmax(wanting))] += step
    return shares.tolist()


def _renumbered(examples: Examples, numbers: Sequence[int], names: tuple[str, ...]) -> Examples:
    labels = examples.labels
    if labels.ndim != 1:
        raise UsageError("data.classes: images with several labels each cannot be chosen by class; leave it out")
    kept = examples.subset(np.flatnonzero(np.isin(labels, numbers)))
    places = {number: place for place, number in enumerate(numbers)}
    renumbered = np.asarray([places[label] for label in kept.labels.tolist()], dtype=np.int64)
    return replace(kept, targets=ClassLabels(renumbered, names))
