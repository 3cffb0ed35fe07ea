"""The numbers of a run as it goes: `metrics.jsonl`, one JSON object a line, appended to or cut back."""

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from convsmith.base.errors import BadFile, WrongType
from convsmith.base.files import open_regular, read_regular, write_bytes, writing
from convsmith.report.text import many
from convsmith.runs.seals import DamagedRecord

_BLOCK = 1 << 16


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows, the oldest first; empty if there is no file.

    A last line that a crash cut is left out. Other lines that are not JSON objects are left out with a warning.
    """
    try:
        lines = read_regular(path).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror or error})") from error
    rows = [parse_row(line) for line in lines]
    bad = [number for number, row in enumerate(rows[:-1], 1) if row is None]
    if bad:
        warnings.warn(
            DamagedRecord(
                f"{path}: line {bad[0]}: expected a JSON object, received {lines[bad[0] - 1][:60]!r}; left out "
                f"{len(bad)} of {many(len(lines), 'line')}"
            ),
            stacklevel=2,
        )
    return [row for row in rows if row is not None]


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add one row; it is on the disk when this returns."""
    try:
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise WrongType(f"metrics: expected a row that JSON can hold ({error}), received {row!r:.200}") from None
    with writing(path), open(path, "ab", opener=open_regular) as file:
        file.truncate(complete_length(path))  # what a crash left of a line would spoil this row as well
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def cut_rows(path: Path, length: int, step: int, needed: Sequence[str] = ()) -> str:
    """Cut the file to its first `length` bytes, the rows up to `step`; gives a text for the user if rows are missing.

    If these bytes are not whole rows, the log was changed: then the readable rows up to `step` that have the keys
    `needed` stay.
    """
    size = complete_length(path)
    if size >= length and (length == 0 or _ends_row(path, length)):
        if path.exists():
            with writing(path), open(path, "r+b", opener=open_regular) as file:
                file.truncate(length)
                os.fsync(file.fileno())
        return ""
    lines = read_regular(path).split(b"\n") if path.exists() else []
    kept = [line for line in lines if _step(line, needed) <= step]
    with writing(path):
        write_bytes(path, b"".join(line + b"\n" for line in kept))
    return (
        f"{path}: expected {many(length, 'byte')} of rows up to step {step}, received {size}: rows were lost or "
        "changed; the "
        f"log goes on after the {len(kept)} that can be read (the weights are not concerned)"
    )


def _step(line: bytes, needed: Sequence[str]) -> float:
    """The step of a row; infinite if it has no step or lacks a key of `needed`."""
    row = parse_row(line) or {}
    step = row.get("step")
    return step if type(step) is int and row.keys() >= set(needed) else math.inf


def complete_length(path: Path) -> int:
    """The bytes of all complete lines; reads no more than the end of the file."""
    if not path.exists():
        return 0
    with _opened(path) as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def newest_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The readable rows at the end of the file, the newest first; passes over damaged ones."""
    if not path.exists():
        return
    with _opened(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * _BLOCK))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        row = parse_row(line)
        if row is not None:
            yield row


def parse_row(line: bytes) -> dict[str, Any] | None:
    """One line, or None if it is not a JSON object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _ends_row(path: Path, length: int) -> bool:
    with _opened(path) as file:
        file.seek(length - 1)
        return file.read(1) == b"\n"


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file for reading; BadFile if it cannot be read or is not a regular file."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            yield file
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror or error})") from None
