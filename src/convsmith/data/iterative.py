"""A division of images with several labels that gives each part its share of each class."""

from collections.abc import Callable, Sequence

import numpy as np


def iterative(
    labels: np.ndarray,
    order: Sequence[int],
    shares: Sequence[float],
    apportion: Callable[[int, Sequence[float]], list[int]],
) -> list[np.ndarray]:
    """Indices of each part, ascending, of images with labels 0 or 1 (N, classes); `order` are the indices to divide.

    Iterative stratification (Sechidis et al. 2011, figure 1): the images of the rarest remaining class go, one by one,
    to the part that lacks most of that class, and among equals to the part that lacks most images. `apportion` gives
    the number of images of a class for each part. Ties go to the first part, so nothing is random.
    """
    parts = [part for part, share in enumerate(shares) if share > 0]
    has = labels[np.asarray(order, dtype=np.int64)].astype(bool)
    left = has.sum(axis=0)
    due = np.asarray([apportion(int(count), shares) for count in left], dtype=np.int64).reshape(-1, len(shares))
    room = np.asarray(apportion(len(order), shares), dtype=np.int64)
    chosen = np.full(len(order), -1)

    def put(i: int, part: int) -> None:
        chosen[i] = part
        room[part] -= 1
        due[has[i], part] -= 1
        left[has[i]] -= 1

    while left.any():
        rarest = int(np.where(left > 0, left, len(order) + 1).argmin())
        for i in np.flatnonzero(has[:, rarest] & (chosen < 0)).tolist():
            put(i, max(parts, key=lambda part: (due[rarest, part], room[part], -part)))
    for i in np.flatnonzero(chosen < 0).tolist():
        put(i, max(parts, key=lambda part: (room[part], -part)))
    places = np.asarray(order, dtype=np.int64)
    return [np.sort(places[chosen == part]) for part in range(len(shares))]
