"""What every augmentation must keep: same keys same result, no dependence on the batch, identity at strength 0."""

import typing
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_sample_image

from convsmith.base import config
from convsmith.base.errors import UsageError
from convsmith.data.augment import STEPS, augment, mix
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

KINDS = typing.get_args(Augment)
BASIS = {
    "deviations": (0.4, 0.1, 0.03),
    "components": (0.577, 0.577, 0.577, 0.707, 0.0, -0.707, 0.408, -0.816, 0.408),
}
# One of each kind, and a second where a choice leads another way; the default ones that need nothing else.
EXAMPLES: list[Augment] = [
    Flip(), VerticalFlip(), AlternatingFlip(), Crop(3), Crop(3, "reflect"), Translate(5), ScaleCrop(28, 50),
    ResizedCrop(), Rotate(), Affine(), Elastic(), ColorJitter(), Lighting(0.3, **BASIS), Noise(), PixelFlip(), Blur(),
    Cutout(), Erase(), Erase(fill="noise"), Autoaugment("cifar10"), Autoaugment("imagenet"), Autoaugment("svhn"),
    Randaugment(), Trivialaugment(), Augmix(), Mixup(), Cutmix(),
]  # fmt: skip
COLOR_ONLY = (Lighting, Autoaugment, Randaugment, Trivialaugment, Augmix)
SINGLE = [step for step in EXAMPLES if not isinstance(step, MIXING)]
# What does nothing, for every kind that can do nothing.
IDENTITIES: list[Augment] = [
    Flip(0), VerticalFlip(0), Crop(0), Translate(0), ScaleCrop(28, 28), ResizedCrop(1, 1, 1), Rotate(0),
    Affine(0, 0, 0, 0), Elastic(0), ColorJitter(0, 0, 0, 0), Lighting(0, **BASIS), Noise(0), PixelFlip(0), Blur(0, 0),
    Blur(probability=0), Cutout(0), Erase(0), Erase(1, 0, 0), Randaugment(0), Mixup(0), Mixup(probability=0), Cutmix(0),
    Cutmix(probability=0),
]  # fmt: skip


def name(step: Augment) -> str:
    return config.kind_of(type(step))


def pictures(count: int, channels: int = 3) -> torch.Tensor:
    """Different squares of 28 pixels of a photograph, uint8 (count, channels, 28, 28)."""
    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[:channels]
    return torch.stack([photo[:, i : i + 280 : 10, 2 * i : 2 * i + 280 : 10] for i in range(0, 2 * count, 2)])


def record(channels: int = 3) -> ImageInput:
    return ImageInput(
        size=(28, 28), mode="RGB" if channels == 3 else "L", mean=(0.4, 0.3, 0.2)[:channels], std=(0.2,) * channels
    )


def done(images: torch.Tensor, step: Augment, positions: torch.Tensor, seed: int = 1, epoch: int = 2) -> torch.Tensor:
    if isinstance(step, MIXING):
        return mix(images, (step,), seed, epoch, positions)[0]
    return augment(images, (step,), seed, epoch, positions, record(images.shape[1]), samples=positions)


def test_every_kind_has_an_example_and_a_function() -> None:
    assert {type(step) for step in EXAMPLES} == set(KINDS)
    assert set(STEPS) | set(MIXING) == set(KINDS)
    without = {type(step) for step in EXAMPLES} - {type(step) for step in IDENTITIES}
    assert without == {AlternatingFlip, Autoaugment, Trivialaugment, Augmix}


@pytest.mark.parametrize("kind", KINDS, ids=config.kind_of)
def test_every_kind_is_text_and_json(kind: type) -> None:
    text = config.kind_of(kind)
    (found,) = config.read(tuple[Augment, ...], text, "augment")  # type: ignore[arg-type]
    assert found == kind()
    assert config.read(tuple[Augment, ...], config.plain((found,)), "augment") == (found,)  # type: ignore[arg-type]
    assert all(help for _, _, _, help in config.options(found))


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("step", EXAMPLES, ids=name)
def test_same_keys_same_result(step: Augment, channels: int) -> None:
    if channels == 1 and isinstance(step, COLOR_ONLY):
        pytest.skip("needs color")
    if channels == 1 and isinstance(step, ColorJitter):
        step = replace(step, saturation=0, hue=0)
    images, positions = pictures(24, channels), torch.arange(40, 64)
    before = images.clone()
    found = done(images, step, positions)
    assert torch.equal(images, before), "the batch that is given stays as it is"
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    assert torch.equal(done(images, step, positions), found)
    assert not torch.equal(found, images)
    if not isinstance(step, AlternatingFlip):
        assert not torch.equal(done(images, step, positions, epoch=4), found)
    assert not torch.equal(done(images, step, positions, seed=7), found)


