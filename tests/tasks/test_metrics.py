"""Averages, ranking, calibration and paired tests: against scikit-learn, SciPy and formulas written out."""

import math
import re

import numpy as np
import pytest
from scipy.stats import binom
from sklearn import metrics as sklearn_metrics

from convsmith.base.errors import UsageError
from convsmith.tasks.metrics import (
    area_under_curve,
    averages,
    calibration_error,
    class_scores,
    paired,
    reliability,
    temperature,
)


def answers(count, classes, seed=0, strength=1.5):
    """Outputs (N, C) that tell something of their targets (N,)."""
    random = np.random.default_rng(seed)
    outputs, targets = random.normal(size=(count, classes)), random.integers(0, classes, count)
    outputs[np.arange(count), targets] += strength
    return outputs, targets


def softmax(outputs):
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_averages_are_scikit_learns(classes):
    outputs, targets = answers(211, classes)
    called = outputs.argmax(1)
    found = averages(sklearn_metrics.confusion_matrix(targets, called, labels=range(classes)))
    expected = sklearn_metrics.precision_recall_fscore_support(targets, called, average="macro", zero_division=0)[:3]
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected)
    assert found.balanced_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(targets, called))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_averages_are_over_the_classes_that_have_images():
    # Class 3 occurs nowhere, class 2 only among the answers, which scikit-learn counts as 0.
    targets, called = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    found = averages(sklearn_metrics.confusion_matrix(targets, called, labels=range(4)))
    assert found.precision == pytest.approx((1 + 1 / 2) / 2)
    assert found.recall == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.f1 == pytest.approx((4 / 5 + 1 / 2) / 2)
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    everywhere = sklearn_metrics.f1_score(targets, called, average="macro", zero_division=0)
    assert everywhere == pytest.approx((4 / 5 + 1 / 2 + 0) / 3)
    assert found.balanced_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(targets, called))


@pytest.mark.parametrize("classes", [3, 7])
def test_the_area_under_the_curve_is_scikit_learns(classes):
    outputs, targets = answers(211, classes, strength=0.7)
    shares = softmax(outputs)
    expected = sklearn_metrics.roc_auc_score(targets, shares, multi_class="ovr", average="macro")
    assert area_under_curve(shares, targets) == pytest.approx(expected)


def test_the_area_of_two_classes_is_that_of_one_of_them():
    outputs, targets = answers(50, 2)
    shares = softmax(outputs)
    assert area_under_curve(shares, targets) == pytest.approx(sklearn_metrics.roc_auc_score(targets, shares[:, 1]))


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.2, 0.8]])
    # Images of class 0: 0.9, 0.6; of class 1: 0.6, 0.2. Three pairs of four in order, one equal.
    assert area_under_curve(shares, np.array([0, 0, 1, 1])) == pytest.approx(3.5 / 4)


def test_classes_without_images_have_no_curve():
    outputs, targets = answers(60, 4)
    shares, two = softmax(outputs), targets % 2
    expected = np.mean([sklearn_metrics.roc_auc_score(two == k, shares[:, k]) for k in (0, 1)])
    assert area_under_curve(shares, two) == pytest.approx(expected)
    assert area_under_curve(shares, np.zeros(60, np.int64)) is None
    assert area_under_curve(np.full((60, 4), np.nan), targets) is None


def test_reliability_by_hand():
    bins = reliability([0.1, 0.2, 0.25, 0.5, 0.50001, 0.9, 1.0], [False, True, False, True, True, True, False], 4)
    # A stretch holds its upper end: 0.25 lies in the first, 0.5 in the second.
    assert [(b.low, b.high, b.count) for b in bins] == [(0, 0.25, 3), (0.25, 0.5, 1), (0.5, 0.75, 1), (0.75, 1, 2)]
    assert [b.accuracy for b in bins] == pytest.approx([1 / 3, 1, 1, 1 / 2])
    assert [b.confidence for b in bins] == pytest.approx([0.55 / 3, 0.5, 0.50001, 0.95])
    gaps = 3 * (1 / 3 - 0.55 / 3) + 1 * 0.5 + 1 * 0.49999 + 2 * 0.45
    assert calibration_error(bins) == pytest.approx(gaps / 7)


