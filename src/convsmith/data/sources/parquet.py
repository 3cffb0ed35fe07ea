"""Parquet files in the layout of Hugging Face data sets: images as bytes or by path, labels as numbers or texts."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base.errors import BadFile, MissingExtra
from convsmith.data.examples import Examples
from convsmith.data.findings import Finding
from convsmith.data.image_sets import Encoded, EncodedImages, FileImages
from convsmith.data.sources import fingerprint, names
from convsmith.data.sources.parquet_files import is_parquet, shards
from convsmith.data.sources.places import Places
from convsmith.data.sources.source import Origin, Source, file_source
from convsmith.data.targets import ClassLabels
from convsmith.report.text import many

__all__ = ["is_parquet", "open_parquet"]
_IMAGE_COLUMNS = ("image", "img", "image_bytes", "bytes", "picture", "photo")
_PATH_COLUMNS = ("file_name", "filename", "file", "path", "image_path", "img_path", "filepath", "file_path")
_LABEL_COLUMNS = (
    "label",
    "labels",
    "fine_label",
    "target",
    "class",
    "category",
    "class_name",
    "label_name",
    "class_label",
)


@dataclass(frozen=True)
class _Part:
    """A split as it is read: images as bytes, or the file and text of each path; labels, and the names of classes."""

    encoded: Encoded | None
    paths: list[tuple[Path, str]]
    labels: list[int] | list[str]
    stated: tuple[str, ...]


def open_parquet(path: Path, origin: Origin) -> Source:
    """The source of one Parquet file, or of a folder's shards. Encoded images are held in memory, undecoded.

    Images that the files name by a path are read from there. They must lie below the file's folder, or beside it.
    """
    files = {"train": [path]} if path.is_file() else shards(path)
    parts = {split: _read(found) for split, found in files.items()}
    classes = _classes(path, parts)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {
        split: np.asarray(
            [numbers[label] if isinstance(label, str) else label for label in part.labels], dtype=np.int64
        )
        for split, part in parts.items()
    }
    if any(part.encoded is None for part in parts.values()):
        return _by_paths(path, origin, classes, parts, labels)
    splits = {
        split: Examples(
            EncodedImages(part.encoded, f"{files[split][0]}", np.arange(len(labels[split]))),
            ClassLabels(labels[split], classes),
        )
        for split, part in parts.items()
        if part.encoded is not None
    }
    return replace(file_source(origin, classes, splits, fingerprint.of_examples(splits)), path=str(path))


def _classes(path: Path, parts: Mapping[str, _Part]) -> tuple[str, ...]:
    """The names in the metadata; else the texts that labels are, in order; else those of a known set, or numbers."""
    kinds = {type(label) for part in parts.values() for label in part.labels}
    if kinds == {int, str}:
        raise BadFile(path, "has labels that are numbers in one file and texts in another; expected one kind")
    if kinds == {str}:
        return tuple(sorted({str(label) for part in parts.values() for label in part.labels}))
    stated = next((part.stated for part in parts.values() if part.stated), ())
    count = 1 + max(int(label) for part in parts.values() for label in part.labels)
    if stated and count > len(stated):
        raise BadFile(
            path, f"label {count - 1} has no name: the file's metadata names {many(len(stated), 'class', 'classes')}"
        )
    return stated or names.class_names(path.stem if path.is_file() else path.resolve().name, count)


def _by_paths(
    path: Path, origin: Origin, classes: tuple[str, ...], parts: Mapping[str, _Part], labels: Mapping[str, np.ndarray]
) -> Source:
    """The source of images that the files name by a path."""
    root = path.parent if path.is_file() else path
    places: dict[Path, Places] = {}
    splits: dict[str, Examples] = {}
    findings: list[Finding] = []
    for split, part in parts.items():
        if part.encoded is not None:
            raise BadFile(path, f"{split} has images as bytes, and another split has paths; expected one kind")
        found: list[tuple[str, int]] = []
        for (file, text), label in zip(part.paths, labels[split].tolist(), strict=True):
            own = places.setdefault(file.parent, Places(file.parent))
            place, wrong = own.find(text, split)
            if place:
                found.append((os.path.normpath(os.path.join(os.path.relpath(file.parent, root), place)), label))
            else:
                findings.append(Finding(str(file), "table" if wrong else "missing", wrong or f"{text} is not there"))
        if found:
            found.sort(key=lambda item: os.fsencode(item[0]))
            numbers = np.asarray([number for _, number in found], dtype=np.int64)
            splits[split] = Examples(FileImages(root, tuple(f for f, _ in found)), ClassLabels(numbers, classes))
    if not splits:
        raise BadFile(findings[0].file, f"{findings[0].detail}; none of the images that it names is")
    notes = tuple(note for own in places.values() if (note := own.note()))
    source = file_source(origin, classes, splits, fingerprint.of_examples(splits, classes), notes)
    return replace(source, findings=(*source.findings, *findings), path=str(path))


def _read(files: list[Path]) -> _Part:
    blobs: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    labels: list[Any] = []
    paths: list[str] = []
    named: list[tuple[Path, str]] = []
    stated: tuple[str, ...] = ()
    for file in files:
        table = _table(file)
        image = _column(file, table, (*_IMAGE_COLUMNS, *_PATH_COLUMNS))
        label = _column(file, table, _LABEL_COLUMNS)
        stated = stated or _stated(table.schema.metadata, label)
        for chunk in (c for c in table.column(image).chunks if len(c)):
            if (texts := _texts(chunk)) is not None:
                named += [(file, text) for text in texts]
                continue
            blob, length = _bytes(file, chunk)
            blobs.append(blob)
            lengths.append(length)
            paths += _paths(chunk)
        labels += _labels(file, table.column(label))
    if named and blobs:
        raise BadFile(files[0], "has images as bytes and images by path; expected one kind")
    if named:
        return _Part(None, named, labels, stated)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return _Part(Encoded(np.concatenate(blobs), offsets, tuple(paths)), [], labels, stated)


def _texts(chunk: Any) -> list[str] | None:
    """The paths of a chunk's images; None if the chunk holds their bytes."""
    if str(chunk.type) in ("string", "large_string"):
        return [text or "" for text in chunk.to_pylist()]
    if _has(chunk, "bytes") and _has(chunk, "path"):
        content = chunk.field("bytes")
        paths = _paths(chunk)
        if content.null_count == len(content) and all(paths):
            return paths
    return None


