"""`eval` of several runs, `--ensemble`, `--calibrate`, `--plot`; `compare` of runs."""

import shutil
from pathlib import Path

import pytest

from convsmith.runs.directory import open_run


@pytest.fixture
def slow_run(digit_runs, tmp_path):
    """A copy of the run that learned less, to be written to."""
    return Path(shutil.copytree(digit_runs[2], tmp_path / "slow"))


def test_a_row_for_each_run(command, digit_runs):
    answer = command("eval", *digit_runs)
    lines = answer.out.splitlines()
    assert (answer.code, answer.err, lines[0]) == (0, "", "on test: 179 images each")
    assert lines[2].split() == ["run", "accuracy", "95%", "interval", "balanced", "F1", "AUC", "loss", "Brier", "ECE"]
    assert [line.split()[0] for line in lines[4:]] == list(map(str, digit_runs))
    rows = command("eval", *digit_runs, "--json").json
    assert [row["run"] for row in rows] == list(map(str, digit_runs))
    single = command("eval", digit_runs[0], "--json").json
    assert {key: rows[0][key] for key in single} == single


def test_an_ensemble_stands_after_its_members(command, digit_runs):
    lines = command("eval", *digit_runs, "--ensemble").out.splitlines()
    assert [line.split()[0] for line in lines[4:]] == [*map(str, digit_runs), "ensemble"]
    found = command("eval", *digit_runs, "--ensemble", "--json").json
    assert [member["run"] for member in found["members"]] == list(map(str, digit_runs))
    assert found["ensemble"]["count"] == 179
    assert found["ensemble"]["accuracy"] >= min(member["accuracy"] for member in found["members"])


def test_the_one_run_says_all_its_numbers(command, digit_runs):
    numbers = command("eval", digit_runs[2], "--json", "--bins", "5").json
    text = command("eval", digit_runs[2], "--bins", "5").out
    assert f"balanced  {numbers['balanced_accuracy']:.2%}  (" in text
    assert f"AUC       {numbers['auc']:.4f}  (" in text
    assert f"Brier     {numbers['brier']:.4f}" in text
    assert f"ECE       {numbers['ece']:.2%}  (expected calibration error, 5 bins)" in text
    assert [b["high"] for b in numbers["reliability"]] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    gaps = [b["count"] * abs(b["accuracy"] - b["confidence"]) for b in numbers["reliability"]]
    assert numbers["ece"] == pytest.approx(sum(gaps) / 179)


def test_a_reliability_diagram(command, digit_runs, here):
    answer = command("eval", *digit_runs, "--ensemble", "--plot", "r.svg")
    assert answer.err == "drawn into r.svg\n"
    drawing = (here / "r.svg").read_text()
    assert drawing.count(">expected calibration error ") == 4
    assert drawing.count(">ensemble<") == 1


def test_calibrate(command, slow_run):
    answer = command("eval", slow_run, "--calibrate")
    record = open_run(slow_run).record("calibration")
    assert answer.out.startswith(f"{slow_run}: outputs divided by {record['temperature']:.4g}, fitted on val; kept in")
    before, after = record["splits"]["test"]["ece"]
    assert f"{before:.2%} to {after:.2%}" in answer.out
    assert after < before
    assert command("eval", slow_run, "--calibrate", "--json").json == {"run": str(slow_run), **record}
    assert f", temperature {record['temperature']:.3g}\n" in command("eval", slow_run).out
    assert command("eval", slow_run, "--json").json["temperature"] == record["temperature"]


def test_runs_side_by_side(command, digit_runs, here):
    answer = command("compare", *digit_runs, "--plot", "curves.svg")
    assert (answer.code, answer.err) == (0, "drawn into curves.svg\n")
    for text in (
        "on test: 179 images  (test images tell how good; to choose between runs: --split val)\n",
        "2 runs of one recipe with other seeds: one, two\n",
        "accuracy against one, image by image",
        "recipes differ in\n",
        "optimizer.lr  0.05  0.05  0.004\n",
        "slow  lenet5   -          61,706  417k\n",
    ):
        assert text in answer.out
    drawing = (here / "curves.svg").read_text()
    assert all(f">{name}, ends at " in drawing for name in ("one", "two", "slow"))
    assert drawing.count("<path") == 6


