"""Every loss against its formula, written out image by image; class weights; what a guess loses."""

import json
import math
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe, recipe_from_json
from convsmith.tasks.classify import Classify
from convsmith.tasks.losses import LOSSES, class_weights
from convsmith.tasks.options import Loss, LossKind

LABELS = ("a", "b", "c", "d")
SOFT = [kind for kind in LOSSES if kind != "hinge"]


def outputs(count=12):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 4, generator=generator) * 3, torch.randint(4, (count,), generator=generator)


def mixed(targets):
    """Shares of 0.7 of the target and 0.3 of the class after it."""
    soft = torch.zeros(len(targets), 4)
    rows = torch.arange(len(targets))
    soft[rows, targets], soft[rows, (targets + 1) % 4] = 0.7, 0.3
    return soft


def by_hand(kind, scores, wanted, gamma=2.0):
    """The loss of one image, from plain numbers."""
    exponentials = [math.exp(s) for s in scores]
    p = [e / sum(exponentials) for e in exponentials]
    if kind == "cross_entropy":
        return -sum(q * math.log(x) for q, x in zip(wanted, p, strict=True))
    if kind == "focal":
        return -sum(q * (1 - x) ** gamma * math.log(x) for q, x in zip(wanted, p, strict=True))
    if kind == "bce":
        alone = [1 / (1 + math.exp(-s)) for s in scores]
        terms = [q * math.log(x) + (1 - q) * math.log(1 - x) for q, x in zip(wanted, alone, strict=True)]
        return -sum(terms) / len(terms)
    true = wanted.index(1)
    return max(0.0, 1 + max(s for i, s in enumerate(scores) if i != true) - scores[true])


def mean_by_hand(kind, logits, shares, weights=None, **options):
    pairs = zip(logits.double().tolist(), shares.double().tolist(), strict=True)
    each = [by_hand(kind, s, w, **options) for s, w in pairs]
    factors = [1.0] * len(each) if weights is None else (shares.double() @ torch.tensor(weights).double()).tolist()
    return sum(f * e for f, e in zip(factors, each, strict=True)) / len(each)


def test_every_kind_has_its_row():
    assert tuple(LOSSES) == get_args(LossKind)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_is_its_formula(kind):
    logits, targets = outputs()
    hot = torch.eye(4)[targets]
    task = Classify(LABELS, options=Loss(kind=kind))
    assert task.loss(logits, targets).item() == pytest.approx(mean_by_hand(kind, logits, hot), rel=1e-5)
    weights = (0.5, 2.0, 1.0, 0.0)
    weighted = Classify(LABELS, options=Loss(kind=kind), class_weights=weights)
    expected = mean_by_hand(kind, logits, hot, weights)
    assert weighted.loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)
    parts = [weighted.loss(logits[i : i + 4], targets[i : i + 4]).item() for i in (0, 4, 8)]
    assert sum(parts) / 3 == pytest.approx(expected, rel=1e-5), "parts of a batch add up to the whole"


@pytest.mark.parametrize("kind", SOFT)
def test_mixed_and_smoothed_labels(kind):
    logits, targets = outputs()
    soft, weights = mixed(targets), (0.5, 2.0, 1.0, 0.25)
    task = Classify(LABELS, options=Loss(kind=kind), class_weights=weights)
    assert task.loss(logits, soft).item() == pytest.approx(mean_by_hand(kind, logits, soft, weights), rel=1e-5)
    smooth = Classify(LABELS, 0.2, options=Loss(kind=kind))
    for given, shares in ((targets, torch.eye(4)[targets]), (soft, soft)):
        expected = mean_by_hand(kind, logits, 0.8 * shares + 0.05)
        assert smooth.loss(logits, given).item() == pytest.approx(expected, rel=1e-5)


def test_the_default_is_torchs_cross_entropy_bit_for_bit():
    logits, targets = outputs(33)
    expected = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)
    assert torch.equal(Classify(LABELS, 0.1).loss(logits, targets), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_focal_has_a_gradient_where_an_image_is_quite_sure(gamma):
    logits, targets = outputs()
    task = Classify(LABELS, options=Loss(kind="focal", gamma=gamma))
    expected = mean_by_hand("focal", logits, torch.eye(4)[targets], gamma=gamma)
    assert task.loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)
    sure = (torch.eye(4)[targets] * 200).requires_grad_()
    task.loss(sure, targets).backward()
    assert sure.grad is not None
    assert sure.grad.abs().max() == 0


