"""A limit of time: what is shortened by it, and what it leaves alone."""

from dataclasses import replace

import pytest

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.choose import choose
from convsmith.training.options import EarlyStopping, Optimizer, Progressive, Schedule, Swa
from convsmith.work import within
from convsmith.work.estimate import Estimate
from convsmith.work.last_layer import last_inputs
from convsmith.work.limit import Limit, read_limit
from convsmith.work.prepare import make_model
from convsmith.work.within import planned, scaled, smaller_within


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10min", 600), ("1.5h", 5400), (" 2 m ", 120), ("5sec", 5)]
)
def test_times(text, seconds):
    assert read_limit(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "-5min", "1e3s", "ten minutes", "10 days", "nan"])
def test_what_is_no_time(text):
    with pytest.raises(UsageError, match="within: expected a time such as 90s, 10min or 2h, received"):
        read_limit(text)


def test_all_that_is_stated_in_epochs_or_steps_shrinks_alike():
    recipe = replace(
        RECIPES["digits"](),
        length=Duration(40, "ep"),
        schedule=Schedule(kind="step", at=(Duration(20, "ep"), Duration(50, "%")), warmup=Duration(100, "steps")),
        early_stopping=EarlyStopping(patience=Duration(8, "ep")),
        optimizer=Optimizer(average=Swa(Duration(30, "ep"), Duration(2, "ep"))),
        resize=Progressive(0.5, 1.0, Duration(4, "ep"), Duration(60, "%")),
    )
    short = scaled(recipe, 0.26, 1000)
    assert str(short.length) == "10ep"
    assert [str(at) for at in short.schedule.at] == ["5ep", "50%"]
    assert (str(short.schedule.warmup), str(short.early_stopping.patience)) == ("25steps", "2ep")
    average, resize = short.optimizer.average, short.resize
    assert (str(average.start), str(average.every), str(resize.start), str(resize.end)) == (
        "7.5ep",
        "0.5ep",
        "1ep",
        "60%",
    )


def test_less_than_an_epoch_is_stated_in_steps():
    recipe = RECIPES["digits"]()  # 40 epochs, batches of 32
    assert str(scaled(recipe, 0.01, 1000).length) == "12steps"
    assert str(scaled(recipe.edit(length="300steps"), 0.1, 1000).length) == "30steps"
    assert str(scaled(recipe, 1e-9, 1000).length) == "1steps"


@pytest.fixture
def takes(monkeypatch):
    """A machine on which an epoch of 32-pixel images takes a second, and of others by their area."""

    def estimate(plan):
        seconds = plan.recipe.length.amount * (max(plan.dataset.preprocess.size) / 32) ** 2
        return Estimate(1, seconds, 1.0, 0, 0, "cpu", False)

    monkeypatch.setattr(within, "estimate", estimate)


def test_a_recipe_that_fits_stays_and_says_what_it_takes(takes):
    plan = planned(choose("digits", None), Limit(60))
    assert str(plan.recipe.length) == "40ep"
    assert plan.notes[-1] == "40 epochs, about 40 s: within 1 min"


def test_a_recipe_that_does_not_fit_has_fewer_epochs(takes):
    plan = planned(choose("digits", None), Limit(25))
    assert plan.recipe.length.amount in (21, 22)  # preparing takes some of the time
    assert (
        plan.notes[-1]
        == f"{plan.recipe.length.amount:g} epochs in place of 40 epochs, which would take 40 s: within 25 s"
    )


def test_images_become_smaller_where_too_few_would_be_seen(takes, shared_pictures):
    recipe = RECIPES["photos"]().edit(data__source=str(shared_pictures), engine__precision="fp32", length="60ep")
    plan = planned(recipe, Limit(2000, given=False))  # 60 epochs take 2,940 s at 224 pixels
    assert (plan.recipe.data.size, str(plan.recipe.length)) == (160, "60ep")
    assert "images of 160 pixels a side in place of 224: within 33 min 20 s (--within sets another time)" in plan.notes
    kept = planned(recipe, Limit(2000, sizes=False))
    assert (kept.recipe.data.size, str(kept.recipe.length)) == (224, "36ep")


def test_no_limit_changes_nothing(takes):
    assert planned(choose("digits", None), None).recipe.length == Duration(40, "ep")


def test_images_that_go_through_once_become_smaller_too(shared_pictures, monkeypatch):
    recipe = RECIPES["photos"]().edit(data__source=str(shared_pictures), engine__precision="fp32")
    plan = planned(recipe, None)
    monkeypatch.setattr(within, "_seconds_each", lambda plan: 1.0)
    small = smaller_within(plan, Limit(40))  # of 60 images
    assert small.recipe.data.size == 160
    assert small.notes[-1].startswith(
        "images of 160 pixels a side in place of 224, at which 60 take 1 min: within 40 s"
    )
    assert smaller_within(plan, Limit(100)) is plan
    assert smaller_within(plan, Limit(1)).recipe.data.size == 96
    # Features that the store has take no time.
    plan = replace(plan, recipe=plan.recipe.edit(data__cache="on"))
    last_inputs(plan, make_model(plan, []), lambda text: None, True)
    assert smaller_within(plan, Limit(40)) is plan
    assert smaller_within(plan, Limit(1)).recipe.data.size == 96  # the test images are evaluated in any case


def test_the_command_refuses_what_is_no_time_before_torch_is_loaded(refused):
    assert refused("train", "digits", "--within", "soon") == (
        "within: expected a time such as 90s, 10min or 2h, received 'soon'"
    )
    assert refused("train", "--resume", "run", "--within", "10s").startswith("--resume goes on as the run began")
