"""Options and the card: what they refuse, and their way to JSON and back."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from convsmith.base import config
from convsmith.base.errors import UsageError
from convsmith.data.augmentations import Augment, Crop, Flip
from convsmith.data.card import Card
from convsmith.data.options import DataOptions, split_shares


def test_a_size_has_one_form() -> None:
    assert DataOptions(size="64x64") == DataOptions(size=64) == DataOptions(size="64")
    found = DataOptions(size=" 32 X 128 ")
    assert (found.size, found.shape) == ("32x128", (32, 128))
    assert DataOptions().shape is None
    assert config.read(DataOptions, json.loads(json.dumps(config.plain(found))), "data") == found
    assert config.edit(DataOptions(), "size", "32x128") == found
    assert config.edit(found, "size", "none").shape is None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("source", " ", "expected a known name or a path"),
        ("size", 0, "size: expected from 1 to 65535 pixels a side, received 0"),
        ("size", "32x", "size: expected a whole number of pixels, or height x width such as 32x128, received '32x'"),
        ("size", "-3", "height x width such as 32x128, received '-3'"),
        ("size", "1x2x3", "height x width such as 32x128, received '1x2x3'"),
        ("size", "9000x9000", "size: expected at most 16,777,216 pixels in all, received 9000x9000"),
        ("fit", "stretch", "unknown value for data.fit: 'stretch'; known: crop, pad, squash"),
        (
            "max_megapixels",
            0,
            "data.max_megapixels: expected a whole number from 1 to 4295, received 0; the default is none",
        ),
        ("channels", 2, "unknown value for data.channels: '2'; known: 1, 3"),
        ("workers", -1, "data.workers: expected a whole number from 0, received -1; the default is 2"),
        ("loader", "fast", "unknown value for data.loader: 'fast'; nearest: auto"),
        ("on_bad", "ignore", "unknown value for data.on_bad: 'ignore'; known: error, skip"),
        ("split", "80/20", "expected train/val/test shares such as 80/10/10"),
        ("split", "80/0/20", "train and val above 0"),
        ("split", "a/b/c", "received 'a/b/c'"),
    ],
)
def test_wrong_options_are_refused(field: str, value: object, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        DataOptions(**{field: value})
    assert says in str(caught.value)


def test_options_are_a_record_that_text_edits() -> None:
    options = config.edit(DataOptions(), "channels", "3")
    assert options == DataOptions(channels=3)
    assert config.read(DataOptions, config.plain(replace(options, size=32))) == replace(options, size=32)
    assert all(text for _, _, _, text in config.options(options)), "every option has its line of help"


def test_shares_are_fractions() -> None:
    assert split_shares("80/10/10") == (0.8, 0.1, 0.1)
    assert split_shares("3/1/0") == (0.75, 0.25, 0.0)


def test_augmentations_have_one_text_form() -> None:
    kinds = tuple[Augment, ...]
    found = config._read(kinds, "crop(4),flip,crop(2, mode=reflect),flip(0.3)", "augment")
    assert found == (Crop(4), Flip(), Crop(2, "reflect"), Flip(0.3))
    assert config._read(kinds, config.plain(found), "augment") == found


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Flip(1.5), "flip.probability: expected a number from 0 to 1, received 1.5; the default is 0.5"),
        (lambda: Crop(-1), "crop.padding: expected a whole number from 0, received -1; the default is 4"),
        (lambda: Crop(1, "edge"), "unknown value for crop.mode: 'edge'; known: mean, reflect"),  # type: ignore[arg-type]
    ],
)
def test_wrong_augmentations_are_refused(make: object, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value) == says


CARD = Card(
    name="toy",
    kind="folder",
    classes=("a", "b"),
    channels=3,
    size=None,
    counts={"train": 3},
    class_counts={"train": (1, 2)},
    license="none",
    source="here",
    fingerprint="00",
    notes=("a note",),
)


def test_card_goes_to_json_and_back() -> None:
    for card in (CARD, replace(CARD, size=(8, 9))):
        assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card


def test_wrong_cards_are_refused() -> None:
    with pytest.raises(UsageError, match="data card: card needs kind, classes, channels, size, counts"):
        Card.from_json({"name": "x"})
    with pytest.raises(UsageError, match="data card: size: expected height and width of at least 1, received"):
        Card.from_json({**CARD.to_json(), "size": [1, 2, 3]})
    for field, value, says in (
        ("size", [0, 2], "data card: size: expected height and width of at least 1, received (0, 2)"),
        ("channels", 5, "data card: channels: expected 1 to 4, received 5"),
        ("counts", {"train": -1}, "data card: counts: expected numbers of images, 0 or more"),
        ("counts", [3], "data card.counts: expected whole number by name, received [3]"),
        ("classes", 3, "data card.classes: expected a list of text, received 3"),
        ("color", 3, "unknown key in data card 'color'"),
    ):
        with pytest.raises(UsageError) as caught:
            Card.from_json({**CARD.to_json(), field: value})
        assert str(caught.value).startswith(says)


def test_everything_but_loading_imports_no_torch() -> None:
    modules = "options card examples images preprocess decoding split groups sources dataset check stats"
    code = "import sys\n" + "".join(f"import convsmith.data.{name}\n" for name in modules.split())
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
