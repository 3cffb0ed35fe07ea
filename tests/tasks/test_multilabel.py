"""Several labels for each image: losses and numbers against scikit-learn, torchvision and hand-made cases."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from convsmith.base.errors import UsageError
from convsmith.base.result import summary
from convsmith.tasks.multilabel import Multilabel, check_loss, mean_label_outputs
from convsmith.tasks.options import Loss


def outputs(count=200, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = (torch.rand(count, classes, generator=generator) < torch.linspace(0.1, 0.8, classes)).to(torch.uint8)
    logits = torch.randn(count, classes, generator=generator) * 1.5 + targets * 1.2 - 0.6
    return logits, targets


def evaluated(logits, targets, batch=17, **options):
    tally = Multilabel(tuple(f"class {i}" for i in range(logits.shape[1])), **options).tally("cpu")
    for begin in range(0, len(targets), batch):
        tally.update(logits[begin : begin + batch], targets[begin : begin + batch])
    return tally.result()


def test_the_numbers_are_those_of_scikit_learn():
    logits, targets = outputs()
    result, shares = evaluated(logits, targets), logits.double().sigmoid().numpy()
    true, called = targets.numpy(), (shares > 0.5).astype(int)
    assert result.count == 200
    assert result.map == pytest.approx(metrics.average_precision_score(true, shares, average="macro"))
    assert [c.ap for c in result.per_class] == pytest.approx(
        metrics.average_precision_score(true, shares, average=None)
    )
    assert [c.auc for c in result.per_class] == pytest.approx(metrics.roc_auc_score(true, shares, average=None))
    assert result.auc == pytest.approx(metrics.roc_auc_score(true, shares, average="macro"))
    assert result.accuracy == pytest.approx(metrics.accuracy_score(true, called))
    assert result.hamming == pytest.approx(metrics.hamming_loss(true, called))
    rows = metrics.precision_recall_fscore_support(true, called, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), rows, strict=True):
        assert [getattr(c, name) for c in result.per_class] == pytest.approx(values.tolist())
    assert result.averages.f1 == pytest.approx(metrics.f1_score(true, called, average="macro"))
    assert result.averages.micro_f1 == pytest.approx(metrics.f1_score(true, called, average="micro"))
    assert result.brier == pytest.approx(((shares - true) ** 2).mean())
    losses = functional.binary_cross_entropy_with_logits(logits.double(), targets.double(), reduction="none").mean(1)
    assert result.loss == pytest.approx(losses.mean().item())
    assert result.sample_loss == pytest.approx(losses.tolist())
    assert result.right == tuple((called == true).all(1).tolist())
    assert result.interval[0] < result.accuracy < result.interval[1]


@pytest.mark.parametrize("batch", [1, 64, 500])
def test_batches_do_not_matter(batch):
    logits, targets = outputs()
    assert evaluated(logits, targets, batch) == evaluated(logits, targets)


def test_classes_without_or_with_every_image():
    logits = torch.tensor([[2.0, -1, 1], [-1.0, -2, 1]])
    result = evaluated(logits, torch.tensor([[1, 0, 1], [1, 0, 1]], dtype=torch.uint8))
    assert [(c.ap, c.auc, c.f1, c.support) for c in result.per_class] == [
        (1.0, None, pytest.approx(2 / 3), 2), (None, None, None, 0), (1.0, None, 1.0, 2),
    ]  # fmt: skip
    assert (result.map, result.auc, result.averages.f1) == (1.0, None, pytest.approx((2 / 3 + 1) / 2))
    nothing = evaluated(logits, torch.zeros(2, 3, dtype=torch.uint8))
    assert (nothing.map, summary(nothing)["score"]) == (None, 0.0)


def test_a_temperature_changes_probabilities_and_no_decision():
    logits, targets = outputs()
    plain, hot = evaluated(logits, targets), evaluated(logits, targets, temperature=3.0)
    assert (hot.right, hot.hamming, hot.averages) == (plain.right, plain.hamming, plain.averages)
    expected = functional.binary_cross_entropy_with_logits(logits.double() / 3, targets.double())
    assert hot.loss == pytest.approx(expected.item())
    assert np.array_equal(hot.outputs, logits.numpy())


def loss(logits, targets, smoothing=0.0, weights=(), **options):
    labels = ("a",) * logits.shape[1]
    task = Multilabel(labels, smoothing, options=Loss(**options), class_weights=weights)
    return task.loss(logits, targets)


def test_the_binary_cross_entropy():
    logits, targets = outputs(30)
    plain = functional.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
    assert loss(logits, targets, kind="bce").item() == pytest.approx(plain.mean().item(), abs=1e-6)
    summed = loss(logits, targets, kind="bce", reduction="sum").item()
    assert summed == pytest.approx(plain.sum(1).mean().item(), abs=1e-5)
    weights = (0.0, 1.0, 2.0, 3.0, 4.0)
    weighted = (plain * torch.tensor(weights)).mean().item()
    assert loss(logits, targets, kind="bce", weights=weights).item() == pytest.approx(weighted, abs=1e-6)
    smooth = functional.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1).item()
    assert loss(logits, targets, smoothing=0.2, kind="bce").item() == pytest.approx(smooth, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_is_torchvisions(gamma):
    logits, targets = outputs(30)
    expected = sigmoid_focal_loss(logits, targets.float(), alpha=-1, gamma=gamma, reduction="mean").item()
    assert loss(logits, targets, kind="focal", gamma=gamma).item() == pytest.approx(expected, abs=1e-6)


def test_the_focal_loss_has_a_gradient_where_the_network_is_sure():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    loss(logits, torch.tensor([[1, 0, 1]]), kind="focal", gamma=0.5).backward()
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("options", [{"kind": "bce"}, {"kind": "bce", "reduction": "sum"}, {"kind": "focal"}])
@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5, 1.0, 3.0)])
def test_the_loss_of_a_guess(options, weights):
    _, targets = outputs(30)
    task = Multilabel(("a",) * 5, options=Loss(**options), class_weights=weights)
    assert task.guess_loss == pytest.approx(task.loss(torch.zeros(30, 5), targets).item(), abs=1e-6)


def test_an_image_is_right_with_exactly_its_labels():
    logits = torch.tensor([[1.0, -1, 2], [1.0, 1, 2], [-1.0, -1, -1]])
    targets = torch.tensor([[1, 0, 1], [1, 0, 1], [0, 0, 0]])
    assert Multilabel(("a", "b", "c")).correct(logits, targets).item() == 2
    assert Multilabel(("a", "b", "c")).correct(logits, targets * 0.7).item() == 2  # a mixed image


def test_the_mean_of_probabilities():
    (one, _), (other, _) = outputs(23), outputs(23, seed=1)
    mean = mean_label_outputs([(one.numpy(), 1.0), (other.numpy(), 2.0)]).sigmoid()
    torch.testing.assert_close(mean, (one.double().sigmoid() + (other.double() / 2).sigmoid()) / 2)


@pytest.mark.parametrize("kind", ["cross_entropy", "hinge"])
def test_losses_of_one_label_are_refused(kind):
    with pytest.raises(UsageError, match=rf"loss.kind {kind}: expected .* several labels, bce or focal"):
        check_loss(Loss(kind=kind))
    check_loss(Loss(kind="focal"))


def test_json_and_log_line():
    result = evaluated(*outputs(20))
    assert list(summary(result)) == ["score", "loss", "map", "accuracy", "count"]
    assert summary(result)["score"] == result.map
    assert list(result.to_json()) == [
        "map", "accuracy", "hamming", "loss", "count", "interval", "precision", "recall", "f1", "micro_f1", "auc",
        "brier", "per_class",
    ]  # fmt: skip
    assert result.to_json()["per_class"][0].keys() == {"label", "ap", "auc", "precision", "recall", "f1", "support"}
