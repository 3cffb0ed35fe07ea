"""Copies of an image: found by their bytes, kept on one side of every split that we make, told of where they leak."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convsmith.base.errors import UsageError
from convsmith.cli import main
from convsmith.data.check import check_path
from convsmith.data.copies import contradictions, copies_of, find_copies
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.examples import Examples, from_arrays
from convsmith.data.image_sets import FileImages
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import open_path, open_source
from convsmith.data.split import split_source
from convsmith.data.targets import ClassLabels

Writer = Callable[..., Path]


def contents(data: Dataset) -> list[set[bytes]]:
    """The different images of each split that there is."""
    parts = [part for part in (data.train, data.val, data.test) if part is not None]
    return [{Path(part.name(i)).read_bytes() for i in range(len(part))} for part in parts]


@pytest.fixture
def doubled(tmp_path: Path, class_folders: Writer) -> Path:
    """Two classes of 20 images, each of which lies there three times."""
    root = class_folders(tmp_path / "set", {"a": 20, "b": 20})
    for file in list(root.rglob("*.png")):
        for number in range(2):
            shutil.copy(file, file.with_name(f"{file.stem}-{number}.png"))
    return root


def test_copies_are_found_by_size_then_ends_then_bytes(tmp_path: Path) -> None:
    big = bytes(range(256)) * 40
    middle = bytearray(big)
    middle[5000] ^= 1
    files = {"1": big, "2": bytes(middle), "3": big, "4": big[:-1], "5": b"", "6": b"", "7": big[:-1]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    examples = Examples(FileImages(tmp_path, (*files, "gone")), ClassLabels(np.zeros(8, np.int64)))
    assert find_copies(examples).first.tolist() == [0, 1, 0, 3, 4, 5, 3, 7]
    assert [group.tolist() for group in find_copies(examples).groups()] == [[0, 2], [3, 6]]


def test_arrays_have_copies_too() -> None:
    pixels = np.asarray([1, 2, 1, 3], np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    examples = from_arrays(pixels, np.asarray([0, 1, 1, 0]), "x")
    copies = find_copies(examples)
    assert copies.first.tolist() == [0, 1, 0, 3]
    assert [group.tolist() for group in contradictions(examples.labels, copies)] == [[0, 2]]
    assert not copies_of(open_source(DataOptions())).any  # the digits have none, so old divisions stay


@pytest.mark.parametrize("more", [{}, {"group": r"/\d\d(\d)"}, {"fold": "2/4"}, {"fold": "1/3", "group": r"/\d\d(\d)"}])
def test_copies_never_straddle_a_split(doubled: Path, more: dict[str, str]) -> None:
    data = open_data(DataOptions(source=str(doubled), **more))
    found = contents(data)
    assert sum(map(len, found)) == len(set.union(*found)) == 40
    assert len(data.train) + len(data.val) + (0 if data.test is None else len(data.test)) == 120
    assert "40 images occur more than once; copies stay in one split (`data check` lists them)" in data.left_out


def test_shares_are_kept_with_copies(doubled: Path) -> None:
    data = open_data(DataOptions(source=str(doubled)))
    assert data.test is not None
    assert [len(part) for part in (data.train, data.val, data.test)] == [96, 12, 12]


def test_without_copies_a_division_is_what_it_was(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "set", {"a": 20, "b": 20})
    source, options = open_path(root), DataOptions(source=str(root))
    before = split_source(source, options).record["parts"]
    shutil.copy(root / "b" / "019.png", root / "b" / "020.png")
    after = split_source(open_path(root), options).record["parts"]
    for name in ("train", "val", "test"):  # the copy, number 40, goes with number 39
        more = {40} if 39 in before[name]["indices"] else set()
        assert set(after[name]["indices"]) == set(before[name]["indices"]) | more


def test_groups_that_share_an_image_are_one(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "set", {f"p{i}": 4 for i in range(10)})
    shutil.copy(root / "p0" / "000.png", root / "p7" / "copy.png")
    shutil.copy(root / "p7" / "001.png", root / "p3" / "copy.png")
    data = open_data(DataOptions(source=str(root), group=r"^(p\d)/"))
    for part in (data.train, data.val, data.test):
        assert part is not None
        groups = {part.place(i)[:2] for i in range(len(part))}
        assert not groups & {"p0", "p3", "p7"} or {"p0", "p3", "p7"} <= groups


def test_too_few_different_images_are_refused(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "set", {"a": 1, "b": 1})
    for number in range(1, 30):
        for name in "ab":
            shutil.copy(root / name / "000.png", root / name / f"{number:03}.png")
    with pytest.raises(UsageError, match=r"60 images \(2 different ones; copies stay in one split\) are too"):
        open_data(DataOptions(source=str(root)))
    assert [f.kind for f in check_path(root).findings].count("refused") == 1


def test_leaks_and_contradictions_are_said(tmp_path: Path, class_folders: Writer) -> None:
    for seed, split in enumerate(("train", "test")):
        class_folders(tmp_path / split, {"a": 12, "b": 12}, seed=seed * 100)
    shutil.copy(tmp_path / "train" / "a" / "000.png", tmp_path / "test" / "a" / "copy.png")
    shutil.copy(tmp_path / "train" / "a" / "001.png", tmp_path / "train" / "b" / "copy.png")
    data = open_data(DataOptions(source=str(tmp_path)))
    assert data.left_out == (
        "1 image occurs more than once; copies stay in one split (`data check` lists them)",
        "1 image lies in two of the given splits, which flatters numbers: test/a/copy.png in test is train/a/000.png "
        "in train; `data check` lists them",
        "contradictory labels: 1 image occurs with different labels, as train/a/001.png and train/b/copy.png; `data "
        "check` lists them",
    )
    report = check_path(tmp_path)
    assert sorted(f.kind for f in report.findings) == ["contradiction", "leak"]
    again = open_data(DataOptions(source=str(tmp_path)), split=data.split, preprocess=data.preprocess)
    assert again.train.labels.tolist() == data.train.labels.tolist()


@pytest.mark.parametrize(("count", "loud"), [(2, False), (3, True), (6, True)])
def test_many_contradictory_labels_are_loud(
    tmp_path: Path, class_folders: Writer, count: int, loud: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders(tmp_path / "set", {"a": 20, "b": 20 - count})
    for number in range(count):
        shutil.copy(root / "a" / f"{number:03}.png", root / "b" / f"copy{number}.png")
    report = check_path(root)
    carry = f"{2 * count} of 40 images ({2 * count / 40:.0%}) carry two labels, so that no network can learn them"
    assert report.ok
    assert report.verdict == (f"trains, but {carry}" if loud else "fit for training")
    line = (
        f"contradictory labels: {count} images occur with different labels, as a/000.png and b/copy0.png; `data check` "
        "lists them"
    )
    said = f"WARNING: {carry}; {line}" if loud else line
    assert open_data(DataOptions(source=str(root))).left_out[-1] == said
    assert main(["data", "stats", str(root)]) == 0
    assert main(["train", "lenet5", "--data", str(root), "--size", "32", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines().count(said) == 1
    assert err.count(said) == 1


def test_a_broken_copy_is_skipped_with_its_twin(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "set", {"a": 12, "b": 12})
    for name in ("000.png", "001.png"):
        (root / "a" / name).write_bytes(b"the same damage")
    data = open_data(replace(DataOptions(source=str(root)), on_bad="skip"))
    assert data.test is not None
    assert len(data.train) + len(data.val) + len(data.test) == 22
