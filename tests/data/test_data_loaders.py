"""Loaders: the same samples whatever the batch, the workers and the way they are fed."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convsmith.base.errors import BadFile, UsageError
from convsmith.data import loaders
from convsmith.data.augment import augment
from convsmith.data.augmentations import Crop, Flip
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.decoding import decode_stack
from convsmith.data.keys import epoch_order
from convsmith.data.loaders import Batch, decode_all, evaluation_loader, training_loader
from convsmith.data.options import DataOptions

RESIDENT = DataOptions(loader="resident")
STREAMING = DataOptions(loader="streaming", workers=0)
WORKERS = DataOptions(loader="streaming", workers=2)


@pytest.fixture
def photos(tmp_path: Path, class_folders: Callable[..., Path]) -> Dataset:
    """32 training images of two sizes, scaled to 18 and cropped to 16."""
    root = class_folders(tmp_path, {"a": 20, "b": 20}, size=(20, 25))
    class_folders(root, {"a": 1}, size=(30, 18))
    return open_data(DataOptions(source=str(root), size=16))


def flat(batches: Iterable[Batch], data: Dataset) -> list[torch.Tensor]:
    """Augmented images, targets and positions of many batches in one."""
    steps = (Crop(2), Flip())
    made = [(augment(b.images, steps, 3, 1, b.positions, data.preprocess), b.targets, b.positions) for b in batches]
    return [torch.cat(parts) for parts in zip(*made, strict=True)]


def test_samples_do_not_depend_on_how_they_are_fed(photos: Dataset) -> None:
    assert len(photos.train) == 32
    assert photos.preprocess.resize == 18
    expected = None
    for options, batch in ((RESIDENT, 4), (RESIDENT, 16), (STREAMING, 8), (WORKERS, 4), (WORKERS, 16)):
        loader = training_loader(photos.train, photos.preprocess, options, batch=batch, seed=3)
        assert (loader.examples, loader.steps, loader.batch) == (32, 32 // batch, batch)
        found = flat(loader.epoch(1), photos)
        assert found[0].shape == (32, 3, 16, 16)
        expected = expected or found
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)), (options, batch)
    assert expected is not None
    order = epoch_order(32, 3, 1)
    assert torch.equal(expected[1], torch.from_numpy(photos.train.labels)[order])
    assert expected[2].tolist() == list(range(32))


@pytest.mark.parametrize("options", [RESIDENT, STREAMING, WORKERS])
def test_batches_are_whole_and_of_bytes(photos: Dataset, options: DataOptions) -> None:
    loader = training_loader(photos.train, photos.preprocess, options, batch=10, seed=0)
    assert (loader.examples, loader.steps) == (30, 3)
    batches = list(loader.epoch(0))
    assert [len(batch.images) for batch in batches] == [10, 10, 10]
    assert batches[0].images.dtype == torch.uint8
    assert batches[0].images.shape == (10, 3, 18, 18), "the margin of random crops"
    assert batches[0].targets.dtype == batches[0].positions.dtype == torch.int64
    loader = evaluation_loader(photos.val, photos.preprocess, options, batch=3)
    batches = list(loader.epoch(0))
    assert [len(batch.images) for batch in batches] == [3, 1]
    assert (loader.examples, loader.steps) == (4, 2)
    positions = torch.cat([batch.positions for batch in batches])
    assert positions.tolist() == [0, 1, 2, 3]
    found = torch.cat([batch.images for batch in batches])
    np.testing.assert_array_equal(found.numpy(), decode_stack(photos.val, range(4), photos.preprocess, 1))
    assert torch.cat([batch.targets for batch in batches]).tolist() == photos.val.labels.tolist()


@pytest.mark.parametrize("options", [RESIDENT, STREAMING, WORKERS])
def test_a_start_gives_the_tail(photos: Dataset, options: DataOptions) -> None:
    loader = training_loader(photos.train, photos.preprocess, options, batch=8, seed=0)
    whole, tail = list(loader.epoch(5)), list(loader.epoch(5, start=3))
    assert len(tail) == 1
    assert all(torch.equal(a, b) for a, b in zip(whole[3], tail[0], strict=True))
    assert list(loader.epoch(5, start=4)) == []


def test_a_start_reads_nothing_before_it(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(examples: object, indices: list[int], *rest: object) -> np.ndarray:
        seen.extend(indices)
        return decode_stack(examples, indices, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loaders, "decode_stack", spy)
    loader = training_loader(photos.train, photos.preprocess, STREAMING, batch=8, seed=0)
    list(loader.epoch(2, start=2))
    assert seen == epoch_order(32, 0, 2)[16:].tolist()


@pytest.mark.parametrize("options", [RESIDENT, STREAMING, WORKERS])
def test_the_generator_of_the_process_is_not_moved(photos: Dataset, options: DataOptions) -> None:
    before = torch.get_rng_state()
    for batch in training_loader(photos.train, photos.preprocess, options, batch=8, seed=0).epoch(0):
        augment(batch.images, (Crop(2), Flip()), 0, 0, batch.positions, photos.preprocess)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("options", [STREAMING, WORKERS])
def test_a_bad_file_is_named_from_the_worker(photos: Dataset, options: DataOptions) -> None:
    path = Path(photos.train.name(7))
    path.write_bytes(path.read_bytes()[:60])
    loader = training_loader(photos.train, photos.preprocess, options, batch=8, seed=0)
    with pytest.raises(BadFile) as caught:
        list(loader.epoch(0))
    assert caught.value.path == str(path)
    assert str(caught.value).startswith(f"{path}: the ")
    with pytest.raises(BadFile, match=path.name):
        training_loader(photos.train, photos.preprocess, RESIDENT, batch=8, seed=0)


def test_batches_of_more_than_all_are_all() -> None:
    data = open_data(DataOptions())
    loader = training_loader(data.val, data.preprocess, RESIDENT, batch=1000, seed=0)
    assert (loader.steps, loader.batch) == (1, 180)
    assert len(next(iter(loader.epoch(0))).images) == 180


def test_wrong_batches_are_refused() -> None:
    data = open_data(DataOptions())
    with pytest.raises(UsageError, match="batch: expected at least 1 image, received 0"):
        training_loader(data.train, data.preprocess, RESIDENT, batch=0, seed=0)
    with pytest.raises(UsageError, match="received an empty one"):
        evaluation_loader(data.train.subset([]), data.preprocess, RESIDENT, batch=1)


def test_auto_streams_what_does_not_fit(photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def kind() -> str:
        loader = training_loader(photos.train, photos.preprocess, DataOptions(), batch=8, seed=0)
        return type(loader).__name__

    assert kind() == "_Resident"
    monkeypatch.setattr(loaders, "RESIDENT_BYTES", 32 * 3 * 18 * 18 - 1)
    assert kind() == "_Streaming"


def test_decoding_is_done_once(photos: Dataset) -> None:
    first = decode_all(photos.train, photos.preprocess, 2)
    assert decode_all(photos.train, replace(photos.preprocess, std=(1.0,) * 3), 1) is first
    assert decode_all(photos.train, photos.preprocess, 2, margin=True) is not first


def test_arrays_are_stacked_without_a_loop() -> None:
    data = open_data(DataOptions())
    found = decode_all(data.train, data.preprocess, 1)
    assert found.shape == (1438, 1, 8, 8)
    np.testing.assert_array_equal(found[9, 0].numpy(), data.train.read(9)[..., 0])  # type: ignore[call-overload]


def test_open_data_measures_the_training_split() -> None:
    data = open_data(DataOptions())
    pixels = np.stack([np.asarray(data.train.read(i)) for i in range(len(data.train))]) / 255
    assert data.preprocess.mean == pytest.approx((pixels.mean(),), abs=1e-6)
    assert data.preprocess.std == pytest.approx((pixels.std(),), abs=1e-6)
    again = open_data(DataOptions(split_seed=9), split=data.split, preprocess=data.preprocess)
    assert again.preprocess == data.preprocess
    assert again.train.labels.tolist() == data.train.labels.tolist()


def test_a_resume_with_other_data_is_refused() -> None:
    data = open_data(DataOptions())
    record = {**data.split, "counts": {"train": 9}}
    with pytest.raises(UsageError, match=r"made of train 9, and digits now has train 1797"):
        open_data(DataOptions(), split=record)


def test_bad_files_are_skipped_and_recorded(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(tmp_path, {"a": 20, "b": 20})
    options = DataOptions(source=str(root), on_bad="skip")
    path = Path(open_data(options).train.name(3))
    path.write_bytes(b"")
    with pytest.raises(BadFile, match=rf"{path.parent.name}/{path.name}: the file is empty"):
        open_data(replace(options, on_bad="error"))
    data = open_data(options)
    assert data.test is not None
    assert len(data.train) + len(data.val) + len(data.test) == 39
    assert data.split["skipped"] == [
        {
            "split": "train",
            "index": int(path.stem) + (20 if path.parent.name == "b" else 0),
            "file": str(path),
            "problem": "the file is empty (0 bytes); expected an image",
        }
    ]
    again = open_data(options, split=data.split, preprocess=data.preprocess)
    assert [again.train.name(i) for i in range(30)] == [data.train.name(i) for i in range(30)]
