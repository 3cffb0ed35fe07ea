"""`result.json` with wrong values at each place: the run is called unreadable or the numbers are made again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from convsmith.base.errors import BadFile
from convsmith.runs.directory import open_run
from convsmith.runs.records import result_of

VALUES: tuple[tuple[str, Any, str], ...] = (
    ("metrics", 1e308, "expected the key 'metrics' with an object"),
    ("metrics.val", [[[]]], "expected metrics.val to be an object"),
    ("metrics.test.count", None, "expected the key metrics.test.count with a whole number"),
    ("metrics.test.loss", 10**400, "expected the key metrics.test.loss with a number"),
    ("metrics.test.interval", [1], "expected the key metrics.test.interval with two numbers"),
    ("numbers", [], "expected numbers to be an object"),
    ("numbers.val", True, "expected the key numbers.val with a list of numbers"),
    ("numbers.val", [], "expected the key numbers.val with a list of numbers"),
    ("numbers.val.0", None, r"expected numbers.val\[0\] to be an object"),
    ("numbers.val.0.value", "x", r"expected the key numbers.val\[0\].value with a number"),
    ("numbers.val.0.value", -(10**400), r"expected the key numbers.val\[0\].value with a number"),
    ("numbers.val.0.unit", [], r"expected the key numbers.val\[0\].unit with a text"),
    ("numbers.test.1.interval", {"a": 1}, r"expected the key numbers.test\[1\].interval with two numbers"),
    ("seconds", 10**400, "expected the key 'seconds' with a number"),
    ("epochs", 10**400, "expected the key 'epochs' with a whole number"),
    ("views", 3, "expected views to be an object"),
    ("views", {"views": "flip", "of_an_image": 2, "metrics": {"val": 1}}, "expected views.metrics.val to be an object"),
)


@pytest.fixture(scope="module")
def whole(photo_run: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(photo_run[0], tmp_path_factory.mktemp("runs") / "run"))


@pytest.mark.parametrize(("place", "value", "says"), VALUES)
def test_what_is_wrong_is_said(place: str, value: Any, says: str, whole: Path, tmp_path: Path, command) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    record = json.loads((run / "result.json").read_text())
    del record["sha256"]
    inner = record
    *keys, last = (int(key) if key.isdecimal() else key for key in place.split("."))
    for key in keys:
        inner = inner[key]
    inner[last] = value
    open_run(run).write_record("result", record)
    with pytest.raises(BadFile, match=says):
        result_of(open_run(run))
    (row,) = command("runs", run, "--json").json
    assert row["state"] == "unreadable"
    assert "result.json: expected" in row["reason"]
    answer = command("train", "--resume", run)
    assert answer.code == 0, answer.err
    assert "it is made again from the last checkpoint" in answer.err
    assert result_of(open_run(run))["metrics"]["val"]["count"]


def test_a_unit_and_a_place_of_a_newer_version_are_plain(whole: Path, tmp_path: Path, command) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    record = json.loads((run / "result.json").read_text())
    del record["sha256"]
    for split in ("val", "test"):
        for number in record["numbers"][split] or ():
            number |= {"unit": "furlongs", "place": "wall", "better": "sideways"}
    open_run(run).write_record("result", record)
    (row,) = command("runs", run, "--json").json
    assert row["state"] == "finished"
    assert command("train", "--resume", run).code == 0
