"""`data check`, `data stats` and `train` give one answer about every layout, since they ask the same code.

A case is its name, what writes it, the beginning of what is recognized (or a part of why it is refused), and the number
of images and classes.
"""

import json
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convsmith.cli import main
from convsmith.data.findings import STOPS
from convsmith.work import estimate as estimating
from convsmith.work import within

TWO, FEW = {"cat": 12, "dog": 12}, {"cat": 3, "dog": 3}
_numbers = count()


@dataclass(frozen=True)
class Case:
    """A layout: `says` begins what is recognized, or is in the error; no counts where it is refused."""

    name: str
    write: Callable[[Path], object]
    says: str
    images: int | None = None
    classes: int | None = None


def image(path: Path, size: int = 12) -> Path:
    """An image that no other is a copy of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(_numbers)).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def images(folder: Path, amount: int, begin: int = 0) -> Path:
    """`000.png` and so on."""
    for number in range(begin, begin + amount):
        image(folder / f"{number:03}.png")
    return folder


def folders(root: Path, **counts: int) -> Path:
    """Class folders, in a folder each where a name has `/` for `__`."""
    for name, amount in counts.items():
        images(root / name.replace("__", "/"), amount)
    return root


def splits(**names: Mapping[str, int]) -> Callable[[Path], None]:
    """Split folders of class folders, deeper where a name has `__`."""

    def write(root: Path) -> None:
        for name, counts in names.items():
            folders(root / name.replace("__", "/"), **counts)

    return write


def table(path: Path, header: str, rows: Iterable[str], encoding: str = "utf-8") -> Path:
    """A table of the given rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([header, *rows]).encode(encoding))
    return path


def rows(amount: int, form: str = "images/{0:03}.png,{1}", labels: str = "ab", begin: int = 0) -> list[str]:
    """Rows for images whose labels take turns."""
    return [form.format(number, labels[number % len(labels)]) for number in range(begin, begin + amount)]


def beside(
    header: str, form: str, encoding: str = "utf-8", name: str = "labels.csv", place: str = "images", labels: str = "ab"
) -> Callable[[Path], Path]:
    """24 images in a folder and a table beside it."""

    def write(root: Path) -> Path:
        images(root / place, 24)
        return table(root / name, header, rows(24, form, labels), encoding)

    return write


def _with_empty(root: Path) -> None:
    (folders(root, **TWO) / "owl").mkdir()


def _test_lacks(root: Path) -> None:
    splits(train={**TWO, "owl": 12}, test=FEW)(root)


def _test_lacks_with_an_empty_folder(root: Path) -> None:
    _test_lacks(root)
    (root / "test" / "owl").mkdir()


def _unicode_forms(root: Path) -> None:
    for split, form, amount in (("train", "NFC", 12), ("val", "NFD", 3)):
        images(root / split / unicodedata.normalize(form, "Café"), amount)
        images(root / split / "dog", amount)


def _cases_of_letters(root: Path) -> None:
    splits(train={"Cat": 12, "dog": 12}, val=FEW)(root)


def _left_by_systems(root: Path) -> None:
    folders(root, **TWO, __MACOSX=2)
    images(root / "@eaDir", 3)
    images(root / "cat" / "@eaDir", 3)
    images(root / "cat" / ".ipynb_checkpoints", 2)
    (root / "dog" / "Thumbs.db").write_bytes(b"x")
    (root / "dog" / "._000.png").write_bytes(b"x")


def _macosx(root: Path) -> None:
    images(folders(root, **TWO) / "__MACOSX" / "x", 2)


def _flat_test(root: Path) -> None:
    folders(root / "train", **TWO)
    images(root / "test", 10)


def _flat_val(root: Path) -> None:
    folders(root / "train", **TWO)
    images(root / "val", 10)


def _loose(root: Path) -> None:
    image(folders(root, **TWO) / "loose.png")


def _contest(root: Path) -> None:
    images(root / "train", 24)
    images(root / "test", 3)
    table(root / "labels.csv", "id,breed", rows(24, "{0:03},{1}"))
    table(root / "sample_submission.csv", "id,breed", rows(3, "{0:03},{1}"))


def _three_tables(root: Path) -> None:
    for name, begin, amount in (("train", 0, 20), ("val", 20, 4), ("test", 24, 4)):
        images(root / "images", amount, begin)
        table(root / f"{name}.csv", "image,label", rows(amount, "{0:03}.png,{1}", begin=begin))


def _two_tables(root: Path) -> None:
    images(root / "images", 8)
    for name in ("one", "two"):
        table(root / f"{name}.csv", "image,label", rows(8))


def _metadata_in_splits(root: Path) -> None:
    for split, amount in (("train", 20), ("test", 4)):
        images(root / split, amount)
        lines = [json.dumps({"file_name": f"{i:03}.png", "label": "ab"[i % 2]}) for i in range(amount)]
        (root / split / "metadata.jsonl").write_text("\n".join(lines))