def test_focal_without_gamma_is_cross_entropy():
    logits, targets = outputs()
    focal = Classify(LABELS, options=Loss(kind="focal", gamma=0.0))
    torch.testing.assert_close(focal.loss(logits, mixed(targets)), Classify(LABELS).loss(logits, mixed(targets)))


def test_hinge_pushes_the_true_class_and_the_best_other_apart():
    logits = torch.tensor([[2.0, 1.5, -1.0], [3.0, 1.0, 0.0]], requires_grad=True)
    loss = Classify(("a", "b", "c"), options=Loss(kind="hinge")).loss(logits, torch.tensor([0, 0]))
    assert loss.item() == 0.25, "0.5 within the margin for the first, nothing for the second"
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    with pytest.raises(UsageError, match="expected one class for each image"):
        Classify(("a", "b", "c"), options=Loss(kind="hinge")).loss(logits, torch.eye(3)[:2])


@pytest.mark.parametrize("weights", [(), (0.5, 3.0, 1.0, 1.0)])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_guess_loses_what_zeros_lose(kind, weights):
    task = Classify(LABELS, options=Loss(kind=kind), class_weights=weights)
    heaviest = max(task.loss(torch.zeros(5, 4), torch.full((5,), i)).item() for i in range(4))
    assert task.guess_loss == pytest.approx(heaviest, rel=1e-6)


def test_evaluations_say_the_cross_entropy_whatever_the_loss():
    logits, targets = outputs()
    for kind in LOSSES:
        tally = Classify(LABELS, options=Loss(kind=kind), class_weights=(1.0, 2.0, 3.0, 4.0)).tally("cpu")
        tally.update(logits, targets)
        assert tally.result().loss == pytest.approx(Classify(LABELS).loss(logits, targets).item(), rel=1e-5)


def test_balanced_weights_are_scikit_learns():
    labels = np.repeat([0, 1, 2], [50, 7, 3])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights("balanced", [50, 7, 3], 0.999) == pytest.approx(expected)
    absent = class_weights("balanced", [50, 0, 7, 3], 0.999)
    assert absent == pytest.approx((expected[0], 0.0, expected[1], expected[2])), "an absent class counts nothing"


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_effective_weights_are_cuis(beta):
    counts = [5000, 120, 1]
    raw = [1 / sum(beta**i for i in range(n)) for n in counts]  # (1 - beta ** n) / (1 - beta) is this sum
    found = class_weights("effective", counts, beta)
    assert found == pytest.approx([3 * r / sum(raw) for r in raw])
    assert sum(found) == pytest.approx(3)
    assert class_weights("effective", [5000, 0, 120], beta)[1] == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gamma", -1.0, "loss.gamma: expected a number from 0, received -1.0; the default is 2"),
        ("gamma", float("nan"), "loss.gamma: expected a number from 0, received nan; the default is 2"),
        ("beta", 1.0, "loss.beta: expected a number from 0 to below 1, received 1.0; the default is 0.999"),
        ("auxiliary", -0.3, "loss.auxiliary: expected a number from 0, received -0.3; the default is 0.3"),
        ("auxiliary", float("inf"), "loss.auxiliary: expected a number from 0, received inf; the default is 0.3"),
    ],
)
def test_impossible_numbers(field, value, message):
    with pytest.raises(UsageError) as caught:
        Loss(**{field: value})
    assert str(caught.value) == message


def test_a_recipe_keeps_its_loss_and_one_of_before_gets_the_default():
    recipe = Recipe().edit(
        loss__kind="focal", loss__gamma=1, loss__class_weights="effective", loss__beta=0.99, loss__auxiliary=0.4
    )
    assert recipe.loss == Loss(kind="focal", gamma=1.0, class_weights="effective", beta=0.99, auxiliary=0.4)
    data = json.loads(json.dumps(recipe.to_json()))
    assert recipe_from_json(data) == recipe
    del data["loss"]
    assert recipe_from_json(data).loss == Loss()
