"""Every record that users write: each field takes what its range says, and nothing else, however it is given."""

import dataclasses as dc
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convsmith.base.config import edit, kind_of, members, plain, read
from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.base.record import Range, Record, option, ranges
from convsmith.data import options as _data  # noqa: F401 - its records are found as subclasses
from convsmith.data import sound as _sound  # noqa: F401
from convsmith.data.augmentations import Crop, Cutout, Flip, Lighting, Noise, Randaugment
from convsmith.data.card import Card
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.views import MultiScale
from convsmith.recipes.finetune import FineTuning
from convsmith.recipes.recipe import Recipe, recipe_from_json
from convsmith.training.options import Optimizer, Schedule, Swa


def _subclasses(kind: type) -> list[type]:
    return [
        k for sub in kind.__subclasses__() for k in (sub, *_subclasses(sub)) if k.__module__.startswith("convsmith")
    ]


# Only records with fields: `Tagged` is a base.
RECORDS = [kind for kind in _subclasses(Record) if dc.is_dataclass(kind)]
# The fields of these bound each other too: an end of a range may be refused, by a message that names no field.
JOINED = {"SoundInput": "sound_input: "}
CARD = {"name": "", "kind": "", "classes": (), "channels": 3, "size": None, "counts": {}, "class_counts": {}}
# What a record needs besides the field that a test sets: fields without a default, and those that its checks join.
NEEDED: dict[str, dict[str, Any]] = {
    "Rule": {"pattern": "norm"},
    "ImageInput": {"size": (8, 8), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    "MultiScale": {"scales": (32,)},
    "Card": CARD | {"license": "", "source": "", "fingerprint": ""},
}
TOGETHER: dict[tuple[str, str], dict[str, Any]] = {
    ("FineTuning", "unfreeze"): {"mode": "partial"},
    ("FineTuning", "decay"): {"mode": "full"},
    ("FineTuning", "classifier"): {"mode": "probe"},
    ("Schedule", "at"): {"kind": "step"},
    ("Optimizer", "momentum"): {"nesterov": False},
}
FIELDS = [
    pytest.param(kind, name, range, id=f"{kind.__name__}.{name}")
    for kind in RECORDS
    for name, range in ranges(kind).items()
    if "." not in name
]


def made(kind: type, name: str, value: Any, joined: bool = False) -> Any:
    """The record with a field, and with what its checks want beside it; `joined` sets both ends of a range."""
    fields = {**NEEDED.get(kind.__name__, {}), **TOGETHER.get((kind.__name__, name), {})}
    pairs = {"low": "high", "high": "low", "first": "last", "last": "first"}
    if joined and pairs.get(name) in ranges(kind):
        fields[pairs[name]] = value
    counts = {"ImageInput": {"mean": 3, "std": 3, "size": 2}, "Lighting": {"deviations": 3, "components": 9}}
    if kind is Lighting:
        fields = {"deviations": (1.0,) * 3, "components": (1.0,) * 9}
    count = counts.get(kind.__name__, {}).get(name, 1)
    return kind(**fields | {name: (value,) * count if ranges(kind)[name].many else value})


def inside(range: Range) -> list[float]:
    """The ends of a range, and of an open one the nearest number beyond its end."""
    step = 1 if range.kind is int else None
    found = [n for n in (range.least, range.most) if n is not None]
    if range.above is not None:
        found.append(range.above + step if step else math.nextafter(range.above, math.inf))
    if range.below is not None:
        found.append(range.below - step if step else math.nextafter(range.below, -math.inf))
    return [int(n) for n in found] if step else found


def outside(range: Range) -> list[float]:
    step = 1 if range.kind is int else None
    found = [n for n in (range.above, range.below) if n is not None]
    if range.least is not None:
        found.append(range.least - step if step else math.nextafter(range.least, -math.inf))
    if range.most is not None:
        found.append(range.most + step if step else math.nextafter(range.most, math.inf))
    return [int(n) for n in found] if step else found


def refused(kind: type, name: str, value: Any) -> str:
    with pytest.raises(UsageError) as caught:
        made(kind, name, value)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "name", "range"), FIELDS)
