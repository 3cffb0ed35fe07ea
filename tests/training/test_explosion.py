"""The stop for an exploding loss and for what is not finite, in runs."""

import math

import pytest
import torch

from convsmith.recipes import run as running
from convsmith.recipes.prepare import prepare
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.run import train
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.tasks.classify import Classification as Result
from convsmith.tasks.classify import Classify
from convsmith.training import fit
from convsmith.training import step as steps
from convsmith.training.distributed import ALONE
from convsmith.training.step import Exploded, train_step


@pytest.fixture
def recipe(modules, pictures):
    """A plain module on 48 images: 6 steps an epoch."""
    return Recipe(network=f"{modules}:make").edit(
        data__source=str(pictures), length="4ep", batch=8, augment="flip", engine__precision="fp32", engine__threads=1
    )


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
        make = running.make_model

        def wrong(plan, notes):
            module = make(plan, notes)
            poison(module, step, value)
            return module

        monkeypatch.setattr(running, "make_model", wrong)

    return at


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "the training loss is nan"),
        (float("inf"), "the training loss is (nan|inf)"),
        (-1e6, r"the mean training loss of the first 9 steps is [\d.e+]+, above 13.3 times 1.099, the loss of a guess"),
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
    state, job = running._state_and_job(plan, running.make_model(plan, []), ALONE)
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
    """It may have 20 * 3 times the loss of a guess, less what the others of 20 steps have."""
    losing(22, lambda loss: loss * 0 + 40.0)
    assert train(recipe, out=tmp_path / "odd", quiet=True).result["steps"] == 24
    losing(22, lambda loss: loss * 0 + 60.0)
    said = (
        r"^step 22 \(epoch 4\): the mean training loss of the last 20 steps is 3\.\d+, above 3 times 1.099, the loss of"
    )
    with pytest.raises(Exploded, match=said):
        train(recipe, out=tmp_path / "odder", quiet=True)


def test_the_first_steps_are_allowed_together_what_20_are(recipe, losing, tmp_path):
    losing(2, lambda loss: loss * 0 + 400.0)
    said = (
        r"^step 2 \(epoch 1\): the mean training loss of the first 2 steps is 200.\d+, above 60 times 1.099, the "
        r"loss of a guess; the step was not taken. Mend with a lower --lr \(now 0.1\) or a longer --schedule.warmup; "
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
def test_a_task_of_any_sign_and_scale_is_trained_and_stopped(guess, scale, shift, recipe, tmp_path):
    path = tmp_path / "task.py"
    path.write_text(TASK.replace("GUESS", str(guess)).replace("SCALE", str(scale)).replace("SHIFT", str(shift)))
    own = recipe.edit(task=f"{path}:make", optimiser__kind="adam", length="8ep")
    # Adam's steps are as long whatever the scale.
    good = own.edit(optimiser__lr=0.01)
    assert train(good, out=tmp_path / "good", quiet=True).result["steps"] == 48
    with pytest.raises(Exploded, match=r"the mean training loss of the .* steps is"):
        train(own.edit(optimiser__lr=1e6), out=tmp_path / "bad", quiet=True)


@pytest.fixture
def bending(monkeypatch):
    """`bending(number, value)`: the last layer's gradient of that backward pass (from 1) is `value` in one place."""

    def at(number, value):
        make = running.make_model

        def wrong(plan, notes):
            module, count = make(plan, notes), 0

            def hook(gradient):
                nonlocal count
                count += 1
                if count == number:
                    gradient = gradient.clone()
                    gradient.view(-1)[0] = value
                return gradient

            module.out.weight.register_hook(hook)
            return module

        monkeypatch.setattr(running, "make_model", wrong)

    return at


@pytest.mark.parametrize(
    ("number", "edits"),
    [
        (7, {}),
        (7, {"optimiser__clip": 1.0}),
        (14, {"optimiser__sam": 0.05}),  # the second gradient of the seventh step
        (13, {"optimiser__sam": 0.05}),  # its first, which the weights of the second are moved along
        (20, {"optimiser__accumulate": 3}),  # one part of it
        (7, {"optimiser__kind": "adamw", "optimiser__lr": 0.01}),
        (7, {"optimiser__average": "ema(0.9)", "optimiser__lookahead": "lookahead(2)"}),
    ],
    ids=["plain", "clip", "second of sam", "first of sam", "accumulate", "adamw", "followers"],
)
@pytest.mark.parametrize("value", [math.nan, -math.inf, 1e30])
def test_a_gradient_that_is_not_finite_stops_before_the_update(value, number, edits, recipe, bending, tmp_path):
    if number == 13 and value == 1e30:
        pytest.skip("weights that move by 0 for a length of inf have a gradient as good as any")
    bending(number, value)
    norm = "nan" if math.isnan(value) or number == 13 else "inf"
    said = (
        rf"^step 7 \(epoch 2\): the norm of the gradient is {norm}, where the training loss is \d\.\d+; the step "
        r"was not taken. Mend with a lower --lr"
    )
    with pytest.raises(Exploded, match=said):
        train(recipe.edit(**edits), out=tmp_path / "run", quiet=True)
    saved = load_checkpoint(open_run(tmp_path / "run"))
    assert saved.step == 6
    assert all(bool(tensor.isfinite().all()) for tensor in [*saved.model.values(), *saved.state.values()])


def test_a_gradient_that_is_not_finite_is_seen_on_a_gpu_before_anything_is_written(
    recipe, bending, tmp_path, monkeypatch
):
    monkeypatch.setattr(steps, "LOOK_EVERY", {"cpu": 5})
    bending(7, math.nan)
    said = (
        r"^step 7 \(epoch 2\): the norm of the gradient is nan.*; seen at step 10, since cpu is asked every 5 steps; no"
    )
    with pytest.raises(Exploded, match=said):
        train(recipe, out=tmp_path / "run", quiet=True)
    assert load_checkpoint(open_run(tmp_path / "run")).step == 6


def test_a_scale_of_fp16_that_falls_without_end_is_an_error(recipe):
    plan = prepare(recipe)
    state, job = running._state_and_job(plan, running.make_model(plan, []), ALONE)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-14, enabled=True)
    state.scaler.scale(torch.zeros(()))
    handle = state.model.out.weight.register_hook(lambda gradient: gradient * math.nan)
    state.model.train()
    batches = job.training.epoch(0)
    before = state.model.out.weight.detach().clone()
    for _ in range(3):
        train_step(state, next(batches), job)
    said = (
        r"^step 4 \(epoch 1\): the gradient holds NaN or inf at any scale of fp16's loss; .* Mend with --precision fp32"
    )
    with pytest.raises(Exploded, match=said):
        train_step(state, next(batches), job)
    assert torch.equal(state.model.out.weight, before)
    handle.remove()


