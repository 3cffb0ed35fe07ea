"""The picture sheet of docs/augment.md: every augmentation on one of scikit-learn's photographs.

    python docs/augment_sheet.py

writes docs/images/augment.png.
"""

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from convsmith.base.config import read
from convsmith.data.augment import augment, mix
from convsmith.data.augmentations import MIXING, Augment
from convsmith.data.preprocess import ImageInput
from convsmith.data.suit import principal_colors

OUT = Path(__file__).parent / "images" / "augment.png"
SIDE, COLUMNS, SHOWN, GAP, LABEL = 56, 2, 4, 2, 124
RECORD = ImageInput(size=(SIDE, SIDE), resize=64, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
ROWS = (
    "flip", "vertical_flip", "crop(8)", "crop(8, reflect)", "translate(12)", "scale_crop(56, 105)", "resized_crop",
    "rotate(30)", "affine", "elastic(2)", "color_jitter", "lighting(0.5)", "noise(0.1)", "pixel_flip(0.05)",
    "blur(0.5, 2, 1)", "cutout(20)", "erase(1)", "erase(1, fill=noise)", "autoaugment(cifar10)",
    "autoaugment(imagenet)", "autoaugment(svhn)", "randaugment", "trivialaugment", "augmix", "mixup(1)",
    "cutmix(1, 1)",
)  # fmt: skip


def photographs() -> Tensor:
    """The flower and the temple in turn, uint8 (SHOWN, 3, 64, 64), as a data set's images arrive with their margin."""
    names = ("flower.jpg", "china.jpg")
    large = [torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1) for name in names]
    small = [tv.center_crop(tv.resize(image, [64], antialias=True), [64, 64]) for image in large]
    return torch.stack([small[i % 2] for i in range(SHOWN)])


def augmented(images: Tensor, text: str) -> Tensor:
    """The images after the augmentation that `text` names."""
    (step,) = read(tuple[Augment, ...], text, "augment")  # type: ignore[arg-type]
    positions = torch.arange(len(images))
    if text.startswith("lighting"):
        deviations, components = principal_colors([images.numpy()])
        step = type(step)(step.strength, deviations, components)
    if isinstance(step, MIXING):
        return mix(augment(images, (), 5, 0, positions, RECORD), (step,), 5, 0, positions)[0]
    return augment(images, (step,), 5, 0, positions, RECORD)


def main() -> None:
    images, lines = photographs(), -(-len(ROWS) // COLUMNS)
    wide = LABEL + SHOWN * (SIDE + GAP) + 8
    sheet = Image.new("RGB", (COLUMNS * wide, lines * (SIDE + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for number, text in enumerate(ROWS):
        x, y = number // lines * wide, number % lines * (SIDE + GAP)
        draw.text((x + 2, y + SIDE // 2 - 6), text, "black", font)
        for place, image in enumerate(augmented(images, text)):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            sheet.paste(picture, (x + LABEL + place * (SIDE + GAP), y))
    OUT.parent.mkdir(exist_ok=True)
    # 96 colors: a third of the size, and a small sheet shows no difference.
    sheet.quantize(96).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
