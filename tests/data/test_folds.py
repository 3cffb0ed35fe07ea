"""Folds of train and val: every image validates once, and a run alone knows which are its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convsmith.base.errors import UsageError
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.folds import deal
from convsmith.data.options import DataOptions, fold_of


def places(data: Dataset, split: str) -> list[str]:
    examples = getattr(data, split)
    return [] if examples is None else [examples.place(i) for i in range(len(examples))]


def folds(options: DataOptions, count: int) -> list[Dataset]:
    return [open_data(DataOptions(**(vars(options) | {"fold": f"{n}/{count}"}))) for n in range(1, count + 1)]


def check_folds(found: list[Dataset], whole: Dataset) -> None:
    """Train and val of each fold are train and val of the whole, in two parts; test stays what it is."""
    images = sorted(places(whole, "train") + places(whole, "val"))
    for data in found:
        assert sorted(places(data, "train") + places(data, "val")) == images
        assert places(data, "test") == places(whole, "test")
    assert sorted(place for data in found for place in places(data, "val")) == images


def test_each_image_validates_once_and_test_stays() -> None:
    whole, found = open_data(DataOptions()), folds(DataOptions(), 5)
    check_folds(found, whole)
    assert sorted(len(data.val) for data in found) == [323, 323, 324, 324, 324]
    per_class = np.array([np.bincount(data.val.labels, minlength=10) for data in found])
    assert (per_class.max(0) - per_class.min(0)).max() <= 1
    assert found[1].split["fold"] == "2/5"
    assert found[1].split["rule"].startswith("val is fold 2 of 5 of train and val, stratified by class")


def test_a_stored_val_and_a_stored_test(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    for seed, (split, count) in enumerate((("train", 9), ("val", 3), ("test", 4))):
        class_folders(tmp_path / split, {"a": count, "b": count}, seed=100 * seed)
    options = DataOptions(source=str(tmp_path))
    whole, found = open_data(options), folds(options, 4)
    check_folds(found, whole)
    assert [len(data.val) for data in found] == [6, 6, 6, 6]
    assert len(places(whole, "test")) == 8
    for data in found:
        assert data.split["parts"]["train"]["from"] == "train+val"
        again = open_data(options, split=data.split, preprocess=data.preprocess)
        assert (places(again, "train"), places(again, "val")) == (places(data, "train"), places(data, "val"))
        assert np.array_equal(again.train.labels, data.train.labels)
        assert np.asarray(again.val.read(0)).shape == (12, 10, 3)


def test_groups_stay_whole(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    class_folders(tmp_path, {"a": 30, "b": 30})
    options = DataOptions(source=str(tmp_path), group=r"(\d\d)\d\.png", split="90/10/0")
    found = folds(options, 3)
    groups = [{place[-7:-5] for place in places(data, "val")} for data in found]
    assert set.union(*groups) == {"00", "01", "02"}
    assert sum(map(len, groups)) == 3
    with pytest.raises(UsageError, match=r"4 folds: there are 3 groups in train and val of .*number of folds is 3"):
        folds(options, 4)


def test_too_few_images_of_a_class(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    class_folders(tmp_path, {"many": 20, "few": 4})
    options = DataOptions(source=str(tmp_path), split="90/10/0")
    with pytest.raises(UsageError, match=r"5 folds: class 'few' has 4 images in train and val of .*the largest number"):
        folds(options, 5)
    assert [np.bincount(data.val.labels).tolist() for data in folds(options, 4)] == [[1, 5]] * 4


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "", "-1/5", "1/5/2", "²/5", "1/" + "9" * 5000])
def test_a_wrong_fold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="fold: expected its number and how many there are, such as 2/5, received"):
        DataOptions(fold=text)
    assert fold_of("2/5") == (2, 5)


def test_fewer_training_images_of_a_fold() -> None:
    data = open_data(DataOptions(fold="1/4", images=100))
    assert (len(data.train), len(data.val)) == (100, 405)
    assert not set(places(data, "train")) & set(places(data, "val"))


def test_dealing_goes_on_from_class_to_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2])
    found = deal(labels, 3, np.arange(9), lambda i: bytes([i]))
    assert [fold.tolist() for fold in found] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
