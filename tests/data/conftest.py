"""Writers of small data sets in every format, and the way to the data beside the project."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the development data in {SHARED}")
    return SHARED


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def random_pixels() -> Callable[..., np.ndarray]:
    return pixels


@pytest.fixture
def write_idx() -> Callable[..., Path]:
    """Write an array as an IDX file of unsigned bytes, gzipped where the name says so."""

    def write(path: Path, array: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path

    return write


@pytest.fixture
def idx_folder(write_idx: Callable[..., Path]) -> Callable[..., Path]:
    """A small IDX set: 40 training and 20 test images of 6x5 in 4 classes."""

    def write(folder: Path, ending: str = "") -> Path:
        for prefix, count, seed in (("train", 40, 1), ("t10k", 20, 2)):
            write_idx(folder / f"{prefix}-images-idx3-ubyte{ending}", pixels(seed, count, 6, 5))
            write_idx(folder / f"{prefix}-labels-idx1-ubyte{ending}", (np.arange(count) % 4).astype(np.uint8))
        return folder

    return write


@pytest.fixture
def write_cifar() -> Callable[..., Path]:
    """The binary files of CIFAR-10 (`coarse` false) or CIFAR-100, with a few records each."""

    def records(seed: int, count: int, coarse: bool) -> bytes:
        labels = (np.arange(count) % 10).astype(np.uint8)[:, None]
        parts = [labels * 0 + 7, labels, pixels(seed, count, 3072)] if coarse else [labels, pixels(seed, count, 3072)]
        return np.concatenate(parts, axis=1).tobytes()

    def write(folder: Path, coarse: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        train = ["train.bin"] if coarse else [f"data_batch_{i}.bin" for i in range(1, 6)]
        for seed, name in enumerate([*train, "test.bin" if coarse else "test_batch.bin"]):
            (folder / name).write_bytes(records(seed, 10, coarse))
        names = [f"name {i}" for i in range(100 if coarse else 10)]
        (folder / ("fine_label_names.txt" if coarse else "batches.meta.txt")).write_text("\n".join(names) + "\n\n")
        return folder

    return write


@pytest.fixture
def class_folders() -> Callable[..., Path]:
    """Class folders of PNG images, `counts` images in each, of `size` (height, width)."""

    def write(root: Path, counts: dict[str, int], size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
        for label, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                Image.fromarray(pixels(seed + 1000 * label + i, *size, 3)).save(root / name / f"{i:03}.png")
        return root

    return write


@pytest.fixture
def png() -> Callable[..., bytes]:
    """A PNG (or another format) of an array, as bytes."""

    def encode(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, kind, **options)
        return buffer.getvalue()

    return encode
