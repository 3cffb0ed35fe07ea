"""A CSV file of images and labels: one label or several for each image, in a cell or as columns of 0 and 1."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.examples import FileExamples
from convsmith.data.sources import fingerprint
from convsmith.data.sources.rows import SEPARATORS, Row, Rows, read_rows
from convsmith.data.sources.source import SPLITS, Origin, Source, file_source

# Targets of several labels are a byte for each image and class.
MOST_TARGETS = 4_000_000_000


def is_table(path: Path) -> bool:
    """Whether `path` is a file that is called a table."""
    return path.is_file() and path.suffix.lower() in (".csv", ".tsv")


def open_table(path: Path, origin: Origin) -> Source:
    """The source of a table; the paths in it are relative to its folder, and images are in the order of their paths."""
    table = read_rows(path)
    if table.problems:
        first, more = table.problems[0], len(table.problems) - 1
        others = f" (and {more:,} rows more; `convsmith data check {path}` lists them)" if more else ""
        raise BadFile(path, f"line {first.line}: {first.detail}{others}")
    classes = table.columns or _classes(table.rows)
    _check(path, table, classes)
    splits: dict[str, FileExamples] = {}
    for split in SPLITS:
        rows = sorted((row for row in table.rows if row.split == split), key=lambda row: os.fsencode(row.file))
        if rows:
            splits[split] = FileExamples(path.parent, tuple(r.file for r in rows), _targets(rows, classes, table))
    return file_source(origin, classes, splits, fingerprint.of_files(splits, classes), _notes(table, classes))


def _classes(rows: Sequence[Row]) -> tuple[str, ...]:
    """The labels in order: of whole numbers by their size, else of the alphabet."""
    names = {label for row in rows for label in row.labels}
    numbers = all(name.isdecimal() and len(name) < 10 for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else None))


def _check(path: Path, table: Rows, classes: tuple[str, ...]) -> None:
    least = 1 if table.several else 2
    if len(classes) < least:
        found = f"only {classes[0]!r}" if classes else "none"
        raise BadFile(path, f"expected labels of at least {least} class{'es' if least > 1 else ''}, found {found}")
    if not any(row.split == "train" for row in table.rows):
        splits = ", ".join(sorted({row.split for row in table.rows}))
        raise BadFile(path, f"expected rows of the split train, found {splits}")
    if table.several and len(table.rows) * len(classes) > MOST_TARGETS:
        raise BadFile(path, f"{len(table.rows):,} images times {len(classes):,} classes are more than can be held")
    trained = {label for row in table.rows if row.split == "train" for label in row.labels}
    for row in table.rows:
        for label in row.labels:
            if label not in trained:
                raise BadFile(
                    path, f"line {row.line}: class {label!r} occurs in {row.split} and in no row of train, where it "
                    "would have to be learned; expected every class there",
                )  # fmt: skip


def _targets(rows: Sequence[Row], classes: tuple[str, ...], table: Rows) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    if not table.several:
        return np.asarray([numbers[row.labels[0]] for row in rows], dtype=np.int64)
    targets = np.zeros((len(rows), len(classes)), dtype=np.uint8)
    for target, row in zip(targets, rows, strict=True):
        target[[numbers[label] for label in row.labels]] = 1
    return targets


def _notes(table: Rows, classes: tuple[str, ...]) -> tuple[str, ...]:
    notes = [f"columns left out: {', '.join(table.unused[:6])}"] if table.unused else []
    if not table.several:
        return tuple(notes)
    none = sum(not row.labels for row in table.rows)
    used = {label for row in table.rows for label in row.labels}
    empty = [name for name in classes if name not in used]
    if none:
        notes.append(f"{none} images have none of the classes")
    if empty:
        notes.append(f"no image of {', '.join(empty[:6])}")
    if all(len(row.labels) == 1 for row in table.rows):
        notes.append(
            "every image has exactly one label; a column `label` with one in each cell, and no "
            f"{' or '.join(SEPARATORS)}, makes it a choice between classes"
        )
    return tuple(notes)
