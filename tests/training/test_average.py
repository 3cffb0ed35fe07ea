"""EMA, SWA and lookahead against their closed forms, and what a run keeps of them."""

import pytest
import torch
from torch import nn

from convsmith.base.durations import Duration
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.training.average import add_to_average, is_due, make_average, refresh_statistics
from convsmith.training.job import LIVE
from convsmith.training.lookahead import look_ahead, slow_weights
from convsmith.training.options import Ema, Lookahead, Swa
from convsmith.training.schedule import Span
from convsmith.work.evaluate import evaluate_run
from convsmith.work.run import train

SPAN = Span(steps_per_epoch=10, total_steps=95)


@pytest.fixture
def recipe(modules, pictures, given):
    """A plain module with a norm on 48 images: 6 steps an epoch."""
    return Recipe(network=given(f"{modules}:make")).edit(
        data__source=str(pictures), length="4ep", batch=8, engine__precision="fp32", engine__threads=1
    )


def filled(value: float) -> nn.Module:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)).double()
    with torch.no_grad():
        for tensor in (*module.parameters(), module[1].running_mean, module[1].running_var):
            tensor.fill_(value)
    module[1].num_batches_tracked.fill_(int(value))
    return module


@pytest.mark.parametrize(
    ("options", "expected"),
    [(Ema(0.75), ((1 * 0.75 + 2 * 0.25) * 0.75 + 5 * 0.25) * 0.75 + 3 * 0.25), (Swa(), (1 + 2 + 5 + 3) / 4)],
)
def test_averages_are_the_closed_form_for_weights_and_statistics(options, expected):
    average = make_average(filled(9.0), options)
    for value in (1.0, 2.0, 5.0, 3.0):
        add_to_average(average, filled(value), options)
    norm = average.module[1]
    for tensor in (average.module[0].weight, norm.weight, norm.running_mean, norm.running_var):
        assert tensor.item() == pytest.approx(expected, rel=1e-12)
    assert norm.num_batches_tracked.item() == 3


def test_moments_of_an_average():
    assert [s for s in range(1, 96) if is_due(Swa(Duration(50, "%"), Duration(2, "ep")), s, SPAN)] == [60, 80, 95]
    assert [s for s in range(1, 96) if is_due(Swa(), s, SPAN)] == [80, 90, 95]
    assert [s for s in range(1, 96) if is_due(Ema(start=Duration(90, "steps")), s, SPAN)] == [91, 92, 93, 94, 95]


def test_fresh_statistics_are_the_means_over_the_batches_as_evaluation_sees_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5), nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    model[3].requires_grad_(False)
    batches = [torch.randn(6, 3, 5, 5) * scale for scale in (1.0, 2.0, 3.0)]
    refresh_statistics(model, batches)
    seen = [model[0](batch).detach() for batch in batches]
    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(model[2].running_mean, means)
    torch.testing.assert_close(model[2].running_var, variances)
    assert (model[2].momentum, model.training, model[2].training) == (0.1, False, False)
    assert torch.equal(model[3].running_mean, torch.zeros(4))  # frozen


def test_lookahead_is_the_closed_form():
    model = filled(1.0)
    slow = slow_weights(model)
    with torch.no_grad():
        for step, value in enumerate((2.0, 4.0, 6.0, 8.0), 1):
            model[0].weight.fill_(value)
            look_ahead(model, slow, step, Lookahead(2, 0.25))
            # After 2 steps 1 + (4 - 1) / 4, and after 4 that plus a quarter of the way to 8.
            expected = {1: 2.0, 2: 1.75, 3: 6.0, 4: 1.75 + (8 - 1.75) / 4}[step]
            assert model[0].weight.item() == pytest.approx(expected)
    assert slow["0.weight"].item() == model[0].weight.item()


# --------------------------------------------------------------------------------------------------------- in a run


@pytest.mark.parametrize("average", ["ema(0.9)", "ema(0.9, '50%')", "swa('50%')", "swa('50%', '2steps')"])
def test_the_average_is_what_a_run_evaluates_and_keeps(average, recipe, tmp_path):
    plain = train(recipe, out=tmp_path / "plain", quiet=True)
    averaged = train(recipe.edit(optimizer__average=average), out=tmp_path / "averaged", quiet=True)
    ends = load_checkpoint(plain.run).model
    saved = load_checkpoint(averaged.run)
    # Training itself is not touched by what is averaged beside it.
    for name, value in ends.items():
        assert torch.equal(value, saved.state[LIVE + name]), name
    assert not torch.equal(ends["out.weight"], saved.model["out.weight"])
    counted = evaluate_run(averaged.run.path, split="val").result
    last = averaged.run.metrics()[-1]
    assert (counted.accuracy, counted.loss) == (last["val_accuracy"], pytest.approx(last["val_loss"], rel=1e-6))
    assert averaged.result["metrics"]["val"]["loss"] == pytest.approx(last["val_loss"], rel=1e-6)
    assert plain.run.metrics()[-1]["val_loss"] != pytest.approx(last["val_loss"], rel=1e-6)


def test_before_an_average_begins_the_weights_themselves_are_evaluated(recipe, tmp_path):
    plain = train(recipe, out=tmp_path / "plain", quiet=True).run.metrics()
    averaged = train(recipe.edit(optimizer__average="swa('75%')"), out=tmp_path / "swa", quiet=True).run.metrics()
    assert [p["val_loss"] == a["val_loss"] for p, a in zip(plain, averaged, strict=True)] == [True, True, True, False]
    assert [p["train_loss"] for p in plain] == [a["train_loss"] for a in averaged]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ema(1.0)", "ema.decay: expected a number above 0, below 1, received 1.0"),
        ("swa('50%', '0ep')", "swa.every: expected a duration above 0, received 0ep"),
        ("mean(3)", "unknown optimizer.average 'mean'"),
    ],
)
def test_impossible_averages(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe().edit(optimizer__average=text)


@pytest.mark.parametrize("text", ["lookahead(0)", "lookahead(5, 0.0)", "lookahead(5, 1.5)"])
def test_impossible_lookaheads(text):
    with pytest.raises(ValueError, match=r"lookahead\.(steps|share): expected"):
        Recipe().edit(optimizer__lookahead=text)


def test_averages_go_to_json_and_back():
    recipe = Recipe().edit(optimizer__average="swa('60%', '2ep')", optimizer__lookahead="lookahead(6)")
    from convsmith.recipes.recipe import recipe_from_json

    assert recipe_from_json(recipe.to_json()) == recipe
    assert recipe.to_json()["optimizer"]["average"] == {"kind": "swa", "start": "60%", "every": "2ep"}


def test_norms_that_evaluation_does_not_run_keep_their_statistics():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2)
            self.idle.running_mean.fill_(3)

        def forward(self, x):
            return self.used(x)

    model, batches = Two(), [torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    refresh_statistics(model, batches)
    assert model.idle.running_mean.tolist() == [3, 3]
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(model.used.running_mean, mean)
