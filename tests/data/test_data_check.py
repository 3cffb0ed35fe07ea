"""Checking every file of a set, and its statistics."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convsmith.base.errors import MissingPath
from convsmith.data.check import CheckReport, Finding, check_path
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import open_path, open_source
from convsmith.data.stats import stats

Writer = Callable[..., Path]


def kinds(report: CheckReport, file: str) -> list[tuple[str, str]]:
    return [(finding.kind, finding.detail) for finding in report.findings if finding.file.endswith(file)]


def test_a_clean_set_is_ok(tmp_path: Path, class_folders: Writer) -> None:
    seen: list[tuple[int, int]] = []
    root = class_folders(tmp_path, {"a": 70, "b": 30})
    report = check_path(root, progress=lambda done, total: seen.append((done, total)))
    assert (report.files, report.findings, report.ok) == (100, (), True)
    assert seen == [(64, 100), (100, 100)]


def test_bad_files_are_found(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 6, "b": 2})
    (root / "c").mkdir()
    (root / "a" / "000.png").write_bytes(b"")
    (root / "a" / "001.png").write_bytes((root / "a" / "001.png").read_bytes()[:-200])
    (root / "a" / "002.png").write_text("hello")
    (root / "a" / "note.txt").write_text("hello")
    (root / "a" / "IMG_1.HEIC").write_text("hello")
    report = check_path(root)
    assert not report.ok
    assert report.files == 8
    assert [kind for kind, _ in kinds(report, "000.png")] == ["broken"]
    assert [kind for kind, _ in kinds(report, "001.png")] == ["broken"]
    assert [kind for kind, _ in kinds(report, "002.png")] == ["not_an_image"]
    assert kinds(report, "note.txt") == [("left_out", "not an image by its extension")]
    unread = "a picture in a format that is not read; convert it to JPEG: with the package pillow-heif, or save it so "
    assert kinds(report, ".HEIC") == [("left_out", f"{unread}in the program that shows it")]
    assert kinds(report, "/c") == [("empty_class", "has no image: left out")]
    data = json.loads(json.dumps(report.to_json()))
    assert data["ok"] is False
    assert {"file", "kind", "detail"} == set(data["findings"][0])


def test_odd_files_are_found(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 1, "b": 1})
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(5).integers(0, 256, (9, 9, 4), dtype=np.uint8)
    Image.fromarray(noise).save(root / "a" / "alpha.png")
    Image.fromarray(noise[..., :3]).save(root / "a" / "turned.jpg", exif=exif)
    Image.new("CMYK", (9, 9)).save(root / "a" / "print.jpg")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 9).save(root / "a" / "deep.png")
    Image.new("L", (9, 9), 3).save(root / "a" / "really.png", "BMP")
    Image.new("L", (100, 7), 5).save(root / "a" / "thin.png")
    frames = [Image.new("L", (9, 9), value) for value in (10, 200)]
    frames[0].save(root / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    report = check_path(root, workers=1)
    assert report.ok
    assert kinds(report, "alpha.png") == [("odd", "has an alpha channel")]
    assert kinds(report, "turned.jpg") == [("odd", "is turned by its EXIF orientation 6")]
    assert kinds(report, "print.jpg") == [("odd", "has CMYK colors")]
    assert kinds(report, "deep.png") == [("odd", "has more than 8 bits per pixel (mode I;16)")]
    assert kinds(report, "really.png") == [("odd", "is called .png and holds BMP")]
    assert kinds(report, "thin.png") == [("odd", "is very small: 100x7"), ("odd", "is very long: 100x7")]
    assert ("odd", "has 2 frames; the first is used") in kinds(report, "moving.gif")


def test_copies_are_found_and_leaks_are_worse(tmp_path: Path, class_folders: Writer) -> None:
    for seed, split in enumerate(("train", "test")):
        class_folders(tmp_path / split, {"a": 3, "b": 3}, seed=seed * 100)
    first = tmp_path / "train" / "a" / "000.png"
    shutil.copy(first, tmp_path / "train" / "b" / "copy.png")
    report = check_path(tmp_path)
    assert report.ok
    assert report.findings == (
        Finding(
            str(tmp_path / "train" / "b" / "copy.png"),
            "contradiction",
            f"labeled b, and the same image as {first}, labeled a",
        ),
    )
    shutil.copy(first, tmp_path / "train" / "a" / "copy.png")
    assert kinds(check_path(tmp_path), "a/copy.png") == [("duplicate", f"the same image as {first}")]
    # Another format with the same pixels is the same image.
    Image.open(first).save(tmp_path / "test" / "a" / "again.bmp")
    report = check_path(tmp_path)
    assert not report.ok
    assert report.verdict == (
        "trains, but images lie in two splits, which flatters the numbers, and 4 of 15 images (27%) carry two labels, "
        "so that no network can learn them"
    )
    assert kinds(report, "again.bmp") == [("leak", f"in test, and the same image as {first} in train")]


def test_arrays_and_names_can_be_checked(tmp_path: Path, idx_folder: Writer) -> None:
    assert check_path("digits").files == 1797
    assert check_path(idx_folder(tmp_path)).files == 60
    with pytest.raises(MissingPath):
        check_path(tmp_path / "none")


def test_split_folders_that_contradict_are_refused(tmp_path: Path, class_folders: Writer) -> None:
    for name in ("train", "val", "valid"):
        class_folders(tmp_path / name, {"a": 1})
    report = check_path(tmp_path)
    assert [finding.kind for finding in report.findings] == ["refused"]
    assert "expected one folder for val" in report.findings[0].detail


def test_statistics_of_a_folder(tmp_path: Path, class_folders: Writer) -> None:
    root = class_folders(tmp_path, {"a": 24, "b": 2}, size=(12, 10))
    Image.new("L", (30, 20)).save(root / "b" / "gray.png")
    found = stats(open_path(root))
    assert found["splits"] == {"train": 27}
    assert found["classes"] == {"a": {"train": 24}, "b": {"train": 3}}
    assert found["imbalance"] == 8.0
    assert found["width"] == {"min": 10, "median": 10, "max": 30}
    assert found["height"] == {"min": 12, "median": 12, "max": 20}
    assert found["modes"] == {"RGB": 26, "L": 1}
    assert len(found["mean"]) == 3
    assert 0.4 < found["mean"][0] < 0.6
    assert found["flip"] is True
    assert found["warnings"] == []
    (root / "b" / "000.png").unlink()
    (root / "b" / "001.png").write_bytes(b"x")
    found = stats(open_path(root))
    assert found["warnings"] == [
        "the largest class has 12.0 times the smallest",
        "1 of the images that were looked at cannot be read; `data check` lists them",
    ]
    assert found["mean"] is None
    json.dumps(found)


def test_digits_are_not_to_be_flipped() -> None:
    found = stats(open_source(DataOptions()))
    assert found["flip"] is False
    assert found["modes"] == {"L": 1797}
    assert found["imbalance"] == 1.05
