"""AutoAugment, RandAugment, TrivialAugment and AugMix: the choice of operations and magnitudes for each sample.

The numbers are torchvision's. Pixels from outside of the image get the mean color, as in the paper's own code.
"""

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from convsmith.data import keys as counter
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.operations import AUGMIX, AUTOAUGMENT, RANDAUGMENT, TRIVIALAUGMENT, Space, apply, magnitudes
from convsmith.data.augment.policies import POLICIES
from convsmith.data.augmentations import Augmix, Autoaugment, Randaugment, Trivialaugment

_AUTO_BINS, _BINS, _MIX_BINS, _DEPTH = 10, 31, 10, 3


def autoaugment(images: Tensor, keys: Tensor, step: Autoaugment, frame: Frame) -> Tensor:
    """Apply one pair of operations of the step's policy to each of (N, C, H, W)."""
    numbers, probabilities, bins = _policy(step.policy, images.device)
    row = counter.integers(counter.fork(keys, 0), 0, len(numbers))
    for place in range(2):
        own = counter.fork(keys, 1 + place)
        chosen = counter.uniform(counter.fork(own, 1)) < probabilities[row, place]
        number = torch.where(chosen, numbers[row, place], len(AUTOAUGMENT) - 1)
        images = _apply(images, own, AUTOAUGMENT, number, bins[row, place], _AUTO_BINS, _nearest(frame))
    return images


def randaugment(images: Tensor, keys: Tensor, step: Randaugment, frame: Frame) -> Tensor:
    """Apply the step's number of random operations, all of its magnitude, to each of (N, C, H, W)."""
    for place in range(step.operations):
        own = counter.fork(keys, place)
        number = counter.integers(counter.fork(own, 1), 0, len(RANDAUGMENT))
        images = _apply(
            images, own, RANDAUGMENT, number, torch.full_like(number, step.magnitude), _BINS, _nearest(frame)
        )
    return images


def trivialaugment(images: Tensor, keys: Tensor, step: Trivialaugment, frame: Frame) -> Tensor:
    """Apply one random operation of a random magnitude to each of (N, C, H, W)."""
    number = counter.integers(counter.fork(keys, 1), 0, len(TRIVIALAUGMENT))
    bins = counter.integers(counter.fork(keys, 2), 0, _BINS)
    return _apply(images, keys, TRIVIALAUGMENT, number, bins, _BINS, _nearest(frame))


def augmix(images: Tensor, keys: Tensor, step: Augmix, frame: Frame) -> Tensor:
    """Blend each of uint8 (N, C, H, W) with the step's number of chains of operations.

    The image's own share is drawn from Beta(1, 1), the chains' shares from Dirichlet(1, ..., 1), as in the paper.
    """
    own = counter.uniform(counter.fork(keys, 0)).double()
    weights = -torch.log(counter.uniform(counter.forks(counter.fork(keys, 1), step.width)).double() + 2.0**-25)
    weights *= ((1 - own) / weights.sum(1))[:, None]
    chains = counter.forks(counter.fork(keys, 2), step.width)
    ends = _chains(images.repeat_interleave(step.width, 0), chains.flatten(), step.severity, frame)
    ends = ends.view(len(images), step.width, *images.shape[1:])
    mixed = images * own.float().view(-1, 1, 1, 1)
    # Chain by chain: the order of a sum must not depend on the batch.
    for chain in range(step.width):
        mixed += ends[:, chain] * weights[:, chain].float().view(-1, 1, 1, 1)
    return mixed.round_().clamp_(0, 255).to(torch.uint8)


def _nearest(frame: Frame) -> Frame:
    """The frame with nearest-pixel sampling, which the code of these papers uses."""
    return replace(frame, sampling="nearest")


def _chains(images: Tensor, keys: Tensor, severity: int, frame: Frame) -> Tensor:
    """Each image after one to three operations."""
    depth = counter.integers(counter.fork(keys, _DEPTH), 1, _DEPTH + 1)
    for place in range(_DEPTH):
        own = counter.fork(keys, place)
        number = counter.integers(counter.fork(own, 1), 0, len(AUGMIX) - 1)
        number = torch.where(place < depth, number, len(AUGMIX) - 1)
        bins = counter.integers(counter.fork(own, 2), 0, severity)
        images = _apply(images, own, AUGMIX, number, bins, _MIX_BINS, frame)
    return images


def _apply(
    images: Tensor, keys: Tensor, space: Space, numbers: Tensor, bins: Tensor, of: int, frame: Frame
) -> Tensor:  # fmt: skip
    """Each image after operation `numbers[i]` of the space, with the magnitude of bin `bins[i]` of `of` bins."""
    table, signed = magnitudes(space, of, (images.shape[2], images.shape[3]), images.device)
    minus = signed[numbers] & (counter.uniform(counter.fork(keys, 0)) < 0.5)
    amounts = table[numbers, bins]
    return apply(images, tuple(space), numbers, torch.where(minus, -amounts, amounts), frame)


@cache
def _policy(name: str, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Operations, probabilities and magnitudes of a policy, each (rows, 2)."""
    known = list(AUTOAUGMENT)
    rows = POLICIES[name]
    numbers = torch.tensor([[known.index(c.operation) for c in row] for row in rows], device=device)
    probabilities = torch.tensor([[c.probability for c in row] for row in rows], device=device)
    bins = torch.tensor([[c.magnitude for c in row] for row in rows], device=device)
    return numbers, probabilities, bins
