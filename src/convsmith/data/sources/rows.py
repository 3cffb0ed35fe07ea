"""The rows of a CSV file of images and labels, with everything that is wrong with them."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convsmith.base.errors import BadFile, nearest
from convsmith.data.sources.source import SPLIT_NAMES

IMAGE_COLUMNS = ("image", "file", "path", "filename")
LABEL_COLUMNS = ("label", "class", "labels")
SPLIT_COLUMN = "split"
SEPARATORS = (";", "|")

# Larger ones are not what a person made by mistake, and would fill the memory.
MOST_BYTES = 1_000_000_000
_MOST_HEADER = 1_000_000
_DELIMITERS = (",", "\t", ";")
_MARKS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


@dataclass(frozen=True)
class Row:
    """An image: the line it stands in, its path relative to the table's folder, its split and its labels."""

    line: int
    file: str
    split: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row: a file that is not there, or anything else."""

    line: int
    kind: Literal["missing", "table"]
    file: str
    detail: str


@dataclass(frozen=True)
class Rows:
    """A table as read. `columns` are its classes where each has a column of 0 and 1; `unused` are columns left out.

    `several` says that an image may have any number of labels. Rows with a problem are not among `rows`.
    """

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    several: bool
    unused: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Header:
    """The place of each column; `marks` are the columns of 0 and 1 by their class."""

    width: int
    image: int
    label: int | None
    split: int | None
    marks: dict[str, int]
    unused: tuple[str, ...]


def read_rows(path: Path) -> Rows:
    """Every row of the table; what is wrong with single rows is gathered, a table that cannot be read is BadFile."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise BadFile(
            path, f"has {size:,} bytes; expected a table of at most {MOST_BYTES:,}; divide it, or use Parquet"
        )
    lines = _lines(path)
    _, first = next(lines, (0, []))
    header = _header(path, first)
    found: dict[str, Row] = {}
    problems: list[Problem] = []
    cells = [(line, row) for line, row in lines if any(cell.strip() for cell in row)]
    if not cells:
        raise BadFile(path, "has no rows below its header; expected a row for each image")
    several = bool(header.marks) or _several(first, header, cells)
    for line, row in cells:
        result = _row(path, header, line, row, several)
        if isinstance(result, Row) and result.file in found:
            result = Problem(line, "table", result.file, _twice(result, found[result.file]))
        if isinstance(result, Problem):
            problems.append(result)
        else:
            found[result.file] = result
    return Rows(tuple(found.values()), tuple(header.marks), several, header.unused, tuple(problems))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The table's records with the number of the line that each ends in; a byte order mark is left out."""
    line = 0
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            # A spreadsheet may write semicolons or tabs; the header tells.
            first = file.readline(_MOST_HEADER)
            delimiter = next((d for d in _DELIMITERS if _names_image(first, d)), ",")
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                line = reader.line_num
                yield line, row
    except UnicodeDecodeError:
        raise BadFile(path, f"is not in UTF-8 (after line {line}); save it in that encoding") from None
    except csv.Error as error:
        raise BadFile(path, f"cannot be read as CSV after line {line} ({error})") from None
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from None


def _names_image(line: str, delimiter: str) -> bool:
    try:
        names = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return False
    return len(names) > 1 and any(name.strip().lower() in IMAGE_COLUMNS for name in names)


def _header(path: Path, names: Sequence[str]) -> _Header:
    names = [name.strip() for name in names]
    lower = [name.lower() for name in names]
    if not any(names):
        raise BadFile(path, f"expected a header with {_expected()}, found none")
    twice = next((n for i, n in enumerate(lower) if n and n in lower[:i]), None)
    if twice is not None:
        raise BadFile(path, f"its header has two columns {twice!r}; expected each once")
    images = [i for i, name in enumerate(lower) if name in IMAGE_COLUMNS]
    labels = [i for i, name in enumerate(lower) if name in LABEL_COLUMNS]
    if len(images) != 1 or len(labels) > 1:
        raise BadFile(path, f"expected a header with {_expected()}, found {_shown(names)}{_near(lower, images)}")
    split = lower.index(SPLIT_COLUMN) if SPLIT_COLUMN in lower else None
    others = {name: i for i, name in enumerate(names) if i not in (*images, *labels, split)}
    # A column without a name is the index that some programs write.
    named = {name: i for name, i in others.items() if name}
    if labels:
        return _Header(len(names), images[0], labels[0], split, {}, tuple(name or "(no name)" for name in others))
    if not named:
        raise BadFile(path, f"expected a header with {_expected()}, found {_shown(names)}")
    unused = tuple("(no name)" for name in others if not name)
    return _Header(len(names), images[0], None, split, named, unused)


