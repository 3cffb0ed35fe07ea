"""Sources of arrays: digits, IDX, CIFAR; recognizing a path; fingerprints; and every error on the way."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convsmith.base.errors import BadFile, MissingPath
from convsmith.data.options import DataOptions
from convsmith.data.sources.idx import read_idx
from convsmith.data.sources.names import class_names
from convsmith.data.sources.opening import describe, open_path, open_source

Writer = Callable[..., Path]


def test_digits_are_scikit_learns_scaled_to_a_byte() -> None:
    source = open_source(DataOptions(source="digits"))
    found = load_digits()
    examples = source.splits["train"]
    assert list(source.splits) == ["train"]
    assert len(examples) == 1797
    assert examples.labels.dtype == np.int64
    np.testing.assert_array_equal(examples.labels, found.target)
    for i in (0, 700, 1796):
        assert examples.read(i).shape == (8, 8, 1)
        np.testing.assert_allclose(examples.read(i)[..., 0], found.images[i] * 255 / 16, atol=0.5)
    assert examples.read(0).max() == 239  # 15 of 16
    card = source.card
    assert (card.channels, card.size, card.counts) == (1, (8, 8), {"train": 1797})
    assert card.classes == tuple("0123456789")
    assert sum(card.class_counts["train"]) == 1797
    assert describe(source.card) == "bundled digits: 10 classes, 1,797 images"


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_values(tmp_path: Path, idx_folder: Writer, random_pixels: Callable[..., np.ndarray], ending: str) -> None:
    source = open_path(idx_folder(tmp_path / "toy", ending))
    assert source.card.counts == {"train": 40, "test": 20}
    assert source.card.classes == ("0", "1", "2", "3")
    assert source.card.size == (6, 5)
    assert source.card.class_counts == {"train": (10,) * 4, "test": (5,) * 4}
    np.testing.assert_array_equal(source.splits["train"].read(17)[..., 0], random_pixels(1, 40, 6, 5)[17])
    assert source.splits["test"].name(3) == "toy test #3"
    assert describe(source.card) == "IDX files: 4 classes, 60 images (train 40, test 20)"


def test_subsets_keep_names_and_share_memory(tmp_path: Path, idx_folder: Writer) -> None:
    train = open_path(idx_folder(tmp_path)).splits["train"]
    part = train.subset([5, 2]).subset([1])
    assert part.name(0).endswith("train #2")
    assert part.labels.tolist() == [2]
    assert np.shares_memory(part.read(0), train.read(2))


def test_idx_errors(tmp_path: Path, write_idx: Writer) -> None:
    good = write_idx(tmp_path / "x", np.zeros((3, 2, 2), np.uint8)).read_bytes()

    def failing(data: bytes, name: str = "bad") -> str:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadFile) as caught:
            read_idx(tmp_path / name, 3)
        assert str(caught.value).startswith(str(tmp_path / name))
        return str(caught.value)

    assert "expected the IDX header 00 00 08 03, found 00 00 08 01" in failing(b"\0\0\x08\x01" + good[4:])
    assert "found nothing" in failing(b"")
    assert "the header is cut: 10 of 16 bytes" in failing(good[:10])
    assert "promises 12 bytes of data, found 11" in failing(good[:-1])
    assert "promises 12 bytes of data, found more" in failing(good + b"\0")
    assert "promises 0 bytes" in failing(good[:4] + b"\0" * 12)
    assert "gzip file is cut or damaged" in failing(gzip.compress(good)[:-9], "bad.gz")
    assert "gzip file is cut or damaged" in failing(b"no gzip at all", "bad.gz")


def test_idx_sets_that_do_not_fit_together(tmp_path: Path, idx_folder: Writer, write_idx: Writer) -> None:
    folder = idx_folder(tmp_path)
    write_idx(folder / "train-labels-idx1-ubyte", np.zeros(39, np.uint8))
    with pytest.raises(BadFile, match="39 labels for the 40 images of train-images-idx3-ubyte"):
        open_path(folder)
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(BadFile, match=r"expected train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz"):
        open_path(folder)
    idx_folder(tmp_path)
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((20, 7, 7), np.uint8))
    with pytest.raises(BadFile, match="differ in size"):
        open_path(folder)


def test_idx_without_a_test_set_has_one_split(tmp_path: Path, idx_folder: Writer) -> None:
    folder = idx_folder(tmp_path)
    for file in folder.glob("t10k*"):
        file.unlink()
    assert open_path(folder).card.counts == {"train": 40}


def test_cifar10_values(tmp_path: Path, write_cifar: Writer, random_pixels: Callable[..., np.ndarray]) -> None:
    source = open_path(write_cifar(tmp_path))
    assert source.card.counts == {"train": 50, "test": 10}
    assert source.card.classes[3] == "name 3"
    assert (source.card.size, source.card.channels) == ((32, 32), 3)
    # Example 12 is the third of the second batch: its planes are red, green, blue.
    planes = random_pixels(1, 10, 3072)[2].reshape(3, 32, 32)
    np.testing.assert_array_equal(source.splits["train"].read(12), planes.transpose(1, 2, 0))
    assert source.splits["train"].labels[12] == 2


def test_cifar100_targets_are_the_fine_labels(tmp_path: Path, write_cifar: Writer) -> None:
    source = open_path(write_cifar(tmp_path, coarse=True))
    assert source.splits["train"].labels.tolist() == list(range(10))
    assert source.card.classes == tuple(f"name {i}" for i in range(10))
    assert source.card.kind == "cifar100"
    assert source.card.notes == (
        "targets are the fine labels",
        "no image of name 10, name 11, name 12, name 13, name 14, name 15 and 84 more, left out",
    )


def test_cifar_errors(tmp_path: Path, write_cifar: Writer) -> None:
    folder = write_cifar(tmp_path)
    (folder / "data_batch_3.bin").rename(folder / "kept")
    with pytest.raises(BadFile, match=r"missing: data_batch_3\.bin"):
        open_path(folder)
    data = (folder / "kept").read_bytes()
    (folder / "data_batch_3.bin").write_bytes(data[:-5])
    with pytest.raises(BadFile, match=r"data_batch_3.bin: expected whole records of 3,073 bytes, found 30,725 bytes"):
        open_path(folder)
    (folder / "data_batch_3.bin").write_bytes(b"\x0b" + data[1:])
    with pytest.raises(BadFile, match="expected labels below 10, found 11"):
        open_path(folder)
    (folder / "data_batch_3.bin").write_bytes(data)
    (folder / "batches.meta.txt").write_text("one\ntwo\n")
    with pytest.raises(BadFile, match="expected 10 class names, one on a line, found 2"):
        open_path(folder)


def test_a_path_that_is_not_there_names_near_sets() -> None:
    with pytest.raises(MissingPath, match=r"no such path, and no data set of this name: 'cifr10'; nearest .* cifar10"):
        open_source(DataOptions(source="cifr10"))


def test_paths_that_hold_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"found an empty folder; looked for class folders.*CIFAR.*Parquet files"):
        open_path(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadFile, match=r"found notes\.txt"):
        open_path(tmp_path)
    with pytest.raises(BadFile, match="found a text; a table of images and labels is a CSV file"):
        open_path(tmp_path / "notes.txt")


def test_a_known_name_wins_over_a_folder_of_that_name(
    tmp_path: Path, idx_folder: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx_folder(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert open_source(DataOptions(source="digits")).card.kind == "digits"
    assert open_source(DataOptions(source="./digits")).card.kind == "idx"


def test_fingerprints_follow_content_not_place(tmp_path: Path, idx_folder: Writer, write_cifar: Writer) -> None:
    first = open_path(idx_folder(tmp_path / "a" / "toy")).card.fingerprint
    assert open_path(idx_folder(tmp_path / "b" / "toy", ".gz")).card.fingerprint == first
    path = tmp_path / "a" / "toy" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert open_path(tmp_path / "a" / "toy").card.fingerprint != first
    cifar = open_path(write_cifar(tmp_path / "c")).card.fingerprint
    shutil.move(tmp_path / "c", tmp_path / "elsewhere")
    assert open_path(tmp_path / "elsewhere").card.fingerprint == cifar


def test_names_of_known_sets() -> None:
    assert class_names("Fashion-MNIST", 10)[9] == "Ankle boot"
    assert class_names("cifar10", 10)[0] == "airplane"
    assert class_names("cifar10", 12) == tuple(str(i) for i in range(12))
    assert class_names("cifar10", 2) == ("0", "1")


def test_the_digits_are_those_that_scikit_learn_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    from convsmith.data.sources import digits

    pixels, labels = load_digits(return_X_y=True)
    read = digits._stored()
    assert np.array_equal(read[0], pixels)
    assert np.array_equal(read[1], labels)
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    assert all(np.array_equal(one, other) for one, other in zip(digits._stored(), read, strict=True))
