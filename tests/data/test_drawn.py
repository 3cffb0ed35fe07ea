"""Masks and boxes as they are stored, and as they are placed with their picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convsmith.base.errors import BadFile, UsageError
from convsmith.data.drawn import NO_BOX, VOID, Boxes, Masks, mask_to_size
from convsmith.data.examples import Examples
from convsmith.data.image_sets import ArrayImages, FileImages
from convsmith.data.loaders import evaluation_loader, training_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, to_size
from convsmith.data.targets import ClassLabels, Facts

NAMES = ("ground", "tree", "sky")
RECORDS = [
    {"size": (12, 16)},
    {"size": (20, 20)},
    {"size": (16, 12), "resize": 18},
    {"size": (10, 10), "resize": (11, 13)},
    {"size": (17, 13), "fit": "pad"},
    {"size": (13, 17), "fit": "pad"},
    {"size": (9, 21), "fit": "squash"},
]
STORED = [(12, 16), (31, 20), (40, 57), (7, 9)]


def record(**fields: object) -> ImageInput:
    return ImageInput(mean=(0.5,) * 3, std=(0.5,) * 3, **fields)  # type: ignore[arg-type]


def of_arrays(ids: np.ndarray, names: tuple[str, ...] = NAMES) -> Masks:
    return Masks(ArrayImages(ids[..., None], "masks", np.arange(len(ids))), names)


def test_masks_are_read_from_gray_palette_and_black_and_white_files(tmp_path: Path) -> None:
    ids = np.asarray([[0, 1, 2], [2, VOID, 0]], np.uint8)
    Image.fromarray(ids).save(tmp_path / "gray.png")
    palette = Image.fromarray(ids, "P")
    palette.putpalette([10, 20, 30] * 256)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(ids == 1).save(tmp_path / "two.png")
    masks = Masks(FileImages(tmp_path, ("gray.png", "palette.png", "two.png")), NAMES)
    np.testing.assert_array_equal(masks.read(0), ids)
    np.testing.assert_array_equal(masks.read(1), ids)
    np.testing.assert_array_equal(masks.read(2), (ids == 1).astype(np.uint8))
    np.testing.assert_array_equal(masks.subset([2, 0]).stack([1]), ids[None])
    both = masks.subset([1]).followed_by([of_arrays(ids[None])])
    np.testing.assert_array_equal(both.stack(range(2)), np.stack([ids, ids]))
    assert (masks.kind, masks.moves, len(masks), masks.strata()) == ("mask", True, 3, None)
    assert masks.facts() == Facts("mask", 3, NAMES)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.new("RGB", (3, 2)), "is not a mask: expected one id for each pixel (mode L or P), received mode RGB"),
        (Image.new("I;16", (3, 2)), "is not a mask: expected one id for each pixel (mode L or P), received mode I;16"),
        (Image.new("L", (3, 2), 3), "has the id 3; expected ids from 0 to 2, or 255 for void"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, image: Image.Image, said: str) -> None:
    image.save(tmp_path / "mask.png")
    with pytest.raises(BadFile) as caught:
        Masks(FileImages(tmp_path, ("mask.png",)), NAMES).read(0)
    assert str(caught.value) == f"{tmp_path / 'mask.png'}: {said}"


def test_targets_of_other_classes_are_not_joined() -> None:
    masks = of_arrays(np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(UsageError, match="have other classes"):
        masks.followed_by([of_arrays(np.zeros((1, 2, 2), np.uint8), ("a", "b"))])
    with pytest.raises(UsageError, match="targets of kind 'mask' cannot be joined with those of kind 'class'"):
        masks.followed_by([ClassLabels(np.zeros(1, np.int64))])
    with pytest.raises(UsageError, match="expected 1 to 255 classes, received 0"):
        of_arrays(np.zeros((1, 2, 2), np.uint8), ())


@pytest.mark.parametrize("margin", [False, True])
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("fields", RECORDS, ids=str)
def test_a_mask_lies_where_its_picture_lies(fields: dict, stored: tuple[int, int], margin: bool) -> None:
    how = record(**fields)
    rows, columns = np.indices(stored).astype(np.uint8) * 4
    picture = to_size(np.stack([rows, columns, np.full_like(rows, 255)], axis=2), how, margin)
    for axis, ids in enumerate((rows // 4, columns // 4)):
        mask = mask_to_size(ids, how, margin)
        assert (mask.shape, mask.dtype) == (picture.shape[:2], np.uint8)
        outside = picture[:, :, 2] != 255
        np.testing.assert_array_equal(mask == VOID, outside)
        inner = (mask > 1) & (mask < stored[axis] - 2) & ~outside
        scale = max(1.0, stored[axis] / min(how.size))
        off = np.abs(picture[:, :, axis].astype(float) / 4 - mask)[inner]
        assert off.size == 0 or off.max() <= 0.5 * scale + 0.2
        assert set(np.unique(mask)) <= {*np.unique(ids), VOID}


def test_a_mask_of_the_final_size_stays() -> None:
    ids = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    np.testing.assert_array_equal(mask_to_size(ids, record(size=(12, 16))), ids)
    np.testing.assert_array_equal(mask_to_size(ids, record(size=(12, 12), resize=12)), ids[:, 2:14])
    assert of_arrays(np.zeros((2, 3, 3), np.uint8)).stack([]).shape == (0, 0, 0)


def boxes() -> Boxes:
    """Three pictures: with two boxes, with one, with none."""
    corners = np.zeros((3, 2, 4), np.float32)
    corners[0] = [[0, 0, 10, 10], [20, 5, 40, 30]]
    corners[1, 0] = [8, 2, 16, 6]
    classes = np.asarray([[1, 0], [2, NO_BOX], [NO_BOX, NO_BOX]])
    return Boxes(corners, classes, np.asarray([[30, 40], [8, 16], [5, 5]]), NAMES)


def test_boxes_are_stacked_with_their_class_first() -> None:
    none = [NO_BOX, 0, 0, 0, 0]
    assert boxes().stack(range(3)).tolist() == [
        [[1, 0, 0, 10, 10], [0, 20, 5, 40, 30]],
        [[2, 8, 2, 16, 6], none],
        [none, none],
    ]
    assert boxes().stack([2, 0]).dtype == np.float32
    assert boxes().subset([1]).stack([0]).tolist() == [[[2, 8, 2, 16, 6], none]]
    assert boxes().facts() == Facts("box", 3, NAMES, (1, 1, 1), boxes=2)
    assert boxes().strata().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]  # type: ignore[union-attr]
    one = Boxes(np.asarray([[[0, 0, 1, 1]]], np.float32), np.asarray([[2]]), np.asarray([[4, 4]]), NAMES)
    assert one.strata().tolist() == [2]  # type: ignore[union-attr]
    both = one.followed_by([boxes()])
    assert both.stack([0, 1]).tolist() == [[[2, 0, 0, 1, 1], none], [[1, 0, 0, 10, 10], [0, 20, 5, 40, 30]]]


def test_boxes_are_placed_with_their_picture() -> None:
    # 30x40 is scaled to 15x20, of which the middle 15 columns are kept.
    found = boxes().stack([0], record(size=(15, 15)))[0]
    begin = round(2.5)
    assert found.tolist() == [[1, 0, 0, 5 - begin, 5], [0, 10 - begin, 2.5, 15, 15]]
    # With the margin nothing is cut.
    wide = boxes().stack([0], record(size=(10, 10), resize=(15, 20)), margin=True)[0]
    assert wide.tolist() == [[1, 0, 0, 5, 5], [0, 10, 2.5, 20, 15]]
    # Borders shift, squashing stretches.
    assert boxes().stack([1], record(size=(16, 16), fit="pad"))[0, 0].tolist() == [2, 8, 6, 16, 10]
    assert boxes().stack([1], record(size=(16, 16), fit="squash"))[0, 0].tolist() == [2, 8, 4, 16, 12]


def test_a_box_of_which_less_than_a_tenth_is_left_is_dropped() -> None:
    corners = np.asarray([[[0, 0, 11, 10]], [[0, 0, 12, 10]]], np.float32)
    made = Boxes(corners, np.zeros((2, 1), np.int64), np.asarray([[20, 40]] * 2), ("a",))
    # The middle 20 of 40 columns are kept: of the first box one of 11 columns, of the second 2 of 12.
    assert made.stack([0, 1], record(size=(20, 20)))[:, 0].tolist() == [[NO_BOX, 0, 0, 0, 0], [0, 0, 0, 2, 10]]


@pytest.mark.parametrize(
    ("corners", "number"),
    [
        ((5, 0, 5, 3), 0),
        ((0, 0, 41, 3), 0),
        ((0, 3, 4, 2), 0),
        ((-1, 0, 4, 2), 0),
        ((0, 0, 4, 31), 0),
        ((0, 0, 1, 1), 3),
    ],
)
def test_boxes_outside_of_their_picture_are_refused(corners: tuple[int, ...], number: int) -> None:
    with pytest.raises(UsageError) as caught:
        Boxes(np.asarray([[corners]], np.float32), np.asarray([[number]]), np.asarray([[30, 40]]), NAMES)
    assert str(caught.value) == (
        "boxes: expected left < right and top < bottom inside of the picture and a class below 3, received "
        f"{[float(c) for c in corners]} of class {number} in picture 0 of 30x40"
    )
    with pytest.raises(UsageError, match=r"expected corners \(N, boxes, 4\), classes \(N, boxes\) and sizes \(N, 2\)"):
        Boxes(np.zeros((1, 2, 4), np.float32), np.zeros((1, 3), np.int64), np.zeros((1, 2), np.int64), NAMES)


@pytest.mark.parametrize("loader", ["resident", "streaming"])
def test_loaders_place_masks_and_boxes(loader: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 3, (6, 30, 40, 1), dtype=np.uint8)
    images = ArrayImages(pixels.repeat(3, axis=3), "pictures", np.arange(6))
    how = record(size=(12, 12), resize=15)
    options = DataOptions(loader=loader, workers=0)  # type: ignore[arg-type]
    rows = np.asarray([[[10, 10, 30, 20]]] * 6, np.float32)
    drawn = (of_arrays(pixels[..., 0]), Boxes(rows, np.zeros((6, 1), np.int64), np.asarray([[30, 40]] * 6), NAMES))
    for targets in drawn:
        examples = Examples(images, targets)
        loaders = (
            training_loader(examples, how, options, batch=3, seed=0),
            evaluation_loader(examples, how, options, batch=4),
        )
        for margin, made in zip((True, False), loaders, strict=True):
            whole = torch.from_numpy(targets.stack(range(6), how, margin))
            for batch in made.epoch(0):
                assert torch.equal(batch.targets, whole[batch.samples])
                if targets.kind == "mask":
                    assert batch.targets.shape[1:] == batch.images.shape[2:]
