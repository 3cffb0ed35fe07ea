"""Labels of one data set in the class numbers of another."""

from collections.abc import Sequence

import numpy as np

from convsmith.base.errors import UsageError


def relabeled(labels: np.ndarray, classes: Sequence[str], goal: Sequence[str], several: bool) -> np.ndarray:
    """Labels in the numbers of `classes`, all of them in `goal`, converted to the numbers of `goal`.

    With `several` they are 0 or 1 for each class of `goal` (N, classes), also where every image here has one label.
    """
    numbers = np.array([goal.index(name) for name in classes], dtype=np.int64)
    if labels.ndim == 1 and not several:
        return numbers[labels]
    if not several:
        raise UsageError("its images have several labels each, and the run knows one for each image")
    marks = np.zeros((len(labels), len(goal)), dtype=np.uint8)
    if labels.ndim == 1:
        marks[np.arange(len(labels)), numbers[labels]] = 1
    else:
        marks[:, numbers] = labels
    return marks
