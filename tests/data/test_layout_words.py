"""Names of splits and of classes, what is said of layouts, and how a doubt is settled."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from convsmith.base.errors import BadFile
from convsmith.data.check import check_path
from convsmith.data.dataset import open_usable
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import describe, open_path
from convsmith.data.sources.same_names import equal_names, matched, twin
from convsmith.data.sources.split_names import cell_split, split_name
from convsmith.data.sources.tree import left_out_line, read_tree

Writer = Callable[..., Path]
TWO = {"cat": 3, "dog": 3}


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Train TRAIN training Training tr trn train_set training_set trainset train-data train_images"),
        ("train", "images_train train1 train_2020 01_train trainimages TrainData train.set Training_Images"),
        ("val", "val Val valid validation Validation dev devset val_images valset validation_data val1 development"),
        (
            "test",
            "test Test TESTING testing test_set testset test-images test1 holdout hold-out held_out eval evaluation",
        ),
        ("unlabeled", "pred prediction unlabeled unlabeled"),
    ],
)
def test_names_of_splits(split: str, names: str) -> None:
    assert [split_name(name) for name in names.split()] == [(split, ())] * len(names.split())


@pytest.mark.parametrize(
    "name", ["cat", "trains", "tester", "valley", "set", "images", "2020", "", "contest", "devil", "trait"]
)
def test_other_names(name: str) -> None:
    assert split_name(name) is None
    assert cell_split(name) is None


def test_words_beside_the_name_of_a_split() -> None:
    assert split_name("seg_train") == ("train", ("seg",))
    assert split_name("fruits_test_images") == ("test", ("fruits",))
    assert cell_split("seg_train") is None
    assert cell_split("unlabeled") is None


def test_names_that_look_the_same() -> None:
    composed, apart = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    assert matched(apart, [composed, "dog"]) == composed
    assert matched(composed, [composed, apart]) == composed
    assert matched(apart, [composed], beside=[composed]) == apart
    assert matched("cat", ["Cat"]) == "cat"
    assert (twin("cat ", ["Cat", "dog"]), twin("cat", ["Cat", "CAT"]), twin("owl", ["Cat"])) == ("Cat", None, None)
    assert equal_names(["Cat", "cat", "owl", " owl", "gnu"]) == [
        "the classes 'Cat' and 'cat' are equal but for case: are they one?",
        "the classes 'owl' and ' owl' are equal but for spaces at their ends: are they one?",
    ]
    assert equal_names([composed, apart]) == [
        "the classes 'Caf\\xe9' and 'Cafe\\u0301' are equal but for their Unicode form (NFC, NFD): are they one?"
    ]


def test_the_form_of_names_in_train_counts(tmp_path: Path, class_folders: Writer) -> None:
    composed, apart = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    class_folders(tmp_path / "train", {apart: 3, "dog": 3})
    class_folders(tmp_path / "val", {composed: 2, "dog": 2}, seed=50)
    source = open_path(tmp_path)
    assert source.card.classes == (apart, "dog")
    assert source.card.class_counts == {"train": (3, 3), "val": (2, 2)}
    same = f"taken for the class {apart}, whose name is the same but for its Unicode form"
    assert source.card.notes == (f"val/{composed}: {same}",)


def test_what_is_left_behind_is_counted_and_not_said(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "set", TWO)
    class_folders(root / "__MACOSX", TWO)
    class_folders(root / "cat", {"@eaDir": 2, ".ipynb_checkpoints": 2})
    (root / "dog" / "Thumbs.db").write_bytes(b"x")
    assert open_path(root).card.notes == ()
    findings = [(f.kind, f.detail) for f in check_path(root).findings]
    assert ("left_out", "3 files and folders that systems leave behind") in findings


def test_files_left_out_are_counted_by_extension() -> None:
    names = [f"{i}.heic" for i in range(10)] + [f"{i}.xyz" for i in range(3)] + ["readme"]
    line = "14 of 44 files left out: 10 .heic, 3 .xyz, 1 without extension"
    loud = (
        "; these are pictures in a format that is not read; .heic: convert it to JPEG: with the package pillow-heif, "
        "or save it so in the program that shows it"
    )
    assert left_out_line(names, 30) == f"WARNING: {line}{loud}"
    assert left_out_line(names[10:], 30) == "4 of 34 files left out: 3 .xyz, 1 without extension"


def test_a_doubt_is_settled_by_naming_the_classes(tmp_path: Path, class_folders: Writer) -> None:
    for name in ("A", "B"):
        class_folders(tmp_path / name, TWO)
    with pytest.raises(BadFile, match=r"are they splits\? .* If they are the classes: --data.classes A,B$"):
        open_path(tmp_path)
    source = open_usable(DataOptions(source=str(tmp_path), classes=("A", "B")))
    assert (source.card.classes, source.card.counts) == (("A", "B"), {"train": 12})
    assert check_path(tmp_path, classes=("A", "B")).card is not None
    (tmp_path / "A").rename(tmp_path / "Train")
    (tmp_path / "B").rename(tmp_path / "Valid")
    assert describe(open_path(tmp_path).card) == (
        "split folders Train, Valid (val): 2 classes (cat, dog), 12 images (train 6, val 6)"
    )


def test_splits_in_a_split_are_classes_if_named_so(tmp_path: Path, class_folders: Writer) -> None:
    for place in ("train/train", "train/val", "test/train", "test/val"):
        class_folders(tmp_path / place, TWO)
    says = (
        rf"train: holds split folders \(train, val\) .*: --data {tmp_path}/train. If these are classes, name them with"
    )
    with pytest.raises(BadFile, match=says):
        open_path(tmp_path)
    source = open_usable(DataOptions(source=str(tmp_path), classes=("train", "val")))
    assert (source.card.classes, source.card.counts) == (("train", "val"), {"train": 12, "test": 12})
    assert open_path(tmp_path / "train").card.counts == {"train": 6, "val": 6}


def test_one_sub_folder_of_one_name_is_no_doubt(tmp_path: Path, class_folders: Writer) -> None:
    for name in ("cat", "dog"):
        class_folders(tmp_path / name, {"images": 3})
    card = open_path(tmp_path).card
    assert card.notes == tuple(f"the class {name} is made of its sub-folder images" for name in ("cat", "dog"))


def test_test_images_without_labels(tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path / "train", TWO)
    class_folders(tmp_path, {"test": 4})
    left = "its 4 images have no labels and are left out; `convsmith predict RUN {0}` names them"
    source = open_path(tmp_path)
    assert source.card.notes == (f"test/ has no class folders: {left.format('test')}",)
    assert [(f.kind, f.detail) for f in source.findings] == [("left_out", "4 images lie in it, in no class folder")]
    (tmp_path / "test").rename(tmp_path / "unknown")
    (tmp_path / "test").mkdir()
    shutil.move(tmp_path / "unknown", tmp_path / "test" / "unknown")
    assert open_path(tmp_path).card.notes == (f"test/ has no class folders: {left.format('test')}",)


def test_validation_images_in_one_folder_have_no_labels(tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path / "train" / "cat", {"images": 3})
    class_folders(tmp_path / "train" / "dog", {"images": 3})
    class_folders(tmp_path / "val", {"images": 4})
    source = open_path(tmp_path)
    assert (source.card.classes, source.card.counts) == (("cat", "dog"), {"train": 6})
    assert source.card.notes[0].startswith("val/ has no class folders: its 4 images have no labels")


def test_split_folders_without_images_are_said(tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path / "train", TWO)
    (tmp_path / "val" / "cat").mkdir(parents=True)
    (tmp_path / "test").mkdir()
    assert open_path(tmp_path).card.notes == ("test/ has no image: left out", "val/ has no image: left out")


def test_a_class_and_a_split_of_one_name(tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path / "stations", {"train station": 3, "test station": 3})
    assert open_path(tmp_path / "stations").card.classes == ("test station", "train station")
    class_folders(tmp_path / "set" / "seg_train" / "seg_train", TWO)
    class_folders(tmp_path / "set" / "seg_test" / "seg_test", TWO, seed=50)
    card = open_path(tmp_path / "set").card
    assert card.layout == "split folders seg_train (train), seg_test (test)"


def test_links_to_nothing_and_pipes_are_missing(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "set", {"a": 12, "b": 12})
    (root / "a" / "gone.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(root / "b" / "pipe.png")
    (root / "b" / "loop.png").symlink_to("loop.png")
    (root / "loop").symlink_to("loop")
    assert read_tree(root).all_gone() == ["a/gone.png", "b/loop.png", "b/pipe.png", "loop"]
    with pytest.raises(BadFile, match=r"a/gone.png: is a link to nothing, or no file \(and 3 more; .*; --on-bad skip"):
        open_usable(DataOptions(source=str(root)))
    assert open_usable(DataOptions(source=str(root), on_bad="skip")).card.counts == {"train": 24}
    assert check_path(root).verdict == "not fit for training as it is; --on-bad skip leaves these 4 files out"


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "set"
    for _ in range(220):
        deep /= "a"
    deep.mkdir(parents=True)
    with pytest.raises(BadFile, match=r"lies more than 200 folders deep"):
        open_path(tmp_path / "set")


def test_deep_trees_and_many_classes(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path / "w" / "x" / "y", {f"class{i:02}": 1 for i in range(9)})
    card = open_path(tmp_path / "w").card
    assert describe(card) == (
        "x/y/, the only folder of images in it: 9 classes (class00, class01, class02, ...), 9 images"
    )
    assert card.fingerprint == open_path(root).card.fingerprint