@pytest.mark.parametrize("step", SINGLE, ids=name)
def test_a_sample_depends_neither_on_the_size_nor_on_the_order_of_its_batch(step: Augment) -> None:
    images, positions = pictures(33), torch.arange(33) + 100
    whole = done(images, step, positions)
    for size in (1, 8):
        parts = zip(images.split(size), positions.split(size), strict=True)
        assert torch.equal(torch.cat([done(some, step, places) for some, places in parts]), whole)
    back = torch.arange(32, -1, -1)
    assert torch.equal(done(images[back], step, positions[back])[back], whole)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("step", IDENTITIES, ids=str)
def test_strength_or_probability_zero_is_the_identity(step: Augment, channels: int) -> None:
    if channels == 1 and isinstance(step, COLOR_ONLY):
        pytest.skip("needs color")
    images = pictures(12, channels)
    assert torch.equal(done(images, step, torch.arange(12)), images)


@pytest.mark.parametrize("kind", [Flip, VerticalFlip, Blur, Erase, Mixup, Cutmix], ids=config.kind_of)
@pytest.mark.parametrize("probability", [0.25, 0.8])
def test_a_probability_is_the_share_of_images_that_change(kind: type, probability: float) -> None:
    images = pictures(30).repeat(20, 1, 1, 1)
    step = kind(probability=probability)
    if kind in MIXING:
        step = replace(step, alpha=1.0)
    changed = (done(images, step, torch.arange(600)) != images).flatten(1).any(1)
    # Some mixtures change nothing: shares that round to all, rectangles of no area. Five deviations otherwise.
    assert abs(changed.float().mean() - probability) < 0.1


def test_alternating_flip_needs_to_know_which_image_is_which() -> None:
    with pytest.raises(UsageError, match="alternating_flip: it must know which image is which"):
        augment(pictures(2), (AlternatingFlip(),), 0, 0, torch.arange(2), record())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: VerticalFlip(-0.1),
            "vertical_flip.probability: expected a number from 0 to 1, received -0.1; the default is 0.5",
        ),
        (lambda: Translate(-1), "translate.pixels: expected a whole number from 0, received -1; the default is 4"),
        (lambda: ScaleCrop(480, 256), "scale_crop: expected low to be at most high, received low 480 and high 256"),
        (lambda: ResizedCrop(0.5, 1.5), "resized_crop.high: expected a number above 0, at most 1, received 1.5"),
        (lambda: ResizedCrop(0.0), "resized_crop.low: expected a number above 0, at most 1, received 0.0"),
        (
            lambda: ResizedCrop(aspect=0.75),
            "resized_crop.aspect: expected a number from 1, received 0.75; the default is 1.33333",
        ),
        (lambda: Rotate(270), "rotate.degrees: expected a number from 0 to 180, received 270"),
        (lambda: Affine(shear=80), "affine.shear: expected a number from 0 to 60, received 80"),
        (lambda: Affine(translate=2), "affine.translate: expected a number from 0 to 1, received 2"),
        (lambda: Elastic(sigma=0), "elastic.sigma: expected a number above 0, received 0"),
        (lambda: ColorJitter(hue=0.6), "color_jitter.hue: expected a number from 0 to 0.5, received 0.6"),
        (lambda: Lighting(deviations=(1.0,)), "lighting: expected 3 deviations with 9 numbers of components, or"),
        (lambda: Noise(float("nan")), "noise.deviation: expected a number from 0 to 1, received nan"),
        (lambda: PixelFlip(2), "pixel_flip.share: expected a number from 0 to 1, received 2"),
        (lambda: Blur(3, 2), "blur: expected low to be at most high, received low 3 and high 2"),
        (lambda: Cutout(-4), "cutout.size: expected a whole number from 0, received -4"),
        (lambda: Erase(fill="black"), "unknown value for erase.fill: 'black'; known: mean, noise"),
        (lambda: Autoaugment("mnist"), "unknown value for autoaugment.policy: 'mnist'; known: cifar10, imagenet, svhn"),
        (lambda: Randaugment(magnitude=31), "randaugment.magnitude: expected a whole number from 0 to 30, received 31"),
        (lambda: Augmix(0), "augmix.severity: expected a whole number from 1 to 10, received 0"),
        (lambda: Mixup(-1), "mixup.alpha: expected a number from 0, received -1"),
        (lambda: Cutmix(probability=3), "cutmix.probability: expected a number from 0 to 1, received 3"),
    ],
)
def test_wrong_numbers_are_refused(make: typing.Callable[[], Augment], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cutot(8)", "unknown augment 'cutot'; nearest: cutout"),
        ("colour_jitter", "unknown augment 'colour_jitter'; nearest: color_jitter"),
        ("rand_augment", "unknown augment 'rand_augment'; nearest: randaugment"),
        ("autoaugment(svnh)", "unknown value for augment[0].policy: 'svnh'; nearest: svhn"),
        ("rotate(angle=3)", "unknown key in augment[0] 'angle'"),
    ],
)
def test_wrong_names_come_with_the_nearest(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.read(tuple[Augment, ...], text, "augment")  # type: ignore[arg-type]
    assert str(caught.value).startswith(says)
