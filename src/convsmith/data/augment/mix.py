"""Mixing of pairs of images and of their labels: the one augmentation that depends on the batch.

The partner of an image depends on the batch; whether an image is mixed, and by how much, does not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from convsmith.data import keys as counter
from convsmith.data.augment.erase import rectangles
from convsmith.data.augmentations import MIXING, Augment, Cutmix, Mixup


@dataclass(frozen=True)
class Mixture:
    """One mixing: `shares[i]` (float32, N) of sample i is itself, the rest is sample `partners[i]` (int64, N).

    `pasted` marks the pixels that CutMix takes from the partner, bool (N, 1, H, W); None after mixup.
    """

    partners: Tensor
    shares: Tensor
    pasted: Tensor | None = None


def mix(
    images: Tensor, augments: tuple[Augment, ...], seed: int, epoch: int, positions: Tensor
) -> tuple[Tensor, tuple[Mixture, ...]]:
    """The batch uint8 (N, C, H, W) after the mixing steps of `augments`, and a mixture of each for `mixed_targets`."""
    mixtures: list[Mixture] = []
    for draw, step in enumerate(augments):
        if isinstance(step, MIXING):
            images, mixture = mix_once(images, counter.keys(seed, epoch, positions, draw), step)
            mixtures.append(mixture)
    return images, tuple(mixtures)


def mix_once(images: Tensor, keys: Tensor, step: Mixup | Cutmix) -> tuple[Tensor, Mixture]:
    """The images after one mixing step, and its mixture."""
    partners = draw_partners(counter.fork(keys, 0))
    shares = symmetric_beta(counter.fork(keys, 1), step.alpha)
    chosen = counter.uniform(counter.fork(keys, 2)) < step.probability
    shares = torch.where(chosen, shares, 1.0)
    if isinstance(step, Mixup):
        images, shares = mixup(images, partners, shares)
        return images, Mixture(partners, shares.float())
    size = (images.shape[2], images.shape[3])
    pasted, shares = cut_rectangles(size, shares, counter.fork(keys, 3))
    images = torch.where(pasted, images.index_select(0, partners), images)
    return images, Mixture(partners, shares.float(), pasted)


def mixed_targets(targets: Tensor, mixtures: tuple[Mixture, ...], classes: int) -> Tensor:
    """The shares of the classes, float32 (N, classes); the labels themselves, int64 (N), if nothing was mixed.

    Several labels an image (N, classes) always give float32; each class is mixed by itself.
    """
    if targets.ndim == 1 and not mixtures:
        return targets
    soft = one_hot(targets, classes).float() if targets.ndim == 1 else targets.float()
    for mixture in mixtures:
        shares = mixture.shares[:, None]
        soft = shares * soft + (1 - shares) * soft[mixture.partners]
    return soft


def draw_partners(keys: Tensor) -> Tensor:
    """Each sample's partner, int64 (N): the next one in a random ring through the batch; itself in a batch of one."""
    ring = keys.argsort()
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(-1))


def symmetric_beta(keys: Tensor, alpha: float) -> Tensor:
    """Draws from Beta(alpha, alpha), float64 (N); always 1 for alpha 0.

    For u and v uniform in (0, 1),
    cos(2 pi v) sqrt(1 - u^(1/alpha)) / sqrt(cos^2(2 pi v) + u^(1/alpha) sin^2(2 pi v)) is 2 Beta - 1. This is Bailey's
    (1994) polar method for Student's t with 2 alpha degrees of freedom, which the symmetric beta distribution follows.
    """
    if alpha == 0:
        return torch.ones_like(keys, dtype=torch.float64)
    power = (counter.uniform(counter.fork(keys, 0)).double() + 2.0**-25) ** (1 / alpha)
    turn = (counter.uniform(counter.fork(keys, 1)).double() + 2.0**-25) * (2 * torch.pi)
    cosine = turn.cos()
    away = cosine * (1 - power).sqrt() / (cosine.square() + power * turn.sin().square()).sqrt()
    return (1 + away) / 2


def mixup(images: Tensor, partners: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """`shares` (N) times each image plus the rest times its partner, rounded to whole levels; and the shares."""
    own = shares.float().view(-1, 1, 1, 1)
    mixed = (images * own).add_(images.index_select(0, partners) * (1 - own)).round_().clamp_(0, 255).to(torch.uint8)
    return mixed, shares


def cut_rectangles(size: tuple[int, int], shares: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels that CutMix pastes, bool (N, 1, H, W): a rectangle of 1 - `shares` (N) of the area, cut at the border.

    The second value is the share of each image's own pixels that are left, after that cut.
    """
    height, width = size
    root = (1 - shares).clamp(min=0).sqrt()
    y, x = (counter.integers(counter.fork(keys, i), 0, side) for i, side in enumerate((height, width)))
    tall, wide = (root * height).long(), (root * width).long()
    top, left = (y - tall // 2).clamp(min=0), (x - wide // 2).clamp(min=0)
    bottom, right = (y - tall // 2 + tall).clamp(max=height), (x - wide // 2 + wide).clamp(max=width)
    inside = rectangles(top, left, bottom, right, (height, width))
    left_over = 1 - (bottom - top) * (right - left) / (height * width)
    return inside, left_over
