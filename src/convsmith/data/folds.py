"""Folds for cross-validation: each image of train and val is in the validation set once."""

from collections.abc import Callable, Sequence

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.data.examples import images_of_classes
from convsmith.report.text import many


def deal(labels: np.ndarray, count: int, allowed: np.ndarray, order: Callable[[int], bytes]) -> list[np.ndarray]:
    """The `allowed` indices in `count` folds, each ascending. Sizes, and counts of each class, differ by at most one.

    The images of a class are dealt out in `order`; each class begins at the fold after the last one's end.
    """
    folds: list[list[int]] = [[] for _ in range(count)]
    place = 0
    for label in np.unique(labels[allowed]):
        for index in sorted(allowed[labels[allowed] == label].tolist(), key=order):
            folds[place % count].append(index)
            place += 1
    return [np.asarray(sorted(fold), dtype=np.int64) for fold in folds]


def check_classes(labels: np.ndarray, classes: Sequence[str], count: int, where: str) -> None:
    """Raise UsageError if a class has fewer images than there are folds."""
    tally = {name: n for name, n in zip(classes, images_of_classes(labels, len(classes)), strict=True) if n}
    name = min(tally, key=lambda name: tally[name])
    if tally[name] < count:
        raise UsageError(too_few(count, f"class {name!r} has {many(tally[name], 'image')} in {where}", tally[name]))


def check_groups(groups: Sequence[str], count: int, where: str) -> None:
    """Raise UsageError if there are fewer groups than folds."""
    distinct = len(set(groups))
    if distinct < count:
        raise UsageError(
            too_few(count, f"there {'is' if distinct == 1 else 'are'} {many(distinct, 'group')} in {where}", distinct)
        )


def too_few(count: int, what: str, largest: int) -> str:
    """The message if `count` folds are not possible."""
    mend = f"the largest number of folds is {largest}" if largest >= 2 else "no number of folds is possible"
    return f"{count} folds: {what}, and every fold needs one of its own; {mend}"