# ------------------------------------------------------------------------------------------ evaluation and writing

CHANGED = """
import torch
from torch import nn


class Scale(nn.Module):
    def forward(self, values):
        return values * (1 if self.training else float("inf"))


class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.norm, self.out = nn.BatchNorm2d(channels), nn.Linear(channels, classes)
        self.scale = Scale()
        self.register_buffer("mask", torch.zeros(classes, classes).masked_fill(torch.eye(classes) == 0, float("-inf")))
        KIND

    def forward(self, images):
        values = self.norm(images)
        if self.training and self.spoilt:
            self.norm.running_var.data.fill_(self.spoilt)
        values = values.mean((2, 3))
        return self.out(self.scale(values) if self.scaled else values) @ torch.exp(self.mask)


def make(classes, channels):
    return Net(classes, channels)
"""


@pytest.fixture
def own(tmp_path, recipe):
    """`own("self.scaled, self.spoilt = True, 0")`: the recipe with a module that goes wrong in evaluation."""

    def made(kind):
        path = tmp_path / "own.py"
        path.write_text(CHANGED.replace("KIND", kind))
        return recipe.edit(network=f"{path}:make", edits="")

    return made


def test_a_layer_that_fails_in_evaluation_is_named(own, tmp_path):
    said = (
        r"^step 6 \(epoch 1\): the validation loss is nan, where the training loss is 1\.\d+: the layer scale gives NaN"
        r" or inf in evaluation. Norms that see a batch in training hide such sizes there. Mend with a larger --size "
        r"\(now 12x12\), a larger --batch \(now 8\), a lower --lr \(now 0.1\), a longer --schedule.warmup or "
        r"--optimiser.clip 1"
    )
    with pytest.raises(Exploded, match=said):
        train(own("self.scaled, self.spoilt = True, 0"), out=tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nan", r"the validation loss is nan: the statistics norm.running_var hold NaN or inf"),
        # In evaluation it makes 0 of everything, and the loss is finite.
        ("inf", r"norm.running_var holds NaN or inf; no checkpoint was written of it"),
    ],
)
def test_a_statistic_that_is_not_finite_is_named(value, said, own, tmp_path):
    with pytest.raises(Exploded, match=rf"^step 6( \(epoch 1\))?: {said}. Mend with a lower --lr"):
        train(own(f"self.scaled, self.spoilt = False, float('{value}')"), out=tmp_path / "run", quiet=True)


def test_a_mask_of_infinities_is_no_fault(own, tmp_path):
    outcome = train(own("self.scaled, self.spoilt = False, 0"), out=tmp_path / "run", quiet=True)
    assert outcome.result["ended"] == "finished"
    assert bool(load_checkpoint(outcome.run).model["mask"].isinf().any())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "loss",
            "the validation loss is nan, where all weights and outputs are finite: the task's evaluation gives that",
        ),
        ("score", r"the validation score is nan, where the loss is \d\.\d+. Mend the task: its score has to be"),
    ],
)
def test_an_evaluation_without_numbers_is_put_down_to_the_task(name, said, recipe, tmp_path, monkeypatch):
    honest = Result.summary
    monkeypatch.setattr(Result, "summary", lambda result: honest(result) | {name: math.nan})
    with pytest.raises(Exploded, match=rf"^step 6 \(epoch 1\): {said}"):
        train(recipe, out=tmp_path / "run", quiet=True)


def test_no_checkpoint_holds_an_optimiser_that_is_not_finite(recipe, tmp_path, monkeypatch):
    honest = fit.train_step

    def spoiling(state, batch, job, asked):
        stop = honest(state, batch, job, asked)
        if state.step == 9:
            state.optimiser.state[state.model.out.weight]["exp_avg_sq"].fill_(math.inf)
        return stop

    monkeypatch.setattr(fit, "train_step", spoiling)
    said = r"^step 12: out.weight::exp_avg_sq holds NaN or inf; no checkpoint was written of it. Mend with a lower --lr"
    with pytest.raises(Exploded, match=said):
        train(recipe.edit(optimiser__kind="adam", optimiser__lr=0.01), out=tmp_path / "run", quiet=True)
    assert load_checkpoint(open_run(tmp_path / "run")).step == 6
