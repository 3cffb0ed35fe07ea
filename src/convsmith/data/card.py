"""The card of a data set: its content, its origin and its fingerprint."""

from dataclasses import dataclass
from typing import Any

from convsmith.base.config import plain, read
from convsmith.base.errors import UsageError
from convsmith.base.record import Record

_MOST = 2**53  # every whole number up to this one is exact in every reader of JSON


@dataclass(frozen=True)
class Card(Record, called="data card"):
    """Facts of a source as it is stored, before Convsmith divides it.

    `size` is (height, width) in pixels, None if images differ; `counts` and `class_counts` are for each stored split;
    `fingerprint` is a SHA-256 that depends on neither the machine nor the folder; `multilabel` says that an image may
    have several classes, or none; `layout` describes the recognized folders if they are not plain class folders.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int] | None
    counts: dict[str, int]
    class_counts: dict[str, tuple[int, ...]]
    license: str
    source: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    multilabel: bool = False
    layout: str = ""

    def check(self) -> None:
        """Raise UsageError if the size, the counts or the channels are out of range."""
        if self.size is not None and (len(self.size) != 2 or not all(0 < n < _MOST for n in self.size)):
            raise UsageError(f"data card: size: expected height and width of at least 1, received {self.size!r:.80}")
        numbers = [*self.counts.values(), *(n for counts in self.class_counts.values() for n in counts)]
        if not all(0 <= n < _MOST for n in numbers):
            raise UsageError("data card: counts: expected numbers of images, 0 or more")
        if not 1 <= self.channels <= 4:
            raise UsageError(f"data card: channels: expected 1 to 4, received {self.channels!r:.40}")

    def to_json(self) -> dict[str, Any]:
        """The card as JSON data."""
        return plain(self)

    @staticmethod
    def from_json(data: Any) -> "Card":
        """The card that `to_json` wrote. Raises UsageError, which names a missing, unknown or invalid field."""
        if isinstance(data, dict) and "license" not in data and "licence" in data:  # as older runs spell it
            data = {"license" if key == "licence" else key: value for key, value in data.items()}
        return read(Card, data, "data card")
