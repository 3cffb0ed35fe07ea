"""Tables as contests, Hugging Face and fastai write them: columns, encodings, names of images, several tables."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convsmith.base.errors import BadFile
from convsmith.data.check import check_path
from convsmith.data.dataset import open_data, open_usable
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import describe, open_path, open_source
from convsmith.data.sources.parquet_files import shards
from convsmith.data.sources.places import Places

Writer = Callable[..., Path]


@pytest.fixture
def set_(tmp_path: Path, class_folders: Writer) -> Path:
    """A folder `set` with twelve images `images/000.png` to `images/011.png`."""
    return class_folders(tmp_path / "set", {"images": 12})


def write(root: Path, header: str, form: str = "{0:03}.png,{1}", name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    rows = [form.format(i, "ab"[i % 2]) for i in range(12)]
    (root / name).write_bytes("\n".join([header, *rows]).encode(encoding))
    return root / name


@pytest.mark.parametrize(
    "image", ["file_name", "Filepath", "image path", "Image-Path", "img", "filenames", "image_name"]
)
@pytest.mark.parametrize("label", ["label", "Class", "target", "Category", "class_name", "breed", "whatever"])
def test_columns_by_the_names_of_others(set_: Path, image: str, label: str) -> None:
    source = open_path(write(set_, f"{image},{label}"))
    assert (source.card.classes, source.card.counts, source.card.multilabel) == (("a", "b"), {"train": 12}, False)
    assert source.splits["train"].place(0) == "images/000.png"
    own = label.lower() in ("label", "class")
    assert any(note.startswith(f"labels are the column {label!r}") for note in source.card.notes) != own


@pytest.mark.parametrize("name", ["id", "image_id", "Id", "id_code", "uuid"])
def test_numbers_without_extension(set_: Path, name: str) -> None:
    source = open_path(write(set_, f"{name},label", "{0:03},{1}"))
    assert source.card.notes == (
        f"images are the column {name!r}",
        "12 names are completed: 000 is images/000.png",
    )


def test_the_surest_columns_are_taken(set_: Path) -> None:
    source = open_path(write(set_, "id,file_name,label,label_name", "{0},{0:03}.png,{1},x"))
    assert source.card.notes[:1] == ("12 names are completed: 000.png is images/000.png",)
    assert source.card.notes[1] == "columns left out: id, label_name"
    assert source.card.classes == ("a", "b")


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("the table is read as UTF-16",)),
        ("utf-32", ("the table is read as UTF-32",)),
        ("utf-16-le", ("the table is read as UTF-16-LE",)),
        ("utf-16-be", ("the table is read as UTF-16-BE",)),
        ("cp1252", ("the table is not in UTF-8: read as Windows-1252 (Latin-1)",)),
    ],
)
def test_encodings(set_: Path, encoding: str, says: tuple[str, ...]) -> None:
    source = open_path(write(set_, "image,label", "images/{0:03}.png,Café {1}", encoding=encoding))
    assert (source.card.classes, source.card.notes) == (("Café a", "Café b"), says)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(set_: Path, separator: str) -> None:
    text = write(set_, "file_name,label", "images/{0:03}.png,{1}").read_text().replace(",", separator)
    (set_ / "t.csv").write_text(text)
    assert open_path(set_ / "t.csv").card.classes == ("a", "b")


def test_json_lines(set_: Path) -> None:
    lines = [{"file_name": f"images/{i:03}.png", "label": i % 3, "more": None} for i in range(12)]
    path = set_ / "metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    card = open_path(path).card
    assert (card.classes, card.notes) == (("0", "1", "2"), ("columns left out: more",))
    path.write_text("\n".join(json.dumps({**line, "labels": ["x", "y"][: i % 3]}) for i, line in enumerate(lines)))
    with pytest.raises(BadFile, match="found 'file_name', 'label', 'more', 'labels'"):
        open_path(path)
    for text, says in (
        ('{"file_name": ', "line 1: cannot be read as JSON"),
        ("[1]", "line 1: expected an object such as"),
        ('{"file_name": "a", "label": {"x": 1}}', "line 1: 'label' holds dicts of values; expected a text or a number"),
    ):
        path.write_text(text)
        with pytest.raises(BadFile, match=says):
            open_path(path)


@pytest.mark.parametrize(("column", "yes"), [("is_valid", "val"), ("is_test", "test"), ("valid", "val")])
def test_flags_of_rows(set_: Path, column: str, yes: str) -> None:
    path = set_ / "t.csv"
    path.write_text(
        "\n".join([f"name,label,{column}", *(f"images/{i:03}.png,{'ab'[i % 2]},{i > 7}" for i in range(12))])
    )
    assert open_path(path).card.counts == {"train": 8, yes: 4}
    path.write_text(path.read_text().replace("True", "maybe"))
    assert open_path(path).card.counts == {"train": 12}
    assert f"columns left out: {column}" in open_path(path).card.notes


@pytest.mark.parametrize("word", ["Validation", "dev", "VAL", "valid_set"])
@pytest.mark.parametrize("column", ["split", "Split", "data set", "subset", "partition"])
def test_words_for_splits(set_: Path, column: str, word: str) -> None:
    path = set_ / "t.csv"
    cells = (f"images/{i:03}.png,{'ab'[i % 2]},{word if i > 7 else 'Training'}" for i in range(12))
    path.write_text("\n".join([f"image,label,{column}", *cells]))
    assert open_path(path).card.counts == {"train": 8, "val": 4}


def test_columns_of_marks_with_one_in_each_row(set_: Path) -> None:
    rows = [f"{i:03},{1 - i % 2}.0,{i % 2}.0,0.0" for i in range(12)]
    path = set_ / "t.csv"
    path.write_text("\n".join(["image,NV,MEL,UNK", *rows]))
    card = open_path(path).card
    assert (card.multilabel, card.classes, card.class_counts) == (False, ("NV", "MEL"), {"train": (6, 6)})
    assert "every row has exactly one 1: one label for each image (--data.labels several: any number)" in card.notes
    assert "no image of UNK, left out" in card.notes
    several = open_source(DataOptions(source=str(path), labels="several")).card
    assert (several.multilabel, several.classes) == (True, ("NV", "MEL"))
    path.write_text(path.read_text().replace("000,1.0", "000,0.0"))
    assert open_path(path).card.multilabel
    with pytest.raises(BadFile, match=r"line 2: data.labels one: images/000.png has 0 labels"):
        open_source(DataOptions(source=str(path), labels="one"))


def test_tables_for_each_split(tmp_path: Path, class_folders: Writer) -> None:
    for seed, split in enumerate(("train", "val")):
        class_folders(tmp_path / "set", {split: 12}, seed=100 * seed)
        write(tmp_path / "set", "image,label", name=f"{split}.csv")
    write(tmp_path / "set", "image,label", name="sample_submission.csv")
    (tmp_path / "set" / "test.csv").write_text("image\n000.png\n")
    card = open_path(tmp_path / "set").card
    assert describe(card) == "tables train.csv, val.csv: 2 classes (a, b), 24 images (train 12, val 12)"
    assert card.notes[0] == "sample_submission.csv, test.csv: no table of images and labels, left out"
    assert open_path(tmp_path / "set").splits["val"].place(0) == "val/000.png"
    write(tmp_path / "set", "image,label", name="more.csv")
    with pytest.raises(
        BadFile, match=r"several tables of images and labels \(more.csv, train.csv, val.csv\); name one"
    ):
        open_path(tmp_path / "set")


def test_a_table_in_the_one_folder(tmp_path: Path, set_: Path, class_folders: Writer) -> None:
    path = write(set_, "image,label")
    source = open_path(set_.parent)
    assert (source.card.layout, source.card.counts) == ("table set/t.csv", {"train": 12})
    assert source.card.fingerprint == open_path(path).card.fingerprint
    # Class folders go before a table beside them, in the folder itself as below another.
    class_folders(set_, {"other": 2}, seed=50)
    for folder in (set_, set_.parent):
        assert open_path(folder).card.classes == ("images", "other")


def test_an_image_in_two_tables_is_told(set_: Path) -> None:
    for split in ("train", "test"):
        write(set_, "image,label", name=f"{split}.csv")
    with pytest.raises(
        BadFile, match=r"images/000.png: stands in the table of train and in that of test \(and 11 more"
    ):
        open_usable(DataOptions(source=str(set_)))


def test_rows_that_repeat_are_left_out_and_said(set_: Path) -> None:
    path = write(set_, "image,label")
    path.write_text(path.read_text() + "\n000.png,a\n001.png,b")
    card = open_path(path).card
    assert (card.counts, card.notes[-1]) == ({"train": 12}, "2 rows that repeat another are left out")


def test_where_images_are_looked_for(set_: Path, class_folders: Writer) -> None:
    class_folders(set_ / "train", {"x": 1})
    class_folders(set_ / "test", {"x": 1})
    places = Places(set_)
    assert places.find("images/001.png", "train") == ("images/001.png", "")
    assert places.find("./images/../images/001.png", "train") == ("images/001.png", "")
    assert places.find("001", "train") == ("images/001.png", "")
    assert places.find("001.PNG", "train") == ("images/001.png", "")
    assert places.find("C:\\data\\images\\001.png", "train") == ("images/001.png", "")
    assert places.find("/other/machine/images/001.png", "train") == ("images/001.png", "")
    assert places.find("x/000.png", "test") == ("test/x/000.png", "")
    assert places.find("x/000.png", "val") == (
        "",
        "'x/000.png' may be test/x/000.png or train/x/000.png; write the path",
    )
    assert places.find("pictures/001.png", "train") == ("", "")
    assert places.find("../../etc/passwd", "train") == ("", "leads outside the table's folder: '../../etc/passwd'")
    assert places.find("/etc/passwd", "train") == ("", "leads outside the table's folder: '/etc/passwd'")
    assert places.find("", "train") == places.find("a\0b", "train") == ("", "names no image")
    (set_ / "tables").mkdir()
    assert Places(set_ / "tables").find("../images/001.png", "train") == ("../images/001.png", "")


def test_links_that_lead_out_are_said(set_: Path, tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path / "other", {"y": 1}, seed=50)
    (set_ / "images" / "link.png").symlink_to(tmp_path / "other" / "y" / "000.png")
    (set_ / "images" / "inside.png").symlink_to(set_ / "images" / "000.png")
    path = write(set_, "image,label", "images/{0:03}.png,{1}")
    path.write_text(path.read_text() + "\nimages/link.png,a\nimages/inside.png,a")
    assert open_path(path).card.notes == (
        "1 image is a link that leads out of the table's folder (first images/link.png)",
    )


def test_missing_files_are_skipped_where_that_is_asked_for(set_: Path) -> None:
    path = write(set_, "image,label", "images/{0:03}.png,{1}")
    path.write_text(path.read_text() + "\nimages/gone.png,a")
    with pytest.raises(BadFile, match=r"line 14: images/gone.png is not there; --on-bad skip leaves out what is not"):
        open_data(DataOptions(source=str(path)))
    data = open_data(DataOptions(source=str(path), on_bad="skip", split="70/30/0"))
    assert len(data.train) + len(data.val) == 12
    assert "1 row left out: its file is not there (images/gone.png is not there)" in data.left_out
    assert check_path(path).verdict == "not fit for training as it is; --on-bad skip leaves this file out"
    gone = write(set_, "image,label", "gone/{0:03}.png,{1}", "gone.csv")
    assert check_path(gone).verdict == "not fit for training as it is"  # skipping would leave nothing
    with pytest.raises(BadFile, match=r"line 2: gone/000.png is not there \(and 11 more; `.*` lists them\)$"):
        open_usable(DataOptions(source=str(gone)))
    with pytest.raises(BadFile, match=r"gone.csv: has no image that is there$"):
        open_usable(DataOptions(source=str(gone), on_bad="skip"))
    path.write_text(path.read_text() + "\nimages/000.png,b")
    assert check_path(path).verdict == "not fit for training as it is"
    with pytest.raises(BadFile, match=r"line 15: images/000.png stands in line 2 too, with another label"):
        open_data(DataOptions(source=str(path), on_bad="skip"))


def test_parquet_by_path_and_its_folders(set_: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def table(**columns: list) -> object:
        return pa.table({"label": ["ab"[i % 2] for i in range(12)], **columns})

    files = [f"images/{i:03}.png" for i in range(12)]
    pq.write_table(table(file_name=files), set_ / "train.parquet")
    source = open_path(set_)
    assert (source.card.classes, source.card.counts) == (("a", "b"), {"train": 12})
    assert np.asarray(source.splits["train"].read(3)).shape == (12, 10, 3)
    pq.write_table(table(image=[{"bytes": None, "path": file} for file in files]), set_ / "train.parquet")
    assert open_path(set_).card.fingerprint == source.card.fingerprint
    pq.write_table(table(image=[*files[:-1], "images/gone.png"]), set_ / "train.parquet")
    assert [f.kind for f in open_path(set_).findings] == ["missing"]
    for config in ("one", "two"):
        for split in ("train", "test"):
            (set_.parent / "many" / config / split).mkdir(parents=True)
            pq.write_table(table(image=[b"x"] * 12), set_.parent / "many" / config / split / "0000.parquet")
    assert {split: len(found) for split, found in shards(set_.parent / "many" / "one").items()} == {
        "train": 1,
        "test": 1,
    }
    with pytest.raises(BadFile, match=r"holds several data sets \(one, two\); name one: --data .*many/one"):
        open_path(set_.parent / "many")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("data.yaml", "a YAML file of Ultralytics, by its name; give the folder that it names, --data {0}/images"),
        ("a.xlsx", "a spreadsheet; save it as CSV with the columns image,label"),
        ("a.json", "a JSON file; expected a table"),
        ("a.pkl", "a pickled file, which could run code and is never read"),
        ("a.tfrecord", "records of TensorFlow; write them as images in class folders"),
        ("a.odd", "a file of 13 bytes; give its folder, an archive, a Parquet file or a CSV file"),
        ("images/000.png", "one image; give the folder of class folders that it lies in"),
    ],
)
def test_what_other_files_seem_to_be(set_: Path, name: str, says: str) -> None:
    if not name.endswith("png"):
        (set_ / name).write_text("path: images\n")
    with pytest.raises(BadFile) as caught:
        open_path(set_ / name)
    assert f"{set_ / name}: no data set recognized: found {says.format(set_)}" in str(caught.value)
