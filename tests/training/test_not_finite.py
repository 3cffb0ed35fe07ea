"""Gradients, layers, statistics and states that hold NaN or inf: what stops a run, and what it is put down to."""

import math

import pytest
import torch

from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.tasks.classify import Classification as Result
from convsmith.training import fit
from convsmith.training import step as steps
from convsmith.training.distributed import ALONE
from convsmith.training.step import Exploded, train_step
from convsmith.work import last_layer
from convsmith.work import run as running
from convsmith.work.prepare import make_model, prepare
from convsmith.work.run import train


@pytest.fixture
def bending(monkeypatch):
    """`bending(number, value)`: the last layer's gradient of that backward pass (from 1) is `value` in one place."""

    def at(number, value):
        make = last_layer.make_model

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

        monkeypatch.setattr(last_layer, "make_model", wrong)

    return at


@pytest.mark.parametrize(
    ("number", "edits"),
    [
        (7, {}),
        (7, {"optimizer__clip": 1.0}),
        (14, {"optimizer__sam": 0.05}),  # the second gradient of the seventh step
        (13, {"optimizer__sam": 0.05}),  # its first, which the weights of the second are moved along
        (20, {"optimizer__accumulate": 3}),  # one part of it
        (7, {"optimizer__kind": "adamw", "optimizer__lr": 0.01}),
        (7, {"optimizer__average": "ema(0.9)", "optimizer__lookahead": "lookahead(2)"}),
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
    state, job = running._state_and_job(plan, make_model(plan, []), ALONE)
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
def own(tmp_path, recipe, given):
    """`own("self.scaled, self.spoilt = True, 0")`: the recipe with a module that goes wrong in evaluation."""

    def made(kind):
        path = tmp_path / "own.py"
        path.write_text(CHANGED.replace("KIND", kind))
        return recipe.edit(network=given(f"{path}:make"), edits="")

    return made


def test_a_layer_that_fails_in_evaluation_is_named(own, tmp_path):
    said = (
        r"^step 6 \(epoch 1\): the validation loss is nan, where the training loss is 1\.\d+: the layer scale gives NaN"
        r" or inf in evaluation. Norms that see a batch in training hide such sizes there. Mend with a larger --size "
        r"\(now 12x12\), a larger --batch \(now 8\), a lower --lr \(now 0.1\), a longer --schedule.warmup or "
        r"--optimizer.clip 1"
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
    honest = Result.numbers.fget
    wrong = {"loss": "loss", "score": "accuracy"}[name]

    def spoilt(result):
        return tuple(n._replace(value=math.nan) if n.name == wrong else n for n in honest(result))

    monkeypatch.setattr(Result, "numbers", property(spoilt))
    with pytest.raises(Exploded, match=rf"^step 6 \(epoch 1\): {said}"):
        train(recipe, out=tmp_path / "run", quiet=True)


def test_no_checkpoint_holds_an_optimizer_that_is_not_finite(recipe, tmp_path, monkeypatch):
    honest = fit.train_step

    def spoiling(state, batch, job, asked):
        stop = honest(state, batch, job, asked)
        if state.step == 9:
            state.optimizer.state[state.model.out.weight]["exp_avg_sq"].fill_(math.inf)
        return stop

    monkeypatch.setattr(fit, "train_step", spoiling)
    said = r"^step 12: out.weight::exp_avg_sq holds NaN or inf; no checkpoint was written of it. Mend with a lower --lr"
    with pytest.raises(Exploded, match=said):
        train(recipe.edit(optimizer__kind="adam", optimizer__lr=0.01), out=tmp_path / "run", quiet=True)
    assert load_checkpoint(open_run(tmp_path / "run")).step == 6
