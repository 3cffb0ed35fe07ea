"""A CSV file of images and labels as a data set: what is read, what is refused and how, and what `data check` lists."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convsmith.base.errors import BadFile, UsageError
from convsmith.data.augment.mix import Mixture, mixed_targets
from convsmith.data.card import Card
from convsmith.data.check import check_path
from convsmith.data.dataset import open_usable
from convsmith.data.iterative import iterative
from convsmith.data.options import DataOptions
from convsmith.data.relabel import relabeled
from convsmith.data.sources import cells
from convsmith.data.sources.opening import describe, open_path, open_source
from convsmith.data.split import apportion, split_source, stratified
from convsmith.data.stats import stats

Writer = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path, class_folders: Writer) -> Callable[..., Path]:
    """A table over twelve images `a/000.png` to `b/005.png`, written as it is given."""
    class_folders(tmp_path, {"a": 6, "b": 6})

    def write(text: str | bytes, name: str = "labels.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def lines(header: str, *cells: str) -> str:
    """A row for each of the first images with the rest of its cells."""
    files = [f"{folder}/{i:03}.png" for i in range(6) for folder in "ab"]
    return "\n".join([header, *(f"{file},{cell}" for file, cell in zip(files, cells, strict=False))]) + "\n"


def test_one_label_an_image(table: Writer) -> None:
    source = open_path(table(lines("image,label", "owl", "cat", "owl", "emu")))
    assert source.card.classes == ("cat", "emu", "owl")
    assert (source.card.multilabel, source.card.kind, source.card.name) == (False, "table", "labels")
    examples = source.splits["train"]
    assert [examples.place(i) for i in range(4)] == ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]
    assert examples.labels.tolist() == [2, 2, 0, 1]
    assert source.card.class_counts == {"train": (1, 1, 2)}
    assert describe(source.card) == "table of images and labels: 3 classes (cat, emu, owl), 4 images"


def test_whole_numbers_are_in_their_order(table: Writer) -> None:
    assert open_path(table(lines("path,class", "10", "9", "2", "9"))).card.classes == ("2", "9", "10")


def test_several_labels_in_a_cell(table: Writer) -> None:
    source = open_path(table(lines("file,label", "cat; owl", "", "owl|emu|owl", "emu")))
    assert source.card.multilabel
    assert source.card.classes == ("cat", "emu", "owl")
    assert source.splits["train"].labels.dtype == np.uint8
    assert source.splits["train"].labels.tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0], [0, 1, 0]]
    assert source.card.class_counts == {"train": (1, 2, 2)}
    assert source.card.notes[0] == "1 image has none of the classes"
    assert (
        describe(source.card) == "table of images and labels: 3 classes (cat, emu, owl; several to an image), 4 images"
    )
    assert stats(source)["labels_per_image"] == {"min": 0, "median": 1.5, "max": 2}
    assert Card.from_json(source.card.to_json()) == source.card


def test_a_column_of_0_and_1_for_each_class(table: Writer) -> None:
    text = lines("filename,owl,cat,split", "1,0,train", "1.0,1.0,train", "False,true,val", "0,0,test")
    source = open_path(table(text))
    assert source.card.classes == ("owl", "cat")  # the columns' order
    assert {s: e.labels.tolist() for s, e in source.splits.items()} == {
        "train": [[1, 0], [1, 1]], "val": [[0, 1]], "test": [[0, 0]],
    }  # fmt: skip


def test_the_name_of_the_column_says_that_there_may_be_several(table: Writer) -> None:
    source = open_path(table(lines("image,labels", "cat", "owl")))
    assert source.card.multilabel
    assert "exactly one label; --data.labels one, or a column `label`" in source.card.notes[0]
    source = open_source(DataOptions(source=str(table(lines("image,labels", "cat", "owl"))), labels="one"))
    assert (source.card.multilabel, source.card.classes) == (False, ("cat", "owl"))


def test_splits_by_their_usual_names(table: Writer) -> None:
    text = lines("image,label,split", "x,Train", "y,train", "x,valid", "y,validation", "x,test")
    assert open_path(table(text)).card.counts == {"train": 2, "val": 2, "test": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfimage,label\r\na/000.png,cat\r\nb/000.png,owl\r\n",
        b'Image, Label \n"a/000.png"," cat"\n\nb/000.png,owl\n,,\n'.replace(b",,\n", b"\n"),
        b"image;label\na/000.png;cat\nb/000.png;owl\n",
        b"image\tlabel\na/000.png\tcat\nb/000.png\towl",
        b'image,label\n./a/000.png,"cat"\na/../b/000.png,owl\n',
    ],
)
def test_forms_of_one_table(table: Writer, text: bytes) -> None:
    source = open_path(table(text))
    assert (source.card.classes, source.splits["train"].labels.tolist()) == (("cat", "owl"), [0, 1])


def test_what_spreadsheets_add_is_left_out_and_said(table: Writer, tmp_path: Path) -> None:
    path = table(f",image,label,age\n0,{tmp_path}/a/000.png,cat,3\n1,b/000.png,owl,4\n")
    source = open_path(path)
    assert source.splits["train"].place(0) == "a/000.png"
    assert source.card.notes == ("columns left out: (no name), age",)


def test_the_fingerprint_is_of_content_and_names(table: Writer) -> None:
    def of(text: str) -> str:
        return open_path(table(text)).card.fingerprint

    first = of("image,label\na/000.png,cat\nb/000.png,owl\n")
    assert of("image,label\nb/000.png,owl\na/000.png,cat\n") == first
    assert of("image,label\na/000.png,cot\nb/000.png,owl\n") != first
    assert of("image,labels\na/000.png,cat\nb/000.png,owl\n") != first
    assert of("image,labels\na/000.png,cat;owl\nb/000.png,owl\n") != of("image,labels\na/000.png,cat\nb/000.png,owl\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a header with one column image"),
        ("image,label\n", "has no rows below its header"),
        ("imag,label\na/000.png,x\n", "'imag' may be meant as 'image'"),
        ("image,file,label\n", "expected a header with one column image"),
        ("image,label,label\n", "two columns 'label'"),
        ("image,label,class\n", "found 'image', 'label', 'class'"),
        ("image\na/000.png\n", "a column of 0 and 1 for each class"),
        ("image,lable,x\na/000.png,cat,y\n", "column 'lable' holds 'cat'.*may be meant as 'label'"),
        ("image,cat,owl\na/000.png,1,2\n", "line 2: column 'owl' holds '2'.*holds 0 or 1"),
        ("image,label\na/000.png,cat,x\n", "line 2: expected 2 cells as the header has, found 3"),
        ("image,label\na/000.png,cat\nb/000.png,\n", "line 3: b/000.png has no label"),
        ("image,label\na/000.png,cat\n../../x.png,owl\n", "line 3: leads outside the table's folder: '../../x.png'"),
        ("image,label\n/etc/passwd,cat\n", "line 2: leads outside the table's folder: '/etc/passwd'"),
        ("image,label\n,cat\n", "line 2: names no image"),
        (
            "image,label\na/9.png,cat\nb/9.png,owl\n",
            r"line 2: a/9.png is not there \(and 1 more; `convsmith data c",
        ),
        ("image,label\na\\009.png,cat\n", r"a.009.png is not there$"),
        ("image,label\na/000.png,cat\na/000.png,owl\n", "line 3: a/000.png stands in line 2 too.*a;b"),
        ("image,label,split\na/000.png,x,train\na/000.png,x,test\n", "is in test, and in train by line 2"),
        ("image,label,split\na/000.png,x,none\n", "split: expected train, val or test, found 'none'"),
        (
            "image,label,split\na/000.png,x,val\nb/000.png,y,val\n",
            "expected rows of the split train, found only val; eval takes it as it is",
        ),
        ("image,label\na/000.png,x\nb/000.png,x\n", "expected at least two classes, found only 'x'"),
        ("image,labels\na/000.png,\n", "expected at least one class, found none"),
        ('image,label\na/000.png,"x\n', "cannot be read as CSV after line 1"),
        (f"image,label\na/000.png,{'x' * 200_000}\n", "cannot be read as CSV after line 1 .*field larger"),
        (b"\xff\xfe" + "image,label\n".encode("utf-16-le") + b"x", "cannot be read as UTF-16"),
        (
            "image,label,split\na/000.png,x,train\na/001.png,y,train\nb/000.png,z,val\n",
            r"class 'z' has 1 image in val \(b/000.png\) and none in train, so .*; --data.classes x,y leaves it out",
        ),
    ],
)
def test_what_is_refused(table: Writer, text: str | bytes, says: str) -> None:
    path = table(text)
    with pytest.raises(BadFile, match=says) as caught:
        open_usable(DataOptions(source=str(path)))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 500


def test_a_huge_table_is_not_read(table: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(lines("image,label", "cat", "owl"))
    monkeypatch.setattr(cells, "MOST_BYTES", 10)
    with pytest.raises(BadFile, match=r"expected a table of at most 10; divide it, or use Parquet"):
        open_path(path)


def test_a_folder_with_a_table_is_that_table(tmp_path: Path, table: Writer) -> None:
    table(lines("image,label", "x", "y"))
    source = open_path(tmp_path)
    assert describe(source.card) == "folder of class folders: 2 classes (a, b), 12 images"
    assert source.card.notes == (
        "1 of 13 files left out: 1 .csv",
        "the classes are those of the folders; the table labels.csv is read where --data names it",
    )
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "labels.csv").write_text("image,label\n")
    with pytest.raises(BadFile, match=r"only/labels.csv: has no rows below its header"):
        open_path(tmp_path / "only")


def test_check_lists_every_wrong_row(table: Writer, tmp_path: Path) -> None:
    (tmp_path / "a" / "001.png").write_bytes(b"no image")
    (tmp_path / "a" / "002.png").write_bytes((tmp_path / "b" / "002.png").read_bytes())
    cells = ("x,train", "y,train", "x,train", "y,none", "x,train", "y,test")
    report = check_path(table(lines("image,label,split", *cells) + "c/000.png,x,train\n../../x.png,x,train\n"))
    found = {(f.kind, f.file.rpartition("labels.csv")[2] or f.file, f.detail) for f in report.findings}
    assert ("missing", ", line 8", "c/000.png is not there") in found
    assert ("table", ", line 5", "split: expected train, val or test, found 'none'") in found
    assert any(kind == "table" and line == ", line 9" for kind, line, _ in found)
    kinds = ["contradiction", "leak", "missing", "not_an_image", "table", "table"]
    assert sorted(f.kind for f in report.findings) == kinds
    assert (report.ok, report.verdict) == (False, "not fit for training as it is")


def test_check_of_a_good_table(table: Writer) -> None:
    report = check_path(table(lines("image,cat,owl,gnu", *["1,0,0", "1,1,0"] * 6)))
    assert (report.files, report.ok) == (12, True)
    assert [(f.kind, f.detail) for f in report.findings] == [("empty_class", "gnu: has no image: left out")]
    assert report.card is not None
    assert (report.card.classes, report.card.notes) == (("cat", "owl"), ("no image of gnu, left out",))
    none = check_path(table(lines("image,cat,owl", *["0,0"] * 12)))
    assert [f.detail for f in none.findings if f.kind == "refused"] == ["expected at least one class, found none"]
    assert not check_path(table("image,label\n")).ok


def several(seed: int, count: int, shares: tuple[float, ...]) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, len(shares))) < shares).astype(np.uint8)


def test_every_part_has_its_share_of_every_class() -> None:
    labels = several(0, 1000, (0.9, 0.5, 0.1, 0.02))
    allowed = np.arange(1000)
    parts = stratified(labels, (0.8, 0.1, 0.1), 3, allowed)
    assert np.array_equal(np.sort(np.concatenate(parts)), allowed)
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert all(np.diff(part) > 0)
        wanted = labels.sum(axis=0) * share
        assert np.abs(labels[part].sum(axis=0) - wanted).max() <= 4
        assert abs(len(part) - 1000 * share) <= 10
    again = stratified(labels, (0.8, 0.1, 0.1), 3, allowed)
    other = stratified(labels, (0.8, 0.1, 0.1), 4, allowed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts[1], other[1])


def test_rare_classes_train_first_and_then_are_everywhere() -> None:
    labels = np.zeros((40, 3), np.uint8)
    labels[0, 0], labels[1:4, 1], labels[4:, 2] = 1, 1, 1
    train, val, test = iterative(labels, range(40), (0.8, 0.1, 0.1), apportion)
    assert labels[train].sum(axis=0).tolist() == [1, 1, 29]
    assert labels[val].sum(axis=0).tolist() == [0, 1, 4]
    assert labels[test].sum(axis=0).tolist() == [0, 1, 3]


def test_a_part_without_a_share_stays_empty() -> None:
    train, val, test = iterative(several(1, 50, (0.5, 0.5)), range(50), (0.8, 0.2, 0.0), apportion)
    assert (len(train) + len(val), len(test)) == (50, 0)


def test_too_few_images_for_a_split(table: Writer) -> None:
    source = open_path(table(lines("image,labels", "x;y", "x")))
    with pytest.raises(UsageError, match="2 images are too few for a val split of 10%"):
        split_source(source, DataOptions(source="labels.csv"))


def test_targets_of_several_labels_are_mixed_each_by_itself() -> None:
    import torch

    targets = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.uint8)
    assert mixed_targets(targets, (), 3).tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    mixture = Mixture(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    assert mixed_targets(targets, (mixture,), 3).tolist() == [[0.75, 0.0, 1.0], [0.5, 0.0, 1.0]]


def test_labels_by_another_sets_numbers() -> None:
    goal = ("cat", "emu", "owl")
    assert relabeled(np.array([0, 1]), ("owl", "cat"), goal, False).tolist() == [2, 0]
    assert relabeled(np.array([0, 1]), ("owl", "cat"), goal, True).tolist() == [[0, 0, 1], [1, 0, 0]]
    both = np.array([[1, 1], [0, 1]], dtype=np.uint8)
    assert relabeled(both, ("owl", "cat"), goal, True).tolist() == [[1, 0, 1], [1, 0, 0]]
    with pytest.raises(UsageError, match="several labels each, and the run knows one"):
        relabeled(both, ("owl", "cat"), goal, False)
