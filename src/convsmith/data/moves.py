"""The effect of each augmentation on masks and boxes."""

from typing import Literal

from convsmith.base.config import kind_of
from convsmith.data.augmentations import (
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

# moves: masks and boxes move with the pixels. stays: they do not change, since pixels keep their places; an object that
# cutout or erasing covers is still to be predicted from its surroundings. pastes: a rectangle of another image brings
# its own mask. blends: a pixel shows several places at once, so no mask fits.
Moves = Literal["moves", "stays", "pastes", "blends"]

MOVES: dict[type, Moves] = {
    Flip: "moves",
    VerticalFlip: "moves",
    AlternatingFlip: "moves",
    Crop: "moves",
    Translate: "moves",
    ScaleCrop: "moves",
    ResizedCrop: "moves",
    Rotate: "moves",
    Affine: "moves",
    Elastic: "moves",
    ColorJitter: "stays",
    Lighting: "stays",
    Noise: "stays",
    PixelFlip: "stays",
    Blur: "stays",
    Cutout: "stays",
    Erase: "stays",
    Autoaugment: "moves",
    Randaugment: "moves",
    Trivialaugment: "moves",
    Augmix: "blends",
    Mixup: "blends",
    Cutmix: "pastes",
}


def blends(step: Augment) -> str:
    """The message for a step that no mask and no box can follow."""
    name = kind_of(type(step))
    return f"{name}: it blends pixels of several places, so that no mask and no box fits them; leave {name} out"
