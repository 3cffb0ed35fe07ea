"""The card of a data set: what it holds, where it comes from, how it is recognised again. No torch here."""

from dataclasses import dataclass
from typing import Any

from convsmith.base.errors import UsageError


@dataclass(frozen=True)
class Card:
    """Facts of a source as stored, before any split of ours.

    `size` is (height, width) in pixels, None where images differ; `counts` and `class_counts` are per stored split;
    `fingerprint` is a SHA-256 that is the same on every machine and wherever the files lie; `multilabel` says that an
    image may have several of the classes, or none; `layout` is what was recognised, where that was not plain.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int] | None
    counts: dict[str, int]
    class_counts: dict[str, tuple[int, ...]]
    licence: str
    source: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    multilabel: bool = False
    layout: str = ""

    def to_json(self) -> dict[str, Any]:
        """The card as JSON data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "classes": list(self.classes),
            "channels": self.channels,
            "size": list(self.size) if self.size else None,
            "counts": dict(self.counts),
            "class_counts": {split: list(counts) for split, counts in self.class_counts.items()},
            "licence": self.licence,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "notes": list(self.notes),
            "multilabel": self.multilabel,
            "layout": self.layout,
        }

    @staticmethod
    def from_json(data: Any) -> "Card":
        """The card that `to_json` wrote; missing, unknown or misshapen fields are named."""
        names = list(Card.__dataclass_fields__)
        if isinstance(data, dict):
            data = {"multilabel": False, "layout": "", **data}  # cards of before do not say so
        if not isinstance(data, dict) or set(data) != set(names):
            given = sorted(data) if isinstance(data, dict) else repr(data)
            raise UsageError(f"data card: expected the fields {', '.join(names)}, received {given}")
        try:
            return Card(
                name=str(data["name"]),
                kind=str(data["kind"]),
                classes=tuple(str(name) for name in data["classes"]),
                channels=int(data["channels"]),
                size=_pair(data["size"]),
                counts={str(split): int(count) for split, count in data["counts"].items()},
                class_counts={str(s): tuple(int(c) for c in counts) for s, counts in data["class_counts"].items()},
                licence=str(data["licence"]),
                source=str(data["source"]),
                fingerprint=str(data["fingerprint"]),
                notes=tuple(str(note) for note in data["notes"]),
                multilabel=bool(data["multilabel"]),
                layout=str(data["layout"]),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"data card: a field has the wrong type ({error})") from None


def _pair(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = value
    return int(height), int(width)
