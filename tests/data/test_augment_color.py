"""Color: values against torchvision, image by image, and the draws."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional as tv

from convsmith.base.errors import UsageError
from convsmith.data.augment import color
from convsmith.data.augment.color import color_jitter, lighting
from convsmith.data.augment.frame import Frame
from convsmith.data.augmentations import ColorJitter, Lighting
from convsmith.data.keys import between, fork, forks, keys, normal

FRAME = Frame((24, 32), torch.zeros(3, dtype=torch.uint8))
BASIS = Lighting(0.1, (0.4, 0.1, 0.03), (0.6, 0.6, 0.52915, 0.7, 0.0, -0.7, 0.4, -0.8, 0.4))


def pictures(count: int, channels: int = 3) -> torch.Tensor:
    """Windows of a photograph and two of every color and no color, uint8 (count, channels, 24, 32)."""
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[:channels]
    random = torch.randint(0, 256, (1, channels, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    flat = torch.arange(24 * 32).remainder(256).to(torch.uint8).view(1, 1, 24, 32).expand(1, channels, 24, 32)
    windows = [photo[:, 10 * i : 10 * i + 96 : 4, 8 * i : 8 * i + 256 : 8] for i in range(count - 2)]
    return torch.cat((random, flat, torch.stack(windows)))


def drawn(count: int) -> torch.Tensor:
    return keys(3, 1, torch.arange(count), 0)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_factors_are_torchvisions_and_pillows(what: str, channels: int) -> None:
    images, factors = pictures(20, channels), torch.linspace(0, 2.5, 20)
    found = getattr(color, what)(images, factors)
    for i, factor in enumerate(factors.tolist()):
        expected = getattr(tv, f"adjust_{what}")(images[i], factor)
        # torchvision cuts off what follows the point, of gray values too, where ours rounds.
        assert (found[i].int() - expected.int()).abs().max() <= 2
        if channels == 3:
            enhance = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast}
            peer = enhance.get(what, ImageEnhance.Color)(Image.fromarray(images[i].permute(1, 2, 0).numpy()))
            off = found[i].int() - torch.from_numpy(np.array(peer.enhance(factor))).permute(2, 0, 1).int()
            assert off.abs().max() <= 1


def test_gray_is_pillows() -> None:
    images = pictures(20)
    found = color.gray(images).squeeze(1).numpy()
    for i, image in enumerate(images):
        assert np.array_equal(found[i], np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")))


def test_gray_pixels_stay_gray_under_any_saturation() -> None:
    gray = pictures(20, 1).expand(20, 3, 24, 32)
    assert torch.equal(color.saturation(gray, torch.linspace(0, 2, 20)), gray)


def test_hue_is_torchvisions() -> None:
    images, turns = pictures(20), torch.linspace(-0.5, 0.5, 20)
    found = color.hue(images, turns)
    for i, turn in enumerate(turns.tolist()):
        assert (found[i].int() - tv.adjust_hue(images[i], turn).int()).abs().max() <= 1
    third = color.hue(images, torch.full((20,), 1 / 3))
    assert torch.equal(third, images.roll(1, 1)), "a third of the circle makes red green, green blue, blue red"


def test_jitter_does_the_four_in_turn_each_by_its_own_draw() -> None:
    images, own = pictures(20).repeat(10, 1, 1, 1), drawn(200)
    found = color_jitter(images, own, ColorJitter(0.3, 0.4, 0.5, 0.2), FRAME)
    factors = [between(fork(own, i), 1 - s, 1 + s).float() for i, s in enumerate((0.3, 0.4, 0.5))]
    turns = between(fork(own, 3), -0.2, 0.2).float()
    expected = color.brightness(images, factors[0])
    expected = color.hue(color.saturation(color.contrast(expected, factors[1]), factors[2]), turns)
    assert torch.equal(found, expected)
    for values, center, reach in ((factors[0], 1, 0.3), (factors[1], 1, 0.4), (factors[2], 1, 0.5), (turns, 0, 0.2)):
        assert abs(values.mean() - center) < reach * 0.15
        assert 0.9 * reach < (values - center).abs().max() <= reach
    assert abs(np.corrcoef(factors[0], factors[1])[0, 1]) < 0.2


def test_jitter_of_gray_images() -> None:
    images = pictures(10, 1)
    found = color_jitter(images, drawn(10), ColorJitter(saturation=0, hue=0), FRAME)
    assert found.shape == images.shape
    assert not torch.equal(found, images)


def test_lighting_adds_one_color_to_every_pixel_of_an_image() -> None:
    own = drawn(4000)
    images = torch.full((4000, 3, 4, 4), 128, dtype=torch.uint8)
    shift = lighting(images, own, BASIS, FRAME).double() - 128
    assert (shift == shift[:, :, :1, :1]).all()
    amounts = normal(forks(own, 3)) * 0.1 * torch.tensor(BASIS.deviations)
    expected = 255 * amounts @ torch.tensor(BASIS.components, dtype=torch.float64).view(3, 3)
    assert (shift[:, :, 0, 0] - expected).abs().max() <= 0.51
    assert abs(amounts[:, 0].std() - 0.04) < 0.002
    assert (amounts.mean(0).abs() < 0.003).all()


def test_lighting_without_a_basis_is_refused() -> None:
    with pytest.raises(UsageError, match="lighting: the basis has not been computed"):
        lighting(pictures(3), drawn(3), Lighting(), FRAME)
