"""The card of a data set: what it holds, where it comes from, how it is recognised again. No torch here."""

from dataclasses import dataclass
from typing import Any

from convsmith.base.config import read_value
from convsmith.base.errors import UsageError

_MOST = 2**53  # the largest whole number that every reader of JSON keeps


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
            given = sorted(data) if isinstance(data, dict) else f"{data!r:.80}"
            raise UsageError(f"data card: expected the fields {', '.join(names)}, received {given}")
        fields = {name: read_value(kind, data[name], f"data card: {name}") for name, kind in _KINDS.items()}
        for name in ("counts", "class_counts"):
            if not isinstance(data[name], dict):
                raise UsageError(f"data card: {name}: expected numbers by split, received {data[name]!r:.80}")
            kind = int if name == "counts" else tuple[int, ...]
            fields[name] = {s: read_value(kind, value, f"data card: {name}.{s}") for s, value in data[name].items()}
        size = fields["size"] = read_value(tuple[int, ...] | None, data["size"], "data card: size")
        if size is not None and (len(size) != 2 or not all(0 < n < _MOST for n in size)):
            raise UsageError(f"data card: size: expected height and width of at least 1, received {size!r:.80}")
        numbers = [*fields["counts"].values(), *(n for counts in fields["class_counts"].values() for n in counts)]
        if not all(0 <= n < _MOST for n in numbers):
            raise UsageError("data card: counts: expected numbers of images, 0 or more")
        if not 1 <= fields["channels"] <= 4:
            raise UsageError(f"data card: channels: expected 1 to 4, received {fields['channels']!r:.40}")
        return Card(**fields)


_KINDS: dict[str, Any] = {
    "name": str,
    "kind": str,
    "classes": tuple[str, ...],
    "channels": int,
    "licence": str,
    "source": str,
    "fingerprint": str,
    "notes": tuple[str, ...],
    "multilabel": bool,
    "layout": str,
}
