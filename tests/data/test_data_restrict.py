"""A part of a data set: some classes, fewer training images; its record, and what is refused."""

import json

import numpy as np
import pytest

from convsmith.base.errors import UnknownName, UsageError
from convsmith.data.dataset import open_data
from convsmith.data.options import DataOptions
from convsmith.data.restrict import fewer


def open_digits(**options):
    return open_data(DataOptions(source="digits", **options))


def test_only_some_classes_in_the_order_given():
    whole, part = open_digits(), open_digits(classes=("8", "3"))
    assert part.card.classes == ("8", "3")
    counts = dict(zip(whole.card.classes, whole.card.class_counts["train"], strict=True))
    assert part.card.class_counts == {"train": (counts["8"], counts["3"])}
    assert part.card.counts == {"train": counts["8"] + counts["3"]}
    assert part.card.fingerprint == whole.card.fingerprint
    for split in ("train", "val", "test"):
        examples = getattr(part, split)
        assert set(examples.labels.tolist()) == {0, 1}
        for i in (0, len(examples) // 2, len(examples) - 1):
            number = examples.images.numbers[i]
            own = whole.train.images.pixels[number]
            assert (examples.read(i) == own).all()
    all_labels = np.concatenate([whole.train.labels, whole.val.labels, whole.test.labels])
    numbers = np.concatenate([whole.train.images.numbers, whole.val.images.numbers, whole.test.images.numbers])
    stored = dict(zip(numbers.tolist(), all_labels.tolist(), strict=True))
    assert all(
        stored[n] == (8, 3)[label] for n, label in zip(part.val.images.numbers.tolist(), part.val.labels, strict=True)
    )
    assert part.left_out == ("only the classes 8, 3",)


def test_fewer_training_images_of_every_class():
    whole, part = open_digits(), open_digits(images=100)
    assert len(part.train) == 100
    assert set(part.train.images.numbers.tolist()) < set(whole.train.images.numbers.tolist())
    assert part.val.images.numbers.tolist() == whole.val.images.numbers.tolist()
    assert part.test.images.numbers.tolist() == whole.test.images.numbers.tolist()
    shares = np.bincount(whole.train.labels) * (100 / len(whole.train))
    assert (np.abs(np.bincount(part.train.labels) - shares) < 1).all()
    assert part.left_out == (f"only 100 of {len(whole.train):,} training images",)
    assert part.split["images"] == {"count": 100, "of": len(whole.train)}
    assert set(part.train.images.numbers.tolist()) < set(open_digits(images=300).train.images.numbers.tolist())
    assert open_digits(images=100, split_seed=1).train.images.numbers.tolist() != part.train.images.numbers.tolist()
    assert len(open_digits(images=len(whole.train)).train) == len(whole.train)


def test_a_record_gives_the_same_part():
    options = DataOptions(source="digits", classes=("1", "7", "4"), images=60)
    first = open_data(options)
    record = json.loads(json.dumps(first.split))
    again = open_data(options, split=record, preprocess=first.preprocess)
    for split in ("train", "val", "test"):
        a, b = getattr(first, split), getattr(again, split)
        assert (a.images.numbers.tolist(), a.labels.tolist()) == (b.images.numbers.tolist(), b.labels.tolist())
    assert record["classes"] == ["1", "7", "4"]


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownName, match=r"unknown class of digits in data.classes: '33'; nearest: 3"):
        open_digits(classes=("1", "33"))
    with pytest.raises(UsageError, match="classes: expected at least 2, each named once, received 1, 1"):
        DataOptions(classes=("1", "1"))
    with pytest.raises(UsageError, match="classes: expected at least 2, each named once, received 5"):
        DataOptions(classes=("5",))
    with pytest.raises(UsageError, match=r"data\.images: expected a whole number from 2, received 1"):
        DataOptions(images=1)
    with pytest.raises(UsageError, match=r"expected 10 \(one of each class\) to 1438 .* received 2000; none"):
        open_digits(images=2000)
    with pytest.raises(UsageError, match="received 9; none takes all"):
        open_digits(images=9)


@pytest.mark.parametrize("count", [3, 4, 7, 50, 103])
def test_shares_are_exact_and_no_class_is_lost(count):
    labels = np.repeat([0, 1, 2], [100, 2, 1])
    picked = fewer(labels, count, np.arange(103), lambda i: bytes([i]))
    tally = np.bincount(labels[picked], minlength=3)
    assert tally.sum() == count
    assert (tally >= 1).all()
    assert (tally <= (100, 2, 1)).all()


def test_images_of_several_labels_are_refused():
    with pytest.raises(UsageError, match=r"data.images: images with several labels each cannot be chosen by class"):
        fewer(np.zeros((20, 3), dtype=np.int64), 7, np.arange(20), lambda i: bytes([i]))


def test_a_run_on_a_part_is_resumed_and_evaluated(command, here):
    part = ["--data.classes", "3,5,8", "--data.images", "40"]
    assert command("train", "digits", *part, "--quick", "--quiet", "--engine.threads", "1", "--out", "run").code == 0
    record = json.loads((here / "run" / "split.json").read_text())
    assert (record["classes"], record["images"]["count"]) == (["3", "5", "8"], 40)
    assert "only the classes 3, 5, 8" in (here / "run" / "report.html").read_text()
    result = json.loads((here / "run" / "result.json").read_text())
    assert next(iter(result["metrics"]["test"]["per_class"][0].values())) == "3"
    assert command("train", "--resume", "run", "--quiet").code == 0
    own = command("eval", "run", "--json")
    assert own.code == 0