def _beside_its_folder(root: Path) -> Path:
    images(root / "images", 24)
    return table(root / "tables" / "t.csv", "image,label", rows(24, "../images/{0:03}.png,{1}"))


def _missing(root: Path) -> Path:
    images(root / "images", 24)
    return table(root / "t.csv", "image,label", rows(25))


def _split_column(root: Path) -> Path:
    images(root / "images", 24)
    names = ["Training", "Validation", "holdout"]
    cells = [f"{row},{names[max(0, i - 21)]}" for i, row in enumerate(rows(24))]
    return table(root / "t.csv", "image,label,split", cells)


def _validation_flags(root: Path) -> Path:
    images(root / "images", 24)
    return table(root / "t.csv", "name,label,is_valid", [f"{r},{i > 19}" for i, r in enumerate(rows(24))])


def _one_hot(root: Path) -> Path:
    images(root / "images", 24)
    return table(root / "t.csv", "image,MEL,NV", [f"{i:03},{1 - i % 2}.0,{i % 2}.0" for i in range(24)])


def _below_classes(root: Path) -> None:
    folders(root, cat__train=8, cat__test=2, dog__train=8, dog__test=2)


def _archive(root: Path) -> Path:
    folders(root / "in" / "photos", **TWO)
    images(root / "in" / "__MACOSX", 1)
    return Path(shutil.make_archive(str(root / "photos"), "zip", root / "in"))


def _tar(root: Path) -> Path:
    splits(Train=TWO, Valid=FEW)(root / "in")
    return Path(shutil.make_archive(str(root / "photos"), "gztar", root / "in"))


def _archive_that_leads_outside(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "a.zip", "w") as file:
        file.writestr("../x.png", b"x")
    return root / "a.zip"


def _column_without_images(root: Path) -> Path:
    images(root / "images", 24)
    return table(root / "t.csv", "image,red,blue,green", [f"{i:03},{i % 2},{i % 3 % 2},0" for i in range(24)])


def _link_to_itself(root: Path) -> None:
    folders(root, **TWO)
    (root / "cat" / "loop.png").symlink_to("loop.png")


def _folder_that_links_to_itself(root: Path) -> None:
    folders(root, **TWO)
    (root / "owl").symlink_to("owl")


def _broken(root: Path) -> None:
    (folders(root, **TWO) / "cat" / "000.png").write_bytes(b"no image")


def _unread_pictures(root: Path) -> None:
    folders(root, **TWO)
    for number in range(12):
        (root / "owl").mkdir(exist_ok=True)
        (root / "owl" / f"{number}.heic").write_bytes(b"x")


def _copies_only(root: Path) -> None:
    for name in ("cat", "dog"):
        first = image(root / name / "0.png")
        for number in range(1, 12):
            shutil.copy(first, root / name / f"{number}.png")


def _yaml(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("path: photos\n")
    return root / "data.yaml"


def _parquet(split: str, place: str, **columns: Callable[[int], object]) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = [image(root / "images" / f"{i:03}.png") for i in range(24)]
        found = {name: [make(i) for i in range(24)] for name, make in columns.items()}
        if "image" not in found:
            found["image"] = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
            shutil.rmtree(root / "images")
        (root / place).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(found), root / place / f"{split}.parquet")

    return write


