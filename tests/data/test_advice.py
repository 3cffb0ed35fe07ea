"""What `data stats` suggests, with its numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convsmith.data.advice import may_flip, mirror_note
from convsmith.data.augmentations import AlternatingFlip, Crop, Flip, VerticalFlip
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import preprocess_for
from convsmith.data.sources.opening import open_path, open_source
from convsmith.data.stats import stats
from convsmith.data.suit import colors_of


@pytest.mark.parametrize(
    ("name", "may"),
    [("digits", False), ("mnist", False), ("MNIST", False), ("emnist", False), ("svhn", False), ("photos", True),
     ("fashion_mnist", True), ("Fashion-MNIST", True), ("cifar10", True)],
)  # fmt: skip
def test_sets_whose_mirror_images_are_others(name: str, may: bool) -> None:
    assert may_flip(name) is may


def test_mirrors_of_sets_that_must_not_be_mirrored_are_said() -> None:
    digits = open_source(DataOptions()).card
    said = mirror_note(digits, (Crop(2), VerticalFlip(), AlternatingFlip()))
    assert said == (
        "vertical_flip, alternating_flip: in a mirror the 10 classes of digits become others or none; leave that out "
        "with another --augment"
    )
    assert mirror_note(digits, (Crop(2),)) is None
    assert mirror_note(replace(digits, name="photos"), (Flip(),)) is None


def test_the_digits_are_not_to_be_flipped() -> None:
    found = stats(open_source(DataOptions()))
    flip, balance, amount, size, pixels = found["advice"]
    assert flip == "no flip: in a mirror the 10 classes of digits become others or none; --augment 'crop(4)'"
    assert balance.startswith("balance: '3' has 183 training images, '8' 174, 1.05 times fewer")
    assert amount.startswith("amount: 1,797 training images, 180 for each of 10 classes; so few gain from trained ")
    assert "(train photos --pretrained); --kfold 5 gives a surer number" in amount
    assert size == "size: all images have 8x8 pixels (height x width); training uses them so"
    assert pixels == "normalization: a run measures mean and std of its training images, and keeps them"
    assert found["lighting"] is None


def test_uneven_colors_of_several_sizes(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(tmp_path / "photos", {"cat": 24, "owl": 2}, size=(40, 60))
    class_folders(root, {"cat": 1}, size=(50, 60))
    source = open_path(root)
    found = stats(source)
    flip, imbalance, amount, size, cut, enlarged, pixels, colors = found["advice"]
    assert flip == "flip: a mirror keeps the classes, as far as the name tells; --augment 'resized_crop,flip'"
    assert imbalance.startswith("imbalance: 'cat' has 24 training images, 'owl' 2, 12 times fewer; --data.sampling")
    assert "--loss.class_weights balanced" in imbalance
    assert amount.startswith("amount: 26 training images, 13 for each of 2 classes; so few gain")
    assert size == (
        "size: the median image has 40x60 pixels (height x width); training uses them at 224x224; another is set with "
        "--size"
    )
    assert cut == (
        "size: the center 51% of the median picture is used (224x224), 51% of the worst (40x60); --data.fit pad or "
        "squash keeps all"
    )
    assert enlarged == "size: the median picture of 40x60 pixels is enlarged 6.4 times; --size 40 does without"
    record = preprocess_for(source.card, DataOptions(), ((0.5,) * 3, (0.5,) * 3))
    deviations, components = colors_of(source.splits["train"], record, 1)
    assert found["lighting"] == {"deviations": list(deviations), "components": list(components)}
    assert f"colors: deviations {', '.join(f'{d:.3g}' for d in deviations)} along" in colors
    share = deviations[0] ** 2 / np.square(deviations).sum()
    assert f"{share:.0%} of the variance" in colors
    assert pixels.startswith("normalization: a run measures")
