"""What was written stays as it was: an edited record is refused, unless the user accepts it by name. No torch here.

The records that a run begins with have their SHA-256 in `run.json` and, copied from there, in each checkpoint. What is
written later carries its own.
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
    """A record of a run is not as it was written."""


class DamagedRecord(UserWarning):
    """A file beside the weights is damaged or gone; what nothing depends on is passed over."""


@contextmanager
def accepting(names: Iterable[str]) -> Iterator[None]:
    """Take the records of these names as they are, edited or not."""
    token = _accepted.set(_accepted.get() | frozenset(names))
    try:
        yield
    finally:
        _accepted.reset(token)


def accept(names: Iterable[str]) -> None:
    """`accepting` until the context that is open now ends."""
    _accepted.set(_accepted.get() | frozenset(names))


def is_accepted(name: str) -> bool:
    """Whether the user takes the record as it is."""
    return name in _accepted.get()


def digest(data: Any) -> str:
    """The SHA-256 of JSON data, however it is laid out as text."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def edited(path: Path, name: str, how: str) -> EditedRecord:
    """The error for the record `name` in the file at `path`."""
    return EditedRecord(
        path, f"was edited after it was written ({how}); put it back, or take it as it is with {OPTION} {name}"
    )