CASES = (
    Case("class folders", lambda root: folders(root, **TWO), "folder of class folders: 2 classes (cat, dog)", 24, 2),
    Case("Training, Testing", splits(Training=TWO, Testing=FEW), "split folders Training (train), Testing", 30, 2),
    Case("training, validation", splits(training=TWO, validation=FEW), "split folders training (train), valid", 30, 2),
    Case("training_set, test_set", splits(training_set=TWO, test_set=FEW), "split folders training_set (train)", 30, 2),
    Case("train_images, val_images", splits(train_images=TWO, val_images=FEW), "split folders train_images", 30, 2),
    Case("trainset, testset", splits(trainset=TWO, testset=FEW), "split folders trainset (train), testset", 30, 2),
    Case("train, dev", splits(train=TWO, dev=FEW), "split folders train, dev (val)", 30, 2),
    Case("train, holdout", splits(train=TWO, holdout=FEW), "split folders train, holdout (test)", 30, 2),
    Case("TRAIN, eval", splits(TRAIN=TWO, eval=FEW), "split folders TRAIN, eval (test)", 30, 2),
    Case("train, val, evaluation", splits(train=TWO, val=FEW, evaluation=FEW), "split folders train, val, eval", 36, 2),
    Case("seg_train/seg_train", splits(seg_train__seg_train=TWO, seg_test__seg_test=FEW), "split", 30, 2),
    Case("unknown splits", splits(A=TWO, B=FEW), "A, B hold folders of the same names (cat, dog): are they splits?"),
    Case("sets of splits", splits(A__train=TWO, A__test=FEW, B__train=TWO, B__test=FEW), "A, B each hold split folder"),
    Case("train/train, train/val", splits(train__train=TWO, train__val=FEW), "train/, the only folder of im", 30, 2),
    Case("valid/train, valid/test", splits(valid__train=TWO, valid__test=FEW), "valid/, the only folder of", 30, 2),
    Case("test/x/Train, Val", splits(test__x__Train=TWO, test__x__Val=FEW), "test/x/, the only folder of im", 30, 2),
    Case("train/cat/train", lambda r: _below_classes(r / "train"), "train/, the only folder of images in", 20, 2),
    Case("train/val beside test", splits(train__train=TWO, train__val=FEW, test=FEW), "holds split folders (train, v"),
    Case("splits in both", splits(train__train=TWO, train__val=FEW, val__train=TWO, val__val=FEW), "holds split folde"),
    Case("a set beside a class", lambda r: folders(r, bee=9, w__train__a=9, w__val__a=9), "holds split folders (train"),
    Case("flat train/train", lambda r: folders(r / "train", train=9, val=9), "its 9 images lie in no class folder"),
    Case("one split's name in train", lambda r: folders(r / "train", train=9, bus=9), "split folder train: 2", 18, 2),
    Case("a link to itself", _link_to_itself, "cat/loop.png: is a link to nothing, or no file"),
    Case("a folder that links to itself", _folder_that_links_to_itself, "owl: is a link to nothing, or no file"),
    Case("classes of sub-folders", lambda r: folders(r, animals__cat=9, animals__dog=9, birds__owl=9), "folder", 27, 2),
    Case("splits below classes", _below_classes, "class folders with split folders train, test in each", 20, 2),
    Case("wrapper", lambda root: folders(root / "photos", **TWO), "photos/, the only folder of images in it", 24, 2),
    Case("wrapper of splits", splits(w__train=TWO, w__val=FEW), "w/, the only folder of images in it; split", 30, 2),
    Case("an empty class folder", _with_empty, "folder of class folders: 2 classes (cat, dog)", 24, 2),
    Case("test lacks a class", _test_lacks, "split folders train, test: 3 classes", 42, 3),
    Case("test lacks a class, has its folder", _test_lacks_with_an_empty_folder, "split folders train, test", 42, 3),
    Case("val has a class more", splits(train=TWO, val={**FEW, "owl": 2}), "class 'owl' has 2 images in val"),
    Case("one class", lambda root: folders(root, cat=9), "expected at least two class folders, found only 'cat'"),
    Case("no train", splits(val=TWO, test=FEW), "expected a folder train, found only val, test"),
    Case("two for val", splits(train=TWO, val=FEW, valid=FEW), "expected one folder for val, found val and valid"),
    Case("a class beside splits", splits(train=TWO, test=FEW, x={"cat": 1}), "x lies beside the splits test, train"),
    Case("a class called train", lambda r: folders(r, train=9, bus=9, car=9), "folder of class folders: 3", 27, 3),
    Case("two Unicode forms", _unicode_forms, "split folders train, val: 2 classes", 30, 2),
    Case("two cases", _cases_of_letters, "train has 'Cat', the same but for case or spaces: give both one name"),
    Case("left by systems", _left_by_systems, "folder of class folders: 2 classes (cat, dog)", 24, 2),
    Case("left by a Mac", _macosx, "folder of class folders: 2 classes (cat, dog)", 24, 2),
    Case("flat test", _flat_test, "split folder train: 2 classes (cat, dog)", 24, 2),
    Case("flat val", _flat_val, "split folder train: 2 classes (cat, dog)", 24, 2),
    Case("flat train alone", lambda root: images(root / "train", 9), "its 9 images lie in no class folder, so th"),
    Case("flat", lambda root: images(root, 9), "9 images in the folder itself (9 .png), which have no labels"),
    Case("loose image", _loose, "folder of class folders: 2 classes (cat, dog)", 24, 2),
    Case("images and masks", lambda root: folders(root, images=9, masks=9), "this looks like image and mask folders"),
    Case("too few", lambda root: folders(root, cat=1, dog=1), "2 images are too few for a val split of 10%"),
    Case("copies only", _copies_only, "24 images (2 different ones; copies stay in one split) are too few for a val"),
    Case("a broken file", _broken, "cat/000.png: not an image that can be read"),
    Case("pictures that are not read", _unread_pictures, "owl: none of its 12 files is an image that is read"),
    Case("Kaggle: train/, id,breed", _contest, "table labels.csv: 2 classes (a, b)", 24, 2),
    Case("train.csv, val.csv, test.csv", _three_tables, "tables train.csv, val.csv, test.csv: 2 classes", 28, 2),
    Case("two tables", _two_tables, "holds several tables of images and labels (one.csv, two.csv); name one"),
    Case("file_name", beside("file_name,label", "images/{0:03}.png,{1}", name="metadata.csv"), "table", 24, 2),
    Case("metadata.jsonl in splits", _metadata_in_splits, "tables train/metadata.jsonl, test/metadata.jsonl", 24, 2),
    Case("image_id", beside("image_id,label", "{0:03},{1}"), "table of images and labels: 2 classes (a, b)", 24, 2),
    Case("path,target", beside("path,target", "images/{0:03}.png,{1}", labels="201"), "table of images", 24, 3),
    Case("UTF-16", beside("image,label", "images/{0:03}.png,{1}", "utf-16", labels="éü"), "table of images", 24, 2),
    Case("Latin-1", beside("image,label", "images/{0:03}.png,{1}", "latin-1", labels="éü"), "table of images", 24, 2),
    Case("back-slashes", beside("image,label", "images\\{0:03}.png,{1}"), "table of images and labels", 24, 2),
    Case("paths of another machine", beside("image,label", "/home/x/images/{0:03}.png,{1}"), "table of images", 24, 2),
    Case("outside the folder", beside("image,label", "../../{0:03}.jpg,{1}"), "leads outside the table's folder"),
    Case("beside its folder", _beside_its_folder, "table of images and labels: 2 classes (a, b)", 24, 2),
    Case("a missing file", _missing, "line 26: images/024.png is not there"),
    Case("a split column", _split_column, "table of images and labels: 2 classes (a, b), 24 images (train 22", 24, 2),
    Case("is_valid", _validation_flags, "table of images and labels: 2 classes (a, b), 24 images (train 20", 24, 2),
    Case("one-hot, one 1 a row", _one_hot, "table of images and labels: 2 classes (MEL, NV), 24 images", 24, 2),
    Case("a column without images", _column_without_images, "table of images and labels: 2 classes (red, b", 24, 2),
    Case("captions", beside("image,text", "images/{0:03}.png,a picture {0}"), "24 different texts in 24 rows"),
    Case("no header", beside("000.png,a", "{0:03}.png,{1}"), "its first line looks like a row: put the line image"),
    Case("zip", _archive, "photos/, the only folder of images in it: 2 classes (cat, dog)", 24, 2),
    Case("tar.gz", _tar, "split folders Train, Valid (val): 2 classes (cat, dog)", 30, 2),
    Case("zip that leads outside", _archive_that_leads_outside, "'../x.png' leads outside the archive"),
    Case("Ultralytics' YAML", _yaml, "a YAML file of Ultralytics, by its name; give the folder that it names"),
    Case("Parquet, text labels", _parquet("train", "data", label=lambda i: "ab"[i % 2]), "Parquet files: 2", 24, 2),
    Case("Parquet, target", _parquet("train", "cfg/default", target=lambda i: i % 2), "Parquet files: 2", 24, 2),
    Case(
        "Parquet, paths",
        _parquet("train", ".", label=lambda i: i % 2, image=lambda i: f"images/{i:03}.png"),
        "Parquet files: 2 classes (0, 1)", 24, 2,
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_check_stats_and_train_agree(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (estimating, within):
        monkeypatch.setattr(module, "estimate", lambda plan: None)
    written = case.write(tmp_path / "set")
    path = str(written if isinstance(written, Path) and written.is_file() else tmp_path / "set")

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(list(words)), *capsys.readouterr()

    code, out, _ = run("data", "check", path, "--json")
    report = json.loads(out)
    stops = [finding for finding in report["findings"] if finding["kind"] in STOPS]
    assert code == (1 if stops else 0), report["verdict"]
    stats = run("data", "stats", path)
    train = run("train", "lenet5", "--data", path, "--size", "32", "--dry-run")
    assert (stats[0] > 0, train[0] > 0) == (code > 0, code > 0), (stats, train)
    if case.images is None:
        assert code == 1
        sentence = train[2].removeprefix("convsmith: ").strip()
        assert case.says in sentence
        # The very sentence that check has; of a broken image stats has a count.
        said = [f"{f['file']}: {f['detail']}".replace(", line", ": line", 1) for f in stops]
        assert any(sentence.startswith(text) or text.endswith(sentence) for text in said), said
        assert stats[2].endswith(f"{sentence}\n") or "warning: 1 of the images" in stats[1]
        return
    assert report["layout"].startswith(case.says)
    assert (report["files"], report["classes"]) == (case.images, case.classes)
    assert stats[1].splitlines()[0] == report["layout"]
    assert train[2].splitlines()[0].partition(": ")[2] == report["layout"]
    assert f"{case.classes} classes" in report["layout"]
    assert f"{case.images} images" in report["layout"]


def test_there_are_many() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
