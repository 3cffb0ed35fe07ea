"""Typed records: read strictly, edited by path, written back."""

import json
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.base.config import edit, kind_of, options, plain, read, type_name
from convsmith.base.durations import Duration
from convsmith.base.errors import UnknownName, UsageError, WrongType
from convsmith.base.record import option


@dataclass(frozen=True)
class RandomCrop:
    tagged: ClassVar[bool] = True
    padding: int
    mode: Literal["zero", "reflect"] = "zero"


@dataclass(frozen=True)
class Flip:
    tagged: ClassVar[bool] = True
    chance: float = 0.5


@dataclass(frozen=True)
class Optimizer:
    lr: float = option(0.1, "Learning rate.")
    nesterov: bool = option(True, "Look ahead.")
    warmup: Duration = option(Duration(5, "ep"), "Rise from zero.")


@dataclass(frozen=True)
class Schedule:
    kind: Literal["cosine", "steps"] = "cosine"
    at: tuple[float, ...] = ()


@dataclass(frozen=True)
class Recipe:
    name: str = option("basic", "What it is called.")
    epochs: int = option(3, "Rounds.")
    size: int | None = option(None, "Pixels.")
    limit: float | None = None
    kernel: int | tuple[int, ...] = 3
    optimizer: Optimizer = option(Optimizer, "How to step.")
    schedule: Schedule = Schedule()
    augment: tuple[RandomCrop | Flip, ...] = ()
    single: RandomCrop | Flip | None = None
    precision: Literal["fp32", "bf16", 8] = "fp32"
    words: tuple[str, ...] = ()


FULL = Recipe(
    size=32, limit=0.5, kernel=(3, 1), augment=(RandomCrop(4, "reflect"), Flip()), single=Flip(0.1), precision=8,
    words=("a", "b"), schedule=Schedule("steps", (0.5, 0.75)),
)  # fmt: skip


@pytest.mark.parametrize("recipe", [Recipe(), FULL, replace(FULL, single=RandomCrop(2), kernel=5, words=("none",))])
def test_a_record_survives_json(recipe):
    assert read(Recipe, json.loads(json.dumps(plain(recipe)))) == recipe


def test_json_of_a_record():
    data = plain(FULL)
    assert data["optimizer"] == {"lr": 0.1, "nesterov": True, "warmup": "5ep"}
    assert data["augment"] == [
        {"kind": "random_crop", "padding": 4, "mode": "reflect"},
        {"kind": "flip", "chance": 0.5},
    ]
    assert data["schedule"] == {"kind": "steps", "at": [0.5, 0.75]}
    assert (data["size"], data["kernel"], data["precision"]) == (32, [3, 1], 8)


EDITS = {
    ("epochs", "7"): Recipe(epochs=7),
    ("epochs", 7): Recipe(epochs=7),
    ("size", "none"): Recipe(),
    ("size", "None"): Recipe(),
    ("size", "28"): Recipe(size=28),
    ("limit", "1"): Recipe(limit=1.0),
    ("limit", 1): Recipe(limit=1.0),
    ("kernel", "5"): Recipe(kernel=5),
    ("kernel", "3,1"): Recipe(kernel=(3, 1)),
    ("optimizer.lr", "1e-3"): Recipe(optimizer=Optimizer(lr=0.001)),
    ("optimizer.nesterov", "off"): Recipe(optimizer=Optimizer(nesterov=False)),
    ("optimizer.nesterov", "True"): Recipe(),
    ("optimizer.nesterov", False): Recipe(optimizer=Optimizer(nesterov=False)),
    ("optimizer.warmup", "10%"): Recipe(optimizer=Optimizer(warmup=Duration(10, "%"))),
    ("optimizer.warmup", Duration(9, "steps")): Recipe(optimizer=Optimizer(warmup=Duration(9, "steps"))),
    ("schedule.kind", "steps"): Recipe(schedule=Schedule("steps")),
    ("schedule.at", "0.5, 0.75"): Recipe(schedule=Schedule(at=(0.5, 0.75))),
    ("augment", "random_crop(4),flip"): Recipe(augment=(RandomCrop(4), Flip())),
    ("augment", "random_crop(4, mode=reflect)"): Recipe(augment=(RandomCrop(4, "reflect"),)),
    ("augment", "flip=0.2"): Recipe(augment=(Flip(0.2),)),
    ("augment", ""): Recipe(),
    ("augment", "none"): Recipe(),
    ("augment", (Flip(), "random_crop(1)")): Recipe(augment=(Flip(), RandomCrop(1))),
    ("single", "flip"): Recipe(single=Flip()),
    ("single", None): Recipe(),
    ("precision", "8"): Recipe(precision=8),
    ("precision", "bf16"): Recipe(precision="bf16"),
    ("words", "a,b"): Recipe(words=("a", "b")),
    ("name", "3"): Recipe(name="3"),
}


