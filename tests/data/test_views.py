"""The views of an image: what they are, what they cost, and what cannot be."""

import pytest
import torch
from torchvision.transforms.v2 import functional

from convsmith.base.config import plain
from convsmith.base.errors import UsageError
from convsmith.data.preprocess import ImageInput
from convsmith.data.view_pixels import fingerprints, log_mean, seen, shifted, ten_crop
from convsmith.data.views import Mirror, TenCrop, Translate, price, read_views, scaled_records, views_text

SMALL = ImageInput(mode="L", size=(4, 4), mean=(0.5,), std=(0.5,))
LARGE = ImageInput(resize=256, size=(224, 224), mean=(0.5,) * 3, std=(0.25,) * 3)
FILL = torch.tensor([9], dtype=torch.uint8)


def numbered(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.arange(count * height * width, dtype=torch.uint8).view(count, 1, height, width)


@pytest.mark.parametrize(
    "text",
    [
        "mirror",
        "ten_crop(4)",
        "translate(1), mirror",
        "multi_scale(224, 256), dense",
        "draws(3, pooling, 7)",
        "noisy(4, 0.1, 2)",
        "mirror, noisy(8, 0.05, 0)",
        "",
    ],
)
def test_views_are_read_back_from_their_text_and_their_json(text: str) -> None:
    views = read_views(text)
    assert views_text(views) == text
    assert read_views(plain(views)) == views
    assert read_views("multi_scale((224, 256))") == read_views("multi_scale(224, 256)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flop", "unknown views 'flop'"),
        ("mirror,mirror", "views: mirror is given twice; give it once"),
        ("ten_crop,mirror", "views: ten_crop holds the mirror images already; leave out mirror"),
        ("translate(1),dense", "views: translate and dense both say which part of the image is seen; give one"),
        ("multi_scale", r"expected different lengths in pixels such as multi_scale\(224, 256\), received none"),
        ("multi_scale(8, 8)", "received 8, 8"),
        ("multi_scale(0)", "received 0"),
        ("multi_scale(big)", "expected a whole number, received 'big'"),
        ("translate(0)", "translate.pixels: expected a whole number from 1, received 0; the default is 1"),
        ("ten_crop(-1)", "ten_crop.padding: expected a whole number from 0, received -1; the default is 0"),
        ("draws(0)", "draws.count: expected a whole number from 1, received 0; the default is 12"),
        ("draws(2, noise)", "unknown value for views.*: 'noise'; known: all, dropout, pooling"),
        ("noisy(0)", "noisy.count: expected a whole number from 1, received 0; the default is 8"),
        ("noisy(2, 1.5)", "noisy.deviation: expected a number from 0 to 1, received 1.5"),
        ("noisy(2, -0.1)", "noisy.deviation: expected a number from 0 to 1, received -0.1"),
        ("noisy(2, 0.1, -1)", "noisy.seed: expected a whole number from 0, received -1"),
        ("noisy(1, 0.1),noisy(2)", "views: noisy is given twice; give it once"),
        ("draws(2, all, -1)", "draws.seed: expected a whole number from 0, received -1"),
    ],
)
def test_wrong_views_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_views(text)


