"""Wide and tall pictures: what is cut, bordered or squashed, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convsmith.base.errors import UsageError
from convsmith.data.examples import from_arrays
from convsmith.data.fit import enlargement, placed, read_size, shaped, size_text, size_word
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, final_size, preprocess_for, to_size
from convsmith.data.shapes import Shapes, losses, shapes_of
from convsmith.data.sources.opening import open_path
from convsmith.data.stats import stats

RECORD = ImageInput(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
WIDE = replace(RECORD, size=(32, 128), resize=(37, 148))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_sizes_are_read_and_written() -> None:
    assert read_size(224) == read_size("224") == (224, 224)
    assert read_size("32x128") == read_size("32×128") == (32, 128)
    assert size_word((224, 224)) == 224
    assert size_word((32, 128)) == "32x128"
    assert size_text((2_000_000, 32.5)) == "2000000x32.5"
    assert shaped((32, 128), 37) == (37, 148)
    assert shaped((128, 32), 37) == (148, 37)
    for wrong in ("", "x", "0", "32x0", "1e3", "a", "70000"):
        with pytest.raises(UsageError, match="size: expected"):
            read_size(wrong)


def test_pad_keeps_all_between_gray_borders() -> None:
    image = noise(32, 128)
    found = to_size(image, replace(RECORD, fit="pad"))
    assert found.shape == (32, 32, 3)
    assert (found[:12] == 128).all()
    assert (found[20:] == 128).all()
    expected = Image.fromarray(image).resize((32, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found[12:20], np.asarray(expected))
    # What has the size already is left alone.
    np.testing.assert_array_equal(to_size(image, replace(RECORD, size=(32, 128), fit="pad")), image)


def test_squash_changes_the_shape() -> None:
    image = noise(32, 128)
    expected = Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(to_size(image, replace(RECORD, fit="squash")), np.asarray(expected))


def test_a_frame_of_two_numbers_is_covered() -> None:
    image = noise(74, 592)
    scaled = np.asarray(Image.fromarray(image).resize((296, 37), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(to_size(image, WIDE), scaled[2:34, 84:212])
    np.testing.assert_array_equal(to_size(image, WIDE, margin=True), scaled[:, 74:222])
    assert final_size(WIDE, margin=True) == (37, 148)
    tall = to_size(noise(300, 100), WIDE, margin=True)
    assert tall.shape == (37, 148, 3)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(32, 128), (128, 32), (50, 51), (8, 8)])
@pytest.mark.parametrize("stored", [(1, 1), (1, 500), (500, 1), (97, 131), (32, 128)])
def test_every_picture_gets_the_size(fit: str, size: tuple[int, int], stored: tuple[int, int]) -> None:
    record = ImageInput(size=size, fit=fit, mean=(0.5,) * 3, std=(0.5,) * 3)  # type: ignore[arg-type]
    assert to_size(noise(*stored), record).shape == (*size, 3)
    assert placed(stored, record).share == 1 or fit == "crop"
    if fit == "crop":
        outer = shaped(size, round(min(size) * 8 / 7))
        assert to_size(noise(*stored), replace(record, resize=outer)).shape == (*size, 3)
        assert to_size(noise(*stored), replace(record, resize=outer), margin=True).shape == (*outer, 3)


def test_the_record_goes_to_json_and_back() -> None:
    for record in (WIDE, replace(RECORD, fit="pad"), replace(RECORD, resize=37)):
        assert ImageInput.from_json(record.to_json()) == record
    old = RECORD.to_json()
    del old["fit"]
    assert ImageInput.from_json(old) == RECORD
    assert replace(RECORD, resize=(37, 37)) == replace(RECORD, resize=37)


def test_what_is_cut_off_is_said_from_the_real_sizes() -> None:
    shapes = Shapes([(32, 128)] * 3, {"RGB": 3})
    assert losses(shapes, RECORD) == [
        "the center 25% of each picture is used (32x32); --data.fit pad or squash keeps all"
    ]
    assert losses(shapes, replace(RECORD, fit="pad")) == []
    assert losses(shapes, replace(RECORD, size=(32, 128))) == []
    mixed = Shapes([(64, 64), (64, 64), (64, 6400)], {"RGB": 3})
    assert losses(mixed, RECORD) == [
        "the center 100% of the median picture is used (32x32), 1% of the worst (64x6400); --data.fit pad or squash "
        "keeps all"
    ]


def test_enlarged_squeezed_and_dropped_is_said() -> None:
    shapes = Shapes([(8, 8)] * 4, {"RGB": 3, "L": 1}, deep=2, clear=1)
    large = replace(RECORD, size=(224, 224))
    assert losses(shapes, large) == [
        "each picture of 8x8 pixels is enlarged 28 times; --size 8 does without",
        "values of more than 8 bits are squeezed to 8 (2 of 4 pictures looked at)",
        "transparent pixels are laid on white (1 of 4 pictures looked at)",
        "gray pictures get three equal channels (1 of 4 pictures looked at)",
    ]
    gray = ImageInput(mode="L", size=(8, 8), mean=(0.5,), std=(0.5,))
    assert losses(shapes, gray)[2:] == ["colors are dropped; --data.channels 3 keeps them (3 of 4 pictures looked at)"]
    assert enlargement((32, 128), replace(RECORD, size=(64, 128), fit="squash")) == 2


def test_headers_tell_what_pictures_are_like(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.new("RGBA", (8, 4)).save(tmp_path / "a" / "alpha.png")
    Image.new("I;16", (8, 4)).save(tmp_path / "a" / "deep.png")
    Image.new("P", (8, 4)).save(tmp_path / "b" / "clear.gif", transparency=0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "b" / "turned.jpg", exif=exif)
    shapes = shapes_of(open_path(tmp_path).splits["train"])
    assert sorted(shapes.sizes) == [(4, 8), (4, 8), (4, 8), (8, 4)]
    assert (shapes.deep, shapes.clear, shapes.unread) == (1, 2, 0)
    arrays = shapes_of(from_arrays(np.zeros((3, 5, 6), np.uint8), np.zeros(3), "x"))
    assert arrays == Shapes([(5, 6)] * 3, {"L": 3})


def test_stats_say_what_training_would_do(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(tmp_path / "wide", {"a": 3, "b": 3}, size=(32, 128))
    found = stats(open_path(root), 1, DataOptions(source=str(root), size=224))
    said = [text for text in found["advice"] if text.startswith("size: ")]
    assert said == [
        "size: all images have 32x128 pixels (height x width); training uses them at 224x224; another is set with "
        "--size",
        "size: the center 25% of each picture is used (224x224); --data.fit pad or squash keeps all",
        "size: each picture of 32x128 pixels is enlarged 7 times; --size 32x128 does without",
    ]
    same = stats(open_path(root), 1, DataOptions(source=str(root)))
    said = [text for text in same["advice"] if text.startswith("size: ")]
    assert said == ["size: all images have 32x128 pixels (height x width); training uses them so"]


def test_the_record_of_options_is_the_one_that_is_used(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(tmp_path / "wide", {"a": 3, "b": 3}, size=(32, 128))
    card = open_path(root).card
    one = ((0.5,) * 3, (0.5,) * 3)
    assert preprocess_for(card, DataOptions(size=32, fit="squash"), one).size == (32, 32)
    assert preprocess_for(card, DataOptions(fit="pad"), one).size == (32, 128)
