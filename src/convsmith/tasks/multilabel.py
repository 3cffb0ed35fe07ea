"""Several labels for each image: every class is there or not, by itself."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from convsmith.base.errors import UsageError
from convsmith.base.result import Column, Number, Plot, Said, Samples, Table
from convsmith.tasks.classify import wilson_interval
from convsmith.tasks.losses import weights_of_classes
from convsmith.tasks.metrics import class_scores
from convsmith.tasks.options import Loss
from convsmith.tasks.task import Supervised

THRESHOLD = 0.5


@dataclass(frozen=True)
class LabelResult:
    """One class: average precision and area under the ROC curve, and the rest of calling what is above a half.

    `ap`, `recall` and `f1` need an image of the class, `auc` one of another too; they are None without.
    """

    label: str
    ap: float | None
    auc: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


_OVER_CLASSES, _EXACT = "mean over the classes", "with exactly their labels"
_MAP = "mean over the classes of the average precision"
_LOSS = "binary cross entropy, mean over images and classes"
_COLUMNS = (
    Column("class"),
    Column("average precision", "share"),
    Column("AUC", "plain"),
    Column("precision", "share"),
    Column("recall", "share"),
    Column("F1", "share"),
    Column("images", "count"),
)


@dataclass(frozen=True)
class Means:
    """F1 over the classes: the plain mean (macro), and of all decisions together (micro)."""

    precision: float
    recall: float
    f1: float
    micro_f1: float


@dataclass(frozen=True)
class Labeling:
    """The numbers of an evaluation.

    `map` is the mean of the average precisions of the classes that have an image. `accuracy` is the share of images
    with exactly their labels, with its 95% `interval`; `hamming` is the share of wrong decisions over images and
    classes. `loss` is the binary cross entropy, the mean over images and classes. `sample_loss` and `right` hold a
    value for each image, in the split's order; `outputs` and `targets` are (N, classes).
    """

    map: float | None
    accuracy: float
    hamming: float
    loss: float
    count: int
    interval: tuple[float, float]
    averages: Means
    auc: float | None
    brier: float
    per_class: tuple[LabelResult, ...]
    sample_loss: tuple[float, ...]
    right: tuple[bool, ...]
    probabilities: np.ndarray = field(compare=False, repr=False)
    targets: np.ndarray = field(compare=False, repr=False)
    outputs: np.ndarray = field(compare=False, repr=False)

    @property
    def watch(self) -> str:
        """Early stopping follows the loss."""
        return "loss"

    @property
    def plots(self) -> tuple[Plot, ...]:
        """None."""
        return ()

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers; the score is the mean average precision."""
        means = self.averages
        return (
            Number("map", self.map, "share", about=_MAP, label="mAP", place="log"),
            Number(
                "accuracy", self.accuracy, "share", interval=self.interval, about=_EXACT, label="all right", place="log"
            ),
            Number("hamming", self.hamming, "share", "less", about="wrong decisions", label="Hamming"),
            Number("precision", means.precision, "share", about=_OVER_CLASSES, place="page"),
            Number("recall", means.recall, "share", about=_OVER_CLASSES, place="page"),
            Number("f1", means.f1, "share", about=_OVER_CLASSES, label="F1"),
            Number("micro_f1", means.micro_f1, "share", about="every decision counts the same", label="F1 of all"),
            Number("auc", self.auc, about=_OVER_CLASSES, label="AUC"),
            Number("loss", self.loss, better="less", about=_LOSS, place="log"),
            Number("brier", self.brier, better="less", label="Brier"),
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """Each class."""
        rows = [(c.label, c.ap, c.auc, c.precision, c.recall, c.f1, c.support) for c in self.per_class]
        return (Table("classes", "Per class", _COLUMNS, rows, order=1),)

    @property
    def samples(self) -> Samples:
        """Values by image."""
        return Samples(np.asarray(self.sample_loss), np.asarray(self.right, dtype=bool), self.outputs, self._said)

    def _said(self, i: int) -> Said:
        """The class that is most wrong for image i."""
        there, shares = self.targets[i], self.probabilities[i]
        number = int(np.abs(there - shares).argmax())
        name, share = self.per_class[number].label, float(shares[number])
        said, so = (f"no {name}", name) if there[number] else (name, f"no {name}")
        sure = 1 - share if there[number] else share
        return Said(said, sure, so, 1 - sure)

    def to_json(self, detailed: bool = False) -> dict[str, Any]:
        """What a run's result holds, and `eval --json` prints."""
        return {
            "map": self.map,
            "accuracy": self.accuracy,
            "hamming": self.hamming,
            "loss": self.loss,
            "count": self.count,
            "interval": list(self.interval),
            **asdict(self.averages),
            "auc": self.auc,
            "brier": self.brier,
            "per_class": [vars(c) for c in self.per_class],
        }


@dataclass(frozen=True)
class Multilabel(Supervised):
    """The task: training has the loss that `options` say, with `label_smoothing`; an evaluation the cross entropy.

    Targets are 0 or 1 for each class (N, classes), of mixed images the shares. Each class's loss is multiplied by its
    entry in `class_weights`, if there are any. An evaluation divides the outputs by `temperature`.
    """

    labels: tuple[str, ...]
    label_smoothing: float = 0.0
    temperature: float = 1.0
    options: Loss = Loss(kind="bce")
    class_weights: tuple[float, ...] = ()

    about = "several labels for each image"
    abilities = frozenset(("mean",))

    @property
    def guess_loss(self) -> float:
        """The training loss of an output of 0 for every class."""
        weights = self.class_weights or (1.0,) * len(self.labels)
        whole = sum(weights) if self.options.reduction == "sum" else sum(weights) / len(weights)
        sure = 0.5**self.options.gamma if self.options.kind == "focal" else 1.0
        return whole * sure * math.log(2)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the images of the loss of outputs and targets (N, classes); over classes as `reduction` says.

        Smoothing moves a target from 0 or 1 towards a half.
        """
        wanted = targets.to(outputs.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2
        each = functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
        if self.options.kind == "focal":
            each = each * unsure(outputs, wanted).pow(self.options.gamma)
        if self.class_weights:
            each = each * weights_of_classes(self.class_weights, outputs.device, outputs.dtype)
        return (each.sum(dim=1) if self.options.reduction == "sum" else each.mean(dim=1)).mean()

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of the batch have exactly the labels of their targets, each above a half."""
        return ((outputs > 0) == (targets > THRESHOLD)).all(dim=1).sum()

    def tally(self, device: str) -> "LabelTally":
        """An empty tally."""
        return LabelTally(self.labels, self.temperature)

    def evaluating(self, temperature: float = 1.0, bins: int | None = None) -> Self:
        """The task with all numbers of an evaluation."""
        return replace(self, temperature=temperature)

    def mean_outputs(self, members: Sequence[tuple[np.ndarray, float]]) -> Tensor:
        """Outputs whose sigmoid is the mean of the members' probabilities: each outputs (N, classes), temperature."""
        return mean_label_outputs(members)


class LabelTally:
    """The outputs and targets of an evaluation. They stay on the device until `result`."""

    def __init__(self, labels: tuple[str, ...], temperature: float = 1.0):
        self.labels, self.temperature = labels, temperature
        self.samples: list[tuple[Tensor, ...]] = []

    def update(self, *rows: Tensor) -> None:
        """Count a batch: outputs and targets (N, classes)."""
        self.samples.append(rows)

    def result(self) -> Labeling:
        """The numbers over everything counted."""
        outputs, targets = (torch.cat(s).cpu() for s in zip(*self.samples, strict=True))
        true = targets > THRESHOLD
        scaled = outputs.double() / self.temperature
        losses = functional.binary_cross_entropy_with_logits(scaled, true.double(), reduction="none").mean(dim=1)
        # By the sign of the outputs themselves: a probability may be rounded to a half.
        called = outputs > 0
        right = (called == true).all(dim=1)
        probabilities = scaled.sigmoid()
        rows = _per_class(self.labels, probabilities.numpy(), called, true)
        count, hits = len(right), int(right.sum())
        return Labeling(
            map=_mean([row.ap for row in rows]),
            accuracy=hits / count,
            hamming=float((called != true).double().mean()),
            loss=losses.mean().item(),
            count=count,
            interval=wilson_interval(hits, count),
            averages=_means(rows, called, true),
            auc=_mean([row.auc for row in rows]),
            brier=float((probabilities - true.double()).square().mean()),
            per_class=rows,
            sample_loss=tuple(losses.tolist()),
            right=tuple(right.tolist()),
            probabilities=probabilities.numpy(),
            targets=true.numpy(),
            outputs=outputs.numpy(),
        )


def unsure(outputs: Tensor, targets: Tensor) -> Tensor:
    """How far the probability of what is so is from 1, (N, classes): the 1 - p of Lin et al. 2017, equation 4."""
    probabilities = outputs.sigmoid()
    rest = probabilities + targets - 2 * probabilities * targets
    return rest.clamp(min=torch.finfo(outputs.dtype).tiny)  # above 0, where a power below 1 has no slope


def mean_label_outputs(members: Sequence[tuple[np.ndarray, float]]) -> Tensor:
    """Outputs whose sigmoid is the mean of the members' probabilities: each outputs (N, classes), temperature."""
    scaled = [torch.from_numpy(outputs).double() / temperature for outputs, temperature in members]
    there = torch.logsumexp(torch.stack([functional.logsigmoid(s) for s in scaled]), dim=0)
    absent = torch.logsumexp(torch.stack([functional.logsigmoid(-s) for s in scaled]), dim=0)
    return there - absent


def check_loss(options: Loss) -> None:
    """Raise UsageError for a loss of one label for each image."""
    if options.kind not in ("bce", "focal"):
        raise UsageError(
            f"loss.kind {options.kind}: expected a loss for images with several labels, bce or focal; the first is "
            "used where none is named (--loss.kind none)"
        )


def _per_class(
    labels: Sequence[str], probabilities: np.ndarray, called: Tensor, true: Tensor
) -> tuple[LabelResult, ...]:
    from sklearn.metrics import average_precision_score, roc_auc_score  # take a second to load

    finite = bool(np.isfinite(probabilities).all())
    hits, said, there = ((called & true).sum(0).tolist(), called.sum(0).tolist(), true.sum(0).tolist())
    rows: list[LabelResult] = []
    for number, label in enumerate(labels):
        given, shares, count = true[:, number].numpy(), probabilities[:, number], there[number]
        precision, recall, f1 = class_scores(hits[number], said[number], count)
        rows.append(
            LabelResult(
                label=label,
                ap=float(average_precision_score(given, shares)) if count and finite else None,
                auc=float(roc_auc_score(given, shares)) if 0 < count < len(given) and finite else None,
                precision=precision,
                recall=recall,
                f1=f1,
                support=count,
            )
        )
    return tuple(rows)


def _means(rows: Sequence[LabelResult], called: Tensor, true: Tensor) -> Means:
    """Macro averages are over the classes that have images."""
    kept = [row for row in rows if row.support]
    either = int(called.sum() + true.sum())
    return Means(
        precision=_mean([row.precision for row in kept]) or 0.0,
        recall=_mean([row.recall for row in kept]) or 0.0,
        f1=_mean([row.f1 for row in kept]) or 0.0,
        micro_f1=2 * int((called & true).sum()) / either if either else 0.0,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