def test_runs_side_by_side_as_json(command, digit_runs):
    found = command("compare", *digit_runs, "--split", "val", "--json").json
    assert list(found) == ["runs", "repeats", "paired", "recipes", "trees"]
    assert [(row["run"], row["split"], row["params"]) for row in found["runs"]] == [
        (str(path), "val", 61706) for path in digit_runs
    ]
    assert found["repeats"][0]["runs"] == list(map(str, digit_runs[:2]))
    assert found["paired"]["against"] == str(digit_runs[0])
    assert [pair["run"] for pair in found["paired"]["runs"]] == list(map(str, digit_runs[1:]))
    assert found["recipes"]["seed"] == [0, 1, 0]


def test_runs_of_other_data_say_why_there_is_no_paired_test(command, digit_runs, photo_run):
    text = command("compare", digit_runs[0], photo_run[0]).out
    assert f"no paired test: {digit_runs[0]} and {photo_run[0]} have other classes: " in text
    assert "(10 in all); bent, flat, round" in text


def test_a_run_beside_a_network_is_its_network(command, digit_runs):
    rows = command("compare", digit_runs[0], "lenet5", "--json").json
    assert [row["network"] for row in rows] == ["lenet5", "lenet5"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["eval", "{one}", "{one}"], 2, "eval: {one} is named twice"),
        (["eval", "{one}", "nowhere"], 2, "nowhere: no such run"),
        (["eval", "{one}", "--ensemble"], 2, "eval: --ensemble needs two runs or more"),
        (["eval", "{one}", "{photos}", "--ensemble"], 2, "{one} and {photos} have other classes: 0, 1, 2, 3, 4, 5, "),
        (["eval", "{one}", "--bins", "0"], 2, "eval: --bins must be at least 1, received 0"),
        (["eval", "{one}", "--bins", "few"], 2, "eval: argument --bins: invalid int value: 'few'"),
        (["eval", "{one}", "--plot", "a.png"], 2, "eval: argument --plot: files of the kind '.png' cannot be written"),
        (["eval", "{one}", "--plot", "no/a.svg"], 2, "no/a.svg: there is no folder no to write it into"),
        (["eval", "{one}", "{two}", "--calibrate"], 2, "eval: --calibrate takes one run"),
        (["eval", "{one}", "--calibrate", "--split", "test"], 2, "eval: --split cannot be given with --calibrate"),
        (["eval", "{one}", "--calibrate", "--data", "digits"], 2, "eval: --data cannot be given with --calibrate"),
        (["eval", "{one}", "--calibrate", "--edit", "fold_norm"], 2, "eval: --edit cannot be given with --calibrate"),
        (["eval", "{one}", "--calibrate", "--checkpoint", "best"], 2, "eval: --checkpoint cannot be given with --cal"),
        (["eval", "{one}", "--calibrat"], 2, "eval: unknown option --calibrat; nearest: --calibrate"),
        (["compare", "{one}"], 2, "compare: expected two runs or more; for a single one there is: convsmith eval"),
        (["compare", "{one}", "{one}"], 2, "compare: expected two runs or more"),
        (["compare", "{one}", "{two}", "--size", "64"], 2, "compare: --size is for networks, and {one} is a run"),
        (["compare", "{one}", "{two}", "--bars", "a.svg"], 2, "compare: --bars is for networks, and {one} is a run"),
        (["compare", "alexnet", "{one}", "--plot", "a.svg"], 2, "compare: --plot is for runs, and alexnet is a net"),
        (["compare", "alexnet", "vgg16", "--split", "val"], 2, "compare: --split is for runs, and alexnet is a netw"),
        (["compare", "--plot", "a.svg"], 2, "compare: --plot needs the runs to compare"),
        (["compare", "{one}", "{two}", "--split", "tset"], 2, "compare: argument --split: invalid choice: 'tset'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(words, code, message, refused, digit_runs, photo_run, here):
    names = {"one": digit_runs[0], "two": digit_runs[1], "photos": photo_run[0]}
    received = refused(*(word.format(**names) for word in words), code=code)
    assert received.startswith(message.format(**names))


def test_a_run_without_mistakes_cannot_be_calibrated_and_nothing_is_written(refused, photo_run, command, own_run):
    right = command("eval", own_run, "--split", "val", "--json").json["accuracy"] == 1
    if not right:
        pytest.skip("this machine's run makes a mistake on its 6 validation images")
    message = refused("eval", own_run, "--calibrate", watched=own_run)
    assert message.startswith(f"{own_run}: cannot be calibrated on its validation split: all of the 6 images are right")
