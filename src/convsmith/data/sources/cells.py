"""The cells of a table's file: CSV in any separator and encoding, or JSON lines of flat objects."""

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile

# The limit keeps a file that is not a table from filling the memory.
MOST_BYTES = 1_000_000_000
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
_SAMPLE = 1_000_000
_DELIMITERS = (",", "\t", ";", "|")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Cells:
    """A table: the names of its columns, its rows with the line that each ends in, and notes on guesses."""

    names: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]
    notes: tuple[str, ...]


def read_cells(path: Path) -> Cells:
    """All cells of a table; empty rows are left out. Raises BadFile for a file that cannot be read."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise BadFile(
            path, f"has {size:,} bytes; expected a table of at most {MOST_BYTES:,}; divide it, or use Parquet"
        )
    encoding, notes = _encoding(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        names, rows = _json_lines(path, encoding)
    else:
        names, *rows = list(_csv_lines(path, encoding)) or [(0, [])]
        names = names[1]
    kept = tuple((line, row) for line, row in rows if any(cell.strip() for cell in row))
    return Cells(tuple(name.strip() for name in names), kept, notes)


def first_names(path: Path) -> tuple[str, ...]:
    """The names in a table's first line; empty if it cannot be read."""
    try:
        encoding, _ = _encoding(path)
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            with open(path, encoding=encoding) as file:
                found = json.loads(file.readline(_SAMPLE))
            return tuple(found) if isinstance(found, dict) else ()
        return tuple(name.strip() for name in next(_csv_lines(path, encoding), (0, []))[1])
    except (OSError, ValueError, BadFile):
        return ()


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """The encoding of a text: by its byte order mark, else UTF-8, Latin-1 or Windows-1252; and a note on a guess."""
    try:
        with open(path, "rb") as file:
            head = file.read(_SAMPLE)
            for mark, encoding in _MARKS:
                if head.startswith(mark):
                    return encoding, () if encoding == "utf-8-sig" else (f"the table is read as {encoding.upper()}",)
            if b"\0" in head[:200]:
                encoding = "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
                return encoding, (f"the table is read as {encoding.upper()}",)
            decoder = codecs.getincrementaldecoder("utf-8")()
            while head:
                decoder.decode(head)
                head = file.read(_SAMPLE)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _western(path)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from None
    return "utf-8", ()


def _western(path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        path.read_bytes().decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", ("the table is not in UTF-8: read as Latin-1",)
    return "cp1252", ("the table is not in UTF-8: read as Windows-1252 (Latin-1)",)


def _csv_lines(path: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    line = 0
    try:
        with open(path, newline="", encoding=encoding) as file:
            # A spreadsheet may write semicolons or tabs: the header shows which.
            first = file.readline(_SAMPLE)
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first), strict=True)
            for row in reader:
                line = reader.line_num
                yield line, row
    except UnicodeError:
        raise BadFile(path, f"cannot be read as {encoding.upper()} after line {line}; save it in UTF-8") from None
    except csv.Error as error:
        raise BadFile(path, f"cannot be read as CSV after line {line} ({error})") from None
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from None


def _delimiter(line: str) -> str:
    """The separator that divides the header into the most columns."""

    def columns(delimiter: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(_DELIMITERS, key=columns)


def _json_lines(path: Path, encoding: str) -> tuple[Sequence[str], list[tuple[int, list[str]]]]:
    """The columns and rows of JSON lines: an object's keys are the columns, a list of texts is several labels."""
    found: list[tuple[int, dict[str, str]]] = []
    names: dict[str, None] = {}
    try:
        with open(path, encoding=encoding) as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    row = json.loads(text)
                    if not isinstance(row, dict):
                        raise BadFile(
                            path, f'line {line}: expected an object such as {{"file_name": "a.png", "label": "cat"}}'
                        )
                    found.append((line, {str(key): _text(path, line, key, value) for key, value in row.items()}))
                    names |= dict.fromkeys(found[-1][1])
    except (ValueError, RecursionError) as error:
        raise BadFile(path, f"line {len(found) + 1}: cannot be read as JSON ({error})") from None
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from None
    return list(names), [(line, [row.get(name, "") for name in names]) for line, row in found]


def _text(path: Path, line: int, key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str | int) for part in value):
        return ";".join(map(str, value))
    raise BadFile(path, f"line {line}: {key!r} holds {type(value).__name__}s of values; expected a text or a number")
