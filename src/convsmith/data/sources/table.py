"""Tables of images and labels: one label or several for each image, in a cell or as columns of 0 and 1."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.examples import Examples
from convsmith.data.findings import Finding
from convsmith.data.image_sets import FileImages
from convsmith.data.restrict import NO_IMAGE, no_image_of
from convsmith.data.sources import fingerprint
from convsmith.data.sources.places import links_out
from convsmith.data.sources.rows import SEPARATORS, Labels, Row, Rows, read_rows
from convsmith.data.sources.same_names import equal_names
from convsmith.data.sources.source import Origin, Source, empty_card, file_source
from convsmith.data.sources.split_names import SPLITS
from convsmith.data.targets import labels_of
from convsmith.report.text import many

# Targets of several labels are a byte for each image and class.
MOST_TARGETS = 4_000_000_000


def open_tables(root: Path, tables: Mapping[Path, str], origin: Origin, labels: Labels = "auto") -> Source:
    """The source of one table, or of one for each split; `root` is what errors call it.

    The paths in a table are relative to its folder, and images are in the order of their paths. Rows with a problem are
    left out of it, and told of by its findings.
    """
    folder = next(iter(tables)).parent if len(tables) == 1 else root
    table = _joined([_placed(read_rows(path, labels, split), path.parent, folder) for path, split in tables.items()])
    classes = _classes(table)
    if table.several and len(table.rows) * len(classes) > MOST_TARGETS:
        raise BadFile(
            root,
            f"{many(len(table.rows), 'image')} times {many(len(classes), 'class', 'classes')} are more than can be "
            "held",
        )
    if not table.rows:
        card = empty_card(origin)
        return Source(card, {}, table.problems, str(root))
    splits: dict[str, Examples] = {}
    for split in SPLITS:
        rows = sorted((row for row in table.rows if row.split == split), key=lambda row: os.fsencode(row.file))
        if rows:
            images = FileImages(folder, tuple(r.file for r in rows))
            splits[split] = Examples(images, labels_of(_labels(rows, classes, table), classes))
    notes = (*_notes(table, classes), *_links(folder, table.rows), *_lacking(splits, classes))
    source = file_source(origin, classes, splits, fingerprint.of_examples(splits, classes), notes)
    return replace(
        source, findings=(*source.findings, *table.problems, *_findings(root, table, classes)), path=str(root)
    )


def _placed(table: Rows, own: Path, folder: Path) -> Rows:
    """The table with paths that are relative to `folder`."""
    prefix = os.path.relpath(own, folder)
    if prefix == ".":
        return table
    return replace(table, rows=tuple(replace(r, file=os.path.normpath(f"{prefix}/{r.file}")) for r in table.rows))


def _joined(tables: Sequence[Rows]) -> Rows:
    if len(tables) == 1:
        return tables[0]
    several = any(table.several for table in tables)
    columns = tuple(dict.fromkeys(name for table in tables for name in table.columns))
    found: dict[str, Row] = {}
    problems = [problem for table in tables for problem in table.problems]
    for row in (row for table in tables for row in table.rows):
        first = found.setdefault(row.file, row)
        if first is not row:
            problems.append(
                Finding(row.file, "table", f"stands in the table of {first.split} and in that of {row.split}")
            )
    return Rows(
        tuple(found.values()),
        columns,
        several,
        tuple(dict.fromkeys(name for table in tables for name in table.unused)),
        tuple(problems),
        tuple(dict.fromkeys(note for table in tables for note in table.notes)),
    )


def _classes(table: Rows) -> tuple[str, ...]:
    """The labels in order: of columns as they stand, of whole numbers by their size, else of the alphabet."""
    names = {label for row in table.rows for label in row.labels}
    if table.columns:
        return tuple(name for name in table.columns if name in names)
    numbers = all(name.isdecimal() and len(name) < 10 for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else None))


def _labels(rows: Sequence[Row], classes: tuple[str, ...], table: Rows) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    if not table.several:
        return np.asarray([numbers[row.labels[0]] for row in rows], dtype=np.int64)
    targets = np.zeros((len(rows), len(classes)), dtype=np.uint8)
    for target, row in zip(targets, rows, strict=True):
        target[[numbers[label] for label in row.labels]] = 1
    return targets


def _notes(table: Rows, classes: tuple[str, ...]) -> list[str]:
    notes = list(table.notes)
    notes += [f"columns left out: {', '.join(table.unused[:6])}"] if table.unused else []
    if missing := sum(problem.kind == "missing" for problem in table.problems):
        gone = many(missing, "row left out: its file is", "rows left out: their files are")
        notes.append(f"{gone} not there ({table.problems[0].detail})")
    notes += no_image_of([name for name in table.columns if name not in classes])
    if not table.several:
        return notes
    none = sum(not row.labels for row in table.rows)
    if none:
        notes.append(f"{many(none, 'image has', 'images have')} none of the classes")
    if all(len(row.labels) == 1 for row in table.rows):
        notes.append(
            "every image has exactly one label; --data.labels one, or a column `label` with one in each cell and no "
            f"{' or '.join(SEPARATORS)}, makes it a choice between classes"
        )
    return notes


def _lacking(splits: Mapping[str, Examples], classes: tuple[str, ...]) -> list[str]:
    """Notes on the splits that have no image of a class of train."""
    if "train" not in splits or splits["train"].labels.ndim != 1:
        return []
    trained = set(splits["train"].labels.tolist())
    lines: list[str] = []
    for split, examples in splits.items():
        lacks = [classes[label] for label in sorted(trained - set(examples.labels.tolist()))]
        if lacks:
            more = f" and {len(lacks) - 6} more" if len(lacks) > 6 else ""
            lines.append(f"{split} has no image of {', '.join(lacks[:6])}{more}")
    return lines


def _links(folder: Path, rows: Sequence[Row]) -> list[str]:
    files = [row.file for row in rows]
    lines: list[str] = []
    if beside := sum(file.startswith("../") for file in files):
        lines.append(f"{many(beside, 'image lies', 'images lie')} outside the table's folder, beside it")
    if out := links_out(folder, files):
        lead = many(len(out), "image is a link that leads", "images are links that lead")
        lines.append(f"{lead} out of the table's folder (first {out[0]})")
    return lines


def _findings(root: Path, table: Rows, classes: tuple[str, ...]) -> list[Finding]:
    found = [Finding(str(root), "odd", f"column {name!r} is left out") for name in table.unused]
    found += [Finding(str(root), "empty_class", f"{n}: {NO_IMAGE}") for n in table.columns if n not in classes]
    trained = {label for row in table.rows if row.split == "train" for label in row.labels}
    found += [Finding(str(root), "empty_class", f"{n}: no training image") for n in classes if n not in trained]
    return found + [Finding(str(root), "odd", line) for line in equal_names(classes)]