@pytest.mark.parametrize(("path", "value"), EDITS)
def test_editing(path, value):
    assert edit(Recipe(), path, value) == EDITS[path, value]


def test_editing_makes_a_copy():
    recipe = Recipe()
    edit(recipe, "optimizer.lr", "5")
    assert recipe == Recipe()


BAD_EDITS = {
    ("epoch", 3): (UnknownName, "unknown key 'epoch'; nearest: epochs"),
    ("", 3): (UnknownName, "unknown key ''; "),
    ("optimizer.lrr", 3): (UnknownName, "unknown key 'optimizer.lrr'; nearest: optimizer.lr"),
    ("optimizer.", 3): (UnknownName, "unknown key 'optimizer.'; nearest: "),
    ("epochs.x", 3): (UsageError, "epochs is 3: it has no field 'x' to set"),
    ("size.x", 3): (UsageError, "size is None: it has no field 'x' to set"),
    ("optimizer.warmup.amount", 3): (UsageError, "optimizer.warmup is Duration(amount=5, unit='ep'): it has no field"),
    ("epochs", "3.5"): (WrongType, "epochs: expected a whole number, received '3.5'"),
    ("epochs", 3.5): (WrongType, "epochs: expected whole number, received 3.5"),
    ("epochs", True): (WrongType, "epochs: expected whole number, received True"),
    ("epochs", "ten"): (WrongType, "epochs: expected a whole number, received 'ten'"),
    ("epochs", None): (WrongType, "epochs: expected whole number, received None"),
    ("name", 3): (WrongType, "name: expected text, received 3"),
    ("size", "a"): (WrongType, "size: expected a whole number, received 'a'"),
    ("limit", "nan"): (UsageError, "limit: expected a finite number, received nan"),
    ("limit", "inf"): (UsageError, "limit: expected a finite number, received inf"),
    ("limit", float("-inf")): (UsageError, "limit: expected a finite number, received -inf"),
    ("kernel", "a"): (WrongType, "kernel: expected whole number|list of whole number, received 'a'"),
    ("kernel", 1.5): (WrongType, "kernel: expected whole number|list of whole number, received 1.5"),
    ("optimizer", 3): (WrongType, "optimizer: expected optimizer, received 3"),
    ("optimizer.lr", True): (WrongType, "optimizer.lr: expected number, received True"),
    ("optimizer.nesterov", "maybe"): (WrongType, "optimizer.nesterov: expected true|false, received 'maybe'"),
    ("optimizer.nesterov", 1): (WrongType, "optimizer.nesterov: expected true|false, received 1"),
    ("optimizer.warmup", "90"): (
        UsageError,
        "optimizer.warmup: expected a duration such as '90ep', '2000steps' or '10%'",
    ),
    ("optimizer.warmup", 90): (WrongType, "optimizer.warmup: expected a duration such as '90ep', '2000steps' or '10%'"),
    ("augment", "crop(4)"): (UnknownName, "unknown augment 'crop'; nearest: random_crop"),
    ("augment", "random_crop"): (UsageError, "augment[0]: random_crop needs padding"),
    ("augment", "flip,random_crop(a)"): (WrongType, "augment[1].padding: expected a whole number, received 'a'"),
    ("augment", "flip(1,2)"): (UsageError, "augment[0]: flip takes at most 1 arguments, received 2"),
    ("augment", "flip(rate=2)"): (UnknownName, "unknown key in augment[0] 'rate'; known: chance"),
    ("augment", "random_crop(1, mode=zeros)"): (
        UnknownName,
        "unknown value for augment[0].mode: 'zeros'; nearest: zero",
    ),
    ("augment", "flip("): (UsageError, "cannot read 'flip('; "),
    ("augment", 3): (WrongType, "augment: expected a list of random_crop|flip, received 3"),
    ("augment", (3,)): (WrongType, "augment[0]: expected random_crop or flip, received 3"),
    ("precision", "fp16"): (UnknownName, "unknown value for precision: 'fp16'; nearest: bf16, fp32"),
}


@pytest.mark.parametrize(("path", "value"), BAD_EDITS)
def test_a_bad_edit_says_what_was_expected_and_received(path, value):
    kind, text = BAD_EDITS[path, value]
    with pytest.raises(kind) as error:
        edit(Recipe(), path, value)
    assert str(error.value).startswith(text)


