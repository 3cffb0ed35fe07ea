"""Augmentations checked against a data set before a run, and the colors that lighting takes from it."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_sample_image
from sklearn.decomposition import PCA

from convsmith.base.errors import UsageError
from convsmith.data.augmentations import (
    Augment,
    Augmix,
    Autoaugment,
    ColorJitter,
    Crop,
    Cutmix,
    Cutout,
    Flip,
    Lighting,
    Mixup,
    Randaugment,
    ResizedCrop,
    ScaleCrop,
    Translate,
    Trivialaugment,
)
from convsmith.data.examples import from_arrays
from convsmith.data.preprocess import ImageInput
from convsmith.data.suit import check_augments, principal_colors, suit_augments

SMALL = ImageInput(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
GRAY = ImageInput(size=(32, 32), mode="L", mean=(0.5,), std=(0.5,))
LARGE = ImageInput(size=(224, 224), resize=256, mean=(0.5,) * 3, std=(0.5,) * 3)
WIDE = ImageInput(size=(20, 60), mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize(
    ("record", "steps"),
    [
        (SMALL, (Crop(4), Flip(), ColorJitter(), Cutout(16), Mixup(), Cutmix())),
        (SMALL, (Randaugment(), Trivialaugment(), Autoaugment(), Augmix(), ScaleCrop(), ScaleCrop(32, 40), Cutout(32))),
        (GRAY, (Crop(4, "reflect"), ColorJitter(saturation=0, hue=0), Mixup())),
        (LARGE, (ScaleCrop(), Translate(200))),
        (LARGE, (Translate(250), ResizedCrop())),
        (LARGE, (Crop(0),)),
        (WIDE, (ScaleCrop(20, 40), Crop(2))),
    ],
)
def test_what_fits_passes(record: ImageInput, steps: tuple[Augment, ...]) -> None:
    check_augments(steps, record)


@pytest.mark.parametrize(
    ("record", "steps", "says"),
    [
        (SMALL, (Mixup(), Flip()), "flip comes after mixup: mixing is always last; write flip before mixup"),
        (GRAY, (ColorJitter(),), "color_jitter: these images are gray, without saturation and hue; mend with "),
        (GRAY, (Flip(), Lighting()), "lighting: it changes colors, and these images are gray; on gray images work "),
        (GRAY, (Randaugment(),), "randaugment: it changes colors, and these images are gray; on gray images work "),
        (GRAY, (Autoaugment("svhn"),), "autoaugment: it changes colors"),
        (GRAY, (Trivialaugment(),), "trivialaugment: it changes colors"),
        (GRAY, (Augmix(),), "augmix: it changes colors"),
        (SMALL, (Crop(32, "reflect"),), "crop: a reflection of 32 pixels needs more than images of 32x32 pixels"),
        (SMALL, (ScaleCrop(28, 40),), "scale_crop: 32x32 pixels do not fit into images whose shorter side is 28; mend"),
        (LARGE, (ScaleCrop(200, 300),), "scale_crop: 224x224 pixels do not fit into images whose shorter side is 200"),
        (WIDE, (ScaleCrop(19, 30),), "scale_crop: 20x60 pixels do not fit into images whose shorter side is 19; mend "),
        (SMALL, (Translate(32),), "translate: a shift by 32 pixels moves images of 32x32 pixels out of sight"),
        (SMALL, (Cutout(33),), "cutout: a square of 33 pixels is larger than images of 32x32 pixels"),
        (LARGE, (Cutout(240), Crop(0), Cutout(240)), "cutout: a square of 240 pixels is larger than images of 224x224"),
    ],
)
def test_what_does_not_fit_is_refused(record: ImageInput, steps: tuple[Augment, ...], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_augments(steps, record)
    assert str(caught.value).startswith(says)


def test_the_error_for_gray_images_lists_what_works() -> None:
    with pytest.raises(UsageError, match=r"work flip, vertical_flip, .*color_jitter, noise, .*cutout.*mixup, cutmix$"):
        check_augments((Augmix(),), GRAY)


@pytest.mark.parametrize("step", [Mixup(), Cutmix()])
def test_mixing_needs_a_task_that_takes_shares(step: Augment) -> None:
    with pytest.raises(UsageError, match="it gives images shares of two classes, and this task takes a single one"):
        check_augments((step,), SMALL, soft_targets=False)


def photographs(channels: int = 3) -> np.ndarray:
    photo = load_sample_image("china.jpg")[..., :channels]
    return np.stack([photo[10 * i : 10 * i + 96 : 3, 20 * i : 20 * i + 96 : 3] for i in range(20)])


def test_principal_colors_are_scikit_learns() -> None:
    images = photographs()
    stacks = np.array_split(images.transpose(0, 3, 1, 2), 3)
    deviations, components = principal_colors(stacks)
    peer = PCA().fit(images.reshape(-1, 3) / 255)
    count = images[..., 0].size
    assert deviations == pytest.approx(np.sqrt(peer.explained_variance_ * (count - 1) / count), abs=1e-5)
    for found, expected in zip(np.reshape(components, (3, 3)), peer.components_, strict=True):
        assert found[np.abs(found).argmax()] > 0
        assert abs(found @ expected) == pytest.approx(1, abs=1e-5)


def test_lighting_gets_the_colors_of_the_training_images() -> None:
    images = photographs()
    train = from_arrays(images, np.zeros(len(images)), "photographs")
    given = Lighting(0.2, (1.0, 0.5, 0.1), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    found = suit_augments((Flip(), Lighting(0.3), given, Mixup()), train, SMALL)
    deviations, components = principal_colors([images.transpose(0, 3, 1, 2)])
    assert found == (Flip(), Lighting(0.3, deviations, components, measured=True), given, Mixup())
    assert suit_augments((Flip(),), train, SMALL) == (Flip(),)
    # What was measured on these images is not for others; what was given is.
    others = from_arrays(255 - images[..., ::-1] // 2, train.labels, "others")
    again = suit_augments(found, others, SMALL)
    assert again == suit_augments((Flip(), Lighting(0.3), given, Mixup()), others, SMALL)
    assert again[1] != found[1]
    assert suit_augments(again, train, SMALL) == found


def test_suiting_imports_no_torch() -> None:
    code = "import sys, convsmith.data.suit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
