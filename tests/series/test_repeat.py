"""One recipe with several seeds."""

import json
import statistics

import pytest

from convsmith.base.errors import BadFile, UsageError
from convsmith.cli.repeat import spread_rows
from convsmith.recipes.choose import choose, run_recipe
from convsmith.runs.directory import open_run
from convsmith.series import running
from convsmith.series.repeat import repeat
from convsmith.training.interrupt import Interrupted
from convsmith.work.run import train


@pytest.fixture
def recipe():
    return choose("digits", None).edit(quick=True, seed=4, engine__threads=1, engine__precision="fp32")


def without_times(runs):
    return [run | {"seconds": 0} for run in runs]


def quietly(recipe, count, out):
    return running.train_series(repeat(recipe, count), out, quiet=True, say=lambda text: None)


def test_runs_differ_in_the_seed_and_are_those_of_train(recipe, tmp_path):
    found = quietly(recipe, 3, tmp_path / "set")
    runs = found.summary["runs"]
    assert [(run["run"], run["seed"]) for run in runs] == [("seed4", 4), ("seed5", 5), ("seed6", 6)]
    assert [run_recipe(tmp_path / "set" / run["run"]).seed for run in runs] == [4, 5, 6]
    alone = train(recipe.edit(seed=5), out=tmp_path / "alone", quiet=True).result
    assert runs[1]["test"]["loss"] == alone["metrics"]["test"]["loss"]
    assert json.loads((tmp_path / "set" / "summary.json").read_text()) == found.summary
    for split in ("val", "test"):
        for number in ("accuracy", "loss", "ece"):
            values = [run[split][number] for run in runs]
            over = found.summary["over_runs"][split][number]
            mean, deviation = statistics.fmean(values), statistics.stdev(values)
            half = 4.302652729911275 * deviation / 3**0.5  # the quantile of Student's t for 2 degrees of freedom
            assert over.pop("interval") == pytest.approx([mean - half, mean + half], rel=1e-9)
            assert over == {"mean": mean, "deviation": deviation, "low": min(values), "high": max(values)}
    (group,) = found.summary["groups"]
    assert (group["group"], group["n"]) == ("3 seeds", 3)
    losses = [open_run(tmp_path / "set" / run["run"]).metrics()[-1]["train_loss"] for run in runs]
    assert group["train"]["loss"]["mean"] == statistics.fmean(losses)


def test_the_same_command_goes_on_where_it_was_stopped(recipe, tmp_path, monkeypatch):
    whole = quietly(recipe, 3, tmp_path / "whole").summary

    def stopped(recipe, **options):
        if recipe.seed == 5:
            raise Interrupted("stopped")
        return train(recipe, **options)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(Interrupted):
        quietly(recipe, 3, tmp_path / "set")
    first = (tmp_path / "set" / "seed4" / "result.json").read_bytes()
    monkeypatch.undo()
    again = quietly(recipe, 3, tmp_path / "set").summary
    assert without_times(again.pop("runs")) == without_times(whole.pop("runs"))
    assert again == whole
    assert (tmp_path / "set" / "seed4" / "result.json").read_bytes() == first
    assert len(quietly(recipe, 4, tmp_path / "set").summary["runs"]) == 4


def as_of_another_machine(run):
    record = open_run(run).record("recipe")
    record["engine"] |= {"torch_version": "1.0"}
    open_run(run).write_record("recipe", record)


def test_finished_runs_stay_on_another_machine_and_unfinished_ones_go_on_where_that_is_allowed(
    tmp_path, command, refused
):
    folder, words = tmp_path / "set", ["train", "digits", "--quick", "--quiet", "--engine.threads", "1"]
    words += ["--seed", "4", "--precision", "fp32", "--out", folder]
    assert command(*words, "--repeat", "2").code == 0
    for name in ("seed4", "seed5"):
        as_of_another_machine(folder / name)
    first = (folder / "seed4" / "result.json").read_bytes()
    runs = command(*words, "--repeat", "3", "--json").json["runs"]
    assert [run["run"] for run in runs] == ["seed4", "seed5", "seed6"]
    assert (folder / "seed4" / "result.json").read_bytes() == first
    # One that was stopped there.
    (folder / "seed5" / "result.json").unlink()
    open_run(folder / "seed5").set_status("stopped")
    message = refused(*words, "--repeat", "3", watched=folder)
    assert message.startswith(f"{folder / 'seed5'}: resumed here the result would differ")
    assert message.endswith("go on all the same with --allow-other-machine")
    again = command(*words, "--repeat", "3", "--allow-other-machine", "--json").json["runs"]
    assert without_times(again) == without_times(runs)


