"""Mixup and CutMix: partners, shares, pixels and labels."""

import pytest
import torch
from scipy.stats import beta, kstest

from convsmith.data.augment import Mixture, mix, mixed_targets
from convsmith.data.augment.mix import cut_rectangles, draw_partners, mix_once, mixup, symmetric_beta
from convsmith.data.augmentations import Cutmix, Flip, Mixup
from convsmith.data.keys import fork, integers, keys
from convsmith.tasks.classify import Classify


def images(count: int, side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def drawn(count: int) -> torch.Tensor:
    return keys(3, 1, torch.arange(count), 0)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 8.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    shares = symmetric_beta(drawn(20_000), alpha)
    assert shares.dtype == torch.float64
    assert kstest(shares.numpy(), beta(alpha, alpha).cdf).statistic < 0.012
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.004


@pytest.mark.parametrize("count", [1, 2, 5, 128])
def test_partners_are_one_ring_through_the_batch(count: int) -> None:
    partners = draw_partners(drawn(count))
    place, seen = 0, []
    for _ in range(count):
        seen.append(place)
        place = int(partners[place])
    assert place == 0
    assert sorted(seen) == list(range(count))
    order = torch.arange(count - 1, -1, -1)
    assert torch.equal(order[draw_partners(drawn(count)[order])][order], partners), "whatever the batch's order"


def test_mixup_blends_pixels() -> None:
    batch, partners = images(5), torch.tensor([1, 2, 3, 4, 0])
    shares = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
    found, same = mixup(batch, partners, shares)
    expected = shares.view(-1, 1, 1, 1) * batch + (1 - shares).view(-1, 1, 1, 1) * batch[partners]
    assert found.dtype == torch.uint8
    assert (found - expected).abs().max() <= 0.501
    assert torch.equal(same, shares)


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels() -> None:
    count, side = 400, 16
    own = drawn(count)
    shares = symmetric_beta(fork(own, 9), 1.0)
    inside, left = cut_rectangles((side, side), shares, own)
    pasted = inside[:, 0]
    assert torch.allclose(left.double(), 1 - pasted.double().mean((1, 2)), atol=1e-7)
    rows, columns = pasted.any(2), pasted.any(1)
    assert torch.equal(pasted, rows[:, :, None] & columns[:, None])
    # Written out: sides of sqrt(1 - share), around a random pixel, cut off at the border.
    y, x = integers(fork(own, 0), 0, side), integers(fork(own, 1), 0, side)
    for i in range(count):
        long = int((1 - shares[i]) ** 0.5 * side)
        top, before = int(y[i]) - long // 2, int(x[i]) - long // 2
        expected = torch.zeros(side, side, dtype=torch.bool)
        expected[max(top, 0) : max(top + long, 0), max(before, 0) : max(before + long, 0)] = True
        assert torch.equal(pasted[i], expected)
    found, mixture = mix_once(images(count), own, Cutmix(1.0, 1.0))
    assert mixture.pasted is not None
    assert torch.equal(found, torch.where(mixture.pasted, images(count)[mixture.partners], images(count)))


@pytest.mark.parametrize("step", [Mixup(1.0, 0.5), Cutmix(1.0, 0.5)])
def test_the_amount_depends_on_the_sample_alone(step: Mixup | Cutmix) -> None:
    whole = mix_once(images(64), drawn(64), step)[1]
    halves = [mix_once(images(64)[half], drawn(64)[half], step)[1] for half in (slice(32), slice(32, 64))]
    assert torch.equal(torch.cat([h.shares for h in halves]), whole.shares)
    assert 15 < (whole.shares < 1).sum() < 49


def test_labels_become_shares() -> None:
    targets = torch.tensor([0, 2, 1])
    assert mixed_targets(targets, (), 3) is targets
    first = Mixture(torch.tensor([1, 2, 0]), torch.tensor([0.75, 1.0, 0.5]))
    soft = mixed_targets(targets, (first,), 3)
    assert soft.tolist() == [[0.75, 0, 0.25], [0, 0, 1], [0.5, 0.5, 0]]
    second = Mixture(torch.tensor([2, 2, 2]), torch.tensor([0.5, 1.0, 1.0]))
    assert mixed_targets(targets, (first, second), 3)[0].tolist() == [0.625, 0.25, 0.125]


def test_two_mixings_follow_one_another_and_the_rest_is_left() -> None:
    steps = (Flip(), Mixup(1.0), Cutmix(1.0, 1.0))
    positions = torch.arange(20)
    found, mixtures = mix(images(20), steps, 3, 1, positions)
    once, first = mix_once(images(20), keys(3, 1, positions, 1), steps[1])
    twice, second = mix_once(once, keys(3, 1, positions, 2), steps[2])
    assert torch.equal(found, twice)
    assert [m.partners.tolist() for m in mixtures] == [first.partners.tolist(), second.partners.tolist()]
    batch = images(3)
    assert mix(batch, (Flip(),), 0, 0, torch.arange(3)) == (batch, ())


def test_an_image_alone_in_its_batch_is_its_own_partner() -> None:
    for step in (Mixup(1.0), Cutmix(1.0, 1.0)):
        assert torch.equal(mix(images(1), (step,), 0, 0, torch.arange(1))[0], images(1))


def test_the_loss_of_mixed_labels_is_the_mixed_loss() -> None:
    task = Classify(("a", "b", "c"), label_smoothing=0.1)
    outputs = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 2, 1])
    mixture = Mixture(torch.tensor([1, 2, 0]), torch.tensor([0.7, 0.4, 1.0]))
    soft = mixed_targets(targets, (mixture,), 3)
    each = [
        share * task.loss(outputs[i : i + 1], targets[i : i + 1])
        + (1 - share) * task.loss(outputs[i : i + 1], targets[j : j + 1])
        for i, (j, share) in enumerate(zip(mixture.partners.tolist(), mixture.shares.tolist(), strict=True))
    ]
    torch.testing.assert_close(task.loss(outputs, soft), torch.stack(each).mean())
    sure = torch.eye(3)[torch.tensor([0, 1, 0])] * 9
    assert task.correct(sure, soft) == 2, "the class with the largest share counts: 0, 1 and 1"
