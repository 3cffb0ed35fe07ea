"""Masks and boxes move with their picture: for every operation that moves pixels, by the same keys."""

from collections.abc import Iterator

import pytest
import torch

from convsmith.base import config
from convsmith.base.errors import UsageError
from convsmith.data import keys as counter
from convsmith.data.augment import OUTSIDE, STEPS, augment, center, mix, operations, places
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.moving import augment_batch, moved_boxes, moved_masks, pasted_masks, resized_targets
from convsmith.data.augment.operations import OPERATIONS, Operation
from convsmith.data.augmentations import (
    MIXING,
    Affine,
    AlternatingFlip,
    Augment,
    Augmix,
    Autoaugment,
    ColorJitter,
    Crop,
    Cutmix,
    Cutout,
    Elastic,
    Erase,
    Flip,
    Mixup,
    Noise,
    Randaugment,
    ResizedCrop,
    Rotate,
    ScaleCrop,
    Translate,
    Trivialaugment,
    VerticalFlip,
)
from convsmith.data.drawn import NO_BOX, VOID
from convsmith.data.loaders import Batch
from convsmith.data.moves import MOVES
from convsmith.data.preprocess import ImageInput
from convsmith.data.suit import check_augments

COUNT, HEIGHT, WIDTH = 60, 36, 44
GOAL = (32, 40)
SEED, EPOCH = 3, 5
# Of exact ones a picture's channel is a mask already; the others interpolate.
EXACT: list[Augment] = [Flip(), VerticalFlip(), AlternatingFlip(), Crop(0), Crop(3), Crop(3, "reflect"), Translate(6)]
SMOOTH: list[Augment] = [
    ScaleCrop(34, 60), ScaleCrop(36, 36), ResizedCrop(), ResizedCrop(0.5, 0.6, 1.0), Rotate(25), Rotate(180), Affine(),
    Affine(40, 0.3, 0.4, 20), Elastic(), Elastic(2.0, 5.0),
]  # fmt: skip
POLICIES: list[Augment] = [
    Autoaugment("cifar10"), Autoaugment("imagenet"), Autoaugment("svhn"), Randaugment(), Randaugment(3, 30),
    Trivialaugment(),
]  # fmt: skip


def name(step: Augment) -> str:
    return str(step).replace(" ", "")


def record(fill: int, size: tuple[int, int] = GOAL) -> ImageInput:
    """A record whose rounded mean is `fill` in each channel."""
    return ImageInput(size=size, mean=(fill / 255,) * 3, std=(0.2,) * 3)


def random_ids(highest: int = 255) -> torch.Tensor:
    """Ids that differ from pixel to pixel, uint8 (COUNT, HEIGHT, WIDTH), below `highest`."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, highest, (COUNT, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)


def batch_of(images: torch.Tensor, targets: torch.Tensor) -> Batch:
    numbers = torch.arange(len(images))
    return Batch(images, targets, numbers + 100, numbers.flip(0))


def moved(batch: Batch, kind: str, steps: tuple[Augment, ...], fill: int) -> Batch:
    return augment_batch(batch, kind, steps, SEED, EPOCH, record(fill))  # type: ignore[arg-type]


@pytest.fixture
def only_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations of policies that do not move pixels do nothing."""
    for each, operation in OPERATIONS.items():
        if not operation.moves:
            monkeypatch.setitem(OPERATIONS, each, Operation(lambda images, amounts, frame: images))


def test_every_kind_says_what_it_does_to_labels() -> None:
    assert set(MOVES) == set(STEPS) | set(MIXING)
    assert {type(step) for step in (*EXACT, *SMOOTH, *POLICIES)} == {kind for kind, m in MOVES.items() if m == "moves"}
    assert {kind for kind, m in MOVES.items() if m == "blends"} == {Augmix, Mixup}
    assert {kind for kind, m in MOVES.items() if m == "pastes"} == {Cutmix}
    moving = {each for each, operation in OPERATIONS.items() if operation.moves}
    assert moving == {"shear_x", "shear_y", "translate_x", "translate_y", "rotate"}


@pytest.mark.parametrize("each", [each for each, operation in OPERATIONS.items() if not operation.moves])
def test_operations_that_do_not_move_keep_borders_in_place(each: str) -> None:
    halves = torch.full((3, 3, 12, 12), 70, dtype=torch.uint8)
    halves[:, :, :, 5:] = 200
    amounts = torch.tensor([0.2, 0.5, 3.0], dtype=torch.float64)
    found = OPERATIONS[each].apply(halves, amounts, Frame((12, 12), halves[0, :, 0, 0]))
    for side in (found[:, :, 2:-2, :4], found[:, :, 2:-2, 6:]):
        assert (side == side[:, :, :1, :1]).all(), "one value on each side"


