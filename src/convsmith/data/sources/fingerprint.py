"""What tells one data set from another: SHA-256 over content and labels, never over where it lies."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convsmith.base.errors import ConvsmithError
from convsmith.data.examples import ArrayExamples, EncodedExamples, FileExamples, spread
from convsmith.data.images import check_regular

_END = 64 * 1024

# Of sets larger than this, the content of this many files is read; path, size and label always count for all.
_READ = 20_000


def of_arrays(splits: Mapping[str, ArrayExamples]) -> str:
    """Of pixel values, shapes and labels."""
    digest = hashlib.sha256()
    for split, examples in splits.items():
        digest.update(f"{split} {examples.images.shape}\n".encode())
        digest.update(np.ascontiguousarray(examples.images).data)
        digest.update(examples.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def of_encoded(splits: Mapping[str, EncodedExamples]) -> str:
    """Of encoded bytes, their lengths and labels."""
    digest = hashlib.sha256()
    for split, examples in splits.items():
        digest.update(f"{split} {len(examples)}\n".encode())
        digest.update(np.ascontiguousarray(examples.encoded.data).data)
        digest.update(examples.encoded.offsets.astype("<i8").tobytes())
        digest.update(examples.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def of_files(splits: Mapping[str, FileExamples], classes: Sequence[str] = ()) -> str:
    """Of each file's relative path, size, first and last 64 KiB, and label; `classes` where no path holds them."""
    digest = hashlib.sha256(json.dumps(classes).encode() if classes else b"")
    for split, examples in splits.items():
        digest.update(f"{split} {len(examples)}\n".encode())
        read = set(spread(len(examples), _READ).tolist())
        root = os.fspath(examples.root)
        for i, file in enumerate(examples.files):
            digest.update(os.fsencode(file))
            digest.update(_file(f"{root}/{file}", i in read))
            label = examples.labels[i]
            digest.update(f" {label if label.ndim == 0 else np.flatnonzero(label).tolist()}\n".encode())
    return digest.hexdigest()


def _file(path: str, read: bool) -> bytes:
    """Of a file that cannot be read nothing but that: whether it ends a run is decided where it is decoded."""
    try:
        if not read:
            return f" {os.stat(path).st_size} ".encode()
        check_regular(Path(path), "")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_END)
            if size > 2 * _END:
                file.seek(size - _END)
            return f" {size} ".encode() + head + file.read(_END)
    except (OSError, ConvsmithError):
        return b" unreadable "
