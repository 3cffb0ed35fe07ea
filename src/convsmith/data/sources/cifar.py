"""CIFAR-10 and CIFAR-100 in their binary files (https://www.cs.toronto.edu/~kriz/cifar.html); nothing is unpickled."""

from pathlib import Path

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.examples import Examples, from_arrays
from convsmith.data.sources import fingerprint, names
from convsmith.data.sources.download import download, unpack
from convsmith.data.sources.source import Origin, Source, array_source
from convsmith.report.text import many

CIFAR10_BATCHES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_PIXELS = 3 * 32 * 32
_TRAIN10, _TEST10, _NAMES10 = CIFAR10_BATCHES, ("test_batch.bin",), "batches.meta.txt"
_TRAIN100, _TEST100, _NAMES100 = ("train.bin",), ("test.bin",), "fine_label_names.txt"
_TEXT = 64 * 1024


def is_cifar10(folder: Path) -> bool:
    """Whether the first training batch of CIFAR-10's binary version lies in `folder`."""
    return (folder / _TRAIN10[0]).is_file()


def is_cifar100(folder: Path) -> bool:
    """Whether CIFAR-100's binary version lies in `folder`."""
    return (folder / _TRAIN100[0]).is_file() and (folder / _TEST100[0]).is_file()


def open_cifar10(folder: Path, origin: Origin) -> Source:
    """Records of one label byte and 3,072 pixel bytes; all five training batches must be there."""
    splits = {
        "train": _read(folder, _TRAIN10, 1, f"{origin.name} train", 10),
        "test": _read(folder, _TEST10, 1, f"{origin.name} test", 10),
    }
    classes = _names(folder / _NAMES10, 10) or names.CIFAR10
    return array_source(origin, classes, splits, fingerprint.of_examples(splits))


def open_cifar100(folder: Path, origin: Origin) -> Source:
    """Records of a coarse label byte, a fine label byte and 3,072 pixel bytes; the 100 fine classes are the targets."""
    splits = {
        "train": _read(folder, _TRAIN100, 2, f"{origin.name} train", 100),
        "test": _read(folder, _TEST100, 2, f"{origin.name} test", 100),
    }
    classes = _names(folder / _NAMES100, 100) or tuple(str(i) for i in range(100))
    return array_source(origin, classes, splits, fingerprint.of_examples(splits), ("targets are the fine labels",))


def download_cifar(name: str) -> Path:
    """The folder of the cache with the binary files of `cifar10` or `cifar100`."""
    top, train, test, text = {
        "cifar10": ("cifar-10-batches-bin", _TRAIN10, _TEST10, _NAMES10),
        "cifar100": ("cifar-100-binary", _TRAIN100, _TEST100, _NAMES100),
    }[name]
    folder = download(name)
    files = (*train, *test, text)
    if not all((folder / file).is_file() for file in files):
        archive = next(folder.glob("*.tar.gz"))
        unpack(archive, folder, {f"{top}/{file}": _TEXT if file == text else 200_000_000 for file in files})
    return folder


def _read(folder: Path, files: tuple[str, ...], label_bytes: int, origin: str, classes: int) -> Examples:
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise BadFile(folder, f"expected {', '.join(files)}; missing: {', '.join(missing)}")
    record = label_bytes + _PIXELS
    parts: list[np.ndarray] = []
    for file in files:
        data = np.fromfile(folder / file, np.uint8)
        if not len(data) or len(data) % record:
            raise BadFile(folder / file, f"expected whole records of {record:,} bytes, found {many(len(data), 'byte')}")
        rows = data.reshape(-1, record)
        highest = int(rows[:, label_bytes - 1].max())
        if highest >= classes:
            raise BadFile(folder / file, f"expected labels below {classes}, found {highest}")
        parts.append(rows)
    rows = np.concatenate(parts)
    images = rows[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return from_arrays(np.ascontiguousarray(images), rows[:, label_bytes - 1], origin)


def _names(path: Path, count: int) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    with open(path, encoding="utf-8", errors="replace") as file:
        found = tuple(line.strip() for line in file.read(_TEXT).splitlines() if line.strip())
    if len(found) != count:
        raise BadFile(path, f"expected {count} class names, one on a line, found {len(found)}")
    return found