@pytest.mark.parametrize(("side", "size"), [(8, (5, 5)), (7, (4, 3)), (6, (6, 6))])
def test_ten_crops_are_torchvisions(side: int, size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for found, expected in zip(ten_crop(images, size), functional.ten_crop(images, list(size)), strict=True):
        assert torch.equal(found, expected)


def test_ten_crops_by_hand() -> None:
    images = numbered(3, 3)
    top_left, top_right, bottom_left, bottom_right, center, *mirrored = ten_crop(images, (1, 1))
    found = [int(t) for t in (top_left, top_right, bottom_left, bottom_right, center)]
    assert found == [0, 2, 6, 8, 4]
    assert [int(t) for t in mirrored] == [2, 0, 8, 6, 4]


def test_shifts_see_one_pixel_beyond_the_border_which_mirrors() -> None:
    images = numbered(3, 3)
    same, up_left, down_right = shifted(images, 1, FILL)
    assert same is images
    assert up_left[0, 0].tolist() == [[4, 3, 4], [1, 0, 1], [4, 3, 4]]
    assert down_right[0, 0].tolist() == [[4, 5, 4], [7, 8, 7], [4, 5, 4]]


def test_the_shares_of_views_add_up_to_one() -> None:
    images = numbered(6, 6, 2)
    found = list(seen(images, (Translate(1), Mirror()), (4, 4), FILL))
    assert [share for share, _ in found] == [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    assert torch.equal(found[0][1], images[:, :, 1:5, 1:5])
    assert torch.equal(found[1][1], images[:, :, 1:5, 1:5].flip(-1))
    crops = list(seen(images[:, :, :4, :4], (TenCrop(1),), (4, 4), FILL))
    assert sum(share for share, _ in crops) == pytest.approx(1)
    assert crops[0][1][0, 0, 0].tolist() == [9, 9, 9, 9]  # the padding above
    assert torch.equal(crops[0][1][:, :, 1:, 1:], images[:, :, :3, :3])


def photographs(count: int, side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def noisy_views(images: torch.Tensor, text: str) -> list[tuple[float, torch.Tensor]]:
    side = images.shape[-1]
    return list(seen(images, read_views(text), (side, side), torch.zeros(3, dtype=torch.uint8)))


def test_noise_is_that_of_training_and_each_draw_another() -> None:
    images = (
        torch.full((200, 3, 16, 16), 120, dtype=torch.uint8)
        + torch.arange(200, dtype=torch.uint8)[:, None, None, None] % 9
    )
    found = noisy_views(images, "noisy(3, 0.1)")
    assert [share for share, _ in found] == [pytest.approx(1 / 3)] * 3
    added = torch.stack([view.double() - images for _, view in found])
    assert abs(added.mean()) < 0.2
    assert abs(added.std() - 25.5) < 0.2
    first, second = added[0].flatten(), added[1].flatten()
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.02
    assert not torch.equal(noisy_views(images, "noisy(1, 0.1, 1)")[0][1], found[0][1])
    assert torch.equal(noisy_views(images, "noisy(1, 0.1)")[0][1], found[0][1])


def test_the_noise_of_an_image_is_its_own_wherever_it_stands() -> None:
    images = photographs(6)
    whole = [view for _, view in noisy_views(images, "noisy(2, 0.1)")]
    for order in ([5], [0], [3, 1], [4, 2, 0, 5, 3, 1]):
        part = [view for _, view in noisy_views(images[order], "noisy(2, 0.1)")]
        assert all(torch.equal(a, b[order]) for a, b in zip(part, whole, strict=True))
    last = images.to(memory_format=torch.channels_last)
    assert all(torch.equal(a, b[1:]) for (_, a), b in zip(noisy_views(last[1:], "noisy(2, 0.1)"), whole, strict=True))


def test_images_that_differ_in_a_pixel_or_in_places_get_other_noise() -> None:
    one, other = photographs(2, side=5).split(1)  # 75 values: no multiple of the 8 that are hashed together
    changed, moved = one.clone(), one.clone()
    changed[0, 2, 4, 4] ^= 1
    moved[0, 0, 0, 0], moved[0, 0, 4, 4] = int(one[0, 0, 4, 4]), int(one[0, 0, 0, 0])
    found = fingerprints(torch.cat((one, other, changed, moved, one)))
    assert found.dtype == torch.int64
    assert len(set(found.tolist()[:4])) == 4
    assert found[0] == found[4] == fingerprints(one)[0]
    assert len(set(fingerprints(photographs(3000, side=4)).tolist())) == 3000


def test_noise_of_no_deviation_is_the_image() -> None:
    images = photographs(3)
    assert all(torch.equal(view, images) for _, view in noisy_views(images, "noisy(2, 0)"))
    places = [view for _, view in noisy_views(images, "mirror,noisy(2, 0)")]
    assert [torch.equal(view, images) for view in places] == [True, True, False, False]
    assert torch.equal(places[3], images.flip(-1))


def test_the_mean_is_that_of_the_probabilities() -> None:
    first, second = torch.tensor([[0.2, 0.8]]).double(), torch.tensor([[0.9, 0.1]]).double()
    found = log_mean([(0.25, first.log()), (0.75, second.log())])
    assert torch.allclose(found.exp(), 0.25 * first + 0.75 * second)


def test_scales_are_whole_center_squares() -> None:
    assert scaled_records(read_views("mirror"), LARGE) == (LARGE,)
    assert [r.size for r in scaled_records(read_views("ten_crop"), LARGE)] == [(256, 256)]
    assert [r.size for r in scaled_records(read_views("ten_crop(4)"), LARGE)] == [(224, 224)]
    records = scaled_records(read_views("multi_scale(224, 384),ten_crop(1)"), LARGE)
    assert [(r.size, r.resize) for r in records] == [((224, 224), 224), ((384, 384), 384)]


@pytest.mark.parametrize(
    ("text", "preprocess", "message"),
    [
        ("ten_crop", SMALL, r"ten_crop: the images have 4x4 pixels.*no margin.*ten_crop\(1\)"),
        ("dense", SMALL, r"dense: the images have 4x4 pixels.*multi_scale\(5\),dense"),
        ("multi_scale(200)", LARGE, "which cannot be cut from images scaled to 200; give lengths of at least 224"),
        ("multi_scale(5000)", LARGE, "multi_scale: expected lengths of at most 4096 pixels, received 5000"),
        ("ten_crop(5)", SMALL, "ten_crop: a padding of 5 pixels is larger than images of 4x4"),
        ("translate(4)", SMALL, "translate: a shift by 4 pixels needs images larger than 4x4"),
    ],
)
def test_views_that_do_not_fit_the_images_are_refused(text: str, preprocess: ImageInput, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        scaled_records(read_views(text), preprocess)


@pytest.mark.parametrize(
    ("text", "views", "pixels"),
    [
        ("mirror", 2, 2),
        ("ten_crop", 10, 10),
        ("translate(1),mirror", 6, 6),
        ("multi_scale(224, 448),mirror", 4, 4),
        # Ten of each scale, as AlexNet's are of one.
        ("multi_scale(256, 384, 480, 640),ten_crop", 40, 40),
        ("multi_scale(224, 448),dense,mirror", 4, 10),
        ("draws(5),mirror", 10, 10),
        ("noisy(8, 0.1),mirror", 16, 16),
        ("draws(3),noisy(4)", 12, 12),
    ],
)
def test_the_price_of_views(text: str, views: int, pixels: float) -> None:
    found = price(read_views(text), LARGE)
    assert (found.views, found.pixels) == (views, pixels)
