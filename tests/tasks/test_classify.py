import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn import metrics
from torch.nn import functional

from convsmith.base.result import summary
from convsmith.tasks.classify import Classify, mean_outputs, wilson_interval


def outputs(count, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator) * 2
    targets = torch.randint(classes, (count,), generator=generator)
    logits[torch.arange(count), targets] += 1.5
    return logits, targets


def evaluated(logits, targets, batch=17):
    labels = tuple(f"class {i}" for i in range(logits.shape[1]))
    tally = Classify(labels).tally("cpu")
    for begin in range(0, len(targets), batch):
        tally.update(logits[begin : begin + batch], targets[begin : begin + batch])
    return tally.result()


@pytest.mark.parametrize("classes", [2, 3, 5, 6, 20])
def test_the_numbers_are_those_of_scikit_learn(classes):
    logits, targets = outputs(400, classes)
    result = evaluated(logits, targets)
    predicted = logits.argmax(1)
    assert result.count == 400
    assert result.accuracy == pytest.approx(metrics.accuracy_score(targets, predicted))
    assert result.loss == pytest.approx(metrics.log_loss(targets, logits.double().softmax(1)), abs=1e-6)
    assert np.array_equal(result.confusion, metrics.confusion_matrix(targets, predicted))
    if classes > 5:
        expected = metrics.top_k_accuracy_score(targets, logits.numpy(), k=5, labels=range(classes))
        assert result.top5 == pytest.approx(expected)
    else:
        assert result.top5 is None
    rows = metrics.precision_recall_fscore_support(targets, predicted, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), rows, strict=True):
        assert [getattr(row, name) for row in result.per_class] == pytest.approx(values.tolist())
    assert [row.label for row in result.per_class] == [f"class {i}" for i in range(classes)]


def test_the_numbers_of_each_image_are_in_order():
    logits, targets = outputs(50, 4)
    result = evaluated(logits, targets)
    probabilities = logits.softmax(1)
    assert result.predicted == tuple(logits.argmax(1).tolist())
    assert result.probability == pytest.approx(probabilities.max(1).values.tolist(), abs=1e-6)
    assert result.true_probability == pytest.approx(probabilities[torch.arange(50), targets].tolist(), abs=1e-6)
    losses = functional.cross_entropy(logits, targets, reduction="none")
    assert result.sample_loss == pytest.approx(losses.tolist(), abs=1e-5)


def test_a_class_never_predicted_has_no_precision_and_one_never_seen_no_recall():
    logits = torch.tensor([[2.0, 0, 0], [2.0, 0, 0], [0, 2.0, 0]])
    result = evaluated(logits, torch.tensor([0, 2, 0]))
    rows = [(c.precision, c.recall, c.f1, c.support) for c in result.per_class]
    assert rows == [(0.5, 0.5, 0.5, 2), (0.0, None, None, 0), (0.0, 0.0, 0.0, 1)]
    assert result.confusion == ((1, 1, 0), (0, 0, 0), (1, 0, 0))


@pytest.mark.parametrize("batch", [1, 7, 64, 211, 500])
def test_each_of_a_prime_number_of_images_counts_once(batch):
    logits, targets = outputs(211, 6)
    tally = Classify(("a",) * 6, keep_outputs=True).tally("cpu")
    for begin in range(0, 211, batch):
        tally.update(logits[begin : begin + batch], targets[begin : begin + batch])
    result, shares = tally.result(), logits.double().softmax(1).numpy()
    called = logits.argmax(1)
    expected = metrics.precision_recall_fscore_support(targets, called, average="macro")[:3]
    assert (result.averages.precision, result.averages.recall, result.averages.f1) == pytest.approx(expected)
    assert result.averages.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(targets, called))
    assert result.auc == pytest.approx(metrics.roc_auc_score(targets, shares, multi_class="ovr"))
    truth = np.eye(6)[targets]
    assert result.brier == pytest.approx(((shares - truth) ** 2).sum(1).mean(), abs=1e-6)
    assert sum(b.count for b in result.reliability()) == result.count == 211
    assert result.right == tuple((called == targets).tolist())
    assert np.array_equal(result.outputs, logits.numpy())


