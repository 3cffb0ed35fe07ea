import json
from dataclasses import fields

import pytest

from convsmith.base.config import options
from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile, UsageError
from convsmith.data.augmentations import ColorJitter, Crop, Flip
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe, recipe_from_file, recipe_from_json
from convsmith.recipes.shorthand import SHORTHAND, set_fields, set_short
from convsmith.training.options import Rule, Schedule

FULL = Recipe(name="all").edit(
    network="resnet18", edits="drop_path=0.2", stem="small", init="he_in", weights="w.safetensors",
    data__source="mnist", data__size=32, data__channels=1, data__group="a(.*)b", batch=7, length="1234567steps",
    augment="crop(2, mode='reflect'),flip(0.25)", label_smoothing=0.1,
    optimizer__rules="rule('norm|bias', weight_decay=0),rule(a, freeze=true)",
    schedule=Schedule(kind="step", at=(Duration(50, "%"), Duration(9, "ep"))), early_stopping__patience="8ep",
    engine__threads=2, checkpoint_every="100steps", select="best", explosion=0,
)  # fmt: skip


def test_a_recipe_with_everything_goes_to_json_and_back():
    assert recipe_from_json(json.loads(json.dumps(FULL.to_json()))) == FULL
    assert FULL.augment == (Crop(2, "reflect"), Flip(0.25))
    assert FULL.optimizer.rules == (Rule("norm|bias", weight_decay=0.0), Rule("a", freeze=True))
    assert FULL.length == Duration(1234567, "steps")


@pytest.mark.parametrize("kind", ["constant", "plateau", "cosine", "linear"])
def test_every_kind_of_schedule_goes_to_json_and_back(kind):
    recipe = Recipe().edit(schedule__kind=kind, schedule__warmup="10%")
    assert recipe_from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bach": 3}, "unknown key in recipe 'bach'; nearest: batch"),
        ({"optimizer": {"momentun": 0.9}}, "unknown key in recipe.optimizer 'momentun'; nearest: momentum"),
        ({"batch": "many"}, "recipe.batch: expected a whole number, received 'many'"),
        ({"batch": 3.5}, "recipe.batch: expected whole number, received 3.5"),
        ({"batch": True}, "recipe.batch: expected whole number, received True"),
        ({"optimizer": 3}, "recipe.optimizer: expected optimizer, received 3"),
        ({"quick": 1}, "recipe.quick: expected true|false, received 1"),
        ({"length": 10}, "recipe.length: expected a duration such as '90ep', '2000steps' or '10%', received 10"),
        ({"select": "bets"}, "unknown value for recipe.select: 'bets'; nearest: best"),
        ({"augment": [{"kind": "flop"}]}, "unknown kind in recipe.augment[0] 'flop'; nearest: flip"),
        ({"schedule": {"kind": "cosinus"}}, "unknown value for recipe.schedule.kind: 'cosinus'; nearest: cosine"),
        ({"schema": 3}, "recipe: schema is 3; this version of convsmith reads 1 to 2"),
    ],
)
def test_wrong_json_names_the_field_and_the_nearest(changes, message):
    with pytest.raises(UsageError) as caught:
        recipe_from_json({"schema": 2} | changes)
    assert str(caught.value).startswith(message)


def test_a_recipe_of_schema_1_is_read_with_the_words_of_schema_2():
    """Schema 1 says `optimiser`, `colour_jitter`, and `zero` for a crop's padding with the mean color."""
    old = {
        "schema": 1,
        "optimiser": {"kind": "adamw", "lr": 0.01},
        "augment": [{"kind": "crop", "mode": "zero"}, {"kind": "colour_jitter", "brightness": 0.2}, {"kind": "flip"}],
    }
    recipe = recipe_from_json(old)
    assert (recipe.optimizer.kind, recipe.optimizer.lr) == ("adamw", 0.01)
    assert recipe.augment == (Crop(mode="mean"), ColorJitter(brightness=0.2), Flip())
    assert recipe.to_json()["schema"] == 2
    assert recipe_from_json(recipe.to_json()) == recipe
    with pytest.raises(UsageError, match="unknown key in recipe 'optimiser'; nearest: optimizer"):
        recipe_from_json(old | {"schema": 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch: expected a whole number from 1, received 0; the default is 128"),
        ({"keep": 0}, "keep: expected a whole number from 1, received 0; the default is 2"),
        ({"seed": -1}, "seed: expected a whole number from 0, received -1; the default is 0"),
        ({"length": "10%"}, "length: expected epochs or steps such as 90ep, received 10%"),
        ({"length": "0ep"}, "length: expected a duration above 0, received 0ep; the default is 10ep"),
        ({"label_smoothing": 1.0}, "label_smoothing: expected a number from 0 to below 1, received 1.0"),
        ({"explosion": -1}, "explosion: expected a number from 0, received -1.0; the default is 3"),
        ({"optimiser__lr": 0.1}, "unknown key 'optimiser'; nearest: optimizer"),
        ({"optimizer__rate": 0.1}, "unknown key 'optimizer.rate'"),
        ({"batch__size": 3}, "batch is 128: it has no field 'size' to set"),
    ],
)
def test_impossible_fields(changes, message):
    with pytest.raises(UsageError) as caught:
        Recipe().edit(**changes)
    assert str(caught.value).startswith(message)


