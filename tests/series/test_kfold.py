"""One recipe on the folds of its data."""

import json

import numpy as np
import pytest
import torch

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.recipes.choose import choose
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.series import running
from convsmith.series.kfold import cross_validate
from convsmith.series.repeat import repeat
from convsmith.training.interrupt import Interrupted
from convsmith.work.evaluate import evaluate_run
from convsmith.work.run import resume, train


@pytest.fixture
def recipe(shared_pictures, trees, given):
    path = given(f"{trees}:resnet8")
    base = choose(path, str(shared_pictures)).edit(batch=8, engine__threads=1, engine__precision="fp32")
    return base.edit(length="1ep", data__workers=0)


def quietly(recipe, count, out):
    return running.train_series(cross_validate(recipe, count), out, quiet=True, say=lambda text: None)


def test_folds_are_runs_that_stand_alone_and_sum_up(recipe, tmp_path, monkeypatch):
    def stopped(recipe, **options):
        if recipe.data.fold == "2/3":
            raise Interrupted("stopped")
        return train(recipe, **options)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(Interrupted):
        quietly(recipe, 3, tmp_path / "set")
    first = (tmp_path / "set" / "fold1" / "result.json").read_bytes()
    monkeypatch.undo()
    summary = quietly(recipe, 3, tmp_path / "set").summary
    assert (tmp_path / "set" / "fold1" / "result.json").read_bytes() == first
    assert json.loads((tmp_path / "set" / "summary.json").read_text()) == summary
    assert [(run["run"], run["fold"]) for run in summary["runs"]] == [(f"fold{n}", f"{n}/3") for n in (1, 2, 3)]
    assert summary["folds"] == 3
    # Each run evaluates alone, from its own record of the split; together they saw each of the 54 images once.
    seen = [evaluate_run(tmp_path / "set" / f"fold{n}", split="val") for n in (1, 2, 3)]
    assert sorted(place for e in seen for place in map(e.examples.place, range(len(e.examples)))) == sorted(
        {place for e in seen for place in map(e.examples.place, range(len(e.examples)))}
    )
    assert sum(e.result.count for e in seen) == summary["out_of_fold"]["count"] == 54
    right = np.concatenate([e.result.samples.right for e in seen])
    assert summary["out_of_fold"]["accuracy"] == right.mean()
    losses = np.concatenate([e.result.sample_loss for e in seen])
    assert summary["out_of_fold"]["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    tests = [evaluate_run(tmp_path / "set" / f"fold{n}", split="test").examples for n in (1, 2, 3)]
    places = [{*map(examples.place, range(len(examples)))} for examples in tests]
    assert places[0] == places[1] == places[2]
    assert len(places[0]) == 6
    assert places[0].isdisjoint(place for e in seen for place in map(e.examples.place, range(len(e.examples))))
    with pytest.raises(UsageError, match="set: holds 3 folds, expected 4 folds; choose another folder with --out"):
        quietly(recipe, 4, tmp_path / "set")
    with pytest.raises(UsageError, match="set: holds 3 folds, expected several seeds; choose another"):
        running.train_series(repeat(recipe, 2), tmp_path / "set", quiet=True)


def test_a_fold_is_resumed_to_the_same_weights(recipe, tmp_path):
    short = recipe.edit(data__fold="1/3", data__sampling="balanced", length="1ep", schedule__kind="constant")
    longer = train(short.edit(length="2ep"), out=tmp_path / "longer", quiet=True)
    train(short, out=tmp_path / "short", quiet=True)
    again = resume(tmp_path / "short", length=Duration(2, "ep"), quiet=True)
    assert again.result["metrics"] == longer.result["metrics"]
    one, two = (load_checkpoint(outcome.run).model for outcome in (longer, again))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_cannot_be_folded_is_refused(recipe, tmp_path):
    with pytest.raises(UsageError, match="kfold: expected 2 to 1,000 folds, received 1"):
        quietly(recipe, 1, tmp_path / "set")
    with pytest.raises(UsageError, match=r"kfold: the recipe is of fold 1/2 already; leave out --data.fold"):
        quietly(recipe.edit(data__fold="1/2"), 2, tmp_path / "set")
    with pytest.raises(UsageError, match=r"19 folds: class 'bent' has 18 images .* the largest number of folds is 18"):
        quietly(recipe, 19, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_by_the_command(command, refused, here):
    words = ["train", "digits", "--quick", "--quiet"]
    answer = command(*words, "--kfold", "2", "--out", "set")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["fold1", "fold2", "mean"]
    assert lines[7].startswith("out of fold  ")
    assert "512 images, each by the run that did not train on it" in lines[7]
    assert lines[-1] == "next     convsmith eval set/fold1 --split val"
    found = command(*words, "--kfold", "2", "--out", "set", "--json").json
    assert list(found) == ["folder", "recipe", "folds", "groups", "runs", "over_runs", "out_of_fold"]
    for more, message in (
        (["--kfold", "1"], "train: --kfold must be at least 2, received 1"),
        (["--kfold", "2", "--repeat", "2"], "train: --repeat and --kfold both say what the runs of a folder are"),
        (["--kfold", "200"], "200 folds: class '8' has "),
        (["--data.fold", "7/5"], "data.fold: expected its number and how many there are, such as 2/5, received '7/5'"),
    ):
        assert refused(*words, *more).startswith(message)
    assert "--kfold cannot be given" in refused("train", "--resume", "set/fold1", "--kfold", "2")
