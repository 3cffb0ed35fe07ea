"""The losses of a classification, one number for each image, and how much an image counts by its class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from convsmith.base.errors import UsageError
from convsmith.tasks.options import ClassWeights, Loss, LossKind


@dataclass(frozen=True)
class Kind:
    """A loss and what it gives, of so many classes, for an output of 0 at each of them.

    `each` takes outputs (N, classes) and targets: classes (N,) or their shares (N, classes); it gives (N,).
    """

    each: Callable[[Tensor, Tensor, float, Loss], Tensor]
    guess: Callable[[int, Loss], float]


def cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float, options: Loss) -> Tensor:
    """The cross entropy of the softmax; with `smoothing` of the target spread (Szegedy et al. 2016, section 7)."""
    return functional.cross_entropy(outputs, targets, label_smoothing=smoothing, reduction="none")


def binary_cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float, options: Loss) -> Tensor:
    """The mean, or the sum, over the classes of each one's cross entropy against the rest (Wightman et al. 2021)."""
    wanted = smoothed(targets, outputs, smoothing)
    each = functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
    return each.sum(dim=1) if options.reduction == "sum" else each.mean(dim=1)


def focal(outputs: Tensor, targets: Tensor, smoothing: float, options: Loss) -> Tensor:
    """The cross entropy, each class's part times (1 - p) ** gamma (Lin et al. 2017, equation 4, of the softmax)."""
    logarithms = functional.log_softmax(outputs, dim=1)
    # Above 0, where a power below 1 has no slope.
    rest = (-torch.expm1(logarithms)).clamp(min=torch.finfo(outputs.dtype).tiny)
    return -(smoothed(targets, outputs, smoothing) * rest.pow(options.gamma) * logarithms).sum(dim=1)


def hinge(outputs: Tensor, targets: Tensor, smoothing: float, options: Loss) -> Tensor:
    """max(0, 1 + the best other output - the true class's) (Crammer and Singer 2001); `targets` are classes (N,)."""
    if targets.ndim != 1 or smoothing:
        raise UsageError("loss.kind hinge: expected one class for each image, received shares of several")
    true = outputs.gather(1, targets[:, None])
    others = outputs.scatter(1, targets[:, None], -torch.inf).amax(dim=1, keepdim=True)
    return (1 + others - true).clamp(min=0).squeeze(1)


LOSSES: dict[LossKind, Kind] = {
    "cross_entropy": Kind(cross_entropy, lambda count, options: math.log(count)),
    "bce": Kind(
        binary_cross_entropy, lambda count, options: math.log(2) * (count if options.reduction == "sum" else 1)
    ),
    "focal": Kind(focal, lambda count, options: (1 - 1 / count) ** options.gamma * math.log(count)),
    "hinge": Kind(hinge, lambda count, options: 1.0),
}


def shares(targets: Tensor, outputs: Tensor) -> Tensor:
    """Targets as each class's share (N, classes), of the outputs' type."""
    if targets.ndim == 1:
        targets = functional.one_hot(targets, outputs.shape[1])
    return targets.to(outputs.dtype)


def smoothed(targets: Tensor, outputs: Tensor, smoothing: float) -> Tensor:
    """The shares (N, classes) with `smoothing` of each image's spread over all classes."""
    return shares(targets, outputs) * (1 - smoothing) + smoothing / outputs.shape[1]


def class_weights(kind: ClassWeights, counts: Sequence[int], beta: float) -> tuple[float, ...]:
    """What an image of each class counts, from the classes' numbers of training images; of an absent class 0.

    balanced: n / (k * count) for n images of k classes, as scikit-learn has it: a class counts the same whatever its
    size. effective: in proportion to (1 - beta) / (1 - beta ** count), with mean 1 over the classes (Cui et al. 2019,
    section 4).
    """
    present = [count for count in counts if count]
    if kind == "balanced":
        return tuple(sum(present) / (len(present) * count) if count else 0.0 for count in counts)
    raw = [(1 - beta) / (1 - beta**count) if count else 0.0 for count in counts]
    return tuple(weight * len(present) / sum(raw) for weight in raw)


@cache
def weights_of_classes(weights: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The weights as a tensor on the device; kept, since copying them for every batch would make it wait."""
    return torch.tensor(weights, device=device, dtype=dtype)
