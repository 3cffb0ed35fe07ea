"""Brightness, contrast, saturation, hue and lighting, each sample by its own amount.

The functions compute what torchvision's and Pillow's compute, with Pillow's gray, but round values that those truncate.
So values differ by at most two levels, are no darker on average, and gray images stay gray under any saturation.
"""

import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data import keys as counter
from convsmith.data.augment.constants import constant
from convsmith.data.augment.frame import Frame
from convsmith.data.augmentations import ColorJitter, Lighting

# The weights of red, green and blue in a gray value, in 65,536ths: ITU-R 601-2 as in Pillow. Sums are exact in float32.
_GRAY = (19595, 38470, 7471)


def color_jitter(images: Tensor, keys: Tensor, step: ColorJitter, frame: Frame) -> Tensor:
    """Change brightness, contrast, saturation and hue of uint8 (N, C, H, W), in this order."""
    parts = ((brightness, step.brightness), (contrast, step.contrast), (saturation, step.saturation))
    for number, (change, strength) in enumerate(parts):
        if strength:
            factors = counter.between(counter.fork(keys, number), 1 - strength, 1 + strength)
            images = change(images, factors.float())
    if step.hue:
        images = hue(images, counter.between(counter.fork(keys, len(parts)), -step.hue, step.hue).float())
    return images


def lighting(images: Tensor, keys: Tensor, step: Lighting, frame: Frame) -> Tensor:
    """Add one color to each image of uint8 (N, 3, H, W), drawn along the principal components of the pixels."""
    if not step.deviations:
        raise UsageError("lighting: the basis has not been computed; `suit_augments` takes it from training images")
    deviations = constant(step.deviations, torch.float64, images.device)
    components = constant(step.components, torch.float64, images.device).view(3, 3)
    amounts = counter.normal(counter.forks(keys, 3)) * (deviations * step.strength)
    shift = (amounts[:, :, None] * components).sum(1) * 255
    return images.float().add_(shift.float()[:, :, None, None]).round_().clamp_(0, 255).to(torch.uint8)


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """The images multiplied by `factors` (float32, N)."""
    return _levels(images * factors.view(-1, 1, 1, 1))


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """The images blended away from (`factors` above 1) or towards the mean gray of each."""
    # A sum of whole numbers is exact in float64, whatever its order.
    mean = gray(images).mean((1, 2, 3), dtype=torch.float64, keepdim=True)
    return blend(images, mean.float(), factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """The images blended away from (`factors` above 1) or towards gray; gray images do not change."""
    return images if images.shape[1] == 1 else blend(images, gray(images), factors)


def hue(images: Tensor, turns: Tensor) -> Tensor:
    """The images, uint8 (N, 3, H, W), with hues turned by `turns` (float32, N) of the color circle; V and S stay."""
    highest, lowest = images.amax(1, keepdim=True).float(), images.amin(1, keepdim=True).float()
    chroma = highest - lowest
    red, green, blue = (images[:, i : i + 1].float() for i in range(3))
    # In sixths of the circle: red is 0, green 2, blue 4.
    is_red, is_green = highest == red, highest == green
    sixth = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    sixth /= chroma.clamp(min=1)
    sixth += torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0))
    sixth += turns.view(-1, 1, 1, 1) * 6
    away = sixth - constant((0.0, 2.0, 4.0), torch.float32, images.device).view(1, 3, 1, 1)
    # The way round the circle is at most 3 long.
    away -= (away / 6).round_() * 6
    return (lowest + chroma * (2 - away.abs_()).clamp_(0, 1)).round_().to(torch.uint8)


def gray(images: Tensor) -> Tensor:
    """The gray values of images in whole levels, float32 (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = (images[:, i : i + 1].float() * weight for i, weight in enumerate(_GRAY))
    return (red + green + blue).add_(32768).div_(65536).floor_()


def blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """`factors` (float32, N) times the images plus (1 - `factors`) times the `others`, rounded and clipped."""
    shares = factors.view(-1, 1, 1, 1)
    return _levels((images * shares).add_(others * (1 - shares)))


def _levels(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)