def test_a_folder_of_something_else_is_refused(recipe, tmp_path):
    with pytest.raises(UsageError, match="repeat: expected at least 2 runs, received 1"):
        quietly(recipe, 1, tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="full: expected a new or empty folder, or one of several seeds"):
        quietly(recipe, 2, tmp_path / "full")
    (tmp_path / "full" / "notes.txt").unlink()
    (tmp_path / "full" / "summary.json").write_text('{"recipe": {}}')
    with pytest.raises(UsageError, match=r"full/summary.json: schema is None; this version of convsmith reads 1"):
        quietly(recipe, 2, tmp_path / "full")
    (tmp_path / "full" / "summary.json").write_text("[]")
    with pytest.raises(BadFile, match=r"full/summary.json: expected the fields series and members; mend: choose"):
        quietly(recipe, 2, tmp_path / "full")


@pytest.mark.parametrize(
    ("numbers", "header", "cell"),
    [
        ({"accuracy": 0.5, "map": 0.25, "loss": 1.0}, "mAP", "25.00%"),
        ({"loss": 1.0, "score": -3.5, "accuracy": 0.5}, "accuracy", "50.00%"),
        ({"loss": 1.0, "score": -3.5}, "score", "-3.5000"),
        ({"rank": 2, "loss": 1.0}, "rank", "2.0000"),
    ],
)
def test_the_table_shows_the_number_that_counts(numbers, header, cell):
    over = {"test": {name: {"mean": n, "deviation": None, "interval": None} for name, n in numbers.items()}}
    summary = {"runs": [{"run": "seed0", "test": numbers}], "over_runs": over}
    assert spread_rows(summary) == [
        (header, "test"),
        ("seed0", cell),
        ("mean", cell),
        ("standard deviation", "-"),
        ("95% interval of the mean", "-"),
    ]


def test_by_the_command(command, refused, here):
    words = ["train", "digits", "--quick", "--repeat", "2", "--quiet"]
    answer = command(*words, "--out", "set")
    lines = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert [line.split()[0] for line in lines[2:5]] == ["seed0", "seed1", "mean"]
    assert lines[5].startswith("standard deviation  ")
    assert lines[6].startswith("95% interval of the mean  ")
    assert lines[7] == "summary  set/summary.json"
    assert lines[-1] == "next     convsmith compare set/seed0 set/seed1"
    found = command(*words, "--out", "set", "--json").json
    assert list(found) == ["folder", "recipe", "groups", "runs", "over_runs"]
    assert command("runs", "set", "--json").json[0]["run"] == "set/seed0"
    for more, message in (
        (["--repeat", "1"], "train: --repeat must be at least 2, received 1"),
        (["--repeat", "few"], "train: argument --repeat: invalid int value: 'few'"),
        (["--repeat", "2", "--out", "set", "--lr", "3"], "set: its runs have other settings: optimizer.lr 0.05 there"),
        (["--repeat", "2", "--out", "set", "--seed", "1"], "set: its runs have other settings: seed 0 there, 1 now."),
    ):
        assert refused("train", "digits", "--quick", "--quiet", *more).startswith(message)
    # What is found wrong by the first run leaves nothing behind: `refused` compares the folder before and after.
    nothing = ["--repeat", "2", "--edit", "no_such_edit"]
    assert refused("train", "digits", "--quick", "--quiet", *nothing).startswith("unknown edit 'no_such_edit'")
    assert "no_such_edit" in refused("train", "digits", "--quick", "--quiet", *nothing, "--out", "new/inside")
    assert "--repeat cannot be given" in refused("train", "--resume", "set/seed0", "--repeat", "2")
