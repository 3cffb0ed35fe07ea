"""Classification: one label for each image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from convsmith.base.result import Column, Confusion, Number, Plot, Reliability, Said, Samples, Table
from convsmith.report.text import many
from convsmith.tasks.losses import LOSSES, shares, weights_of_classes
from convsmith.tasks.metrics import (
    BINS,
    Averages,
    Bin,
    area_under_curve,
    averages,
    calibration_error,
    class_scores,
    reliability,
    temperature,
)
from convsmith.tasks.options import Loss, LossKind
from convsmith.tasks.task import Supervised

TOP = 5
_OVER_CLASSES, _RECALL = "mean over the classes", "mean recall of the classes"
_COLUMNS = (
    Column("class"),
    Column("precision", "share"),
    Column("recall", "share"),
    Column("F1", "share"),
    Column("images", "count"),
)


@dataclass(frozen=True)
class ClassResult:
    """One class's precision, recall and F1; a class without images has neither of the last two (None)."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Classification:
    """The numbers of an evaluation. `confusion[i][j]` counts images of class i that were called j.

    `sample_loss`, `predicted`, `targets`, `right`, `probability` and `true_probability` hold a value for each image, in
    the split's order. `brier` is the mean squared distance of the probabilities from the truth (Brier 1950; 0 to 2).
    `auc` needs all probabilities, and is None without them; `outputs` (N, classes) are the network's own, not divided
    by a temperature. `top5` is None for up to five classes, where it says nothing.
    """

    accuracy: float
    top5: float | None
    loss: float
    count: int
    interval: tuple[float, float]
    averages: Averages
    auc: float | None
    brier: float
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    sample_loss: tuple[float, ...]
    predicted: tuple[int, ...]
    right: tuple[bool, ...]
    probability: tuple[float, ...]
    true_probability: tuple[float, ...]
    targets: tuple[int, ...]
    outputs: np.ndarray | None = field(default=None, compare=False, repr=False)

    bins: int = BINS

    @property
    def watch(self) -> str:
        """Early stopping follows the loss."""
        return "loss"

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers; the score is the accuracy."""
        means, right = self.averages, round(self.accuracy * self.count)
        about = f"{right:,} of {many(self.count, 'image')}"
        ece = f"expected calibration error, {self.bins} bins"
        numbers = (
            Number("accuracy", self.accuracy, "share", interval=self.interval, about=about, place="log"),
            Number("top5", self.top5, "share", label="top 5", place="page"),
            Number("balanced_accuracy", means.balanced_accuracy, "share", about=_RECALL, label="balanced"),
            Number("precision", means.precision, "share", about=_OVER_CLASSES, place="page"),
            Number("recall", means.recall, "share", about=_OVER_CLASSES, place="page"),
            Number("f1", means.f1, "share", about=_OVER_CLASSES, label="F1"),
            Number("auc", self.auc, about="each class against the rest, mean", label="AUC"),
            Number("loss", self.loss, better="less", about="cross entropy", place="log"),
            Number("brier", self.brier, better="less", label="Brier"),
            Number("ece", self.ece(), "share", "less", about=ece, label="ECE"),
        )
        return tuple(number for number in numbers if number.name != "top5" or self.top5 is not None)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Each class."""
        rows = [(c.label, c.precision, c.recall, c.f1, c.support) for c in self.per_class]
        return (Table("classes", "Per class", _COLUMNS, rows, order=3),)

    @property
    def plots(self) -> tuple[Plot, ...]:
        """The confusions, and how far the confidence can be relied on."""
        stretches = [astuple(each) for each in self.reliability()]
        labels = tuple(c.label for c in self.per_class)
        return Confusion(labels, self.confusion), Reliability("Confidence and accuracy", stretches, self.ece())

    @property
    def samples(self) -> Samples:
        """Values by image."""
        return Samples(np.asarray(self.sample_loss), np.asarray(self.right, dtype=bool), self.outputs, self._said)

    def _said(self, i: int) -> Said:
        predicted, true = (self.per_class[n].label for n in (self.predicted[i], self.targets[i]))
        return Said(predicted, self.probability[i], true, self.true_probability[i])

    def reliability(self, bins: int | None = None) -> tuple[Bin, ...]:
        """How often the network is right in each stretch of its confidence."""
        return reliability(self.probability, self.right, bins or self.bins)

    def ece(self, bins: int | None = None) -> float:
        """The expected calibration error."""
        return calibration_error(self.reliability(bins))

    def to_json(self, detailed: bool = False) -> dict[str, Any]:
        """What a run's result holds; with `detailed` the stretches of confidence too, as `eval --json` prints them."""
        return {
            "accuracy": self.accuracy,
            "top5": self.top5,
            "loss": self.loss,
            "count": self.count,
            "interval": list(self.interval),
            **asdict(self.averages),
            "auc": self.auc,
            "ece": self.ece(),
            "brier": self.brier,
            "per_class": [vars(c) for c in self.per_class],
            "confusion": [list(row) for row in self.confusion],
            **({"reliability": [vars(each) for each in self.reliability()]} if detailed else {}),
        }


