"""Augmentations suited to a data set: checked before anything runs, and given the numbers that its images hold."""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from typing import get_args

import numpy as np

from convsmith.base.config import kind_of
from convsmith.base.errors import UsageError
from convsmith.data.augmentations import (
    MIXING,
    Augment,
    Augmix,
    Autoaugment,
    ColorJitter,
    Crop,
    Cutout,
    Lighting,
    Randaugment,
    ResizedCrop,
    ScaleCrop,
    Translate,
    Trivialaugment,
)
from convsmith.data.cache import Use, open_cache
from convsmith.data.decoding import CHUNK, SAMPLE, SAMPLE_RESIZED, decode_stack
from convsmith.data.examples import Examples, spread
from convsmith.data.moves import MOVES, blends
from convsmith.data.preprocess import ImageInput, final_size
from convsmith.data.targets import Kind
from convsmith.report.text import many

# Those that have no meaning for gray images, or change colors among other things.
COLOR_ONLY = (Lighting, Autoaugment, Randaugment, Trivialaugment, Augmix)

Size = tuple[int, int]


def suit_augments(
    augments: tuple[Augment, ...],
    train: Examples,
    preprocess: ImageInput,
    *,
    workers: int = 2,
    soft_targets: bool = True,
    cache: Use = "off",
) -> tuple[Augment, ...]:
    """The augmentations as a run on these training images uses them: lighting gets its basis, unless a user gave one.

    `soft_targets` says whether the task takes shares of classes. Raises UsageError if a step does not fit.
    """
    check_augments(augments, preprocess, soft_targets=soft_targets, kind=train.targets.kind)
    if not any(map(_is_to_measure, augments)):
        return augments
    deviations, components = colors_of(train, preprocess, workers, cache)
    basis = {"deviations": deviations, "components": components, "measured": True}
    return tuple(replace(step, **basis) if _is_to_measure(step) else step for step in augments)


def colors_of(
    train: Examples, preprocess: ImageInput, workers: int, cache: Use = "off"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The principal components of training images' pixels, measured on a spread of them; as `principal_colors`."""
    return principal_colors(_chunks(train, preprocess, workers, cache))


def check_augments(
    augments: tuple[Augment, ...], preprocess: ImageInput, *, soft_targets: bool = True, kind: Kind = "class"
) -> None:
    """Raise UsageError for the first step that cannot work on images preprocessed by `preprocess`.

    `kind` is the kind of the targets: some steps have no meaning for masks, boxes and texts.
    """
    size = final_size(preprocess, margin=True)
    mixing = ""
    for step in augments:
        name = kind_of(type(step))
        if isinstance(step, MIXING):
            mixing = name
            if not soft_targets:
                raise UsageError(f"{name}: it gives images shares of two classes, and this task takes a single one")
        elif mixing:
            raise UsageError(f"{name} comes after {mixing}: mixing is always last; write {name} before {mixing}")
        if preprocess.channels == 1:
            _check_gray(step, name)
        _check_kind(step, name, kind)
        _check_size(step, name, size, preprocess.size)
        if isinstance(step, Crop | ScaleCrop | ResizedCrop):
            size = preprocess.size


def principal_colors(stacks: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The principal components of the pixels of stacks of images, uint8 (n, 3, H, W): a basis for `Lighting`.

    Deviations along the components, the largest first, on a scale of 0 to 1; and the components one after another,
    each of length 1 with its largest part positive. The paper says "eigenvalues" of the covariance, which grow with
    the square of the scale of the pixels; the numbers that have been used with it since are square roots, as here.
    """
    count, total, products = 0, np.zeros(3), np.zeros((3, 3))
    for stack in stacks:
        pixels = stack.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64) / 255
        count, total, products = count + pixels.shape[1], total + pixels.sum(axis=1), products + pixels @ pixels.T
    mean = total / count
    variances, columns = np.linalg.eigh(products / count - np.outer(mean, mean))
    components = columns.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(3), largest])[:, None]
    deviations = np.sqrt(np.maximum(variances[::-1], 0))
    return tuple(round(float(d), 6) for d in deviations), tuple(round(float(c), 6) for c in components.ravel())


def _is_to_measure(step: Augment) -> bool:
    """Whether a step takes numbers from the training images, or has taken them from those of an earlier run."""
    return isinstance(step, Lighting) and (step.measured or not step.deviations)


def _chunks(examples: Examples, preprocess: ImageInput, workers: int, use: Use) -> Iterable[np.ndarray]:
    cache, _ = open_cache(examples, preprocess, False, use)
    chosen = spread(len(examples), SAMPLE_RESIZED if preprocess.resize else SAMPLE)
    for begin in range(0, len(chosen), CHUNK):
        yield decode_stack(examples, chosen[begin : begin + CHUNK], preprocess, workers, cache=cache)


def _check_gray(step: Augment, name: str) -> None:
    if isinstance(step, ColorJitter) and (step.saturation or step.hue):
        raise UsageError(
            f"{name}: these images are gray, without saturation and hue; mend with {name}(saturation=0, hue=0)"
        )
    if isinstance(step, COLOR_ONLY):
        working = ", ".join(kind_of(kind) for kind in get_args(Augment) if kind not in COLOR_ONLY)
        raise UsageError(f"{name}: it changes colors, and these images are gray; on gray images work {working}")


def _check_kind(step: Augment, name: str, kind: Kind) -> None:
    move = MOVES[type(step)]
    if kind in ("mask", "box") and move == "blends":
        raise UsageError(blends(step))
    if kind == "box" and move == "pastes":
        raise UsageError(f"{name}: it covers boxes with parts of another image; leave {name} out")
    if kind == "text" and isinstance(step, MIXING):
        raise UsageError(f"{name}: it gives images shares of two targets, and a text has no shares; leave {name} out")


def _check_size(step: Augment, name: str, size: Size, goal: Size) -> None:
    """Raise UsageError if a step does not fit images of `size` (height, width) with the final size `goal`."""
    images = f"images of {size[0]}x{size[1]} pixels"
    if isinstance(step, Crop):
        if step.mode == "reflect" and step.padding >= min(size):
            raise UsageError(f"{name}: a reflection of {many(step.padding, 'pixel')} needs more than {images}")
        if any(have + 2 * step.padding < want for have, want in zip(size, goal, strict=True)):
            raise UsageError(f"{name}: cannot cut {goal[0]}x{goal[1]} from {images} padded by {step.padding}")
    if isinstance(step, ScaleCrop):
        least = ceil(max(want * min(size) / have for have, want in zip(size, goal, strict=True)))
        if step.low < least:
            raise UsageError(
                f"{name}: {goal[0]}x{goal[1]} pixels do not fit into images whose shorter side is {step.low}; "
                f"mend with low of at least {least}"
            )
    if isinstance(step, Translate) and step.pixels >= min(size):
        raise UsageError(f"{name}: a shift by {many(step.pixels, 'pixel')} moves {images} out of sight")
    if isinstance(step, Cutout) and step.size > min(size):
        raise UsageError(f"{name}: a square of {many(step.size, 'pixel')} is larger than {images}")
