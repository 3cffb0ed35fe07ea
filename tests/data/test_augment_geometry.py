"""Flips, shifts, windows and warps: values against torchvision, image by image, and the draws."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandomResizedCrop
from torchvision.transforms.v2 import functional as tv

from convsmith.data.augment import augment
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.geometry import (
    alternating_flip,
    random_shapes,
    resized,
    resized_crop,
    scale_crop,
    translate,
    vertical_flip,
)
from convsmith.data.augment.warp import affine, displaced, inverse, linear, mapped, rotate, smooth_shifts
from convsmith.data.augmentations import (
    Affine,
    AlternatingFlip,
    Elastic,
    ResizedCrop,
    Rotate,
    ScaleCrop,
    Translate,
    VerticalFlip,
)
from convsmith.data.keys import between, epoch_order, fork, integers, keys, uniform
from convsmith.data.preprocess import ImageInput

FILL = torch.tensor([125, 123, 114], dtype=torch.uint8)
BLACK = torch.zeros(3, dtype=torch.uint8)
BILINEAR = InterpolationMode.BILINEAR


def frame(size: tuple[int, int] = (1, 1), fill: torch.Tensor = FILL, epoch: int = 0) -> Frame:
    return Frame(size, fill, epoch)


def pictures(count: int, height: int = 40, width: int = 48) -> torch.Tensor:
    """Different windows of a photograph, uint8 (count, 3, height, width)."""
    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)
    return torch.stack([photo[:, i : i + 4 * height : 4, 2 * i : 2 * i + 4 * width : 4] for i in range(count)])


def drawn(count: int, draw: int = 0) -> torch.Tensor:
    return keys(3, 1, torch.arange(count), draw)


def levels(found: torch.Tensor, expected: torch.Tensor) -> int:
    """The largest difference."""
    return int((found.int() - expected.int()).abs().max())


def test_vertical_flip_mirrors_what_its_keys_choose() -> None:
    images, chosen = pictures(20), uniform(drawn(20)) < 0.5
    found = vertical_flip(images, drawn(20), VerticalFlip(), frame())
    assert 4 < chosen.sum() < 16
    for i, yes in enumerate(chosen.tolist()):
        assert torch.equal(found[i], tv.vertical_flip(images[i]) if yes else images[i])


def test_an_alternating_flip_shows_the_other_side_every_epoch() -> None:
    images, own = pictures(200, 8, 8), drawn(200)
    epochs = [alternating_flip(images, own, AlternatingFlip(), frame(epoch=epoch)) for epoch in range(4)]
    mirrored = [[torch.equal(a, b) for a, b in zip(e, images.flip(-1), strict=True)] for e in epochs]
    assert 70 < sum(mirrored[0]) < 130
    assert mirrored[1] == [not yes for yes in mirrored[0]]
    assert mirrored[2:] == mirrored[:2]


def test_an_alternating_flip_follows_the_sample_through_the_orders_of_the_epochs() -> None:
    images = pictures(16, 8, 8)
    record = ImageInput(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    seen = []
    for epoch in range(3):
        order = epoch_order(16, 0, epoch)
        found = augment(images[order], (AlternatingFlip(),), 0, epoch, torch.arange(16), record, samples=order)
        seen.append(found[order.argsort()])
    assert torch.equal(seen[1], seen[0].flip(-1))
    assert torch.equal(seen[2], seen[0])


def test_translate_shifts_by_whole_pixels() -> None:
    images, own = pictures(50, 20, 24), drawn(50)
    found = translate(images, own, Translate(5), frame())
    down = (5 - integers(fork(own, 0), 0, 11)).tolist()
    right = (5 - integers(fork(own, 1), 0, 11)).tolist()
    assert set(down) == set(right) == set(range(-5, 6))
    for i, (y, x) in enumerate(zip(down, right, strict=True)):
        expected = FILL.view(3, 1, 1).repeat(1, 20, 24)
        expected[:, max(y, 0) : 20 + min(y, 0), max(x, 0) : 24 + min(x, 0)] = images[
            i, :, max(-y, 0) : 20 - max(y, 0), max(-x, 0) : 24 - max(x, 0)
        ]
        assert torch.equal(found[i], expected)


@pytest.mark.parametrize("size", [(16, 16), (32, 24), (50, 60), (1, 1), (40, 48)])
def test_scaled_windows_are_torchvisions(size: tuple[int, int]) -> None:
    images, own = pictures(20), drawn(20)
    tall, wide = integers(fork(own, 0), 1, 41), integers(fork(own, 1), 1, 49)
    top, left = (uniform(fork(own, 2)) * (41 - tall)).long(), (uniform(fork(own, 3)) * (49 - wide)).long()
    found = resized(images, (top, left), (tall, wide), size)
    for i in range(20):
        window = [int(v[i]) for v in (top, left, tall, wide)]
        expected = tv.resized_crop(images[i], *window, size=list(size), interpolation=BILINEAR, antialias=True)
        # Pillow's weights have fewer bits.
        assert levels(found[i], expected) <= 1


def test_a_window_of_the_final_size_is_cut_exactly() -> None:
    images = pictures(4)
    three = torch.full((4,), 3)
    found = resized(images, (three, three), (torch.full((4,), 30), torch.full((4,), 40)), (30, 40))
    assert torch.equal(found, images[:, :, 3:33, 3:43])


def test_scale_crop_is_a_crop_of_the_scaled_image() -> None:
    images = pictures(3, 64, 64)
    found = scale_crop(images, drawn(3), ScaleCrop(128, 128), frame((32, 32)))
    for i in range(3):
        whole = tv.resize(images[i], [128, 128], BILINEAR, antialias=True)
        windows = whole.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        # Only the outermost pixels know that the window ends.
        off = (windows.int() - found[i].int()).abs()[:, :, 1:-1, 1:-1].amax((1, 2, 3))
        assert off.min() <= 2


def test_scale_crop_draws_lengths_and_places_evenly() -> None:
    ramp = (torch.arange(120) * 2).to(torch.uint8).view(1, 1, 1, 120).expand(300, 1, 120, 120)
    found = scale_crop(ramp, drawn(300), ScaleCrop(120, 240), frame((112, 112)))[:, 0, 0].float() / 2
    # A ramp that rises by one a pixel: its slope tells the scale.
    scale = 107 / (found[:, 109] - found[:, 2])
    assert 0.98 < scale.min() < 1.05
    assert 1.95 < scale.max() < 2.04
    assert abs(scale.mean() - 1.5) < 0.08
    room = 120 - 112 / scale
    assert abs((found[:, 0] / room)[room > 15].mean() - 0.5) < 0.08


def test_resized_crop_draws_area_and_aspect_as_torchvision_does() -> None:
    height, width = random_shapes(drawn(20000), (64, 64), 0.08, 1.0, 4 / 3)
    area, ratio = height * width / 64**2, width / height
    torch.manual_seed(0)
    peers = [RandomResizedCrop.make_params(RandomResizedCrop(8), [torch.empty(3, 64, 64)]) for _ in range(2000)]
    peer_area = np.mean([p["height"] * p["width"] for p in peers]) / 64**2
    assert abs(area.double().mean() - peer_area) < 0.02
    assert abs(ratio.double().log().mean()) < 0.01
    assert 0.07 < area.min() < 0.1
    assert area.max() > 0.97
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4


def test_windows_that_never_fit_become_the_largest_that_does() -> None:
    height, width = random_shapes(drawn(5), (10, 100), 1.0, 1.0, 1.5)
    assert (height.tolist(), width.tolist()) == ([0] * 5, [0] * 5)
    stripes = (torch.arange(100) * 2).to(torch.uint8).view(1, 1, 1, 100).expand(5, 1, 10, 100)
    found = resized_crop(stripes, drawn(5), ResizedCrop(1.0, 1.0, 1.5), frame((10, 15)))
    assert (found[..., 14] - found[..., 0] == 28).all(), "15 of the 100 columns, unscaled"


def test_resized_crop_makes_the_final_size() -> None:
    assert resized_crop(pictures(5), drawn(5), ResizedCrop(), frame((24, 20))).shape == (5, 3, 24, 20)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_rotation_is_torchvisions(mode: str) -> None:
    images = pictures(12)
    angles = torch.linspace(-170, 175, 12, dtype=torch.float64)
    found = mapped(images, inverse(linear(angles)), BLACK, mode)  # type: ignore[arg-type]
    for i, angle in enumerate(angles.tolist()):
        expected = tv.rotate(images[i], angle, InterpolationMode(mode))
        off = (found[i].int() - expected.int()).abs()
        # Where a place falls between two pixels, the last bit of float32 decides which is the nearest.
        assert off.max() <= 1 if mode == "bilinear" else (off > 0).float().mean() < 0.004


def test_the_affine_map_is_torchvisions() -> None:
    images, own = pictures(12), drawn(12)
    angle, scale, x, y = (between(fork(own, i), *r) for i, r in enumerate(((-90, 90), (0.5, 2), (-30, 30), (-30, 30))))
    shift = torch.stack((integers(fork(own, 4), -9, 9), integers(fork(own, 5), -9, 9)), 1)
    # torchvision's affine turns clockwise, unlike its rotate.
    found = mapped(images, inverse(linear(-angle, scale, x, y), shift.double()), BLACK)
    for i in range(12):
        expected = tv.affine(
            images[i], float(angle[i]), shift[i].tolist(), float(scale[i]), [float(x[i]), float(y[i])], BILINEAR
        )
        assert levels(found[i], expected) <= 1


def test_what_comes_into_sight_is_filled() -> None:
    images = FILL.view(1, 3, 1, 1).expand(40, 3, 30, 30)
    for found in (
        rotate(images, drawn(40), Rotate(90), frame()),
        affine(images, drawn(40), Affine(90, 0.5, 0.5, 30), frame()),
    ):
        assert torch.equal(found, images), "an image of the fill alone shows no border"
    white = torch.full((40, 3, 30, 30), 255, dtype=torch.uint8)
    turned = mapped(white, inverse(linear(torch.full((40,), 45.0, dtype=torch.float64))), FILL, "nearest")
    assert torch.equal(turned[:, :, 0, 0], FILL.expand(40, 3))


def test_rotation_draws_both_ways_up_to_its_limit() -> None:
    step, own = 20.0, drawn(2000)
    angles = between(own, -step, step)
    assert abs(angles.mean()) < 1
    assert angles.abs().max() <= step
    images = pictures(4)
    expected = mapped(images, inverse(linear(angles[:4])), FILL)
    assert torch.equal(rotate(images, own[:4], Rotate(step), frame()), expected)


def test_elastic_warping_is_torchvisions() -> None:
    images, step = pictures(6), Elastic(2.0, 4.0)
    shifts = smooth_shifts(drawn(6), (40, 48), step)
    found = displaced(images, shifts, BLACK)
    for i in range(6):
        # torchvision's are shares of half the image.
        share = (shifts[i : i + 1] / torch.tensor([24, 20])).float()
        assert levels(found[i], tv.elastic(images[i], share, BILINEAR)) <= 1


def test_elastic_shifts_are_smooth_and_as_large_as_asked() -> None:
    shifts = smooth_shifts(drawn(100), (32, 32), Elastic(1.5, 4.0))
    inner = shifts[:, 10:22, 10:22]
    assert abs(inner.std() - 1.5) < 0.1
    assert abs(inner.mean()) < 0.15
    for axis in (1, 2):
        # Smoothed by a Gaussian, two pixels correlate with exp(-distance^2 / (4 sigma^2)).
        near = (inner.narrow(axis, 0, 8) * inner.narrow(axis, 4, 8)).mean() / inner.square().mean()
        assert abs(near - math.exp(-16 / 64)) < 0.05