@pytest.mark.parametrize("step", [*EXACT, *POLICIES], ids=name)
def test_a_mask_is_moved_as_the_channel_of_a_picture_exactly(step: Augment, only_places: None) -> None:
    ids = random_ids()
    found = moved(batch_of(ids[:, None].repeat(1, 3, 1, 1), ids), "mask", (step,), VOID)
    assert (found.targets.dtype, found.targets.shape) == (torch.uint8, (COUNT, *GOAL))
    assert torch.equal(found.targets, found.images[:, 0])
    still = center(ids[:, None], GOAL)[:, 0]
    assert type(step) is Crop or (found.targets != still).any()


@pytest.mark.parametrize("step", [*EXACT, *SMOOTH], ids=name)
def test_a_mask_is_the_nearest_form_of_a_moved_channel(step: Augment) -> None:
    ids, batch = random_ids(), batch_of(torch.zeros(COUNT, 3, HEIGHT, WIDTH, dtype=torch.uint8), random_ids())
    positions, epoch = (batch.samples, 0) if isinstance(step, AlternatingFlip) else (batch.positions, EPOCH)
    keys = counter.keys(SEED, epoch, positions, 0)
    frame = Frame(GOAL, torch.tensor([VOID], dtype=torch.uint8), EPOCH, "nearest", labels=True)
    expected = center(STEPS[type(step)](ids[:, None], keys, step, frame), GOAL)[:, 0]
    found = moved(batch, "mask", (step,), 0).targets
    assert torch.equal(found, expected)
    before = [set(mask.unique().tolist()) | {VOID} for mask in ids]
    assert all(set(mask.unique().tolist()) <= old for mask, old in zip(found, before, strict=True)), "no new ids"


def ramps() -> torch.Tensor:
    """Pictures whose red is five times the column and whose green five times the row."""
    x = (5 * torch.arange(WIDTH)).expand(HEIGHT, WIDTH)
    y = (5 * torch.arange(HEIGHT))[:, None].expand(HEIGHT, WIDTH)
    return torch.stack((x, y, torch.zeros_like(x))).to(torch.uint8).expand(COUNT, 3, HEIGHT, WIDTH).contiguous()


@pytest.mark.parametrize("step", SMOOTH, ids=name)
def test_the_nearest_pixel_is_where_the_smooth_picture_is(step: Augment) -> None:
    positions = torch.arange(COUNT) + 100
    picture = augment(ramps(), (step,), SEED, EPOCH, positions, record(0)).float() / 5
    at = places((HEIGHT, WIDTH), (step,), SEED, EPOCH, positions, record(0))
    # Near the border a picture blends with what lies outside, and a filter has only one side.
    x, y = at % WIDTH, at // WIDTH
    inner = (at >= 0) & (x > 2) & (x < WIDTH - 3) & (y > 2) & (y < HEIGHT - 3)
    assert inner.float().mean() > 0.3
    scale = WIDTH / GOAL[1]
    for source, channel in ((x, 0), (y, 1)):
        off = (picture[:, channel] - source)[inner].abs()
        assert off.max() <= 0.5 * scale + 0.21, "half a pixel, and the rounding of both"
        assert abs(float((picture[:, channel] - source)[inner].mean())) < 0.05, "to neither side"


def test_a_chain_is_moved_step_by_step(only_places: None) -> None:
    steps = (Flip(), Translate(4), Cutout(9), Randaugment(), Erase(1), Crop(2), Cutout(3), AlternatingFlip())
    ids = random_ids()
    found = moved(batch_of(ids[:, None].repeat(1, 3, 1, 1), ids), "mask", steps, VOID)
    plain = tuple(step for step in steps if MOVES[type(step)] == "moves")
    draws = {type(step): draw for draw, step in enumerate(steps)}
    assert [draws[type(step)] for step in plain] == [0, 1, 3, 5, 7], "each draws by its own index"
    # Cutout and erasing cover the picture alone.
    same = found.targets == found.images[:, 0]
    assert 0.4 < same.float().mean() < 0.99
    assert torch.equal(
        moved(batch_of(ids[:, None].repeat(1, 3, 1, 1), ids), "mask", steps, VOID).targets, found.targets
    )


