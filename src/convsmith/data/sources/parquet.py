"""Parquet files in the layout of Hugging Face data sets: `image` as bytes (with a path), `label` as a number."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.base.errors import BadFile, MissingExtra
from convsmith.data.examples import Encoded, EncodedExamples
from convsmith.data.sources import fingerprint, names
from convsmith.data.sources.source import SPLITS, Origin, Source, file_source

_SHARD = re.compile(r"^(train|test|val|valid|validation)(?:-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?)?\.parquet$")
_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")


def is_parquet(path: Path) -> bool:
    """Whether `path` is a Parquet file or a folder that holds some, itself or in `data/`."""
    if path.is_file():
        return path.suffix == ".parquet"
    return bool(_files(path))


def open_parquet(path: Path, origin: Origin) -> Source:
    """The source of one file or of a folder's shards; the encoded images are held in memory as they are."""
    shards = {"train": [path]} if path.is_file() else _shards(path)
    splits: dict[str, EncodedExamples] = {}
    stated: tuple[str, ...] = ()
    for split in (s for s in SPLITS if s in shards):
        encoded, labels, found = _read(shards[split])
        stated = stated or found
        splits[split] = EncodedExamples(encoded, labels, f"{shards[split][0]}", np.arange(len(labels)))
    count = 1 + max(int(examples.labels.max()) for examples in splits.values())
    if stated and count > len(stated):
        raise BadFile(path, f"label {count - 1} has no name: the file's metadata names {len(stated)} classes")
    folder = path.stem if path.is_file() else path.resolve().name
    classes = stated or names.class_names(folder, count)
    return file_source(origin, classes, splits, fingerprint.of_encoded(splits))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet")) or sorted((folder / "data").glob("*.parquet"))


def _shards(folder: Path) -> dict[str, list[Path]]:
    files = _files(folder)
    if len(files) == 1 and not _SHARD.match(files[0].name):
        return {"train": files}
    found: dict[str, list[Path]] = {}
    for file in files:
        match = _SHARD.match(file.name)
        if not match:
            raise BadFile(file, "expected a name such as train.parquet, val.parquet or test-00000-of-00002.parquet")
        split = "val" if match[1].startswith("val") else match[1]
        found.setdefault(split, []).append(file)
    for shards in found.values():
        counts = {m[3] for file in shards if (m := _SHARD.match(file.name))}
        wanted = int(next(iter(counts)) or 1)
        if len(counts) > 1 or len(shards) != wanted:
            have = ", ".join(file.name for file in shards)
            raise BadFile(shards[0], f"expected all {wanted} shards of this split and nothing else, found {have}")
    if "train" not in found:
        raise BadFile(folder, f"expected a train split, found {', '.join(found)}")
    return found


def _read(files: list[Path]) -> tuple[Encoded, np.ndarray, tuple[str, ...]]:
    blobs: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    paths: list[str] = []
    stated: tuple[str, ...] = ()
    for file in files:
        table = _table(file)
        image, label = _column(file, table, _IMAGE_COLUMNS), _column(file, table, _LABEL_COLUMNS)
        stated = stated or _stated(table.schema.metadata, label)
        for chunk in (c for c in table.column(image).chunks if len(c)):
            blob, length = _bytes(file, chunk)
            blobs.append(blob)
            lengths.append(length)
            paths += _paths(chunk)
        labels.append(_labels(file, table.column(label)))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return Encoded(np.concatenate(blobs), offsets, tuple(paths)), np.concatenate(labels), stated


def _table(file: Path) -> Any:
    try:
        import pyarrow as pa  # an extra; the other sources do without it
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "stream") from None
    try:
        schema = pq.read_schema(file)
        wanted = [name for name in schema.names if name in (*_IMAGE_COLUMNS, *_LABEL_COLUMNS)]
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
    raise BadFile(file, f"expected a column {' or '.join(names_wanted)}; of the columns it needs it has only "
                        f"{', '.join(table.column_names) or 'none'}")  # fmt: skip


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


def _labels(file: Path, column: Any) -> np.ndarray:
    values = column.to_pylist()
    if not all(type(value) is int and value >= 0 for value in values):
        wrong = next(value for value in values if type(value) is not int or value < 0)
        raise BadFile(file, f"expected labels that are whole numbers of at least 0, found {wrong!r}")
    return np.asarray(values, dtype=np.int64)


def _stated(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """The class names in the schema's `huggingface` entry; none where it is absent or not in its usual form."""
    try:
        info = json.loads((metadata or {})[b"huggingface"])
        found = info["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return ()
    return tuple(str(name) for name in found) if isinstance(found, list) else ()
