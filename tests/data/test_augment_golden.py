"""Every augmentation gives the pixels that it gave when `golden_augments.json` was written."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_image

from convsmith.base.config import kind_of
from convsmith.data.augment import augment, mix
from convsmith.data.augmentations import (
    MIXING,
    Affine,
    AlternatingFlip,
    Augment,
    Augmix,
    Autoaugment,
    Blur,
    ColorJitter,
    Crop,
    Cutmix,
    Cutout,
    Elastic,
    Erase,
    Flip,
    Lighting,
    Mixup,
    Noise,
    PixelFlip,
    Randaugment,
    ResizedCrop,
    Rotate,
    ScaleCrop,
    Translate,
    Trivialaugment,
    VerticalFlip,
)
from convsmith.data.preprocess import ImageInput

GOLDEN = Path(__file__).with_name("golden_augments.json")
BASIS = ((0.4, 0.1, 0.03), (0.577, 0.577, 0.577, 0.707, 0.0, -0.707, 0.408, -0.816, 0.408))
STEPS: list[Augment] = [
    Flip(), VerticalFlip(), AlternatingFlip(), Crop(0), Crop(3), Crop(3, "reflect"), Translate(5), ScaleCrop(34, 80),
    ResizedCrop(), ResizedCrop(0.5, 0.6, 1), Rotate(), Rotate(170), Affine(), Affine(90, 0, 0.5, 40), Elastic(),
    Elastic(3, 2), ColorJitter(), ColorJitter(0, 0, 0, 0.5), Lighting(0.3, *BASIS), Noise(), PixelFlip(), Blur(),
    Cutout(), Erase(), Erase(fill="noise"), Autoaugment("cifar10"), Autoaugment("imagenet"), Autoaugment("svhn"),
    Randaugment(), Randaugment(4, 30), Trivialaugment(), Augmix(), Augmix(10, 2), Mixup(), Cutmix(), Cutmix(1, 1),
]  # fmt: skip
# What depends on the last bit of a place between pixels, or of a power: another processor may round it the other way.
ROUNDED = (Rotate, Affine, Elastic, Autoaugment, Randaugment, Trivialaugment, Augmix, Mixup, Cutmix)


def done(step: Augment) -> torch.Tensor:
    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)
    images = torch.stack([photo[:, i : i + 360 : 10, 2 * i : 2 * i + 400 : 10] for i in range(40)])
    record = ImageInput(size=(32, 30), mean=(0.4, 0.3, 0.2), std=(0.2, 0.2, 0.2))
    positions = torch.arange(40, 80)
    if isinstance(step, MIXING):
        return mix(images, (step,), 1, 2, positions)[0]
    return augment(images, (step,), 1, 2, positions, record, samples=positions)


def described(images: torch.Tensor) -> dict[str, object]:
    """The hash, and the mean of the pixels in each quarter of the batch."""
    text = str(tuple(images.shape)).encode() + images.contiguous().numpy().tobytes()
    means = [round(float(part.double().mean()), 3) for part in images.chunk(4)]
    return {"sha256": hashlib.sha256(text).hexdigest()[:24], "means": means}


@pytest.mark.parametrize("number", range(len(STEPS)), ids=lambda n: f"{n} {kind_of(type(STEPS[n]))}")
def test_pixels_are_as_they_were(number: int) -> None:
    step, golden = STEPS[number], json.loads(GOLDEN.read_text())
    assert len(golden) == len(STEPS)
    golden, found = golden[f"{number} {kind_of(type(step))}"], described(done(step))
    assert found["means"] == pytest.approx(golden["means"], abs=0.1)
    if not isinstance(step, ROUNDED):
        assert found == golden