def test_a_mask_depends_on_its_own_key_alone() -> None:
    steps = (Flip(), ResizedCrop(), Rotate(30), Elastic())
    ids = random_ids()
    batch = batch_of(ids[:, None].repeat(1, 3, 1, 1), ids)
    whole = moved(batch, "mask", steps, 0).targets
    back = torch.arange(COUNT - 1, -1, -3)
    some = Batch(batch.images[back], batch.targets[back], batch.positions[back], batch.samples[back])
    assert torch.equal(moved(some, "mask", steps, 0).targets, whole[back])


@pytest.mark.parametrize("step", [Noise(), ColorJitter(), Cutout(30), Erase(1, 0.3, 0.5)], ids=name)
@pytest.mark.parametrize("kind", ["mask", "box"])
def test_what_covers_or_colors_leaves_labels(step: Augment, kind: str) -> None:
    images = torch.full((COUNT, 3, *GOAL), 100, dtype=torch.uint8)
    targets = random_ids()[:, : GOAL[0], : GOAL[1]] if kind == "mask" else rectangles()[:, :, :] * 0.5
    found = moved(batch_of(images, targets), kind, (step,), 0)
    assert torch.equal(found.targets, targets)
    assert not torch.equal(found.images, images)


def test_other_targets_stay() -> None:
    labels = torch.arange(COUNT)
    for kind in ("class", "labels", "text", "image", "none"):
        assert moved(batch_of(ramps(), labels), kind, (Flip(), Crop(2), Augmix()), 0).targets is labels


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_augmix_is_refused(kind: str) -> None:
    targets = random_ids() if kind == "mask" else rectangles()
    said = "augmix: it blends pixels of several places, so that no mask and no box fits them; leave augmix out"
    with pytest.raises(UsageError, match=said):
        moved(batch_of(ramps(), targets), kind, (Augmix(),), 0)
    for step in (Augmix(), Mixup()):
        with pytest.raises(UsageError, match=f"{config.kind_of(type(step))}: it blends"):
            check_augments((step,), record(0), kind=kind)  # type: ignore[arg-type]


def test_mixing_is_refused_where_targets_have_no_shares() -> None:
    check_augments((Cutmix(),), record(0), kind="mask")
    with pytest.raises(UsageError, match="cutmix: it covers boxes with parts of another image; leave cutmix out"):
        check_augments((Cutmix(),), record(0), kind="box")
    for step in (Cutmix(), Mixup()):
        with pytest.raises(UsageError, match="it gives images shares of two targets, and a text has no shares"):
            check_augments((step,), record(0), kind="text")
        check_augments((step,), record(0), kind="image")


def test_cutmix_pastes_the_mask() -> None:
    ids, positions = random_ids(), torch.arange(COUNT)
    images, mixtures = mix(ids[:, None].repeat(1, 3, 1, 1), (Cutmix(1, 1), Cutmix(0.5, 0.5)), SEED, EPOCH, positions)
    found = pasted_masks(ids, mixtures)
    assert torch.equal(found, images[:, 0])
    assert (found != ids).any()
    _, blended = mix(images, (Mixup(),), SEED, EPOCH, positions)
    with pytest.raises(UsageError, match="mixup: it blends two pictures"):
        pasted_masks(ids, blended)


def rectangles() -> torch.Tensor:
    """A box for each picture, of whole pixels, float32 (COUNT, 1, 5)."""
    generator = torch.Generator().manual_seed(2)
    top, left = (torch.randint(0, side - 14, (COUNT,), generator=generator) for side in (HEIGHT, WIDTH))
    tall, wide = (torch.randint(9, 15, (COUNT,), generator=generator) for _ in range(2))
    return torch.stack((torch.arange(COUNT) % 7, left, top, left + wide, top + tall), 1).float()[:, None]


