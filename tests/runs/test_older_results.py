"""Results of runs that an older version wrote: metrics alone, without numbers that say themselves."""

import json
from pathlib import Path

import pytest

from convsmith.runs.directory import open_run


@pytest.fixture
def older(command, here: Path) -> Path:
    """A finished run whose `result.json` is as the version before wrote it."""
    assert command("train", "digits", "--quick", "--quiet", "--out", "run").code == 0
    path = here / "run" / "result.json"
    record = json.loads(path.read_text())
    del record["sha256"]
    assert record.pop("numbers")["val"][0]["name"] == "accuracy"
    open_run(here / "run").write_record("result", record)
    return here / "run"


def test_it_is_listed_and_ended_as_before(command, older: Path) -> None:
    metrics = json.loads((older / "result.json").read_text())["metrics"]
    (row,) = command("runs", older, "--json").json
    assert (row["score_is"], row["score"]) == ("accuracy", metrics["test"]["accuracy"])
    lines = command("train", "--resume", older, "--quiet").out.splitlines()
    low, high = metrics["test"]["interval"]
    assert lines[1].startswith(
        f"test accuracy        {metrics['test']['accuracy']:.2%}  (over 179 images; 95% interval"
    )
    assert f"{high:.1%}" in lines[1] or f"{low:.1%}"[:-1] in lines[1]


def test_it_is_compared_with_one_of_now(command, older: Path, here: Path) -> None:
    assert command("train", "digits", "--quick", "--quiet", "--seed", "1", "--out", "other").code == 0
    answer = command("compare", older, "other", "--json")
    assert answer.code == 0, answer.err
    assert [set(run) >= {"accuracy", "loss", "ece"} for run in answer.json["runs"]] == [True, True]