def test_each_field_takes_its_range_and_nothing_else(kind: type[Record], name: str, range: Range) -> None:
    where = f"{kind.called}.{name}" if kind.called else name
    if kind is Card:
        return  # a source's card, which no one types, is checked as a whole
    if range.choices:
        for choice in range.choices:
            assert choice in range
        expected = (
            f"{where}: expected true or false" if range.kind is bool else f"unknown value for {where}: 'nonsense'"
        )
        assert refused(kind, name, "nonsense").startswith(expected)
        return
    unit = (lambda n: Duration(n, "ep")) if range.kind is Duration else (lambda n: n)
    for number in inside(range):
        try:
            made(kind, name, unit(number), joined=True)
        except UsageError as error:
            if not str(error).startswith(JOINED.get(kind.__name__, "none")):
                raise
    words = {int: "whole number", float: "number", Duration: "duration"}[range.kind]
    text = f"expected a {words} {range}" if str(range) else f"expected a {words}"
    numbers = outside(range)
    if range.kind is not int:
        numbers += [math.nan, math.inf, -math.inf]
    for number in numbers:
        message = refused(kind, name, unit(number))
        assert message.startswith(where)
        assert text.replace("a number", "a finite number") in message or text in message
    for wrong in (True, "many", [[]], None):
        if wrong is not None or not range.none:
            assert refused(kind, name, wrong).startswith(where)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_each_default_is_in_its_range(kind: type[Record]) -> None:
    for field in dc.fields(kind):
        range = ranges(kind).get(field.name)
        if range is None or field.default is dc.MISSING:
            continue
        values = field.default if range.many else (field.default,)
        for value in values:
            amount = value.amount if isinstance(value, Duration) else value
            assert (range.none and value is None) or amount in range


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_each_whole_number_has_an_end(kind: type[Record]) -> None:
    """A split's seed may be negative; nothing else counts below its end."""
    if kind is Card:
        return
    free = {name for name, r in ranges(kind).items() if r.kind is int and r.least is None and r.above is None}
    assert free <= {"split_seed", "data.split_seed", "version"}


@pytest.mark.parametrize(
    ("text", "data", "make", "message"),
    [
        (
            "crop(-1)",
            {"kind": "crop", "padding": -1},
            lambda: Crop(-1),
            "crop.padding: expected a whole number from 0, received -1; the default is 4",
        ),
        (
            "flip(1.5)",
            {"kind": "flip", "probability": 1.5},
            lambda: Flip(1.5),
            "flip.probability: expected a number from 0 to 1, received 1.5; the default is 0.5",
        ),
        (
            "randaugment(2, 31)",
            {"kind": "randaugment", "magnitude": 31},
            lambda: Randaugment(2, 31),
            "randaugment.magnitude: expected a whole number from 0 to 30, received 31; the default is 9",
        ),
    ],
)
def test_text_json_and_python_are_refused_with_one_message(text: str, data: Any, make: Any, message: str) -> None:
    for way in (lambda: edit(Recipe(), "augment", text), lambda: read(Recipe, {"augment": [data]}), make):
        with pytest.raises(UsageError) as caught:
            way()
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "where", "expected", "received"),
    [
        (lambda: Flip(math.nan), "flip.probability", "a number from 0 to 1", "nan; the default is 0.5"),
        (lambda: Cutout(True), "cutout.size", "a whole number from 0", "True; the default is 8"),
        (lambda: Cutout(8.0), "cutout.size", "a whole number from 0", "8.0; the default is 8"),
        (lambda: Noise(np.bool_(True)), "noise.deviation", "a number from 0 to 1", "True; the default is 0.05"),
        (
            lambda: Cutout(-(10**5000)),
            "cutout.size",
            "a whole number from 0",
            "a whole number of 16,610 bits; the default is 8",
        ),
        (lambda: Optimizer(lr="0.1"), "optimizer.lr", "a number above 0", "'0.1'; the default is 0.1"),
        (lambda: Optimizer(nesterov=1), "optimizer.nesterov", "true or false", "1; the default is False"),
        (lambda: DataOptions(source=3), "data.source", "text", "3; the default is digits"),
        (lambda: DataOptions(classes="ab"), "data.classes", "a list", "'ab'"),
        (lambda: Schedule(every=5), "schedule.every", "a duration above 0", "5; the default is 1ep"),
        (
            lambda: Schedule(warmup=Duration(5, "days")),
            "schedule.warmup",
            "a duration from 0",
            "5days; the default is 0ep",
        ),
        (
            lambda: Schedule(warmup=Duration(math.nan, "ep")),
            "schedule.warmup",
            "a duration from 0",
            "nanep; the default is 0ep",
        ),
        (lambda: Swa(every="5"), "swa.every", "a duration such as '90ep', '2000steps' or '10%'", "'5'"),
        (lambda: MultiScale((32, 0)), "multi_scale.scales[1]", "a whole number from 1", "0"),
        (
            lambda: FineTuning(unfreeze=0),
            "unfreeze",
            "a whole number from 1",
            "0; --mode probe unfreezes no stage",
        ),
    ],
)
def test_what_is_received_is_said(make: Any, where: str, expected: str, received: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == f"{where}: expected {expected}, received {received}"


def test_true_is_not_the_choice_1() -> None:
    for way in (lambda: DataOptions(channels=True), lambda: edit(DataOptions(), "channels", True)):
        with pytest.raises(UsageError, match=r"^unknown value for (data\.)?channels: 'True'; known: 1, 3$"):
            way()


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), np.array(0.25), torch.tensor(0.25)])
def test_numbers_of_numpy_and_torch_become_pythons(number: Any) -> None:
    found = Flip(number)
    assert (found, type(found.probability)) == (Flip(0.25), float)
    assert json.dumps(plain(found)) == '{"kind": "flip", "probability": 0.25}'
    assert edit(Recipe(), "label_smoothing", number).label_smoothing == 0.25