def _table(file: Path) -> Any:
    try:
        import pyarrow as pa  # an extra; the other sources do without it
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "stream") from None
    try:
        schema = pq.read_schema(file)
        wanted = [n for n in schema.names if n in (*_IMAGE_COLUMNS, *_PATH_COLUMNS, *_LABEL_COLUMNS)]
        table = pq.read_table(file, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise BadFile(file, f"cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    if not table.num_rows:
        raise BadFile(file, "has no rows; expected images and labels")
    return table


def _column(file: Path, table: Any, names_wanted: tuple[str, ...]) -> str:
    for name in names_wanted:
        if name in table.column_names:
            return name
    raise BadFile(
        file,
        f"expected a column {' or '.join(names_wanted[:3])}; of the columns it needs it has only "
        f"{', '.join(table.column_names) or 'none'}",
    )


def _bytes(file: Path, chunk: Any) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a chunk's images end to end (uint8), and the length of each (int64)."""
    kinds = {"binary": np.int32, "large_binary": np.int64}
    content = chunk.field("bytes") if _has(chunk, "bytes") else chunk
    if str(content.type) not in kinds:
        raise BadFile(file, f"expected images as bytes or as {{bytes, path}}, found {chunk.type}")
    for array in (chunk, content):
        if array.null_count:
            row = array.is_null().to_pylist().index(True)
            raise BadFile(file, f"row {row} has no image bytes; expected the images inside the file")
    _, offsets, data = content.buffers()
    offsets = np.frombuffer(offsets, kinds[str(content.type)])[content.offset : content.offset + len(content) + 1]
    return np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]], np.diff(offsets).astype(np.int64)


def _paths(chunk: Any) -> list[str]:
    return [path or "" for path in chunk.field("path").to_pylist()] if _has(chunk, "path") else [""] * len(chunk)


def _has(chunk: Any, field: str) -> bool:
    return str(chunk.type).startswith("struct<") and chunk.type.get_field_index(field) >= 0


def _labels(file: Path, column: Any) -> list[int] | list[str]:
    """The labels as whole numbers, else as texts."""
    values = column.to_pylist()
    if values and all(isinstance(value, str) and value.strip() for value in values):
        return [value.strip() for value in values]
    if values and all(type(value) is bool for value in values):
        return [str(value).lower() for value in values]
    values = [int(value) if type(value) is float and value.is_integer() else value for value in values]
    if not all(type(value) is int and value >= 0 for value in values):
        wrong = next(value for value in values if type(value) is not int or value < 0)
        raise BadFile(file, f"expected labels that are texts or whole numbers of at least 0, found {wrong!r:.60}")
    return [int(value) for value in values]


def _stated(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """The class names in the schema's `huggingface` entry; none where it is absent or not in its usual form."""
    try:
        info = json.loads((metadata or {})[b"huggingface"])
        found = info["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return ()
    return tuple(str(name) for name in found) if isinstance(found, list) else ()
