"""What tells one data set from another: SHA-256 over content and labels, never over where it lies."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from convsmith.base.errors import ConvsmithError
from convsmith.data.examples import Examples, spread
from convsmith.data.image_sets import ArrayImages, EncodedImages, FileImages
from convsmith.data.images import check_regular

_END = 64 * 1024

# Of sets larger than this, the content of this many files is read; path, size and label always count for all.
_READ = 20_000


def of_examples(splits: Mapping[str, Examples], classes: Sequence[str] = ()) -> str:
    """Of pixels, encoded bytes or files, and of labels; `classes` are those that no path holds."""
    digest = hashlib.sha256(json.dumps(classes).encode() if classes else b"")
    for split, examples in splits.items():
        images, labels = examples.images, examples.labels
        if isinstance(images, ArrayImages):
            digest.update(f"{split} {images.pixels.shape}\n".encode())
            digest.update(np.ascontiguousarray(images.pixels).data)
            digest.update(labels.astype("<i8").tobytes())
        elif isinstance(images, EncodedImages):
            digest.update(f"{split} {len(images)}\n".encode())
            digest.update(np.ascontiguousarray(images.encoded.data).data)
            digest.update(images.encoded.offsets.astype("<i8").tobytes())
            digest.update(labels.astype("<i8").tobytes())
        elif isinstance(images, FileImages):
            digest.update(f"{split} {len(images)}\n".encode())
            for part in _files(images, labels):
                digest.update(part)
    return digest.hexdigest()


def _files(images: FileImages, labels: np.ndarray) -> Iterator[bytes]:
    """Each file's relative path; its size, first and last 64 KiB; its label."""
    read = set(spread(len(images), _READ).tolist())
    root = os.fspath(images.root)
    for i, file in enumerate(images.files):
        label = labels[i]
        yield os.fsencode(file)
        yield _file(f"{root}/{file}", i in read)
        yield f" {label if label.ndim == 0 else np.flatnonzero(label).tolist()}\n".encode()


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
