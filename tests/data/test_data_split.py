"""Division into splits: exact shares, determinism, groups, records that rebuild it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.data.examples import Examples, from_arrays, spread
from convsmith.data.groups import group_names
from convsmith.data.image_sets import FileImages
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import open_path, open_source
from convsmith.data.sources.source import Source
from convsmith.data.split import Skipped, apportion, division_from_record, grouped, split_source, stratified
from convsmith.data.targets import ClassLabels

Writer = Callable[..., Path]
DIGITS = DataOptions(source="digits")


def distinct(count: int, seed: int) -> np.ndarray:
    """Images of 2x2 pixels, no two of them the same: copies of an image would stay together."""
    numbers = np.arange(count) + 10_000 * seed
    return np.stack([numbers % 251, numbers // 251], axis=-1)[:, None].repeat(2, axis=1).astype(np.uint8)


def toy(**counts: int) -> Source:
    """A source of tiny images with four classes and the given number of images in each stored split."""
    card = replace(open_source(DIGITS).card, name="toy", counts=counts)
    splits = {
        name: from_arrays(distinct(count, seed), np.arange(count) % 4, f"toy {name}")
        for seed, (name, count) in enumerate(counts.items())
    }
    return Source(card, splits)


def test_digits_are_stratified() -> None:
    source = open_source(DIGITS)
    division = split_source(source, DIGITS)
    assert division.test is not None
    parts = [division.record["parts"][name]["indices"] for name in ("train", "val", "test")]
    assert sorted(i for part in parts for i in part) == list(range(1797))
    assert [len(part) for part in parts] == [1438, 180, 179]
    for label in range(10):
        total = int((source.splits["train"].labels == label).sum())
        for examples, share in ((division.train, 0.8), (division.val, 0.1), (division.test, 0.1)):
            assert abs(int((examples.labels == label).sum()) - total * share) < 1
    assert division.record["rule"] == "train, val, test drawn from the stored train, stratified by class"
    assert division.train.name(0) == f"digits #{parts[0][0]}"


def test_the_division_is_a_function_of_the_seed() -> None:
    source = open_source(DIGITS)
    first, again = split_source(source, DIGITS), split_source(source, DIGITS)
    other = split_source(source, replace(DIGITS, split_seed=1))
    assert first.record == again.record
    assert first.record["parts"]["val"] != other.record["parts"]["val"]
    # Frozen: a change here would put test images into the training split of old runs.
    assert first.record["parts"]["val"]["indices"][:6] == [7, 40, 68, 70, 73, 82]


def test_val_is_drawn_from_train_where_test_is_stored() -> None:
    division = split_source(toy(train=90, test=20), replace(DIGITS, split="80/10/10"))
    assert (len(division.train), len(division.val)) == (82, 8)
    assert division.record["parts"]["test"] == {"from": "test", "indices": "all"}
    assert division.test is not None
    assert len(division.test) == 20


def test_a_stored_val_leaves_all_as_it_is() -> None:
    division = split_source(toy(train=8, val=4), DIGITS)
    assert (len(division.train), len(division.val), division.test) == (8, 4, None)
    assert division.record["rule"] == "as stored"
    division = split_source(toy(train=8, val=4, test=3), DIGITS)
    assert division.test is not None
    assert len(division.test) == 3


def test_no_share_for_test_means_no_test() -> None:
    division = split_source(toy(train=40), replace(DIGITS, split="75/25/0"))
    assert (len(division.train), len(division.val), division.test) == (32, 8, None)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        split_source(toy(train=4), DIGITS)
    few = "images are too few for a val split of 10%; a class of"
    assert str(caught.value) == f"4 {few} 3 images or more gives each split one"
    with pytest.raises(UsageError) as caught:
        split_source(toy(train=4, test=4), DIGITS)
    assert str(caught.value) == f"4 {few} 2 images or more gives each split one"
    with pytest.raises(UsageError) as caught:
        split_source(toy(train=8), DIGITS)
    without = "without test images: --data.split 80/20/0"
    assert str(caught.value) == f"8 {few} 3 images or more gives each split one; {without}"


def test_what_the_errors_name_works() -> None:
    division = split_source(toy(train=8), replace(DIGITS, split="80/20/0"))
    assert (len(division.train), len(division.val), division.test) == (4, 4, None)
    division = split_source(toy(train=9), DIGITS)
    assert division.test is not None
    assert (len(division.train), len(division.val), len(division.test)) == (7, 1, 1)
    division = split_source(toy(train=5, test=4), DIGITS)
    assert (len(division.train), len(division.val)) == (4, 1)


@settings(deadline=None)
@given(st.integers(0, 500), st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.98, 0.01, 0.01), (0.9, 0.1, 0.0)]))
def test_apportion(count: int, shares: tuple[float, ...]) -> None:
    parts = apportion(count, shares)
    assert sum(parts) == count
    assert all(part > 0 for part, share in zip(parts, shares, strict=True) if share and count >= 3)
    for part, share in zip(parts, shares, strict=True):
        # Only the rule that no split of three or more stays empty may take a part further from its share.
        assert abs(part - count * share) < 1 or min(parts) == 1
    assert parts[2] == 0 or shares[2] > 0


def test_stratified_keeps_to_the_allowed_indices() -> None:
    labels = np.asarray([0, 0, 0, 0, 1, 1, 1, 1])
    parts = stratified(labels, (0.5, 0.25, 0.25), 0, np.asarray([0, 1, 2, 4, 5, 6]))
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 4, 5, 6]
    assert all(sorted(labels[part].tolist()) == [0, 1] for part in parts)


def test_groups_stay_whole_and_near_their_shares() -> None:
    names = [f"person {i % 37}" for i in range(1000)]
    parts = grouped(names, (0.8, 0.1, 0.1), 0, np.arange(1000))
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    people = [{names[i] for i in part} for part in parts]
    assert sum(len(part) for part in people) == len(set.union(*people)) == 37
    assert [len(part) for part in parts] == pytest.approx([800, 100, 100], abs=30)
    few = grouped(["a", "b", "c"], (0.8, 0.1, 0.1), 0, np.arange(3))
    assert [len(part) for part in few] == [1, 1, 1]
    with pytest.raises(UsageError, match=r"2 groups cannot fill 3 splits; .* or no test images: --data.split 80/20/0$"):
        grouped(["a", "b", "b"], (0.8, 0.1, 0.1), 0, np.arange(3))
    assert [len(part) for part in grouped(["a", "b", "b"], (0.8, 0.2, 0.0), 0, np.arange(3))] == [2, 1, 0]
    with pytest.raises(UsageError, match=r"1 group cannot fill 2 splits; expected at least one group for each$"):
        grouped(["a", "a", "a"], (0.8, 0.2, 0.0), 0, np.arange(3))


def test_groups_by_regex(tmp_path: Path) -> None:
    examples = Examples(
        FileImages(tmp_path, ("a/p1_0.png", "a/p2_0.png", "b/p1_1.png")), ClassLabels(np.asarray([0, 0, 1]))
    )
    assert group_names(examples, r"(p\d+)_") == ["p1", "p2", "p1"]
    assert group_names(examples, r"p\d") == ["p1", "p2", "p1"]
    with pytest.raises(UsageError, match=r"group: 'p1' does not match .*p2_0\.png; expected a match for every file"):
        group_names(examples, "p1")
    with pytest.raises(UsageError, match=r"'\(' is not a regular expression .*, nor a \.csv file"):
        group_names(examples, "(")


def test_groups_by_table(tmp_path: Path) -> None:
    examples = Examples(FileImages(tmp_path, ("a/1.png", "b/1.png", "b/2.png")), ClassLabels(np.asarray([0, 1, 1])))
    table = tmp_path / "groups.csv"
    table.write_text("file,group\na/1.png,x\nb/1.png,y\n2.png,x\n")
    assert group_names(examples, str(table)) == ["x", "y", "x"]
    table.write_text("file,group\na/1.png,x\n")
    with pytest.raises(BadFile, match=r"groups\.csv: has no row for .*b/1\.png"):
        group_names(examples, str(table))
    table.write_text("path,who\na/1.png,x\n")
    with pytest.raises(BadFile, match="expected a header with file,group and rows below, found"):
        group_names(examples, str(table))
    with pytest.raises(MissingPath, match=r"group: no such file: .*none\.csv"):
        group_names(examples, str(tmp_path / "none.csv"))


def test_a_source_is_divided_by_groups(tmp_path: Path, class_folders: Writer) -> None:
    source = open_path(class_folders(tmp_path, {"a": 20, "b": 20}))
    options = replace(DIGITS, group=r"/(\d+)\.png")
    division = split_source(source, options)
    assert division.test is not None
    seen = [{Path(e.name(i)).name for i in range(len(e))} for e in (division.train, division.val, division.test)]
    assert len(set.union(*seen)) == 20
    assert [len(part) for part in seen] == [16, 2, 2]
    assert division.record["group"] == options.group


def test_a_record_rebuilds_the_division() -> None:
    source = toy(train=40, test=6)
    skipped = [Skipped("train", 3, "x", "broken"), Skipped("test", 0, "y", "broken")]
    division = split_source(source, DIGITS, skipped)
    record = json.loads(json.dumps(division.record))
    again = division_from_record(source, record)
    for one, two in ((division.train, again.train), (division.val, again.val), (division.test, again.test)):
        assert one is not None
        assert two is not None
        assert [one.name(i) for i in range(len(one))] == [two.name(i) for i in range(len(two))]
    assert len(division.train) + len(division.val) == 39
    assert division.test is not None
    assert division.test.name(0) == "toy test #1"
    assert record["skipped"][0] == {"split": "train", "index": 3, "file": "x", "problem": "broken"}
    with pytest.raises(UsageError, match="made of train 40, test 6, and toy now has train 41, test 6; give the data"):
        division_from_record(toy(train=41, test=6), record)
    with pytest.raises(UsageError, match="expected the fields counts, parts and skipped"):
        division_from_record(source, {})
    parts = {**record["parts"], "val": {"from": "train", "indices": [40]}}
    with pytest.raises(UsageError, match="val has indices outside the 40 images of train"):
        division_from_record(source, {**record, "parts": parts})
    with pytest.raises(UsageError, match="val is drawn from 'other'"):
        division_from_record(source, {**record, "parts": {**parts, "val": {"from": "other", "indices": "all"}}})
    with pytest.raises(UsageError, match="expected the parts train and val"):
        division_from_record(source, {**record, "parts": {**parts, "val": None}})


def test_a_spread_of_indices_has_no_fixed_step() -> None:
    assert spread(5, 9).tolist() == [0, 1, 2, 3, 4]
    for count, limit in ((60_000, 10_000), (1001, 1000), (7, 3)):
        found = spread(count, limit)
        assert len(set(found.tolist())) == limit
        assert 0 <= found.min() <= found.max() < count
        assert (np.diff(found) > 0).all()
    assert abs((spread(60_000, 10_000) % 2).mean() - 0.5) < 0.01
