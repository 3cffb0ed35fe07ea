"""Named tables, the only kind of registry. Rows are data; looking up a row never imports anything."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from convsmith.base.errors import unknown

Row = TypeVar("Row")


class Table(Mapping[str, Row], Generic[Row]):
    """A read-only mapping from names to rows. A wrong name raises UnknownName, which lists the nearest names."""

    def __init__(self, kind: str, rows: Mapping[str, Row]):
        self.kind = kind
        self._rows = dict(rows)

    def __getitem__(self, name: str) -> Row:
        if name not in self:
            raise unknown(self.kind, str(name), self._rows)
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def matching(self, pattern: str) -> list[str]:
        """The names that a shell pattern such as `resnet*` matches, in the table's order."""
        return [name for name in self._rows if fnmatchcase(name, pattern)]
