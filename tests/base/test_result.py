"""Results say themselves: what is stored comes back, and a run of an older version is read by its names."""

import json

import pytest

from convsmith.base.result import (
    KNOWN,
    Measures,
    Number,
    compared,
    known,
    logged,
    numbers_to_json,
    results_to_json,
    score_name,
    stored_numbers,
    summary,
)

ELBO = Measures(
    (
        Number("negative_elbo", 95.5, "nats", "less", (95.0, 96.0), "per image", "negative ELBO", "log"),
        Number("kl", 25.0, "nats", "less", place="log"),
        Number("units", 12.0, "count", place="page"),
    ),
    count=10,
    watch="negative_elbo",
)


def test_less_is_better_where_the_score_says_so():
    assert summary(ELBO) == {"score": -95.5, "negative_elbo": 95.5, "kl": 25.0, "count": 10}
    assert list(logged(ELBO)) == ["negative_elbo", "kl"]
    assert compared(ELBO.numbers) == {"negative_elbo": 95.5, "kl": 25.0}


def test_numbers_are_attributes_and_json():
    assert (ELBO.kl, ELBO.to_json()) == (25.0, {"negative_elbo": 95.5, "kl": 25.0, "units": 12.0, "count": 10})
    with pytest.raises(AttributeError, match="no number 'accuracy'; it has negative_elbo, kl, units"):
        _ = ELBO.accuracy


def test_stored_numbers_come_back():
    record = json.loads(json.dumps(results_to_json({"val": ELBO, "test": None})))
    found = stored_numbers(record, "val")
    assert [n._replace(label=n.label) for n in found] == [n._replace(label=n.title) for n in ELBO.numbers]
    assert stored_numbers(record, "test") == ()
    assert [row["name"] for row in numbers_to_json(ELBO)] == ["negative_elbo", "kl", "units"]


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        ({"accuracy": 0.5, "top5": None, "loss": 1.0, "count": 3, "per_class": []}, ["accuracy", "top5", "loss"]),
        ({"accuracy": 0.5, "map": 0.6, "loss": 1.0, "count": 3}, ["map", "accuracy", "loss"]),
        ({"points": 7, "score": -2.0, "loss": 1.0, "count": 3}, ["score", "points", "loss"]),
        ({"loss": 1.0, "extra": True, "count": 3}, ["loss"]),
    ],
)
def test_runs_of_an_older_version_are_read_by_their_names(metrics, names):
    found = stored_numbers({"metrics": {"val": metrics}}, "val")
    assert [number.name for number in found] == names
    assert [number.value for number in found] == [metrics[name] for name in names]
    assert all(number == known(number.name, number.value) for number in found)


def test_an_interval_of_an_older_run_belongs_to_the_accuracy():
    metrics = {"map": 0.6, "accuracy": 0.5, "interval": [0.4, 0.6], "count": 9}
    score, accuracy = stored_numbers({"metrics": {"val": metrics}}, "val")
    assert (score.interval, accuracy.interval) == (None, (0.4, 0.6))


def test_the_score_of_a_row():
    assert [score_name(names) for names in (["loss", "accuracy"], ["accuracy", "map"], ["loss", "kl"])] == [
        "accuracy", "map", "loss",
    ]  # fmt: skip
    assert all(number.name == name and number.value is None for name, number in KNOWN.items())
