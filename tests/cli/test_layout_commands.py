"""What the commands say of how images lie: recognized, left out, moved away; and what a run's evaluation takes."""

import shutil
import unicodedata
from pathlib import Path

import pytest


@pytest.fixture
def words(trees):
    return ("train", f"{trees}:resnet8", "--epochs", 1, "--batch", 8, "--quiet")


def test_training_says_what_was_recognized_and_left_out(command, write_pictures, trees, here):
    write_pictures(here / "set" / "Training", labels=("cat", "dog"))
    write_pictures(here / "set" / "Testing", count=3, labels=("cat",))
    shutil.copy(here / "set" / "Training" / "dog" / "000.png", here / "set" / "Training" / "dog" / "copy.png")
    (here / "set" / "Training" / "cat" / "x.xyz").write_bytes(b"x")
    answer = command("train", f"{trees}:resnet8", "--data", "set", "--epochs", 1, "--batch", 8, "--out", "run")
    assert answer.code == 0
    recognized = "split folders Training (train), Testing (test): 2 classes (cat, dog), 44 images (train 41, test 3)"
    assert answer.err.splitlines()[:5] == [
        f"data set: {recognized}",
        "test has no image of dog",
        "1 of 45 files left out: 1 .xyz",
        "1 image occurs more than once; copies stay in one split (`data check` lists them)",
        "3 images lie in two of the given splits, which flatters numbers: Testing/cat/000.png in test is Training/cat/"
        "000.png in train; `data check` lists them",
    ]
    stats = command("data", "stats", "set")
    assert stats.out.splitlines()[1:3] == ["test has no image of dog", "1 of 45 files left out: 1 .xyz"]
    check = command("data", "check", "set")
    assert check.out.splitlines()[0] == "data set: " + stats.out.splitlines()[0]
    report = Path("run/report.html").read_text()
    assert report.count("test has no image of dog") == 1


def test_a_run_is_evaluated_on_one_class_and_on_names_in_another_form(command, write_pictures, words, here):
    composed, apart = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    write_pictures(here / "set", labels=("bent", composed))
    assert command(*words, "--data", "set", "--out", "run").code == 0
    write_pictures(here / "one", count=5, labels=("bent",))
    answer = command("eval", "run", "--data", "one", "--json")
    assert (answer.code, answer.json["count"]) == (0, 5)
    write_pictures(here / "other", count=4, labels=("bent", apart))
    assert command("eval", "run", "--data", "other", "--json").json["count"] == 8
    write_pictures(here / "split" / "test", count=4, labels=("bent",))
    assert command("eval", "run", "--data", "split", "--json").json["count"] == 4


def test_a_table_with_a_missing_file_is_evaluated_as_the_run_says(command, refused, write_pictures, words, here):
    write_pictures(here / "set", labels=("bent", "flat"))
    (here / "t.csv").write_text("image,label\nset/bent/000.png,bent\nset/flat/gone.png,flat\n")
    for name, more in (("strict", ()), ("lenient", ("--on-bad", "skip"))):
        assert command(*words, "--data", "set", "--out", name, *more).code == 0
    message = refused("eval", "strict", "--data", "t.csv", code=1)
    assert message == "t.csv: line 3: set/flat/gone.png is not there"
    assert command("eval", "lenient", "--data", "t.csv", "--json").json["count"] == 1


def test_prediction_says_what_it_leaves_out_of_a_folder(command, refused, photo_run, here):
    run, folder = photo_run
    shutil.copytree(folder / "bent", here / "mixed")
    for number in range(10):
        (here / "mixed" / f"{number}.heic").write_bytes(b"x")
    (here / "mixed" / "Thumbs.db").write_bytes(b"x")
    answer = command("predict", run, "mixed")
    assert answer.code == 0
    assert answer.out.count("\n") == 20
    left = (
        "WARNING: 10 of 30 files left out: 10 .heic; these are pictures in a format that is not read; .heic: convert it"
    )
    assert answer.err.startswith(f"mixed: {left}")
    assert command("predict", run, "mixed", "--quiet").err == ""
    for image in (here / "mixed").glob("*.png"):
        image.unlink()
    assert "it holds 10 .heic" in refused("predict", run, "mixed", code=1)


def test_data_that_has_moved(command, refused, write_pictures, words, here):
    write_pictures(here / "set", labels=("bent", "flat"))
    assert command(*words, "--data", "set", "--out", "run").code == 0
    shutil.move("set", "new")
    gone = (
        f"{here}/set: the data of the run run is not there any more; put it back, or say where it is now: convsmith "
        "train --resume run --data NEW; eval and export take --data NEW too"
    )
    assert refused("train", "--resume", "run") == gone
    assert refused("eval", "run") == gone
    assert command("eval", "run", "--data", "new").code == 0
    assert command("predict", "run", "new/bent/000.png").code == 0
    Path("set").symlink_to("new")
    assert command("eval", "run").code == 0
    assert command("train", "--resume", "run", "--epochs", 2).code == 0


def test_a_resume_is_told_where_its_data_is_now(command, refused, write_pictures, words, here):
    said = [word for word in words if word != "--quiet"]
    write_pictures(here / "set", labels=("bent", "flat"))
    assert command(*said, "--data", "set", "--out", "run").code == 0
    shutil.copytree("set", "other")
    shutil.copy("other/bent/001.png", "other/bent/000.png")
    shutil.move("set", "new")
    nowhere = "set: no such data; expected the place where the data of run is now"
    assert refused("train", "--resume", "run", "--data", "set") == nowhere
    changed = refused("train", "--resume", "run", "--data", "other", "--epochs", 2, code=1)
    assert changed.startswith(f"{here}/other: the data has changed since the run run began (its fingerprint is ")
    before = (here / "run" / "recipe.json").read_bytes()
    assert refused("eval", "run").startswith(f"{here}/set: the data of the run run is not there any more")
    answer = command("train", "--resume", "run", "--data", "new", "--epochs", 2)
    assert answer.code == 0
    moved = f"the data is at {here}/new now (was {here}/set)"
    assert f"{moved}; the run looks for it there from here on\n" in answer.err
    assert moved in (here / "run" / "log.txt").read_text()
    assert (here / "run" / "recipe.json").read_bytes() != before
    assert command("eval", "run").code == 0


def test_an_archive_is_trained_on_and_its_folder_listed(command, write_pictures, words, here, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(here / "cache"))
    write_pictures(here / "in" / "photos", labels=("bent", "flat"))
    shutil.make_archive("photos", "zip", here / "in")
    answer = command(*[word for word in words if word != "--quiet"], "--data", "photos.zip", "--out", "run")
    assert answer.code == 0
    first, second = answer.err.splitlines()[:2]
    assert first == "data photos: photos/, the only folder of images in it: 2 classes (bent, flat), 40 images"
    assert second.startswith(
        "photos.zip is unpacked into the cache (`convsmith data cache` lists it): unpacked/photos-"
    )
    listed = command("data", "cache")
    assert "1 unpacked archive, " in listed.out
    assert command("data", "cache", "--json").json["unpacked"][0]["name"].startswith("photos-")
    assert command("data", "cache", "clear").code == 0
    assert command("eval", "run").code == 0  # unpacked again
