"""nets, runs, data, doctor: what they print and the JSON that they promise; mistakes in naming networks."""

import json
import shutil

import pytest

from convsmith.nets.zoo import EDITS, NETWORKS


def test_nets_json(command):
    rows = command("nets", "--json").json
    assert [row["name"] for row in rows] == list(NETWORKS)
    assert all(list(row) == ["name", "family", "year", "params", "macs", "input"] for row in rows)
    assert next(row for row in rows if row["name"] == "resnet50") == {
        "name": "resnet50", "family": "resnet", "year": 2015, "params": 25557032, "macs": 4089184256,
        "input": [3, 224, 224],
    }  # fmt: skip


def test_nets_by_pattern(command):
    names = [row["name"] for row in command("nets", "resnet*", "--json").json]
    assert names == [name for name in NETWORKS if name.startswith("resnet")]
    assert [row["name"] for row in command("nets", "alexnet_2", "--json").json] == ["alexnet_2012"]
    lines = command("nets", "resnet?8").out.splitlines()
    assert len(lines) == 3
    assert lines[2].split()[:4] == ["resnet18", "2015", "11,689,512", "1.81G"]


def test_nets_lists_the_edits(command):
    rows = command("nets", "--edits", "--json").json
    assert [row["edit"].partition("(")[0] for row in rows] == list(EDITS)
    assert {"edit": "se(ratio: int = 16)", "does": EDITS["se"].__doc__.splitlines()[0]} in rows
    assert "drop_path(drop: float, by: str = 'sample')" in command("nets", "--edits").out


def test_runs(command, photo_run, tmp_path):
    run = photo_run[0]
    (row,) = command("runs", run.parent, "--json").json
    assert (row["run"], row["state"], row["epoch"]) == (str(run), "finished", 3)
    assert row.keys() == {"run", "score", "score_is", "name", "state", "created", "epoch", "seconds", "reason"}
    accuracy = json.loads((run / "result.json").read_text())["metrics"]["test"]["accuracy"]
    assert (row["score_is"], row["score"]) == ("accuracy", accuracy)
    assert str(run) in command("runs", run.parent).out
    shutil.copytree(run, tmp_path / "runs" / "damaged")
    (tmp_path / "runs" / "damaged" / "recipe.json").write_text("{")
    assert "unreadable: " in command("runs", tmp_path / "runs").out


def test_runs_of_an_empty_place(command, here):
    assert command("runs").out == "no runs in runs/; make one with: convsmith train\n"
    assert command("runs", "--json").json == []


def test_data_check(command, shared_pictures, broken):
    answer = command("data", "check", shared_pictures, "--json")
    assert (answer.code, answer.json["ok"], answer.json["files"]) == (0, True, 60)
    folder, bad = broken
    answer = command("data", "check", folder)
    assert answer.code == 1
    assert f"{bad}: the image is cut short or damaged" in answer.out
    assert "not fit for training as it is; --on-bad skip leaves this file out" in answer.out
    assert [f["kind"] for f in command("data", "check", folder, "--json").json["findings"]] == ["broken"]


def test_data_stats(command, shared_pictures):
    answer = command("data", "stats", "digits", "--json")
    assert answer.code == 0
    assert sum(answer.json["splits"].values()) == 1797
    text = command("data", "stats", shared_pictures).out
    assert text.startswith("folder of class folders: 3 classes (bent, flat, round), 60 images\n")


def test_statistics_without_the_files_that_cannot_be_used(command, refused, broken):
    folder, bad = broken
    (folder / "bent" / "loop.png").symlink_to("loop.png")
    (folder / "only.txt").write_text("x")
    says = refused("data", "stats", folder, code=1)
    assert says.endswith("bent/loop.png: is a link to nothing, or no file; --on-bad skip leaves out what is not there")
    answer = command("data", "stats", folder, "--on-bad", "skip")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert "1 link to nothing is left out (bent/loop.png)" in lines
    assert any(
        line.startswith(f"1 file that cannot be read is left out, first {bad} (the image is cut short")
        for line in lines
    )
    found = command("data", "stats", folder, "--on-bad", "skip", "--json").json
    assert (found["splits"], found["unreadable"]) == ({"train": 59}, 0)
    train = command("train", "lenet5", "--data", folder, "--size", 32, "--on-bad", "skip", "--dry-run")
    assert train.code == 0
    assert refused("data", "check", folder, "--on-bad", "skip", code=2) == (
        "data check: --on-bad is an option of train and of data stats; leave it out"
    )


def test_one_of_a_kind_is_said_in_the_singular(command, write_pictures, here):
    first = next(iter(write_pictures(here / "one", 1).rglob("*.png")))
    (here / "set" / "ant").mkdir(parents=True)
    first.rename(here / "set" / "ant" / "0.png")
    out = command("data", "check", "set").out
    assert out.startswith("data set: folder of class folders: 1 class (ant), 1 image\n")
    assert out.endswith("\n1 file, 1 finding: not fit for training as it is\n")


def test_doctor(command):
    answer = command("doctor", "--json")
    assert answer.code == 0
    assert answer.json["problems"] == []
    assert {"convsmith", "python", "torch", "processor", "cores", "GPUs", "cache"} <= answer.json.keys()
    assert command("doctor").out.endswith("all is well\n")


def test_doctor_names_what_is_missing(command, monkeypatch):
    from convsmith.cli import doctor

    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda library: None if library == "pillow" else version(library))
    answer = command("doctor")
    assert answer.code == 1
    problem = "problem: pillow is not installed; mend with: pip install -e . in the checkout"
    assert f"{problem}\nsomething needs mending\n" in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nets", "transformer*"], "unknown network 'transformer*'"),
        (["show"], "show: the following arguments are required: network"),
        (["show", "resnet51"], "unknown network 'resnet51'; nearest: resnet50"),
        (["show", "resnet18", "--edit", "drop_pth=1"], "unknown edit 'drop_pth'; nearest: drop_path"),
        (
            ["show", "resnet18", "--edit", "drop_path=2"],
            "drop_path: expected a probability from 0 to below 1, received 2",
        ),
        (
            ["show", "resnet18", "--edit", "drop_path"],
            "the edit is drop_path(drop: float, by: str = 'sample'): missing",
        ),
        (["show", "resnet18", "--classes", "many"], "show: argument --classes: expected a whole number of at least 1"),
        (["show", "resnet18", "--classes", "0"], "show: argument --classes: expected a whole number of at least 1"),
        (["show", "resnet18", "--size", "0"], "show: argument --size: expected from 1 to 65535 pixels a side"),
        (["show", "resnet18", "--stem", "tiny"], "stem: expected auto, small or large, received 'tiny'"),
        (["show", "lenet5", "--size", "3"], ""),
        (["show", "own.py:make"], "own.py: no such file; a network of your own is given as file.py:function"),
        (["show", "own.py"], "own.py: say which function makes the network: own.py:make"),
        (["show", "tree.json"], "tree.json: no such file"),
        (["show", "torchvision:resnet19"], "unknown torchvision network 'resnet19'; nearest: resnet"),
        (["runs", "nowhere"], "nowhere: no such folder"),
        (["data", "chekc", "digits"], "unknown action of data: 'chekc'; nearest: check"),
        (["data", "stats", "nowhere"], "no such path, and no data set of this name: 'nowhere'"),
        (["recipes", "digist"], "unknown recipe 'digist'; nearest: digits"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(words, message, refused, here):
    assert refused(*words).startswith(message)
