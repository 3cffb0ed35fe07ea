"""The stop for a loss that explodes or is not finite, in runs."""

import math

import pytest
import torch

from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.tasks.classify import Classify
from convsmith.training import step as steps
from convsmith.training.distributed import ALONE
from convsmith.training.step import Exploded, train_step
from convsmith.work import last_layer
from convsmith.work import run as running
from convsmith.work.prepare import prepare
from convsmith.work.run import train


def poison(module, when, value):
    """Make the training loss of step `when` (from 1) `value` times what it is."""
    count = 0

    def hook(layer, inputs, output):
        nonlocal count
        count += layer.training
        return output * value if layer.training and count == when else output

    module.out.register_forward_hook(hook)


@pytest.fixture
def poisoned(monkeypatch):
    """`poisoned(step, value)`: networks made from now on go wrong at that step."""

    def at(step, value):
        make = last_layer.make_model

        def wrong(plan, notes):
            module = make(plan, notes)
            poison(module, step, value)
            return module

        monkeypatch.setattr(last_layer, "make_model", wrong)

    return at


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "the training loss is nan"),
        (float("inf"), "the training loss is (nan|inf)"),
        (
            -1e6,
            r"the mean training loss of the first 9 steps is [\d.e+]+, above 20 times 1.099, the loss of a guess "
            r"\(later 3 times\)",
        ),
    ],
    ids=["nan", "inf", "far"],
)
def test_a_loss_that_explodes_stops_before_the_update(value, said, recipe, poisoned, tmp_path):
    path = tmp_path / "run"
    straight = train(recipe.edit(checkpoint_every="1steps", length="8steps"), out=tmp_path / "straight", quiet=True)
    poisoned(9, value)
    message = (
        rf"^step 9 \(epoch 2\): {said}; the step was not taken. "
        r"Mend with a lower --lr \(now 0.1\) or a longer --schedule.warmup"
    )
    with pytest.raises(Exploded, match=message):
        train(recipe.edit(checkpoint_every="1steps", schedule__kind="constant"), out=path, quiet=True)
    run = open_run(path)
    assert run.status().state == "failed"
    assert run.status().message.startswith("Exploded: step 9 (epoch 2): the ")
    saved = load_checkpoint(run)
    assert saved.step == 8
    assert saved.warnings == ()
    assert all(bool(torch.isfinite(value.double()).all()) for value in saved.model.values())
    assert saved.model.keys() == load_checkpoint(straight.run).model.keys()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            float("nan"),
            r"step 9 \(epoch 2\): the training loss is nan; seen at step 12, since cpu is asked every 4",
        ),
        (-1e6, r"step 12 \(epoch 2\): the mean training loss of the first 12 steps is .*; the step was not taken"),
    ],
    ids=["nan", "far"],
)
def test_on_a_gpu_some_steps_pass_before_the_loss_is_looked_at(value, said, recipe, poisoned, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "LOOK_EVERY", {"cpu": 4})
    path = tmp_path / "run"
    poisoned(9, value)
    with pytest.raises(Exploded, match=f"^{said}"):
        train(recipe.edit(schedule__kind="constant"), out=path, quiet=True)
    saved = load_checkpoint(open_run(path))
    assert saved.step < 9
    assert all(bool(torch.isfinite(value.double()).all()) for value in saved.model.values())


def test_no_checkpoint_between_two_looks_holds_what_exploded(recipe, poisoned, tmp_path, monkeypatch):
    """A step before a checkpoint is looked at, however many are passed over otherwise."""
    monkeypatch.setattr(steps, "LOOK_EVERY", {"cpu": 100})
    path = tmp_path / "run"
    poisoned(8, -1e6)
    with pytest.raises(Exploded, match=r"^step 9 \(epoch 2\): the mean training loss"):
        train(recipe.edit(schedule__kind="constant", checkpoint_every="3steps"), out=path, quiet=True)
    assert load_checkpoint(open_run(path)).step == 6


def test_the_weights_are_untouched_by_the_step_that_exploded(recipe, poisoned, tmp_path):
    poisoned(2, float("nan"))
    plan = prepare(recipe)
    state, job = running._state_and_job(plan, last_layer.make_model(plan, []), ALONE)
    state.model.train()
    first, second, *_ = job.training.epoch(0)
    train_step(state, first, job)
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    with pytest.raises(Exploded):
        train_step(state, second, job)
    assert all(torch.equal(before[name], p) for name, p in state.model.named_parameters())
    assert state.step == 1


def test_a_loss_that_is_nan_from_the_start_is_not_put_down_to_the_rate(recipe, poisoned, tmp_path):
    poisoned(1, float("nan"))
    message = (
        r"^step 1 \(epoch 1\): the training loss is nan, before any step was taken, so that no rate mends it; "
        r"the step was not taken. Mend with another --init, images of more pixels \(--size\) or a look at the network "
        r"and its loss"
    )
    with pytest.raises(Exploded, match=message):
        train(recipe, out=tmp_path / "run", quiet=True)


