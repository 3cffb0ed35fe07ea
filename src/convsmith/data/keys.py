"""Randomness without state: keys are hashes of (seed, epoch, position, draw), equal on every device and machine.

The hash is splitmix64 (Steele, Lea, Flood 2014), whose 64-bit arithmetic wraps around; the tensors are int64.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1
_ORDER, _PLACES = -1, -2


def keys(seed: int, epoch: int, positions: Tensor, draw: int) -> Tensor:
    """An int64 key for each of `positions` (int64); each random choice for a sample has its own `draw`."""
    state = 0
    for number in (seed, epoch, draw):
        state = _mix_int((state ^ (number & _MASK)) + _GOLDEN & _MASK)
    return _mix(positions * _signed(_GOLDEN) + _signed(state))


def fork(keys: Tensor, number: int) -> Tensor:
    """New keys from `keys`, one set for each `number`, for a choice that needs several random values."""
    return _mix(keys + _signed((number + 1) * _GOLDEN & _MASK))


def forks(keys: Tensor, count: int) -> Tensor:
    """int64 (N, count): in column j the keys of `fork(keys, j)`, for many random values of each sample."""
    steps = torch.arange(1, count + 1, device=keys.device) * _signed(_GOLDEN)
    return _mix(keys[:, None] + steps)


def words(keys: Tensor, count: int) -> Tensor:
    """int16 (N, count), uniform over all 65,536 values, four from each hash: for samples that need thousands."""
    return forks(keys, -(-count // 4)).view(torch.int16)[:, :count]


def uniform(keys: Tensor) -> Tensor:
    """float32 in [0, 1), one for each key: its upper 24 bits."""
    return _shift(keys, 40).to(torch.float32) * 2.0**-24


def between(keys: Tensor, low: float, high: float) -> Tensor:
    """float64 in [low, high), one for each key."""
    return low + uniform(keys).double() * (high - low)


def normal(keys: Tensor) -> Tensor:
    """float64, one for each key, from the standard normal distribution; absolute values are at most 5.4."""
    return torch.special.ndtri(uniform(keys).double() + 2.0**-25)


def noise(keys: Tensor, count: int) -> Tensor:
    """Standard normal numbers, float32 (N, count); a key's row does not depend on the other keys."""
    return normal(forks(keys, count)).float()


def integers(keys: Tensor, low: int, high: int) -> Tensor:
    """int64 in [low, high), one for each key; the range may span up to 2**31."""
    return low + (_shift(keys, 32) * (high - low) >> 32)


def epoch_order(count: int, seed: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
    """The order of `count` examples in an epoch: a permutation, int64, the same on every device."""
    positions = torch.arange(count, dtype=torch.int64, device=device)
    # splitmix64 maps different positions to different hashes, so there are no ties to break.
    return torch.argsort(keys(seed, epoch, positions, _ORDER))


def sampled_order(labels: Tensor, counts: Sequence[int], seed: int, epoch: int) -> Tensor:
    """An epoch in which class j is seen `counts[j]` times: indices of the examples in random order, int64.

    `labels` are int64 (N,). The images of a class take turns: within an epoch their counts differ by at most one, and
    the images that are left out, or seen once more, are drawn anew in each epoch.
    """
    order = epoch_order(len(labels), seed, epoch, labels.device)
    grouped = order[torch.argsort(labels[order], stable=True)]
    tallies = torch.bincount(labels, minlength=len(counts)).tolist()
    indices = torch.cat(
        [
            members[torch.arange(count, device=labels.device) % max(1, len(members))]
            for members, count in zip(grouped.split(tallies), counts, strict=True)
        ]
    )
    places = torch.arange(len(indices), dtype=torch.int64, device=labels.device)
    return indices[torch.argsort(keys(seed, epoch, places, _PLACES))]


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _signed(_FIRST)
    x = (x ^ _shift(x, 27)) * _signed(_SECOND)
    return x ^ _shift(x, 31)


def _mix_int(x: int) -> int:
    x = (x ^ x >> 30) * _FIRST & _MASK
    x = (x ^ x >> 27) * _SECOND & _MASK
    return x ^ x >> 31


def _shift(x: Tensor, bits: int) -> Tensor:
    # >> on int64 copies the sign into the upper bits; the mask clears them.
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    return x - 2**64 if x >= 2**63 else x
