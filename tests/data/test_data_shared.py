"""The real sets beside the project, where they are."""

from pathlib import Path

import numpy as np
import pytest

from convsmith.base.errors import BadFile
from convsmith.data.dataset import open_data
from convsmith.data.decoding import decode_stack, measure
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import open_path


def test_mnist(shared_data: Path) -> None:
    data = open_data(DataOptions(source=str(shared_data / "mnist")))
    assert (len(data.train), len(data.val)) == (54_001, 5_999)
    assert data.card.counts == {"train": 60_000, "test": 10_000}
    assert data.card.class_counts["train"][:3] == (5923, 6742, 5958)
    # The values everyone uses, of all 60,000 images.
    assert data.preprocess.mean == pytest.approx((0.1307,), abs=0.001)
    assert data.preprocess.std == pytest.approx((0.3081,), abs=0.001)


def test_cifar10_parquet(shared_data: Path) -> None:
    pytest.importorskip("pyarrow")
    source = open_path(shared_data / "cifar10")
    assert source.card.counts == {"train": 50_000, "test": 10_000}
    assert source.card.classes[0] == "airplane"
    assert set(source.card.class_counts["train"]) == {5000}
    data = open_data(DataOptions(source=str(shared_data / "cifar10" / "test.parquet")))
    assert (len(data.train), len(data.val)) == (8_000, 1_000)
    pixels = decode_stack(data.val, range(20), data.preprocess, 1)
    assert pixels.shape == (20, 3, 32, 32)
    measured = measure(data.val, data.preprocess, 1)
    assert np.abs(np.asarray(measured.mean) - (0.49, 0.48, 0.45)).max() < 0.02
    assert np.abs(np.asarray(measured.std) - (0.25, 0.24, 0.26)).max() < 0.02


def test_camvid_is_for_another_task(shared_data: Path) -> None:
    with pytest.raises(BadFile, match="image and mask folders, for segmentation"):
        open_path(shared_data / "camvid")