def test_explosion_0_lets_a_large_loss_pass_but_no_nan(recipe, poisoned, tmp_path):
    poisoned(5, -1e3)
    train(recipe.edit(explosion=0), out=tmp_path / "large", quiet=True)
    poisoned(5, float("nan"))
    with pytest.raises(Exploded):
        train(recipe.edit(explosion=0), out=tmp_path / "nan", quiet=True)


def test_the_command_says_it_in_one_line_with_status_1(modules, pictures, command, tmp_path):
    path = tmp_path / "run"
    answer = command(
        "train", f"{modules}:make", "--data", pictures, "--lr", "1e9", "--batch", 8, "--quiet", "--out", path
    )
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "the step was not taken. Mend with a lower --lr (now 1e+09)" in answer.err
    assert open_run(path).status().state == "failed"


@pytest.fixture
def losing(monkeypatch):
    """`losing(step, change)`: the training loss of that step (from 1) is changed, where every other is left."""

    def at(step, change):
        count, honest = 0, Classify.loss

        def loss(task, outputs, targets):
            nonlocal count
            count += 1
            value = honest(task, outputs, targets)
            return change(value) if count == step else value

        monkeypatch.setattr(Classify, "loss", loss)

    return at


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_of_either_sign_that_is_not_finite_stops_before_the_update(value, recipe, losing, tmp_path):
    losing(7, lambda loss: loss * 0 + value)
    said = rf"^step 7 \(epoch 2\): the training loss is {value}; the step was not taken. Mend with a lower --lr"
    with pytest.raises(Exploded, match=said):
        train(recipe, out=tmp_path / "run", quiet=True)
    assert load_checkpoint(open_run(tmp_path / "run")).step == 6


def test_one_odd_batch_does_not_stop_a_run(recipe, losing, tmp_path):
    """It may have 20 * 3 * 3 times the loss of a guess, less what the others of 20 steps have."""
    losing(22, lambda loss: loss * 0 + 170.0)
    assert train(recipe, out=tmp_path / "odd", quiet=True).result["steps"] == 24
    losing(22, lambda loss: loss * 0 + 190.0)
    said = r"^step 22 \(epoch 4\): the mean training loss of the last 20 steps is 10\.\d+, above 9 times 1.099, the"
    with pytest.raises(Exploded, match=said):
        train(recipe, out=tmp_path / "odder", quiet=True)


def test_the_first_steps_are_allowed_together_what_20_are(recipe, losing, tmp_path):
    losing(2, lambda loss: loss * 0 + 400.0)
    said = (
        r"^step 2 \(epoch 1\): the mean training loss of the first 2 steps is 200.\d+, above 90 times 1.099, the "
        r"loss of a guess \(later 3 times\); the step was not taken. Mend with a lower --lr \(now 0.1\) or a longer "
        r"--schedule.warmup; "
        r"--explosion N allows N times \(now 3\), 0 any."
    )
    with pytest.raises(Exploded, match=said):
        train(recipe, out=tmp_path / "run", quiet=True)


def test_a_loss_without_a_floor_may_fall_as_far_as_it_will(recipe, losing, tmp_path):
    losing(7, lambda loss: loss * 0 - 1e9)
    assert train(recipe, out=tmp_path / "run", quiet=True).result["steps"] == 24


TASK = """
from dataclasses import dataclass

from convsmith.tasks.classify import Classify


@dataclass(frozen=True)
class Changed(Classify):
    guess_loss = GUESS

    def loss(self, outputs, targets):
        return super().loss(outputs, targets) * SCALE + SHIFT


def make(classes):
    return Changed(classes)
"""


@pytest.mark.parametrize(
    ("guess", "scale", "shift"),
    [(0.0, 1, -1.0986), (0.0, 1, -5), (-3.9, 1, -5), (0.0, 1e-6, 0), (0.0, 1e6, 0), (1e-9, 1e6, 0), (1.0, 1, 1e4)],
)
def test_a_task_of_any_sign_and_scale_is_trained_and_stopped(guess, scale, shift, recipe, given, tmp_path):
    path = tmp_path / "task.py"
    path.write_text(TASK.replace("GUESS", str(guess)).replace("SCALE", str(scale)).replace("SHIFT", str(shift)))
    own = recipe.edit(task=given(f"{path}:make"), optimizer__kind="adam", length="8ep")
    # Adam's steps are as long whatever the scale.
    good = own.edit(optimizer__lr=0.01)
    assert train(good, out=tmp_path / "good", quiet=True).result["steps"] == 48
    with pytest.raises(Exploded, match=r"the mean training loss of the .* steps is"):
        train(own.edit(optimizer__lr=1e6), out=tmp_path / "bad", quiet=True)
