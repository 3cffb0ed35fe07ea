"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), gzipped or not."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.examples import Examples, from_arrays
from convsmith.data.sources import fingerprint, names
from convsmith.data.sources.source import Origin, Source, array_source
from convsmith.report.text import many

_PREFIXES = {"train": "train", "t10k": "test"}
_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


def is_idx(folder: Path) -> bool:
    """Whether the training images of an IDX set lie in `folder`."""
    return _find(folder, "train", _IMAGES) is not None


def open_idx(folder: Path, origin: Origin) -> Source:
    """The source of `train-*` and, where they are, `t10k-*` files."""
    splits: dict[str, Examples] = {}
    for prefix, split in _PREFIXES.items():
        images, labels = (_find(folder, prefix, kind) for kind in (_IMAGES, _LABELS))
        if images is None and labels is None and split == "test":
            continue
        if images is None or labels is None:
            missing = f"{prefix}-{_LABELS if images else _IMAGES}"
            raise BadFile(folder, f"expected {missing} or {missing}.gz beside the other files of the set")
        splits[split] = _examples(images, labels, f"{origin.name} {split}")
    count = 1 + max(int(examples.labels.max()) for examples in splits.values())
    classes = names.class_names(origin.name, count)
    sizes = {np.asarray(examples.read(0)).shape for examples in splits.values()}
    if len(sizes) > 1:
        raise BadFile(folder, f"training and test images differ in size: {sorted(sizes)}")
    return array_source(origin, classes, splits, fingerprint.of_examples(splits))


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes of an IDX file that has `dimensions` axes; header and length must agree."""
    shape: tuple[int, ...] = ()
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != bytes((0, 0, 8, dimensions)):
                found = header[:4].hex(" ") or "nothing"
                raise BadFile(path, f"expected the IDX header 00 00 08 {dimensions:02x}, found {found}")
            if len(header) < 4 + 4 * dimensions:
                raise BadFile(path, f"the header is cut: {len(header)} of {4 + 4 * dimensions} bytes")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            expected = int(np.prod(shape, dtype=object))
            data = file.read(expected + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(path, f"the gzip file is cut or damaged ({error})") from None
    except (OverflowError, MemoryError):
        raise BadFile(path, f"the header claims {shape} values, more than a file can hold") from None
    if len(data) != expected or not expected:
        more = "more" if len(data) > expected else len(data)
        raise BadFile(path, f"the header {shape} promises {many(expected, 'byte')} of data, found {more}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _examples(images: Path, labels: Path, origin: str) -> Examples:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise BadFile(labels, f"{many(len(classes), 'label')} for the {many(len(pixels), 'image')} of {images.name}")
    return from_arrays(pixels, classes, origin)


def _find(folder: Path, prefix: str, kind: str) -> Path | None:
    for name in (f"{prefix}-{kind}", f"{prefix}-{kind}.gz"):
        if (folder / name).is_file():
            return folder / name
    return None
