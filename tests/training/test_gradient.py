"""Accumulated, sharpness-aware and clipped gradients."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.data.loaders import Batch
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import Engine
from convsmith.training.gradient import backward, limit_length, sharpest
from convsmith.training.job import new_state
from convsmith.training.options import Optimizer
from convsmith.training.step import train_step
from convsmith.work.prepare import make_job, prepare
from convsmith.work.run import train


def whole(inputs, targets):
    places = torch.arange(len(inputs))
    return Batch(inputs, targets, places, places)


@pytest.fixture
def recipe(modules, pictures, given):
    """A plain module on 48 images: 6 steps an epoch."""
    return Recipe(network=given(f"{modules}:make")).edit(
        data__source=str(pictures), length="2ep", batch=8, engine__precision="fp32", engine__threads=1
    )


def smooth() -> nn.Module:
    """A network without anything that looks at the batch."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(400, 3)).double()


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3))


def begin(recipe, model, **options):
    plan = prepare(recipe)
    job = replace(make_job(plan), optimizer=Optimizer(lr=0.1, **options))
    return new_state(model.train(), job.optimizer, plan.engine), job


def batch_of(count, dtype=torch.float64):
    generator = torch.Generator().manual_seed(count)
    images = torch.randn(count, 3, 12, 12, generator=generator, dtype=dtype)
    return images, torch.randint(3, (count,), generator=generator)


@pytest.mark.parametrize("parts", [2, 3, 4, 8, 20])
def test_accumulated_gradients_are_the_large_batchs(parts, recipe):
    inputs, targets = batch_of(8)
    gradients, numbers = [], []
    for count in (1, parts):
        state, job = begin(recipe, smooth(), accumulate=count)
        numbers.append(backward(state, whole(inputs, targets), job))
        gradients.append([p.grad for p in state.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        # The outputs go to the loss in fp32.
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(numbers[0].total, numbers[1].total)
    assert torch.equal(numbers[0].right, numbers[1].right)


def test_a_run_with_accumulation_ends_where_the_large_batch_does(recipe, given, tmp_path, pictures):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef make(classes, channels):\n"
        "    return nn.Sequential(nn.Conv2d(channels, 4, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(100, classes))\n"
    )
    rows = []
    for parts in (1, 4):
        edited = recipe.edit(network=given(f"{tmp_path / 'net.py'}:make"), optimizer__accumulate=parts)
        run = train(edited, out=tmp_path / f"run{parts}", quiet=True).run
        rows.append([(row["step"], row["train_loss"], row["val_loss"]) for row in run.metrics()])
    for one, other in zip(*rows, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


# -------------------------------------------------------------------------------------------------------------- SAM


def test_sharpness_aware_gradients_are_those_of_the_worse_weights_nearby():
    # On a/2 w^2 + b/2 v^2 the gradient at (w, v) + d * (a w, b v) / |(a w, b v)|.
    point = nn.ParameterList([torch.tensor(2.0).double(), torch.tensor(-1.0).double()])

    def loss():
        return 1.5 * point[0] ** 2 + 0.5 * point[1] ** 2

    loss().backward()
    with sharpest(point, 0.1):
        assert all(p.grad is None for p in point)
        loss().backward()
    length = math.hypot(6, 1)
    assert point[0].item() == 2.0
    assert point[1].item() == -1.0
    assert point[0].grad.item() == pytest.approx(3 * (2 + 0.1 * 6 / length))
    assert point[1].grad.item() == pytest.approx(-1 - 0.1 * 1 / length)


def test_the_second_look_leaves_no_bit_of_weights_or_statistics_changed(recipe):
    state, job = begin(recipe, normed(), sam=0.7)
    inputs, targets = batch_of(8, torch.float32)
    backward(state, whole(inputs, targets), job)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    first = [p.grad.clone() for p in state.model.parameters()]
    with sharpest(state.model, 0.7):
        moved = state.model.state_dict()
        distance = math.sqrt(
            sum((moved[n] - before[n]).square().sum().item() for n, _ in state.model.named_parameters())
        )
        assert distance == pytest.approx(0.7, rel=1e-5)
        backward(state, whole(inputs, targets), job)
    after = state.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not all(torch.equal(p.grad, g) for p, g in zip(state.model.parameters(), first, strict=True))


def test_both_looks_of_a_step_drop_the_same(recipe):
    state, job = begin(recipe, nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(432, 3)), sam=1e-9)
    other, same = begin(recipe, nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(432, 3)))
    other.model.load_state_dict(state.model.state_dict())
    batch = next(iter(job.training.epoch(0)))
    assert isinstance(batch, Batch)
    train_step(state, batch, job)
    train_step(other, batch, same)
    torch.testing.assert_close(state.model[2].weight, other.model[2].weight, rtol=0, atol=1e-7)


def test_sam_with_fp16_is_refused(recipe):
    plan = prepare(recipe)
    half = Engine(**{**vars(plan.engine), "precision": "fp16"})
    with pytest.raises(UsageError, match=r"optimizer.sam: .* fp16's loss scaling; use --precision fp32"):
        new_state(smooth(), Optimizer(sam=0.05), half)


# ------------------------------------------------------------------------------------------------------------- clip


def test_a_long_gradient_is_scaled_to_the_length_and_a_short_one_left(recipe):
    for limit, factor in ((1.0, 1 / 13), (20.0, 1.0), (None, 1.0)):
        state, _ = begin(recipe, nn.Linear(2, 1))
        state.model.weight.grad, state.model.bias.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([12.0])
        assert limit_length(state, limit).item() == pytest.approx(13.0)
        torch.testing.assert_close(state.model.weight.grad, torch.tensor([[3.0, 4.0]]) * factor)
        torch.testing.assert_close(state.model.bias.grad, torch.tensor([12.0]) * factor)


def test_metrics_tell_the_mean_length_before_clipping(recipe, tmp_path, monkeypatch):
    from convsmith.training import step

    lengths, honest = [], step.limit_length

    def noting(state, length):
        lengths.append(honest(state, length))
        return lengths[-1]

    monkeypatch.setattr(step, "limit_length", noting)
    run = train(recipe.edit(optimizer__clip=0.1), out=tmp_path / "run", quiet=True).run
    means = [torch.stack(lengths[i : i + 6]).double().mean().item() for i in (0, 6)]
    assert [row["gradient_norm"] for row in run.metrics()] == pytest.approx(means, rel=1e-12)
    assert min(lengths) > 0.1


def test_the_length_says_that_a_gradient_is_not_finite_or_that_its_squares_are_not(recipe):
    for value, said in ((math.nan, math.nan), (-math.inf, math.inf), (1e30, math.inf), (1e15, 1e15)):
        state, _ = begin(recipe, nn.Linear(2, 1))
        state.model.weight.grad, state.model.bias.grad = torch.tensor([[0.0, value]]), torch.tensor([1.0])
        assert limit_length(state, None).item() == pytest.approx(said, nan_ok=True)


def test_where_fp16_overflowed_the_length_counts_as_0(recipe):
    """Loss scaling skips that step by itself."""
    state, _ = begin(recipe, nn.Linear(2, 1))
    state.scaler = torch.amp.GradScaler("cpu", enabled=True)
    state.scaler.scale(torch.zeros(()))  # which makes its scale
    state.model.weight.grad, state.model.bias.grad = torch.tensor([[0.0, math.inf]]), torch.tensor([1.0])
    before = state.model.weight.detach().clone()
    assert limit_length(state, None).item() == 0
    state.scaler.step(state.optimizer)
    assert torch.equal(state.model.weight, before)