def _expected() -> str:
    return (
        f"one column {'|'.join(IMAGE_COLUMNS)}, one column {'|'.join(LABEL_COLUMNS)} (or a column of 0 and 1 for each "
        f"class) and perhaps {SPLIT_COLUMN}"
    )


def _near(names: Sequence[str], images: Sequence[int]) -> str:
    if images:
        return ""
    close = [(name, near[0]) for name in names if (near := nearest(name, IMAGE_COLUMNS, 1))]
    return "".join(f"; {name!r} may be meant as {near!r}" for name, near in close[:1])


def _shown(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _several(names: Sequence[str], header: _Header, cells: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether images may have several labels: the column is called so, or a cell holds a separator."""
    column = header.label
    if column is None or names[column].strip().lower() == "labels":
        return True
    return any(mark in row[column] for _, row in cells if column < len(row) for mark in SEPARATORS)


def _row(path: Path, header: _Header, line: int, row: list[str], several: bool) -> Row | Problem:
    if len(row) != header.width:
        return Problem(line, "table", "", f"expected {header.width} cells as the header has, found {len(row)}")
    text = row[header.image].strip()
    file = _inside(path.parent, text)
    if file is None:
        wrong = f"leads outside the table's folder: {text!r}" if text else "names no image"
        return Problem(line, "table", text, f"{wrong}; expected a path below {path.parent}, relative to it")
    stated = "train" if header.split is None else row[header.split].strip()
    split = SPLIT_NAMES.get(stated.lower())
    if split is None:
        return Problem(line, "table", file, f"split: expected train, val or test, found {stated!r:.60}")
    labels = _labels(path, header, line, row, several)
    if not labels and not several:
        return Problem(line, "table", file, f"{file} has no label; expected one")
    if not os.path.isfile(path.parent / file):
        hint = "; write / between folders" if "\\" in file else ""
        return Problem(line, "missing", file, f"{file} is not there{hint}")
    return Row(line, file, split, labels)


def _labels(path: Path, header: _Header, line: int, row: list[str], several: bool) -> tuple[str, ...]:
    if header.label is None:
        return tuple(name for name, column in header.marks.items() if _mark(path, name, line, row[column]))
    cell = row[header.label].strip()
    if not several:
        return (cell,) if cell else ()
    for mark in SEPARATORS[1:]:
        cell = cell.replace(mark, SEPARATORS[0])
    return tuple(dict.fromkeys(part.strip() for part in cell.split(SEPARATORS[0]) if part.strip()))


def _mark(path: Path, name: str, line: int, cell: str) -> bool:
    mark = _MARKS.get(cell.strip().lower())
    if mark is None:
        near = nearest(name, (*LABEL_COLUMNS, SPLIT_COLUMN), 1)
        hint = f"; it may be meant as {near[0]!r}" if near else ""
        raise BadFile(
            path,
            f"line {line}: column {name!r} holds {cell!r:.60}. Without a column {'|'.join(LABEL_COLUMNS)} every other "
            f"column is a class and holds 0 or 1{hint}",
        )
    return mark


def _inside(folder: Path, text: str) -> str | None:
    """The path relative to the folder, with slashes; None where there is none or it leads outside."""
    if not text or "\0" in text:
        return None
    top = os.path.abspath(folder)
    file = os.path.relpath(os.path.join(top, text), top)
    return None if file == "." or file.split(os.sep)[0] == ".." else Path(file).as_posix()


def _twice(row: Row, first: Row) -> str:
    if row.split != first.split:
        return f"{row.file} is in {row.split}, and in {first.split} by line {first.line}"
    return f"{row.file} stands in line {first.line} too; an image has one row, with several labels in one cell: a;b"
