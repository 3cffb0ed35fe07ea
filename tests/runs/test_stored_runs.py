"""Runs and a bundle that the version before wrote, in `tests/stored`: opened, evaluated, resumed, exported."""

import json
import shutil
from pathlib import Path

import pytest

STORED = Path(__file__).resolve().parents[1] / "stored"
NEAR = {"rel": 1e-4, "abs": 1e-5}  # other processors add up in another order


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A copy of the folder, in which the commands work."""
    copied = shutil.copytree(STORED, tmp_path / "stored")
    monkeypatch.chdir(copied)
    return copied


def same(received, expected):
    """The same keys in the same order, the same words and whole numbers, nearly the same other numbers."""
    assert type(received) is type(expected)
    if isinstance(expected, dict):
        assert list(received) == list(expected)
        for key in expected:
            same(received[key], expected[key])
    elif isinstance(expected, list):
        assert len(received) == len(expected)
        for one, other in zip(received, expected, strict=True):
            same(one, other)
    else:
        assert received == (pytest.approx(expected, **NEAR) if isinstance(expected, float) else expected)


def test_they_are_listed(command, stored):
    rows = command("runs", ".", "--json").json
    assert [(row["run"], row["state"], row["epoch"], row["score_is"]) for row in rows] == [
        ("classify", "finished", 3, "accuracy"), ("multilabel", "finished", 3, "map")
    ]  # fmt: skip
    for row in rows:
        metrics = json.loads((stored / row["run"] / "result.json").read_text())["metrics"]
        assert row["score"] == metrics["test"][row["score_is"]]


@pytest.mark.parametrize(("name", "more"), [("classify", ()), ("multilabel", ("--data", "many/labels.csv"))])
def test_they_are_evaluated_to_the_numbers_of_then(name, more, command, stored):
    answer = command("eval", name, "--json", *more)
    assert answer.code == 0, answer.err
    same(answer.json, json.loads((stored / f"{name}.eval.json").read_text()))


def test_a_finished_one_is_trained_on(command, stored):
    answer = command("train", "--resume", "classify", "--epochs", "4", "--allow-other-machine", "--quiet", "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["epochs"], answer.json["ended"]) == (4, "finished")
    assert len((stored / "classify" / "metrics.jsonl").read_text().splitlines()) == 4


def test_one_without_its_data_is_refused_with_the_reason(command, stored):
    answer = command("train", "--resume", "multilabel", "--epochs", "4", "--allow-other-machine", "--quiet")
    assert answer.code == 2
    assert "the data of the run multilabel is not there any more; put it back, or say where it is now: " in answer.err


def test_they_are_compared_and_exported(command, stored):
    folds = [f"kfold/fold{n}" for n in (1, 2)]
    answer = command("compare", *folds, "--json")
    assert answer.code == 0, answer.err
    assert len(answer.json["runs"]) == 2
    answer = command("export", "classify", "--to", "bundle", "--out", "again.safetensors", "--json")
    assert answer.code == 0, answer.err
    files = ["many/bent/00.png", "many/flat/01.png"]
    expected = json.loads((stored / "bundle.predict.json").read_text())
    for bundle in ("bundle.safetensors", "again.safetensors"):
        same(command("predict", bundle, *files, "--json").json, expected)


def test_the_folds_go_on_and_have_the_summary_of_then(command, stored):
    before = json.loads((stored / "kfold" / "summary.json").read_text())
    words = "--data digits --epochs 1 --batch 32 --lr 0.05 --size 16 --precision fp32 --engine.threads 1 --device cpu"
    more = "--quiet --keep 1 --data.images 160 --kfold 2 --out kfold --allow-other-machine --json"
    (stored / "small.json").write_text((STORED / "small.json").read_text())
    answer = command("train", "small.json", *words.split(), *more.split())
    assert answer.code == 0, answer.err
    same(answer.json["out_of_fold"], before["out_of_fold"])
