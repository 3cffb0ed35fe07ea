"""Classification: one label for each image."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

TOP = 5


@dataclass(frozen=True)
class ClassResult:
    """One class's precision, recall and F1; a class never predicted has precision 0, one never seen recall 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Classification:
    """The numbers of an evaluation. `confusion[i][j]` counts images of class i that were called j.

    `sample_loss`, `predicted`, `probability` and `true_probability` hold a value for each image, in the split's order.
    """

    accuracy: float
    top5: float
    loss: float
    count: int
    interval: tuple[float, float]
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    sample_loss: tuple[float, ...]
    predicted: tuple[int, ...]
    probability: tuple[float, ...]
    true_probability: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers of a log line; `score` is the accuracy."""
        return {
            "score": self.accuracy,
            "accuracy": self.accuracy,
            "top5": self.top5,
            "loss": self.loss,
            "count": self.count,
        }

    def to_json(self) -> dict[str, Any]:
        """What `eval --json` prints."""
        return {
            "accuracy": self.accuracy,
            "top5": self.top5,
            "loss": self.loss,
            "count": self.count,
            "interval": list(self.interval),
            "per_class": [vars(c) for c in self.per_class],
            "confusion": [list(row) for row in self.confusion],
        }


@dataclass(frozen=True)
class Classify:
    """The task: cross entropy, with `label_smoothing` in training only (Szegedy et al. 2016, section 7)."""

    labels: tuple[str, ...]
    label_smoothing: float = 0.0

    @property
    def guess_loss(self) -> float:
        """The cross entropy of equal probabilities for all classes."""
        return math.log(len(self.labels))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean cross entropy of outputs (N, classes) and targets (N,)."""
        return functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of the batch have their largest output at the target."""
        return (outputs.argmax(dim=1) == targets).sum()

    def tally(self, device: str) -> "ClassificationTally":
        """An empty tally."""
        return ClassificationTally(self.labels, device)


class ClassificationTally:
    """Sums of an evaluation. They stay on the device until `result`."""

    def __init__(self, labels: tuple[str, ...], device: str):
        self.labels = labels
        count = len(labels)
        self.confusion = torch.zeros(count * count, dtype=torch.int64, device=device)
        self.top5 = torch.zeros((), dtype=torch.int64, device=device)
        self.samples: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch: outputs (N, classes), targets (N,)."""
        log_probability = functional.log_softmax(outputs, dim=1)
        losses = -log_probability.gather(1, targets[:, None]).squeeze(1)
        best, predicted = log_probability.max(dim=1)
        self.samples.append((losses, predicted, best.exp(), (-losses).exp()))
        count = len(self.labels)
        self.confusion += torch.bincount(targets * count + predicted, minlength=count * count)
        top = outputs.topk(min(TOP, count), dim=1).indices
        self.top5 += (top == targets[:, None]).any(dim=1).sum()

    def result(self) -> Classification:
        """The numbers over everything counted."""
        losses, predicted, probability, true_probability = (torch.cat(s).cpu() for s in zip(*self.samples, strict=True))
        confusion = self.confusion.view(len(self.labels), -1).cpu()
        count, right = int(confusion.sum()), int(confusion.diagonal().sum())
        return Classification(
            accuracy=right / count,
            top5=int(self.top5) / count,
            loss=losses.double().mean().item(),
            count=count,
            interval=wilson_interval(right, count),
            per_class=_per_class(self.labels, confusion),
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            sample_loss=tuple(losses.tolist()),
            predicted=tuple(predicted.tolist()),
            probability=tuple(probability.tolist()),
            true_probability=tuple(true_probability.tolist()),
        )


def wilson_interval(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share, right of count (Wilson 1927): honest near 0 and 1 and for few images."""
    share, square = right / count, z * z
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def _per_class(labels: tuple[str, ...], confusion: Tensor) -> tuple[ClassResult, ...]:
    right, called, seen = confusion.diagonal().tolist(), confusion.sum(0).tolist(), confusion.sum(1).tolist()
    rows: list[ClassResult] = []
    for label, hits, c, s in zip(labels, right, called, seen, strict=True):
        precision, recall = hits / c if c else 0.0, hits / s if s else 0.0
        f1 = 2 * hits / (c + s) if c + s else 0.0
        rows.append(ClassResult(label, precision, recall, f1, s))
    return tuple(rows)
