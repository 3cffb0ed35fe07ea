"""Sources of files: class folders and Parquet."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convsmith.base.errors import BadFile, MissingExtra
from convsmith.data.dataset import open_usable
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import describe, open_path, open_source
from convsmith.data.sources.source import Source

Writer = Callable[..., Path]


def test_class_folders(tmp_path: Path, class_folders: Writer, random_pixels: Callable[..., np.ndarray]) -> None:
    root = class_folders(tmp_path / "photos", {"cat": 3, "ant": 2})
    (root / "cat" / "deep" / "er").mkdir(parents=True)
    (root / "cat" / "000.png").rename(root / "cat" / "deep" / "er" / "x.PNG")
    (root / "cat" / ".hidden.png").write_bytes(b"x")
    (root / ".git").mkdir()
    source = open_source(DataOptions(source=str(root)))
    examples = source.splits["train"]
    assert source.card.classes == ("ant", "cat")
    assert examples.labels.tolist() == [0, 0, 1, 1, 1]
    assert [os.path.relpath(examples.name(i), root) for i in range(5)] == [
        "ant/000.png",
        "ant/001.png",
        "cat/001.png",
        "cat/002.png",
        "cat/deep/er/x.PNG",
    ]
    np.testing.assert_array_equal(np.asarray(examples.read(4)), random_pixels(0, 12, 10, 3))
    assert (source.card.size, source.card.channels, source.card.notes) == ((12, 10), 3, ())
    assert describe(source.card) == "folder of class folders: 2 classes (ant, cat), 5 images"


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_split_folders(tmp_path: Path, class_folders: Writer, name: str) -> None:
    for split, count in (("train", 3), (name, 2), ("test", 1)):
        class_folders(tmp_path / split, {"a": count, "b": count})
    source = open_path(tmp_path)
    assert source.card.counts == {"train": 6, "val": 4, "test": 2}
    assert list(source.splits) == ["train", "val", "test"]


def test_a_class_may_be_called_train(tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path, {"train": 2, "car": 2})
    assert open_path(tmp_path).card.classes == ("car", "train")


def test_links_are_followed_and_loops_end(tmp_path: Path, class_folders: Writer) -> None:
    class_folders(tmp_path / "store", {"a": 2})
    class_folders(tmp_path / "set", {"b": 2})
    (tmp_path / "set" / "a").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "set" / "b" / "up").symlink_to(tmp_path / "set" / "b")
    assert open_path(tmp_path / "set").card.class_counts["train"] == (2, 2)


def test_sizes_and_modes_of_a_folder(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    Image.new("L", (10, 20)).save(root / "a" / "gray.png")
    Image.new("P", (10, 12)).save(root / "b" / "palette.png")
    Image.new("CMYK", (10, 12)).save(root / "b" / "print.jpg")
    card = open_path(root).card
    assert card.size is None
    assert card.channels == 3
    assert "palette images are converted to color (1 of 7 headers that were read)" in card.notes
    assert "CMYK images are converted to RGB (1 of 7 headers that were read)" in card.notes


def test_turned_images_count_with_their_upright_size(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 2, "b": 2}, size=(12, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (12, 10)).save(root / "a" / "turned.jpg", exif=exif)
    card = open_path(root).card
    assert card.size == (12, 10)
    assert "images are turned by their EXIF orientation (1 of 5 headers that were read)" in card.notes


def test_files_left_out_are_noted(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    (root / "a" / "x.heic").write_bytes(b"x")
    (root / "readme").write_text("x")
    notes = open_path(root).card.notes
    assert notes == (
        "WARNING: 2 of 6 files left out: 1 .heic, 1 without extension; these are pictures in a format that is not "
        "read; .heic: convert it to JPEG: with the package pillow-heif, or save it so in the program that shows it",
    )
    (root / "a" / "x.heic").unlink()
    assert open_path(root).card.notes == ("1 of 5 files left out: 1 without extension",)


def usable(path: Path) -> Source:
    return open_usable(DataOptions(source=str(path)))


def test_folder_errors(tmp_path: Path, class_folders: Writer) -> None:
    one = class_folders(tmp_path / "one", {"a": 2})
    assert open_path(one).card.classes == ("a",)  # an evaluation takes it
    with pytest.raises(BadFile, match="expected at least two class folders, found only 'a'"):
        usable(one)
    two = class_folders(tmp_path / "two" / "train", {"a": 1, "b": 1}).parent
    class_folders(two / "test", {"a": 1, "c": 1})
    with pytest.raises(BadFile, match=r"two: class 'c' has 1 image in test \(test/c/000.png\) and none in train"):
        usable(two)
    class_folders(tmp_path / "three" / "val", {"a": 1})
    assert open_path(tmp_path / "three").card.counts == {"val": 1}
    with pytest.raises(BadFile, match="three: expected a folder train, found only val; eval takes it as it is"):
        usable(tmp_path / "three")
    for name in ("train", "val", "valid"):
        class_folders(tmp_path / "four" / name, {"a": 1})
    with pytest.raises(BadFile, match="expected one folder for val, found val and valid"):
        open_path(tmp_path / "four")
    with pytest.raises(BadFile, match="this looks like image and mask folders"):
        open_path(class_folders(tmp_path / "five", {"images": 1, "masks": 1}))


def test_classes_without_images_are_left_out(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    (root / "c").mkdir()
    source = usable(root)
    assert (source.card.classes, source.card.notes) == (("a", "b"), ("c: no image, left out",))
    (root / "c" / "1.heic").write_bytes(b"x")
    with pytest.raises(BadFile, match=r"/c: its only file is no image that is read \(1 .heic\); convert them"):
        usable(root)


def test_a_file_that_is_no_image_is_named_when_read(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    (root / "a" / "fake.png").write_text("not a picture")
    examples = open_path(root).splits["train"]
    with pytest.raises(BadFile, match=r"a/fake\.png: not an image that can be read; expected one of JPEG"):
        examples.read(2)
    for file in root.rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(BadFile, match="none of the 5 images that were looked at can be read"):
        usable(root)


def test_folder_fingerprints(tmp_path: Path, class_folders: Writer) -> None:
    first = open_path(class_folders(tmp_path / "x", {"a": 2, "b": 2})).card.fingerprint
    assert open_path(class_folders(tmp_path / "y", {"a": 2, "b": 2})).card.fingerprint == first
    (tmp_path / "y" / "a" / "000.png").rename(tmp_path / "y" / "a" / "00.png")
    assert open_path(tmp_path / "y").card.fingerprint != first
    path = tmp_path / "x" / "b" / "001.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert open_path(tmp_path / "x").card.fingerprint != first


@pytest.fixture
def write_parquet(png: Callable[..., bytes], random_pixels: Callable[..., np.ndarray]) -> Callable[..., Path]:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def write(path: Path, count: int = 6, names: list[str] | None = None, plain: bool = False, **columns: list) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        images = [png(random_pixels(i, 9, 7, 3)) for i in range(count)]
        rows = images if plain else [{"bytes": image, "path": f"{i}.png"} for i, image in enumerate(images)]
        table = pa.table({"image": rows, "label": [i % 3 for i in range(count)], **columns})
        if names:
            info = {"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        pq.write_table(table, path, row_group_size=4)
        return path

    return write


def test_parquet_values(tmp_path: Path, write_parquet: Writer, random_pixels: Callable[..., np.ndarray]) -> None:
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", 6, ["x", "y", "z"])
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", 5)
    write_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", 3)
    write_parquet(tmp_path / "data" / "test.parquet", 4, plain=True)
    source = open_path(tmp_path)
    assert source.card.counts == {"train": 11, "val": 3, "test": 4}
    assert source.card.classes == ("x", "y", "z")
    assert (source.card.size, source.card.channels) == ((9, 7), 3)
    train = source.splits["train"].subset([2, 8, 5])
    for i, seed in enumerate((2, 2, 5)):
        np.testing.assert_array_equal(np.asarray(train.read(i)), random_pixels(seed, 9, 7, 3))
    assert train.labels.tolist() == [2, 2, 2]
    assert train.name(1).endswith("train-00000-of-00002.parquet #8 (2.png)")
    assert describe(source.card) == "Parquet files: 3 classes (x, y, z), 18 images (train 11, val 3, test 4)"


def test_one_parquet_file_is_a_train_split(tmp_path: Path, write_parquet: Writer) -> None:
    source = open_path(write_parquet(tmp_path / "flowers.parquet"))
    assert source.card.counts == {"train": 6}
    assert source.card.classes == ("0", "1", "2")
    assert open_path(tmp_path).card.fingerprint == source.card.fingerprint


def test_parquet_errors(tmp_path: Path, write_parquet: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "train.parquet"

    def failing(columns: dict | None) -> str:
        if columns is not None:
            pq.write_table(pa.table(columns), path)
        with pytest.raises(BadFile) as caught:
            open_path(path)
        assert str(caught.value).startswith(str(path))
        return str(caught.value)

    assert "expected a column image or img" in failing({"label": [1], "painting": [b"x"]})
    assert "expected a column label or labels or fine_label" in failing({"image": [b"x"], "kind": ["a"]})
    assert "expected images as bytes or as {bytes, path}, found int64" in failing({"image": [1], "label": [1]})
    assert "x is not there; none of the images that it names is" in failing({"image": ["x"], "label": [1]})
    assert "row 1 has no image bytes" in failing({"image": [b"x", None], "label": [1, 2]})
    missing = [{"bytes": b"x", "path": "a"}, {"bytes": None, "path": "b"}]
    assert "row 1 has no image bytes" in failing({"image": missing, "label": [1, 2]})
    assert "whole numbers of at least 0, found None" in failing({"image": [b"x", b"y"], "label": [1, None]})
    assert "whole numbers of at least 0, found -1" in failing({"image": [b"x"], "label": [-1]})
    assert "has no rows" in failing({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    write_parquet(path, 6, ["x", "y"])
    assert "label 2 has no name: the file's metadata names 2 classes" in failing(None)
    path.write_bytes(b"PAR1 and nothing more")
    assert "cannot be read as Parquet" in failing(None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"this needs pyarrow.*pip install -e '\.\[stream\]'"):
        open_path(path)


def test_parquet_folders_that_are_not_whole(tmp_path: Path, write_parquet: Writer) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet")
    with pytest.raises(BadFile, match="expected all 2 shards of this split and nothing else, found train-00000"):
        open_path(tmp_path)
    write_parquet(tmp_path / "train-00001-of-00002.parquet")
    write_parquet(tmp_path / "extra.parquet")
    with pytest.raises(BadFile, match=r"extra\.parquet: expected a name such as train\.parquet"):
        open_path(tmp_path)
    write_parquet(tmp_path / "only" / "test.parquet")
    write_parquet(tmp_path / "only" / "val.parquet")
    with pytest.raises(BadFile, match="expected a split train, found only val, test; eval takes it as it is"):
        usable(tmp_path / "only")