def marked(boxes: torch.Tensor) -> torch.Tensor:
    """White rectangles on black where the boxes are."""
    images = torch.zeros(COUNT, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    for image, box in zip(images, boxes[:, 0, 1:].long().tolist(), strict=True):
        image[:, box[1] : box[3], box[0] : box[2]] = 255
    return images


def around(white: torch.Tensor) -> Iterator[list[int] | None]:
    """The smallest box around the white pixels of each picture; None if there are none."""
    for image in white:
        rows, columns = image.any(1).nonzero().flatten().tolist(), image.any(0).nonzero().flatten().tolist()
        yield [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if rows else None


@pytest.mark.parametrize("step", [*EXACT, *SMOOTH, *POLICIES], ids=name)
def test_a_box_follows_its_marked_rectangle(step: Augment, only_places: None) -> None:
    boxes = rectangles()
    found = moved(batch_of(marked(boxes), boxes), "box", (step,), 0)
    assert (found.targets.dtype, found.targets.shape) == (torch.float32, (COUNT, 1, 5))
    dropped = 0
    for now, before, ends in zip(found.targets[:, 0], boxes[:, 0], around(found.images[:, 0] > 127), strict=True):
        if now[0] == NO_BOX:
            dropped += 1
            assert now.tolist() == [NO_BOX, 0, 0, 0, 0]
            continue
        assert now[0] == before[0]
        assert ends is not None
        off = (now[1:] - torch.tensor(ends)).abs().max()
        assert off <= (0 if step in EXACT or step in POLICIES else 1), (now, ends)
    assert dropped < COUNT * 0.6
    assert not torch.equal(found.targets, boxes)


def test_a_box_of_which_less_than_a_tenth_is_left_is_dropped() -> None:
    # Windows of 20x20, of which the upper left is shown.
    boxes = torch.tensor([[[1.0, 10, 0, 30, 20], [2, 18, 0, 38, 20], [3, 19, 0, 39, 20], [NO_BOX, 0, 0, 0, 0]]])
    numbers = torch.arange(40 * 40, dtype=torch.int32).view(1, 40, 40)
    found = moved_boxes(boxes, numbers[:, :20, :20], 40)
    assert found.tolist() == [[[1, 10, 0, 20, 20], [2, 18, 0, 20, 20], [NO_BOX, 0, 0, 0, 0], [NO_BOX, 0, 0, 0, 0]]]


@pytest.mark.parametrize("times", [0.5, 1, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_the_share_of_a_box_that_is_left_does_not_depend_on_its_scale(times: float, turned: bool) -> None:
    side = round(40 * times)
    at = (torch.arange(side) + 0.5).div(times).long()
    numbers = (at[:, None] * 80 + at).int()[None]
    numbers = numbers.transpose(1, 2).flip(1) if turned else numbers
    boxes = torch.tensor([[[0.0, 34, 0, 74, 40], [0, 38, 0, 78, 40], [0, 30, 4, 50, 36]]])
    found = moved_boxes(boxes, numbers, 80)[0]
    assert found[:, 0].tolist() == [0, NO_BOX, 0], "6 of 40 columns are left, then 2, then half"


def test_void_is_what_comes_from_outside() -> None:
    numbers = torch.tensor([[[0, OUTSIDE], [3, 2]]], dtype=torch.int32)
    masks = torch.tensor([[[7, 8], [9, 254]]], dtype=torch.uint8)
    assert moved_masks(masks, numbers).tolist() == [[[7, VOID], [254, 9]]]


def test_images_larger_than_the_final_size_are_cut_with_their_labels() -> None:
    ids, boxes = random_ids(), rectangles()
    found = moved(batch_of(ids[:, None].repeat(1, 3, 1, 1), ids), "mask", (), 0)
    assert torch.equal(found.targets, found.images[:, 0])
    found = moved(batch_of(marked(boxes), boxes), "box", (), 0)
    for now, ends in zip(found.targets[:, 0], around(found.images[:, 0] > 127), strict=True):
        assert now[0] == NO_BOX or now[1:].tolist() == ends


def test_progressive_resizing_takes_labels_along() -> None:
    ids = random_ids()
    small = resized_targets(ids, "mask", (HEIGHT, WIDTH), (18, 11))
    assert torch.equal(small, ids[:, 1::2, 2::4])
    assert resized_targets(ids, "mask", (HEIGHT, WIDTH), (HEIGHT, WIDTH)) is ids
    boxes = rectangles()
    scaled = resized_targets(boxes, "box", (HEIGHT, WIDTH), (18, 11))
    assert torch.equal(scaled[..., 0], boxes[..., 0])
    assert torch.equal(scaled[..., 1::2], boxes[..., 1::2] / 4)
    assert torch.equal(scaled[..., 2::2], boxes[..., 2::2] / 2)
    labels = torch.arange(3)
    assert resized_targets(labels, "class", (HEIGHT, WIDTH), (18, 11)) is labels


def test_policies_know_which_of_their_operations_move() -> None:
    assert operations.OPERATIONS["identity"].moves is False
