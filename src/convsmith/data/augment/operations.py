"""The operations of the augmentation policies, each sample with its own magnitude, and their ranges as data.

They compute what torchvision's compute (shears are about the top left corner, factors are 1 + magnitude); rounded
values differ by at most two levels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from convsmith.data.augment import color
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.warp import inverse, linear, mapped

Size = tuple[int, int]


@dataclass(frozen=True)
class Span:
    """The values of the lowest and the highest magnitude: of either sign if `signed`, as shares of the side `unit`."""

    first: float = 0.0
    last: float = 0.0
    signed: bool = False
    unit: str = ""


Space = dict[str, Span]


def _space(
    shear: float, shift: Span, rotate: float, factor: float, posterize: tuple[int, int], **others: Span
) -> Space:
    """A space of operations; `identity` is always the last."""
    factors = Span(0, factor, True)
    return {
        "shear_x": Span(0, shear, True),
        "shear_y": Span(0, shear, True),
        "translate_x": shift,
        "translate_y": shift,
        "rotate": Span(0, rotate, True),
        "brightness": factors,
        "saturation": factors,
        "contrast": factors,
        "sharpness": factors,
        "posterize": Span(*posterize),
        "solarize": Span(256, 0),
        "autocontrast": Span(),
        "equalize": Span(),
        **others,
        "identity": Span(),
    }


# Cubuk et al. 2019, table 6, and Cubuk et al. 2020; posterize and translate as torchvision reads them.
_SHIFT = Span(0, 150 / 331, True, "side")
AUTOAUGMENT = _space(0.3, _SHIFT, 30, 0.9, (8, 4), invert=Span())
RANDAUGMENT = _space(0.3, _SHIFT, 30, 0.9, (8, 4))
# Müller and Hutter 2021, table 1, column "wide".
TRIVIALAUGMENT = _space(0.99, Span(0, 32, True), 135, 0.99, (8, 2))
# Hendrycks et al. 2020, section 3, with the four operations that its test set of corruptions also has.
AUGMIX = _space(0.3, Span(0, 1 / 3, True, "side"), 30, 0.9, (4, 0))


def magnitudes(space: Space, bins: int, size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """The value of each magnitude of each operation for images of `size` (height, width): float64 (operations, bins).

    The second tensor, bool (operations), says which values are of either sign.
    """
    return _magnitudes(tuple(space.items()), bins, size, device)


@cache
def _magnitudes(
    space: tuple[tuple[str, Span], ...], bins: int, size: Size, device: torch.device
) -> tuple[Tensor, Tensor]:
    rows: list[Tensor] = []
    for name, span in space:
        side = size[1] if name.endswith("_x") else size[0]
        scale = side if span.unit == "side" else 1
        rows.append(torch.linspace(span.first * scale, span.last * scale, bins, dtype=torch.float64))
    signed = torch.tensor([span.signed for _, span in space])
    return torch.stack(rows).to(device), signed.to(device)


def apply(images: Tensor, names: tuple[str, ...], numbers: Tensor, amounts: Tensor, frame: Frame) -> Tensor:
    """Each sample of (N, C, H, W) after the operation `names[numbers[i]]` with magnitude `amounts[i]`.

    Samples with the same operation are computed together.
    """
    order = numbers.argsort(stable=True)
    counts = torch.bincount(numbers, minlength=len(names)).tolist()
    # index_select copies whole images; indexing copies pixel by pixel.
    images, amounts = images.index_select(0, order), amounts[order]
    done = [
        OPERATIONS[name].apply(part, amount, frame) if OPERATIONS[name].moves or not frame.labels else part
        for name, count, part, amount in zip(names, counts, images.split(counts), amounts.split(counts), strict=True)
        if count
    ]
    return torch.cat(done).index_select(0, order.argsort())


def _turn(images: Tensor, amounts: Tensor, frame: Frame) -> Tensor:
    return mapped(images, inverse(linear(amounts)), frame.fill, frame.sampling)


def _shear(along: int, images: Tensor, amounts: Tensor, frame: Frame) -> Tensor:
    forward = torch.eye(2, dtype=torch.float64, device=images.device).repeat(len(images), 1, 1)
    forward[:, along, 1 - along] = -amounts
    # A shear about the corner moves the center by the slant of half the other side.
    shift = torch.zeros(len(images), 2, dtype=torch.float64, device=images.device)
    shift[:, along] = -amounts * images.shape[2 + along] / 2
    return mapped(images, inverse(forward, shift), frame.fill, frame.sampling)


def _shift(along: int, images: Tensor, amounts: Tensor, frame: Frame) -> Tensor:
    forward = torch.eye(2, dtype=torch.float64, device=images.device).repeat(len(images), 1, 1)
    shift = torch.zeros(len(images), 2, dtype=torch.float64, device=images.device)
    shift[:, along] = amounts.trunc()
    return mapped(images, inverse(forward, shift), frame.fill, frame.sampling)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """The images blended away from (`factors` above 1) or towards a smoothed image; the border does not change."""
    if min(images.shape[2:]) <= 2:
        return images
    # Pillow's SMOOTH: each pixel five times, its eight neighbors once. Sums of whole numbers are exact in float32.
    values = images.float()
    rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = around.add_(values[:, :, 1:-1, 1:-1], alpha=4).div_(13).round_()
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = color.blend(images[:, :, 1:-1, 1:-1], smooth, factors)
    return result


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """The images with only their upper `bits` (N) bits."""
    masks = 256 - 2 ** (8 - bits.round().long())
    return images & masks.to(torch.uint8).view(-1, 1, 1, 1)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """The images with every value from the threshold (N) on inverted."""
    return torch.where(images >= thresholds.view(-1, 1, 1, 1), ~images, images)


def _torchvision(name: str, images: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional  # two seconds of imports, for policies alone

    return getattr(functional, name)(images)


class Operation(NamedTuple):
    """The function of (N, C, H, W) and magnitudes (float64, N), and whether it moves pixels and so labels."""

    apply: Callable[[Tensor, Tensor, Frame], Tensor]
    moves: bool = False


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(lambda images, amounts, frame: images),
    "shear_x": Operation(partial(_shear, 0), moves=True),
    "shear_y": Operation(partial(_shear, 1), moves=True),
    "translate_x": Operation(partial(_shift, 0), moves=True),
    "translate_y": Operation(partial(_shift, 1), moves=True),
    "rotate": Operation(_turn, moves=True),
    "brightness": Operation(lambda images, amounts, frame: color.brightness(images, 1 + amounts.float())),
    "saturation": Operation(lambda images, amounts, frame: color.saturation(images, 1 + amounts.float())),
    "contrast": Operation(lambda images, amounts, frame: color.contrast(images, 1 + amounts.float())),
    "sharpness": Operation(lambda images, amounts, frame: sharpness(images, 1 + amounts.float())),
    "posterize": Operation(lambda images, amounts, frame: posterize(images, amounts)),
    "solarize": Operation(lambda images, amounts, frame: solarize(images, amounts)),
    "autocontrast": Operation(lambda images, amounts, frame: _torchvision("autocontrast", images)),
    "equalize": Operation(lambda images, amounts, frame: _torchvision("equalize", images)),
    "invert": Operation(lambda images, amounts, frame: ~images),
}
