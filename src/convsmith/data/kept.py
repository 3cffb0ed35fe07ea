"""The cache of a set of images on the disk: a file of slots for each of their stored splits."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convsmith.data.image_sets import Images, StoredSplit
from convsmith.data.slots import Slots, open_slots


class Kept:
    """The files of slots for images that come from one stored split or several; all slots have one shape.

    It may be passed to other processes, as `Slots` may.
    """

    def __init__(self, files: Mapping[StoredSplit, Slots]):
        self.files = dict(files)
        first = next(iter(self.files.values()))
        self.shape, self.about, self.folder = first.shape, first.about, first.path.parent

    @property
    def read_only(self) -> Slots | None:
        """The first file that cannot be written; None if all can."""
        return next((slots for slots in self.files.values() if not slots.writable), None)

    def read(self, images: Images, i: int, out: np.ndarray) -> bool:
        """Fill `out` with the content of image `i` (`Slots.read`); False if there is no valid content."""
        slot = images.slot(i)
        return slot is not None and self.files[slot.stored].read(slot.number, images.stamp(i), out)

    def write(self, images: Images, i: int, content: np.ndarray) -> None:
        """Write the content of image `i` into its slot (`Slots.write`)."""
        slot = images.slot(i)
        if slot is not None:
            self.files[slot.stored].write(slot.number, images.stamp(i), content)

    def missing(self, images: Images) -> int:
        """The number of images whose slot is empty, or that have no slot."""
        numbers: dict[StoredSplit, list[int]] = {stored: [] for stored in self.files}
        for slot in filter(None, map(images.slot, range(len(images)))):
            numbers[slot.stored].append(slot.number)
        none = len(images) - sum(map(len, numbers.values()))
        return none + sum(slots.missing(numbers[stored]) for stored, slots in self.files.items())

    def damage(self) -> str:
        """A line for the user on damage found since the last call; empty if there was none."""
        return "; ".join(line for slots in self.files.values() if (line := slots.damage()))


def open_kept(images: Images, about: Callable[[StoredSplit], dict[str, Any]], suffix: str) -> tuple[Kept | None, str]:
    """The files for the images, each described by `about` (`open_slots`); or None and the reason, for the user.

    The reason is empty if these sets of images are never cached.
    """
    files: dict[StoredSplit, Slots] = {}
    for stored, count in images.stores().items():
        slots, problem = open_slots(about(stored), suffix, count)
        if slots is None:
            return None, problem
        files[stored] = slots
    return (Kept(files) if files else None), ""