def test_fields_that_only_fit_together_are_set_in_any_order():
    at = {"schedule__at": "50%,75%"}
    kind = {"schedule__kind": "step"}
    other = {"optimizer__nesterov": False, "optimizer__momentum": 0}
    for values in (at | kind | other, kind | other | at):
        recipe = RECIPES["digits"]().edit(**values)
        assert (recipe.schedule.kind, recipe.schedule.at) == ("step", (Duration(50, "%"), Duration(75, "%")))
        assert recipe.optimizer.momentum == 0
        assert recipe.schedule.warmup == RECIPES["digits"]().schedule.warmup
    with pytest.raises(UsageError, match=r"schedule.at: a step schedule needs the moments at which it falls"):
        Recipe().edit(**kind)
    with pytest.raises(UsageError, match=r"unknown key 'schedule.att'"):
        Recipe().edit(schedule__att="3ep", **kind)


def test_two_starts_are_one_too_many():
    with pytest.raises(UsageError, match="weights and pretrained both choose the weights to start from; give one"):
        set_fields(Recipe(), [("weights", "a"), ("pretrained", True)])
    assert set_fields(Recipe(), [("pretrained", True)]).weights == "DEFAULT"
    assert set_fields(Recipe(weights="a"), [("pretrained", False)]).weights == "a"


def test_paths_in_a_file_are_relative_to_it(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "net.py").write_text("")
    # A folder that is called as a known set, or a network, does not hide it.
    (tmp_path / "digits").mkdir()
    (tmp_path / "lenet5").mkdir()
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(Recipe(network="net.py:make").edit(data__source="images").to_json()))
    recipe = recipe_from_file(path)
    assert (recipe.network, recipe.data.source) == (f"{tmp_path / 'net.py'}:make", str(tmp_path / "images"))
    path.write_text(json.dumps(Recipe().to_json()))
    assert recipe_from_file(path) == Recipe()


def test_a_file_that_is_no_recipe(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text("[]")
    with pytest.raises(BadFile, match="expected a recipe as a JSON object"):
        recipe_from_file(path)
    path.write_text("{")
    with pytest.raises(BadFile, match="expected JSON, could not read it"):
        recipe_from_file(path)


# ------------------------------------------------------------------------------------------------ short options


def test_every_short_option_names_a_field():
    paths = {path for path, *_ in options(Recipe())}
    assert {short.path for short in SHORTHAND.values()} <= paths


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", "3", {"length": Duration(3, "ep")}),
        ("epochs", 0.5, {"length": Duration(0.5, "ep")}),
        ("batch", "64", {"batch": 64}),
        ("edit", "drop_path=0.1", {"edits": ("drop_path=0.1",)}),
        ("edit", ["plain", "drop_path=0.1"], {"edits": ("plain", "drop_path=0.1")}),
        ("quick", True, {"quick": True}),
        ("weights", "none", {"weights": None}),
    ],
)
def test_short_options_set_their_field(name, value, expected):
    recipe = set_short(Recipe(), name, value)
    assert {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", "many", "epochs: expected a number, received 'many'"),
        ("epochs", "-3", "epochs: expected a number above 0, received -3"),
        ("epochs", "nan", "epochs: expected a number above 0, received nan"),
        ("batch", "many", "batch: expected a whole number, received 'many'"),
        ("stem", "tiny", "unknown value for stem: 'tiny'; known: auto, large, small"),
        ("lr", "nan", "optimizer.lr: expected a finite number, received nan"),
        ("optimizer.lrr", "1", "unknown key 'optimizer.lrr'; nearest: optimizer.lr"),
    ],
)
def test_wrong_values_name_the_field(name, value, message):
    with pytest.raises(UsageError) as caught:
        set_fields(RECIPES["digits"](), [(name, value)])
    assert str(caught.value).startswith(message)