BAD_DATA = [
    ([], "Recipe: expected recipe, received []"),
    ({"epoch": 3}, "unknown key in Recipe 'epoch'; nearest: epochs"),
    ({3: 3}, "unknown key in Recipe '3'; "),
    ({"kind": "recipes"}, "unknown kind in Recipe 'recipes'; nearest: recipe"),
    ({"kind": ["recipe"]}, "unknown kind in Recipe \"['recipe']\"; "),
    ({"optimizer": {"lr": "a"}}, "Recipe.optimizer.lr: expected a number, received 'a'"),
    ({"augment": [{"padding": 3}]}, "unknown kind in Recipe.augment[0] 'None'; known: flip, random_crop"),
    ({"augment": [{"kind": "flop"}]}, "unknown kind in Recipe.augment[0] 'flop'; nearest: flip"),
    ({"augment": [{"kind": "flip", "x": 1}]}, "unknown key in Recipe.augment[0] 'x'; known: chance"),
    ({"augment": [{"kind": "random_crop"}]}, "Recipe.augment[0]: random_crop needs padding"),
    ({"augment": {"kind": "flip"}}, "Recipe.augment: expected a list of random_crop|flip, received {'kind': 'flip'}"),
    ({"schedule": {"kind": "cosin"}}, "unknown value for Recipe.schedule.kind: 'cosin'; nearest: cosine"),
]


@pytest.mark.parametrize(("data", "text"), BAD_DATA)
def test_bad_data_says_where(data, text):
    with pytest.raises(UsageError) as error:
        read(Recipe, data)
    assert str(error.value).startswith(text)


@dataclass(frozen=True)
class Counts:
    images: dict[str, int]
    classes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {})


def test_values_by_name_survive_json():
    found = Counts({"train": 3}, {"train": (1, 2)})
    assert plain(found) == {"images": {"train": 3}, "classes": {"train": [1, 2]}}
    assert read(Counts, json.loads(json.dumps(plain(found)))) == found
    assert type_name(dict[str, tuple[int, ...]]) == "list of whole number by name"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"images": [3]}, "Counts.images: expected whole number by name, received [3]"),
        ({"images": {"train": "many"}}, "Counts.images.train: expected a whole number, received 'many'"),
        ({"images": {}, "classes": {"val": [1, "a"]}}, "Counts.classes.val[1]: expected a whole number, received 'a'"),
    ],
)
def test_bad_values_by_name_say_which(data, text):
    with pytest.raises(UsageError) as error:
        read(Counts, data)
    assert str(error.value) == text


def test_the_place_can_be_named():
    with pytest.raises(UsageError, match=r"^recipe\.json\.epochs: expected whole number, received \[\]$"):
        read(Recipe, {"epochs": []}, "recipe.json")


def test_a_tag_may_stand_where_it_is_not_needed():
    assert read(Recipe, {"kind": "recipe", "epochs": 2}) == Recipe(epochs=2)
    assert read(Recipe, Recipe(epochs=2)) == Recipe(epochs=2)


def test_options_list_every_path_with_type_value_and_help():
    rows = {path: (kind, value, text) for path, kind, value, text in options(FULL)}
    assert rows["name"] == ("text", "basic", "What it is called.")
    assert rows["size"] == ("whole number|none", 32, "Pixels.")
    assert rows["optimizer.lr"] == ("number", 0.1, "Learning rate.")
    assert rows["optimizer.warmup"] == ("duration", Duration(5, "ep"), "Rise from zero.")
    assert rows["augment"][0] == "list of random_crop|flip"
    assert rows["precision"] == ("fp32|bf16|8", 8, "")
    assert "optimizer" not in rows


@pytest.mark.parametrize("path", [path for path, *_ in options(FULL)])
def test_every_listed_path_can_be_set_to_its_value(path):
    value = next(value for name, _, value, _ in options(FULL) if name == path)
    start = replace(Recipe(), single=Flip())
    assert next(v for name, _, v, _ in options(edit(start, path, value)) if name == path) == value


@pytest.mark.parametrize(
    ("name", "kind"), [("RandomCrop", "random_crop"), ("SGD", "sgd"), ("Top5Error", "top5_error"), ("Mixup", "mixup")]
)
def test_kinds_are_class_names_with_underscores(name, kind):
    assert kind_of(type(name, (), {})) == kind


def test_names_of_types():
    assert type_name(int | str | None) == "whole number|text|none"
    assert type_name(tuple[float, ...]) == "list of number"
    assert type_name(Literal["a", 3]) == "a|3"


finite = st.floats(allow_nan=False, allow_infinity=False)
crops = st.builds(RandomCrop, st.integers(), st.sampled_from(["zero", "reflect"]))
recipes = st.builds(
    Recipe,
    name=st.text(),
    epochs=st.integers(),
    size=st.none() | st.integers(),
    limit=st.none() | finite,
    kernel=st.integers() | st.lists(st.integers()).map(tuple),
    optimizer=st.builds(Optimizer, finite, st.booleans(), st.builds(Duration, st.integers(0, 10**9), st.just("steps"))),
    augment=st.lists(crops | st.builds(Flip, finite)).map(tuple),
    single=st.none() | crops,
    words=st.lists(st.text()).map(tuple),
)


@given(recipes)
def test_any_record_survives_json(recipe):
    assert read(Recipe, json.loads(json.dumps(plain(recipe)))) == recipe