@dataclass(frozen=True)
class Classify(Supervised):
    """The task: training has the loss that `options` say, with `label_smoothing`; an evaluation the cross entropy.

    In training an image counts by its class where there are `class_weights`, mixed images by their classes' shares.
    An evaluation divides the outputs by `temperature` before they become probabilities. With `keep_outputs` its result
    holds them, and the numbers that need them all at once.
    """

    labels: tuple[str, ...]
    label_smoothing: float = 0.0
    temperature: float = 1.0
    keep_outputs: bool = False
    options: Loss = Loss()
    class_weights: tuple[float, ...] = ()
    bins: int = BINS

    about = "one label for each image"
    abilities = frozenset(("mean", "temperature", "views"))

    @property
    def guess_loss(self) -> float:
        """The training loss of an output of 0 for every class, of images of the class that counts most."""
        guess = LOSSES[self._kind].guess(len(self.labels), self.options)
        return guess * max(self.class_weights, default=1.0)

    @property
    def _kind(self) -> LossKind:
        return self.options.kind or "cross_entropy"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean training loss of outputs (N, classes) and targets: classes (N,) or their shares (N, classes).

        With class weights too it is divided by the number of images, so that parts of a batch add up to the whole.
        """
        if self._kind == "cross_entropy" and not self.class_weights:
            return functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)
        each = LOSSES[self._kind].each(outputs, targets, self.label_smoothing, self.options)
        if self.class_weights:
            counts = weights_of_classes(self.class_weights, outputs.device, outputs.dtype)
            each = each * (shares(targets, outputs) @ counts)
        return each.mean()

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of the batch have their largest output at the target, or at the class with the largest share."""
        if targets.ndim == 2:
            targets = targets.argmax(dim=1)
        return (outputs.argmax(dim=1) == targets).sum()

    def pooled(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Numbers that follow from the confusions and the losses; the others need the outputs of all images at once."""
        confusion = np.sum([record["confusion"] for record in records], axis=0)
        count, right = int(confusion.sum()), int(np.trace(confusion))
        means = averages(confusion)
        return {
            "accuracy": right / count,
            "count": count,
            "interval": list(wilson_interval(right, count)),
            "balanced_accuracy": means.balanced_accuracy,
            "f1": means.f1,
            "loss": sum(record["loss"] * record["count"] for record in records) / count,
            "confusion": confusion.tolist(),
        }

    def tally(self, device: str) -> "ClassificationTally":
        """An empty tally."""
        return ClassificationTally(self.labels, device, self.temperature, self.keep_outputs, self.bins)

    def evaluating(self, temperature: float = 1.0, bins: int | None = None) -> Self:
        """The task with all numbers of an evaluation."""
        return replace(self, temperature=temperature, keep_outputs=True, bins=bins or self.bins)

    def mean_outputs(self, members: Sequence[tuple[np.ndarray, float]]) -> Tensor:
        """Outputs whose softmax is the mean of the members' probabilities: each outputs (N, classes), temperature."""
        return mean_outputs(members)

    def fitted_temperature(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """The temperature with the smallest cross entropy."""
        return temperature(outputs, targets)


class ClassificationTally:
    """Sums of an evaluation. They stay on the device until `result`."""

    def __init__(
        self,
        labels: tuple[str, ...],
        device: str,
        temperature: float = 1.0,
        keep_outputs: bool = False,
        bins: int = BINS,
    ):
        self.labels, self.temperature, self.keep_outputs, self.bins = labels, temperature, keep_outputs, bins
        count = len(labels)
        self.confusion = torch.zeros(count * count, dtype=torch.int64, device=device)
        self.top5 = torch.zeros((), dtype=torch.int64, device=device)
        self.samples: list[tuple[Tensor, ...]] = []

    def update(self, *rows: Tensor) -> None:
        """Count a batch: outputs (N, classes), targets (N,)."""
        outputs, targets = rows
        # Classes are ranked by the outputs themselves: divided, close ones may become equal.
        predicted = outputs.argmax(dim=1)
        logarithms = functional.log_softmax(outputs / self.temperature, dim=1)
        chosen, true = (logarithms.gather(1, of[:, None]).squeeze(1) for of in (predicted, targets))
        squared = logarithms.exp().square().sum(dim=1) - 2 * true.exp() + 1
        kept = (outputs,) if self.keep_outputs else ()
        self.samples.append((-true, predicted, targets, chosen.exp(), true.exp(), squared, *kept))
        count = len(self.labels)
        self.confusion += torch.bincount(targets * count + predicted, minlength=count * count)
        top = outputs.topk(min(TOP, count), dim=1).indices  # all of them, for few classes
        self.top5 += (top == targets[:, None]).any(dim=1).sum()

    def result(self) -> Classification:
        """The numbers over everything counted."""
        losses, predicted, targets, probability, true_probability, squared, *kept = (
            torch.cat(s).cpu() for s in zip(*self.samples, strict=True)
        )
        confusion = self.confusion.view(len(self.labels), -1).cpu()
        count, right = int(confusion.sum()), int(confusion.diagonal().sum())
        outputs = kept[0] if kept else None
        return Classification(
            accuracy=right / count,
            top5=int(self.top5) / count if len(self.labels) > TOP else None,
            loss=losses.double().mean().item(),
            count=count,
            interval=wilson_interval(right, count),
            averages=averages(confusion.numpy()),
            auc=None if outputs is None else self._area(outputs, targets),
            brier=squared.double().mean().item(),
            per_class=_per_class(self.labels, confusion),
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            sample_loss=tuple(losses.tolist()),
            predicted=tuple(predicted.tolist()),
            right=tuple((predicted == targets).tolist()),
            probability=tuple(probability.tolist()),
            true_probability=tuple(true_probability.tolist()),
            targets=tuple(targets.tolist()),
            outputs=None if outputs is None else outputs.numpy(),
            bins=self.bins,
        )

    def _area(self, outputs: Tensor, targets: Tensor) -> float | None:
        probabilities = (outputs.double() / self.temperature).softmax(dim=1)
        return area_under_curve(probabilities.numpy(), targets.numpy())


def mean_outputs(members: Sequence[tuple[np.ndarray, float]]) -> Tensor:
    """Outputs whose softmax is the mean of the members' probabilities: each outputs (N, classes), temperature."""
    logarithms = [functional.log_softmax(torch.from_numpy(o).double() / t, dim=1) for o, t in members]
    return torch.logsumexp(torch.stack(logarithms), dim=0) - math.log(len(members))


def wilson_interval(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share, right of count (Wilson 1927): honest near 0 and 1 and for few images."""
    share, square = right / count, z * z
    center = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, center - half), min(1.0, center + half)


def _per_class(labels: tuple[str, ...], confusion: Tensor) -> tuple[ClassResult, ...]:
    right, called, seen = confusion.diagonal().tolist(), confusion.sum(0).tolist(), confusion.sum(1).tolist()
    rows: list[ClassResult] = []
    for label, hits, c, s in zip(labels, right, called, seen, strict=True):
        rows.append(ClassResult(label, *class_scores(hits, c, s), s))
    return tuple(rows)