def test_whole_numbers_and_arrays_of_numpy_become_pythons() -> None:
    assert json.dumps(plain(Crop(np.int64(3)))) == '{"kind": "crop", "padding": 3, "mode": "mean"}'
    assert type(edit(Recipe(), "batch", np.int32(8)).batch) is int
    basis = Lighting(0.1, np.ones(3), np.arange(9.0))
    assert (basis.deviations, basis.components) == ((1.0, 1.0, 1.0), tuple(map(float, range(9))))
    assert type(MultiScale((np.int64(32),)).scales[0]) is int


def test_a_list_becomes_a_tuple_and_text_a_duration() -> None:
    assert MultiScale([32, 64]) == MultiScale((32, 64))
    assert Swa("50%", "2ep") == Swa(Duration(50, "%"), Duration(2, "ep"))


def test_ranges_are_data_for_a_program() -> None:
    found = ranges(Recipe)
    assert found["optimizer.lr"] == Range(float, above=0, log=True)
    assert found["label_smoothing"] == Range(float, least=0, below=1)
    assert found["data.max_megapixels"] == Range(int, least=1, most=4295, none=True)
    assert found["optimizer.kind"].choices == ("sgd", "adam", "adamw", "rmsprop", "lamb", "muon")
    assert found["quick"] == Range(bool, choices=(False, True))
    assert found["schedule.at"] == Range(Duration, least=0, many=True)
    assert found["length"] == Range(Duration, above=0)
    assert "network" not in found
    assert ranges(Flip) == {"probability": Range(float, least=0, most=1)}
    assert ranges(Crop)["mode"] == Range(None, choices=("mean", "reflect"))


@pytest.mark.parametrize(
    ("range", "text"),
    [
        (Range(float), ""),
        (Range(float, least=0), "from 0"),
        (Range(float, above=0), "above 0"),
        (Range(float, most=0.5), "at most 0.5"),
        (Range(float, below=1), "below 1"),
        (Range(float, least=0, most=1), "from 0 to 1"),
        (Range(float, least=0, below=1), "from 0 to below 1"),
        (Range(float, above=0, most=1), "above 0, at most 1"),
        (Range(float, above=0, below=1), "above 0, below 1"),
        (Range(int, least=1, most=86400), "from 1 to 86400"),
    ],
)
def test_a_range_in_words(range: Range, text: str) -> None:
    assert str(range) == text


@dc.dataclass(frozen=True)
class Between(Record):
    """A record of a user."""

    share: float = option(0.5, "a share", above=0, most=1)


@given(st.floats() | st.integers() | st.booleans() | st.none() | st.text())
def test_a_value_is_kept_or_refused(value: Any) -> None:
    if type(value) in (int, float) and 0 < value <= 1:
        assert Between(value).share == value
    else:
        with pytest.raises(UsageError, match=r"^between\.share: expected a number above 0, at most 1, received "):
            Between(value)


def test_help_lists_the_fields_and_ranges_of_every_record(command: Any) -> None:
    text = command("train", "--help-all").out
    assert "  --label_smoothing (number from 0 to below 1; 0.0) " in text
    for path, record in members(Recipe):
        head = f"{kind_of(record)}, in --{path}: "
        assert text.count(f"\n{head}") == 1
        lines = text[text.index(f"\n{head}") + 1 :].split("\n\n")[0].splitlines()[1:]
        assert [line.split()[0] for line in lines] == [field.name for field in dc.fields(record)]
        for line, field in zip(lines, dc.fields(record), strict=True):
            assert str(ranges(record).get(field.name, "")) in line
            assert field.metadata["help"] in line


def test_a_recipe_of_before_reads_zero_as_mean() -> None:
    data = Recipe(augment=(Crop(4), Flip(), Crop(2, "reflect"))).to_json()
    assert data["augment"][0] == {"kind": "crop", "padding": 4, "mode": "mean"}
    old = json.loads(json.dumps(data | {"schema": 1}).replace('"mode": "mean"', '"mode": "zero"'))
    assert recipe_from_json(old) == recipe_from_json(data)
    assert old["augment"][0]["mode"] == "zero", "what was read stays as it is"
    with pytest.raises(UsageError, match=r"^unknown value for augment\[0\]\.mode: 'zero'; known: mean, reflect$"):
        edit(Recipe(), "augment", "crop(4, zero)")


def test_preprocessing_names_the_channel() -> None:
    with pytest.raises(UsageError, match=r"^preprocessing\.std\[2\]: expected a number above 0, received -1\.0$"):
        ImageInput(size=(8, 8), mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, -1.0))
