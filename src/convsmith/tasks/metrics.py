"""Numbers of a classification beyond its accuracy: averages over classes, ranking, calibration, paired comparison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.report.text import many

BINS = 15
DRAWS = 20_000


@dataclass(frozen=True)
class Averages:
    """Plain means over the classes, so that a rare class counts as much as a frequent one."""

    precision: float
    recall: float
    f1: float
    balanced_accuracy: float


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies above `low` and up to `high`: their mean confidence and their accuracy."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same images, the second against the first.

    `gained` images are right with the second alone, `lost` with the first alone. `p_value` is McNemar's (1947) in its
    exact, two-sided form. `difference` is of the accuracies, `interval` its 95% interval by the bootstrap over images.
    """

    gained: int
    lost: int
    difference: float
    interval: tuple[float, float]
    p_value: float


def averages(confusion: np.ndarray) -> Averages:
    """Macro averages of a confusion matrix (true, called) over the classes that have images.

    A class without images has no recall, and an answer of it counts in the recall of the class that was there.
    scikit-learn counts such a class as 0 in all three as soon as one image is called so; where every class has images
    the numbers are the same. Balanced accuracy is the mean recall.
    """
    occurs = confusion.sum(1) > 0
    right, called, seen = np.diag(confusion)[occurs], confusion.sum(0)[occurs], confusion.sum(1)[occurs]
    recall = float((right / seen).mean())
    return Averages(
        precision=float((right / np.maximum(called, 1)).mean()),
        recall=recall,
        f1=float((2 * right / (called + seen)).mean()),
        balanced_accuracy=recall,
    )


def class_scores(right: int, called: int, seen: int) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1 of a class with `seen` images, of `called` answers, `right` of them true.

    Without images there is no recall and no F1, and without answers too no precision: None. A class that has images and
    is never called has a precision of 0.
    """
    if not seen:
        return (0.0 if called else None), None, None
    return right / max(called, 1), right / seen, 2 * right / (called + seen)


def area_under_curve(probabilities: np.ndarray, targets: np.ndarray) -> float | None:
    """The mean over classes of the area under the ROC curve of each class against the rest; shapes (N, C) and (N,).

    Classes without images, or with all of them, have no curve; None if no class has one, and where a probability is
    no number.
    """
    from sklearn.metrics import roc_auc_score  # takes a second to load

    if not np.isfinite(probabilities).all():
        return None
    areas = [
        roc_auc_score(targets == number, probabilities[:, number])
        for number in range(probabilities.shape[1])
        if 0 < (targets == number).sum() < len(targets)
    ]
    return float(np.mean(areas)) if areas else None


def reliability(confidence: Sequence[float], right: Sequence[bool] | np.ndarray, bins: int = BINS) -> tuple[Bin, ...]:
    """Confidence against accuracy in `bins` equal stretches of confidence (Guo et al. 2017, equations 1 and 2)."""
    if bins < 1:
        raise UsageError(f"bins: expected at least 1, received {bins}")
    edges = np.linspace(0.0, 1.0, bins + 1)
    sure, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    # A stretch holds its upper end. Rounding may put the largest of probabilities a hair above 1.
    numbers = np.clip(np.digitize(sure, edges, right=True) - 1, 0, bins - 1)
    found: list[Bin] = []
    for number in range(bins):
        inside = numbers == number
        count = int(inside.sum())
        mean = (float(sure[inside].mean()), float(hits[inside].mean())) if count else (0.0, 0.0)
        found.append(Bin(float(edges[number]), float(edges[number + 1]), count, *mean))
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean gap of accuracy and confidence (Guo et al. 2017, equation 3)."""
    total = sum(b.count for b in bins)
    return sum(b.count / total * abs(b.accuracy - b.confidence) for b in bins)


def paired(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray, seed: int = 0) -> Paired:
    """What is right with each of two classifiers, image by image (N,), compared."""
    from scipy.stats import binomtest

    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or not a.size:
        raise UsageError(f"a paired comparison needs the same images, received {a.size} and {b.size}")
    count, gained, lost = a.size, int((b & ~a).sum()), int((a & ~b).sum())
    # An image drawn anew is one gained, one lost or neither, so that drawing the counts is drawing the images.
    shares = np.array([gained, lost, count - gained - lost]) / count
    draws = np.random.default_rng(seed).multinomial(count, shares, DRAWS)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / count, (0.025, 0.975))
    p_value = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    return Paired(gained, lost, (gained - lost) / count, (float(low), float(high)), float(p_value))


def temperature(outputs: np.ndarray, targets: np.ndarray) -> float:
    """The number by which to divide outputs (N, C) for the smallest mean cross entropy (Guo et al. 2017, section 4.2).

    The cross entropy is convex in the inverse of the temperature, so its slope has one zero. Raises UsageError where
    there is none: without a mistake the best would be 0, with outputs that are no better than none it is infinite.
    """
    from scipy.optimize import brentq

    logits = outputs.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[np.arange(len(targets)), targets]

    def slope(log_inverse: float) -> float:
        weights = np.exp(logits * math.exp(log_inverse))
        return float(((weights * logits).sum(1) / weights.sum(1) - true).mean())

    low, high = math.log(1e-3), math.log(1e3)
    if slope(high) <= 0:
        raise UsageError(
            f"all of the {many(len(targets), 'image')} are right, and the surer the better then: no temperature is "
            "the best"
        )
    if slope(low) >= 0:
        raise UsageError("the outputs are no better than a guess, so no temperature is the best")
    zero: Any = brentq(slope, low, high, xtol=1e-10)  # a number, without full_output
    return math.exp(-zero)