@pytest.mark.parametrize("bins", [1, 10, 15, 100])
def test_the_calibration_error_is_the_formula(bins):
    random = np.random.default_rng(3)
    sure = random.uniform(0.1, 1, 499)
    right = random.uniform(size=499) < sure**2
    found = reliability(sure.tolist(), right, bins)
    expected = 0.0
    for m in range(bins):  # Guo et al. 2017: B_m holds confidences in ((m - 1) / M, m / M]
        inside = (sure > m / bins) & (sure <= (m + 1) / bins)
        if inside.any():
            expected += inside.sum() / 499 * abs(right[inside].mean() - sure[inside].mean())
    assert sum(b.count for b in found) == 499
    assert calibration_error(found) == pytest.approx(expected)


def test_a_confidence_that_rounding_puts_above_one_counts():
    assert reliability([1.0000001], [True], 3)[2].count == 1
    with pytest.raises(UsageError, match="bins: expected at least 1, received 0"):
        reliability([0.5], [True], 0)


def test_a_perfectly_calibrated_classifier_has_no_error():
    assert calibration_error(reliability([0.75] * 4, [True, True, True, False])) == pytest.approx(0)


def test_the_temperature_has_the_smallest_cross_entropy():
    outputs, targets = answers(400, 5)
    found = temperature(outputs * 4, targets)

    def loss(t):
        return sklearn_metrics.log_loss(targets, softmax(outputs * 4 / t))

    assert all(loss(found) < loss(found * factor) for factor in (0.9, 0.99, 1.01, 1.1))
    assert temperature(outputs * 8, targets) == pytest.approx(2 * found)
    assert temperature(outputs * 4 + 1000, targets) == pytest.approx(found)


def test_outputs_scaled_by_three_get_the_temperature_three():
    random = np.random.default_rng(0)
    outputs = random.normal(size=(20_000, 4)) * 1.5
    drawn = (softmax(outputs).cumsum(1) < random.uniform(size=(20_000, 1))).sum(1).clip(max=3)
    assert temperature((outputs * 3).astype(np.float32), drawn) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([[3.0, 0], [0, 2.0]], "all of the 2 images are right, and the surer the better then"),
        ([[-3.0, 0], [0, -2.0]], "the outputs are no better than a guess"),
    ],
)
def test_where_no_temperature_is_the_best(outputs, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        temperature(np.array(outputs), np.array([0, 1]))


def test_mcnemar_by_hand():
    first = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    second = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 1], dtype=bool)
    found = paired(first, second)
    assert (found.gained, found.lost, found.difference) == (5, 1, pytest.approx(0.4))
    assert found.p_value == pytest.approx(2 * (math.comb(6, 0) + math.comb(6, 1)) / 2**6)
    back = paired(second, first)
    assert (back.gained, back.lost, back.difference, back.p_value) == (1, 5, pytest.approx(-0.4), found.p_value)


def test_two_that_agree_have_no_difference():
    found = paired([True, False, True], [True, False, True])
    assert (found.difference, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_the_interval_is_that_of_images_drawn_anew():
    random = np.random.default_rng(1)
    first, second = random.uniform(size=997) < 0.80, random.uniform(size=997) < 0.84
    found = paired(first, second)
    change = second.astype(int) - first.astype(int)
    means = [change[random.integers(0, 997, 997)].mean() for _ in range(4000)]
    assert found.interval == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))), abs=0.003)
    assert found == paired(first, second)  # drawn by a seed
    assert found.p_value == pytest.approx(
        min(1.0, 2 * binom.cdf(min(found.gained, found.lost), found.gained + found.lost, 0.5))
    )


def test_other_images_cannot_be_paired():
    with pytest.raises(UsageError, match="needs the same images, received 2 and 3"):
        paired([True, False], [True, False, True])


def test_one_stray_answer_does_not_halve_the_averages():
    # Ten images of class 0 only, one of them called class 1.
    confusion = np.array([[9, 1, 0], [0, 0, 0], [0, 0, 0]])
    found = averages(confusion)
    assert (found.precision, found.recall, found.balanced_accuracy) == pytest.approx((1.0, 0.9, 0.9))
    assert found.f1 == pytest.approx(18 / 19)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0, 0, 0), (None, None, None)),
        ((0, 3, 0), (0.0, None, None)),
        ((0, 0, 4), (0.0, 0.0, 0.0)),
        ((2, 4, 4), (0.5, 0.5, 0.5)),
    ],
)
def test_the_scores_of_a_class(numbers, expected):
    assert class_scores(*numbers) == expected
