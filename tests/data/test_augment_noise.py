"""Noise, blur and covered parts: values written out or torchvision's, and the draws."""

import math

import pytest
import torch
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional as tv

from convsmith.data.augment.erase import cutout, erase
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.noise import blur, blurred, noise, pixel_flip
from convsmith.data.augmentations import Blur, Cutout, Erase, Noise, PixelFlip
from convsmith.data.keys import between, fork, forks, integers, keys, normal, uniform, words

FILL = torch.tensor([125, 123, 114], dtype=torch.uint8)
FRAME = Frame((30, 40), FILL)


def pictures(count: int, channels: int = 3) -> torch.Tensor:
    """Windows of a photograph, uint8 (count, channels, 30, 40)."""
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[:channels]
    return torch.stack([photo[:, i : i + 120 : 4, 2 * i : 2 * i + 160 : 4] for i in range(count)])


def drawn(count: int) -> torch.Tensor:
    return keys(3, 1, torch.arange(count), 0)


def test_forks_are_forks() -> None:
    own = drawn(7)
    assert torch.equal(forks(own, 5), torch.stack([fork(own, i) for i in range(5)], 1))


def test_words_are_even_and_independent() -> None:
    found = words(drawn(500), 1002)
    assert (found.dtype, found.shape) == (torch.int16, (500, 1002))
    counts = torch.bincount((found.int() + 32768).flatten() // 4096, minlength=16)
    assert ((counts - 501_000 / 16).abs() < 900).all()
    values = found.double()
    for shift in (1, 2, 3, 4):
        assert (
            abs(torch.corrcoef(torch.stack((values[:, shift:].flatten(), values[:, :-shift].flatten())))[0, 1]) < 0.01
        )
    assert torch.equal(words(drawn(500), 6), found[:, :6])


def test_normal_is_normal() -> None:
    values = normal(drawn(100_000))
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values.abs() < 1).double().mean() - math.erf(0.5**0.5)) < 0.01
    assert values.abs().max() < 5.4


@pytest.mark.parametrize("channels", [3, 1])
def test_noise_is_gaussian_of_its_deviation(channels: int) -> None:
    gray = torch.full((300, channels, 16, 16), 128, dtype=torch.uint8)
    found = noise(gray, drawn(300), Noise(0.1), FRAME).double() - 128
    assert abs(found.mean()) < 0.3
    assert abs(found.std() - 25.5) < 0.3
    assert abs((found.abs() < 25.5).double().mean() - math.erf(0.5**0.5)) < 0.01
    # Every pixel and channel of an image has its own.
    assert len(found[0].unique()) > 60


def test_noise_stays_between_black_and_white() -> None:
    black, white = (torch.full((20, 3, 8, 8), value, dtype=torch.uint8) for value in (0, 255))
    assert abs((noise(black, drawn(20), Noise(0.2), FRAME) == 0).double().mean() - 0.5) < 0.05
    assert (noise(white, drawn(20), Noise(0.2), FRAME) > 20).all()


def test_pixel_flip_makes_negatives_of_whole_pixels() -> None:
    images = pictures(60)
    found = pixel_flip(images, drawn(60), PixelFlip(0.1), FRAME)
    changed = (found != images).any(1)
    assert abs(changed.double().mean() - 0.1) < 0.005
    assert torch.equal(found, torch.where(changed[:, None], 255 - images, images))
    assert torch.equal(pixel_flip(images, drawn(60), PixelFlip(1), FRAME), 255 - images)


def test_blur_is_torchvisions() -> None:
    images, sigmas = pictures(12), torch.linspace(0.2, 3, 12, dtype=torch.float64)
    found = blurred(images, sigmas, 9)
    for i, sigma in enumerate(sigmas.tolist()):
        expected = tv.gaussian_blur(images[i], [19, 19], [sigma, sigma])
        # Ours is rounded after the rows and again after the columns.
        assert (found[i].int() - expected.int()).abs().max() <= 1


def test_blur_wider_than_the_image_is_mirrored_once() -> None:
    found = blurred(pictures(2), torch.tensor([50.0, 50.0]), 150)
    assert found.shape == (2, 3, 30, 40)
    assert found.double().std((2, 3)).max() < 8


def test_blur_draws_widths_and_chances() -> None:
    images, own, step = pictures(80), drawn(80), Blur(0.5, 2.0, 0.5)
    sigmas = torch.where(uniform(fork(own, 1)) < 0.5, between(fork(own, 0), 0.5, 2.0), 0.0)
    assert 25 < (sigmas > 0).sum() < 55
    assert abs(sigmas[sigmas > 0].mean() - 1.25) < 0.2
    assert torch.equal(blur(images, own, step, FRAME), blurred(images, sigmas, 6))


@pytest.mark.parametrize("size", [1, 8, 9])
def test_cutout_covers_a_square_around_a_pixel(size: int) -> None:
    images, own = pictures(200), drawn(200)
    found = cutout(images, own, Cutout(size), FRAME)
    rows, columns = integers(fork(own, 0), 0, 30).tolist(), integers(fork(own, 1), 0, 40).tolist()
    assert set(rows) == set(range(30)), "every pixel may be the center"
    for i, (y, x) in enumerate(zip(rows, columns, strict=True)):
        expected = images[i].clone()
        y, x = y - size // 2, x - size // 2
        expected[:, max(y, 0) : max(y + size, 0), max(x, 0) : max(x + size, 0)] = FILL.view(3, 1, 1)
        assert torch.equal(found[i], expected)


@pytest.mark.parametrize("fill", ["mean", "noise"])
def test_erase_covers_a_rectangle_inside(fill: str) -> None:
    images, step = pictures(1).repeat(3000, 1, 1, 1), Erase(0.7, 0.05, 0.25, 2.0, fill)  # type: ignore[arg-type]
    found = erase(images, drawn(3000), step, FRAME)
    changed = (found != images).any(1)
    some = changed.flatten(1).any(1)
    assert abs(some.double().mean() - 0.7) < 0.03
    rows, columns = changed[some].any(2), changed[some].any(1)
    tall, wide = rows.sum(1), columns.sum(1)
    full = rows[:, :, None] & columns[:, None]
    if fill == "mean":
        assert torch.equal(found[some].permute(0, 2, 3, 1)[full], FILL.expand(int(full.sum()), 3))
    else:
        pixels = found[some].permute(0, 2, 3, 1)[full].double()
        assert (pixels.mean(0) - 127.5).abs().max() < 1
        assert (pixels.std(0) - 73.9).abs().max() < 1
    share = tall * wide / 1200
    assert share.min() > 0.04
    assert share.max() < 0.27
    assert abs(share.double().mean() - 0.15) < 0.01
    assert abs((wide / tall).log().mean()) < 0.03
    assert (tall / wide).max() < 2.4
