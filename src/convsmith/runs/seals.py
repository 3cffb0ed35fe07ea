"""The hashes of a run's records: an edited record is refused, unless the user accepts it by name.

`run.json` and each checkpoint hold the SHA-256 of the records that the run begins with. A later record holds its own.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile

OPTION = "--accept-edited"
_accepted: ContextVar[frozenset[str]] = ContextVar("accepted", default=frozenset())


class EditedRecord(BadFile):
    """A record of a run was edited after it was written."""


class DamagedRecord(UserWarning):
    """A file that no result depends on is damaged or gone; the command goes on without it."""


@contextmanager
def accepting(names: Iterable[str]) -> Iterator[None]:
    """Within it the records of these names are read as they are, edited or not."""
    token = _accepted.set(_accepted.get() | frozenset(names))
    try:
        yield
    finally:
        _accepted.reset(token)


def accept(names: Iterable[str]) -> None:
    """Read the records of these names as they are until the innermost `accepting` ends."""
    _accepted.set(_accepted.get() | frozenset(names))


def is_accepted(name: str) -> bool:
    """Whether the user accepts the record `name` although it was edited."""
    return name in _accepted.get()


def digest(data: Any) -> str:
    """The SHA-256 of JSON data, whatever the layout and the order of keys in its file."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def edited(path: Path, name: str, how: str) -> EditedRecord:
    """The error for the edited record `name` in the file at `path`; `how` says by what the edit was seen."""
    return EditedRecord(
        path, f"was edited after it was written ({how}); put it back, or take it as it is with {OPTION} {name}"
    )
