"""The step, the loop and the evaluation on a tiny network."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.data.loaders import evaluation_loader
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.tasks.classify import Classify
from convsmith.training.engine import Engine
from convsmith.training.evaluate import evaluate
from convsmith.training.step import step_seed
from convsmith.work.prepare import make_job, prepare
from convsmith.work.run import train


@pytest.mark.parametrize(
    ("seed", "step", "expected"),
    [(0, 0, 34322651071278679), (0, 1, 44951535533613575), (1, 0, 38475866581139892), (7, 123456, 10536628137880521)],
)
def test_step_seeds_stay_what_they_are(seed, step, expected):
    assert step_seed(seed, step) == expected


def test_step_seeds_differ_and_fit_torch():
    seeds = {step_seed(seed, step) for seed in range(10) for step in range(1000)}
    assert len(seeds) == 10_000
    assert max(seeds) < 2**63


def test_training_moves_no_generator_of_the_caller(recipe, tmp_path):
    import rich.style  # noqa: F401  (scikit-learn imports it, and it draws a number when it is loaded)

    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    train(recipe, out=tmp_path / "run", quiet=True)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    assert before[2] == random.getstate()


def test_the_same_recipe_gives_the_same_bits_and_another_seed_others(recipe, tmp_path):
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        runs[name] = load_checkpoint(train(recipe.edit(seed=seed), out=tmp_path / name, quiet=True).run).model
    assert all(torch.equal(runs["a"][key], runs["b"][key]) for key in runs["a"])
    assert not torch.equal(runs["a"]["out.weight"], runs["c"]["out.weight"])


def test_metrics_hold_a_row_for_each_epoch(recipe, tmp_path):
    rows = train(recipe, out=tmp_path / "run", quiet=True).run.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["step"] for row in rows] == [6, 12, 18, 24]
    assert all(
        row.keys()
        == {
            "epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds",
            "images_per_second", "data_wait",
        }
        for row in rows
    )  # fmt: skip
    assert [row["lr"] for row in rows] == sorted((row["lr"] for row in rows), reverse=True)


def test_time_in_which_the_device_still_computes_is_no_waiting(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(Engine, "mark", lambda engine: lambda: False)
    assert [row["data_wait"] for row in train(recipe, out=tmp_path / "busy", quiet=True).run.metrics()] == [0] * 4
    monkeypatch.undo()
    assert all(row["data_wait"] > 0 for row in train(recipe, out=tmp_path / "run", quiet=True).run.metrics())


def test_a_length_in_steps_ends_in_the_middle_of_an_epoch(recipe, tmp_path):
    outcome = train(recipe.edit(length="8steps", evaluate_every="1steps"), out=tmp_path / "run", quiet=True)
    assert [row["step"] for row in outcome.run.metrics()] == [6, 8]
    assert (outcome.result["steps"], outcome.result["epochs"]) == (8, 2)


def test_rare_evaluations_and_checkpoints(recipe, tmp_path):
    edited = recipe.edit(evaluate_every="3ep", checkpoint_every="100steps", length="4ep")
    run = train(edited, out=tmp_path / "run", quiet=True).run
    assert [row["epoch"] for row in run.metrics() if "val_loss" in row] == [3, 4]


@pytest.mark.parametrize("field", ["evaluate_every", "checkpoint_every"])
def test_an_interval_of_nothing_is_refused(field):
    with pytest.raises(UsageError, match=f"{field}: expected a duration above 0, received 0ep"):
        Recipe().edit(**{field: "0ep"})


# ---------------------------------------------------------------------------------------------- early stopping


def test_early_stopping_follows_the_smoothed_validation_loss(recipe, monkeypatch, tmp_path):
    from convsmith.training import fit

    losses = iter([1.0, 0.8, 0.9, 0.75, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4])
    honest = fit.evaluate

    def scripted(*arguments):
        return replace(honest(*arguments), loss=next(losses))

    monkeypatch.setattr(fit, "evaluate", scripted)
    edited = recipe.edit(length="10ep", early_stopping__patience="2ep", early_stopping__smoothing=0.5)
    outcome = train(edited, out=tmp_path / "run", quiet=True)
    # Smoothed: 1, .9, .9, .825, .8625, .93: the best is epoch 4, so epoch 6 is the last.
    assert (outcome.result["ended"], outcome.result["epochs"]) == ("stopped early", 6)
    assert outcome.run.status().state == "finished"


def test_select_best_evaluates_the_best_weights(recipe, tmp_path):
    outcome = train(recipe.edit(select="best", optimizer__lr=0.5, explosion=0), out=tmp_path / "run", quiet=True)
    best = load_checkpoint(outcome.run, "best")
    rows = {row["step"]: row for row in outcome.run.metrics()}
    assert outcome.result["metrics"]["val"]["accuracy"] == rows[best.step]["val_accuracy"]
    assert rows[best.step]["val_accuracy"] == max(row["val_accuracy"] for row in rows.values())


# --------------------------------------------------------------------------------------------------- evaluation


class Counting(torch.nn.Module):
    """Notes what it is given; its outputs are the images' means."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.seen = 0

    def forward(self, images):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.seen += len(images)
        return self.drop(images.mean((2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_counts_every_image_once_and_leaves_the_mode(training, recipe):
    plan = prepare(recipe)
    job = make_job(plan)
    model = Counting().train(training)
    results = {}
    for batch in (1, 7, 48, 256):
        model.seen = 0
        loader = evaluation_loader(plan.dataset.train, plan.dataset.preprocess, recipe.data, batch=batch)
        results[batch] = evaluate(model, loader, job.task, plan.dataset.preprocess, plan.engine)
        assert model.seen == results[batch].count == 48
        assert model.training is model.drop.training is training
    assert len({r.confusion for r in results.values()}) == 1
    losses = [r.loss for r in results.values()]
    assert max(losses) - min(losses) < 1e-6


def test_the_mode_is_put_back_when_the_evaluation_fails(recipe, monkeypatch):
    plan = prepare(recipe)
    loader = evaluation_loader(plan.dataset.val, plan.dataset.preprocess, recipe.data, batch=4)
    model = Counting().train()
    monkeypatch.setattr(Counting, "forward", lambda self, images: [][0])
    with pytest.raises(IndexError):
        evaluate(model, loader, Classify(("a", "b", "c")), plan.dataset.preprocess, plan.engine)
    assert model.training