def test_a_temperature_changes_probabilities_and_no_class():
    logits, targets = outputs(211, 6)
    # Two outputs that are next to each other, and the same when divided: the class is still that of the larger.
    logits[0] = torch.tensor([1.0, torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)), 0, 0, 0, 0])
    plain, hot = (Classify(("a",) * 6, temperature=t, keep_outputs=True).tally("cpu") for t in (1.0, 3.0))
    for tally in (plain, hot):
        tally.update(logits, targets)
    plain, hot = plain.result(), hot.result()
    assert hot.predicted == plain.predicted == tuple(logits.argmax(1).tolist())
    assert (hot.confusion, hot.top5, hot.averages) == (plain.confusion, plain.top5, plain.averages)
    shares = (logits.double() / 3).softmax(1)
    assert hot.loss == pytest.approx(metrics.log_loss(targets, shares), abs=1e-6)
    assert hot.probability == pytest.approx(shares.max(1).values.tolist(), abs=1e-6)
    assert hot.auc == pytest.approx(metrics.roc_auc_score(targets, shares, multi_class="ovr"))
    assert np.array_equal(hot.outputs, plain.outputs)


def test_the_mean_of_probabilities():
    (one, _), (other, _) = outputs(23, 5), outputs(23, 5, seed=1)
    mean = mean_outputs([(one.numpy(), 1.0), (other.numpy(), 2.0)]).softmax(1)
    torch.testing.assert_close(mean, (one.double().softmax(1) + (other.double() / 2).softmax(1)) / 2)


def test_batches_do_not_matter():
    logits, targets = outputs(100, 7)
    one, other = evaluated(logits, targets, 1), evaluated(logits, targets, 100)
    assert one.confusion == other.confusion
    assert one.loss == pytest.approx(other.loss, abs=1e-7)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(right, count, low, high):
    assert wilson_interval(right, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(count - right, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize("count", [1, 7, 300, 10_000])
def test_the_interval_is_scipys(count):
    for right in {0, count // 3, count - 1, count}:
        expected = binomtest(right, count).proportion_ci(method="wilson")
        assert wilson_interval(right, count) == pytest.approx(tuple(expected), abs=1e-7)


def test_label_smoothing_counts_in_the_training_loss_only():
    logits, targets = outputs(30, 4)
    smooth = Classify(("a", "b", "c", "d"), label_smoothing=0.2)
    log = logits.log_softmax(1)
    expected = -(0.8 * log[torch.arange(30), targets] + 0.2 * log.mean(1)).mean()
    assert smooth.loss(logits, targets).item() == pytest.approx(expected.item(), abs=1e-6)
    tally = smooth.tally("cpu")
    tally.update(logits, targets)
    assert tally.result().loss == pytest.approx(functional.cross_entropy(logits, targets).item(), abs=1e-6)


def test_correct_counts_on_the_device():
    logits, targets = outputs(30, 4)
    assert Classify(("a",) * 4).correct(logits, targets).item() == (logits.argmax(1) == targets).sum().item()


def test_json_and_log_line():
    result = evaluated(*outputs(20, 3))
    assert summary(result) == {
        "score": result.accuracy, "loss": result.loss, "accuracy": result.accuracy, "count": 20,
    }  # fmt: skip
    data = result.to_json()
    assert list(data) == [
        "accuracy", "top5", "loss", "count", "interval", "precision", "recall", "f1", "balanced_accuracy", "auc", "ece",
        "brier", "per_class", "confusion",
    ]  # fmt: skip
    assert data["auc"] is None  # needs all outputs, which were not kept
    assert data["per_class"][0].keys() == {"label", "precision", "recall", "f1", "support"}
    assert np.sum(data["confusion"]) == 20
