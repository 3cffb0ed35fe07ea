"""Opening every file of a data set and saying what is wrong or odd about it. No torch here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from convsmith.base import config
from convsmith.base.errors import BadFile, ConvsmithError
from convsmith.data.decoding import CHUNK, NOTHING, each_chunk
from convsmith.data.examples import Examples, FileExamples, allow
from convsmith.data.images import NotAnImage, blamed
from convsmith.data.oddities import oddities, pixels_digest
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import UNFIT, Preprocess, read_picture
from convsmith.data.sources.folder import Layout, scan
from convsmith.data.sources.opening import KNOWN, open_source, recognise
from convsmith.data.sources.rows import read_rows
from convsmith.data.sources.source import SPLITS
from convsmith.data.sources.table import is_table

Kind = Literal["broken", "not_an_image", "odd", "duplicate", "leak", "empty_class", "missing", "table"]
_FATAL = ("broken", "not_an_image", "leak", "missing", "table")
# Colour, upright, of its own size: what two copies of an image have in common.
_RECORD = Preprocess(mode="RGB", size=(1, 1), mean=(0.5,) * 3, std=(0.5,) * 3)


@dataclass(frozen=True)
class Finding:
    """Something about a file that a user should know."""

    file: str
    kind: Kind
    detail: str


@dataclass(frozen=True)
class CheckReport:
    """What was found in how many files; `ok` is false where one is missing, broken, no image, or in two splits.

    A wrong row of a table of labels spoils it too.
    """

    files: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that spoils training or its numbers."""
        return not any(finding.kind in _FATAL for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON data."""
        return {"files": self.files, "ok": self.ok, "findings": config.plain(self.findings)}


def check_path(
    path_or_name: str | Path, workers: int = 2, progress: Callable[[int, int], None] | None = None,
    max_megapixels: int | None = None,
) -> CheckReport:  # fmt: skip
    """Decode every image of a source with `workers` threads; `progress` is told files done and files in all.

    A folder is checked even where it cannot be opened as a data set, so that empty classes are found with the rest.
    """
    splits, findings = _contents(str(path_or_name))
    most = None if max_megapixels is None else max_megapixels * 1_000_000
    splits = {split: allow(examples, most) for split, examples in splits.items()}
    total = sum(len(examples) for examples in splits.values())
    done = 0
    seen: dict[bytes, tuple[str, str]] = {}
    for split, examples in splits.items():
        for chunk in each_chunk(lambda begin, e=examples: _inspect(e, begin), range(0, len(examples), CHUNK), workers):
            for name, found, digest in chunk:
                findings += found
                if digest is not None:
                    findings += _copies(name, split, seen.setdefault(digest, (name, split)))
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    if total > 1 and len(seen) == 1:
        findings.append(Finding(str(path_or_name), "odd", f"all images are equal, pixel for pixel: {NOTHING}"))
    return CheckReport(total, tuple(findings))


def _contents(text: str) -> tuple[dict[str, Examples], list[Finding]]:
    path = Path(text).expanduser()
    if text not in KNOWN and path.is_dir() and recognise(path) == "folder":
        try:
            return _layout(path, scan(path))
        except BadFile as error:
            return {}, [Finding(error.path, "broken", str(error).removeprefix(f"{error.path}: "))]
    if text not in KNOWN and is_table(path):
        return _table(path)
    return dict(open_source(DataOptions(source=text)).splits), []


def _table(path: Path) -> tuple[dict[str, Examples], list[Finding]]:
    """The images of the rows that are right, and what is wrong with the others and with the whole."""
    try:
        table = read_rows(path)
    except BadFile as error:
        return {}, [Finding(error.path, "broken", error.problem)]
    findings = [Finding(f"{path}, line {p.line}", p.kind, p.detail) for p in table.problems]
    findings += [Finding(str(path), "odd", f"column {name!r} is left out") for name in table.unused]
    if not table.problems:
        try:
            source = open_source(DataOptions(source=str(path)))
        except BadFile as error:
            findings.append(Finding(error.path, "table", error.problem))
        else:
            card = source.card
            counts = zip(card.classes, card.class_counts["train"], strict=True)
            empty = [Finding(str(path), "empty_class", f"{name}: no training image") for name, n in counts if not n]
            return dict(source.splits), findings + empty
    files = {split: tuple(row.file for row in table.rows if row.split == split) for split in SPLITS}
    return {
        split: FileExamples(path.parent, names, np.zeros(len(names), np.int64)) for split, names in files.items()
    }, findings


def _layout(root: Path, layout: Layout) -> tuple[dict[str, Examples], list[Finding]]:
    splits: dict[str, Examples] = {}
    findings = [Finding(str(root / name), "odd", "left out: not an image by its extension") for name in layout.others]
    for split, classes in layout.files.items():
        names = tuple(name for files in classes.values() for name in files)
        splits[split] = FileExamples(root, names, np.zeros(len(names), np.int64))
        empty = [name for name, files in classes.items() if not files]
        findings += [Finding(str(layout.folders[split] / name), "empty_class", "has no image") for name in empty]
    return splits, findings


def _inspect(examples: Examples, begin: int) -> list[tuple[str, list[Finding], bytes | None]]:
    """For each example of a chunk: its name, what was found, and a hash of its decoded pixels."""
    results: list[tuple[str, list[Finding], bytes | None]] = []
    for i in range(begin, min(begin + CHUNK, len(examples))):
        name = examples.name(i)
        try:
            image = examples.read(i)
            told = oddities(name, image) if isinstance(image, Image.Image) else []
            found = [Finding(name, "odd", detail) for detail in told]
            with blamed(name, UNFIT):
                digest = pixels_digest(read_picture(image, _RECORD, name))
        except ConvsmithError as error:
            kind: Kind = "not_an_image" if isinstance(error, NotAnImage) else "broken"
            results.append((name, [Finding(name, kind, str(error).removeprefix(f"{name}: "))], None))
            continue
        results.append((name, found, digest))
    return results


def _copies(name: str, split: str, first: tuple[str, str]) -> list[Finding]:
    other, other_split = first
    if other == name:
        return []
    if other_split == split:
        return [Finding(name, "duplicate", f"the same image as {other}")]
    return [Finding(name, "leak", f"in {split}, and the same image as {other} in {other_split}")]
