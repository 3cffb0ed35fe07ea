"""Reads the rows of a table of images and labels, and gathers all that is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from convsmith.base.errors import BadFile, nearest
from convsmith.data.findings import Finding
from convsmith.data.sources.cells import read_cells
from convsmith.data.sources.header import LABEL_COLUMNS, MARKS, SPLIT_COLUMNS, Header, read_header
from convsmith.data.sources.places import Places
from convsmith.data.sources.same_names import nfc
from convsmith.data.sources.split_names import cell_split
from convsmith.report.text import many

SEPARATORS = (";", "|")
_REPEATED = ("row that repeats another is left out", "rows that repeat another are left out")
Labels = Literal["auto", "one", "several"]


@dataclass(frozen=True)
class Row:
    """An image: the line it stands in, its path relative to the table's folder, its split and its labels."""

    line: int
    file: str
    split: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """A table as read. `columns` are its classes where each has a column of 0 and 1; `unused` are columns left out.

    `several` says that an image may have any number of labels. Rows with a problem are not among `rows`; of these and
    of everything else there are `problems` and `notes`.
    """

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    several: bool
    unused: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Reading:
    """The inputs of reading one table's rows, and what is gathered."""

    path: Path
    header: Header
    several: bool
    default: str
    places: Places
    found: dict[str, Row] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)
    repeated: int = 0

    def problem(self, line: int, kind: Literal["table", "missing"], detail: str) -> None:
        self.problems.append(Finding(f"{self.path}, line {line}", kind, detail))


def read_rows(path: Path, labels: Labels = "auto", split: str = "train") -> Rows:
    """Every row of the table; what is wrong with single rows is gathered, a table that cannot be read is BadFile.

    `split` is that of rows which name none.
    """
    cells = read_cells(path)
    header = read_header(path, cells.names, cells.rows)
    if not cells.rows:
        raise BadFile(path, "has no rows below its header; expected a row for each image")
    several = bool(header.marks) or _several(cells.names, header, cells.rows)
    if labels == "one" and not header.marks:
        several = False
    reading = _Reading(path, header, several or labels == "several", split, Places(path.parent))
    for line, row in cells.rows:
        _read_row(reading, line, row)
    rows, notes = tuple(reading.found.values()), [*cells.notes, *header.notes]
    notes += [reading.places.note()] if reading.places.completed else []
    notes += [many(reading.repeated, *_REPEATED)] if reading.repeated else []
    table = Rows(rows, tuple(header.marks), reading.several, header.unused, tuple(reading.problems), tuple(notes))
    return _decided(path, table, labels)


def _decided(path: Path, table: Rows, labels: Labels) -> Rows:
    """One label for each image, if its columns of 0 and 1 have exactly one 1 in each row, or if the user asks so."""
    if not table.several or not table.rows or labels == "several":
        return table
    wrong = next((row for row in table.rows if len(row.labels) != 1), None)
    if labels == "one":
        if wrong is not None:
            told = many(len(wrong.labels), "label")
            raise BadFile(path, f"line {wrong.line}: data.labels one: {wrong.file} has {told}")
        return replace(table, several=False)
    if wrong is None and len(table.columns) > 1:
        note = "every row has exactly one 1: one label for each image (--data.labels several: any number)"
        return replace(table, several=False, notes=(*table.notes, note))
    return table


def _several(names: Sequence[str], header: Header, rows: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether images may have several labels: the column is called so, or a cell holds a separator."""
    column = header.label
    if column is None or names[column].lower() == "labels":
        return True
    return any(mark in row[column] for _, row in rows if column < len(row) for mark in SEPARATORS)


def _read_row(reading: _Reading, line: int, row: list[str]) -> None:
    header = reading.header
    if len(row) != header.width:
        reading.problem(line, "table", f"expected {many(header.width, 'cell')} as the header has, found {len(row)}")
        return
    split = _split(reading, line, row)
    labels = _labels(reading, line, row)
    text = row[header.image].strip()
    if split is None:
        return
    file, wrong = reading.places.find(text, split)
    if not file and wrong:
        more = f"; expected a path below {reading.path.parent}, relative to it" if "may be" not in wrong else ""
        reading.problem(line, "table", wrong + more)
    elif not labels and not reading.several:
        reading.problem(line, "table", f"{file or text} has no label; expected one")
    elif not file:
        reading.problem(line, "missing", f"{text} is not there")
    else:
        _add(reading, Row(line, file, split, labels))


def _add(reading: _Reading, row: Row) -> None:
    first = reading.found.setdefault(row.file, row)
    if first is row:
        return
    if row.split != first.split:
        reading.problem(row.line, "table", f"{row.file} is in {row.split}, and in {first.split} by line {first.line}")
    elif row.labels == first.labels:
        reading.repeated += 1
    else:
        reading.problem(
            row.line, "table",
            f"{row.file} stands in line {first.line} too, with another label; an image has one row, with several "
            "labels in one cell: a;b",
        )  # fmt: skip


def _split(reading: _Reading, line: int, row: list[str]) -> str | None:
    header = reading.header
    for column, goal in header.flags.items():
        if MARKS[row[column].strip().lower()]:
            return goal
    stated = reading.default if header.split is None else row[header.split].strip()
    split = cell_split(stated)
    if split is None:
        reading.problem(line, "table", f"split: expected train, val or test, found {stated!r:.60}")
    return split


def _labels(reading: _Reading, line: int, row: list[str]) -> tuple[str, ...]:
    header = reading.header
    if header.label is None:
        return tuple(name for name, column in header.marks.items() if _mark(reading.path, name, line, row[column]))
    cell = nfc(row[header.label].strip())
    if not reading.several:
        return (cell,) if cell else ()
    for mark in SEPARATORS[1:]:
        cell = cell.replace(mark, SEPARATORS[0])
    return tuple(dict.fromkeys(part.strip() for part in cell.split(SEPARATORS[0]) if part.strip()))


def _mark(path: Path, name: str, line: int, cell: str) -> bool:
    mark = MARKS.get(cell.strip().lower())
    if mark is None:
        near = nearest(name, (*LABEL_COLUMNS, SPLIT_COLUMNS[0]), 1)
        hint = f"; it may be meant as {near[0]!r}" if near else ""
        raise BadFile(
            path,
            f"line {line}: column {name!r} holds {cell!r:.60}. Without a column {'|'.join(LABEL_COLUMNS)} every other "
            f"column is a class and holds 0 or 1{hint}",
        )
    return mark
