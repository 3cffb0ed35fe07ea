"""Records that were edited are refused, or taken by name; whatever they hold, no traceback."""

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from convsmith.base.errors import BadFile
from convsmith.cli import main
from convsmith.runs import seals
from convsmith.runs.checkpoints import load_checkpoint, save_checkpoint
from convsmith.runs.directory import RECORDS, SEALED, create_run, open_run
from convsmith.runs.generations import read_meta
from convsmith.runs.sealed import seal
from convsmith.runs.seals import DamagedRecord, EditedRecord, accepting


@pytest.fixture
def own_run(photo_run: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to be edited."""
    return Path(shutil.copytree(photo_run[0], tmp_path / "own_run"))


def nodes(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in JSON data but the whole; of long lists the first and the last."""
    if isinstance(data, dict):
        keys = list(data)
    elif isinstance(data, list):
        keys = sorted({0, len(data) - 1}) if data else []
    else:
        keys = []
    for key in keys:
        yield (*path, key)
        yield from nodes(data[key], (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def with_value(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    data = copy.deepcopy(data)
    at(data, path[:-1])[path[-1]] = value
    return data


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return "x" if value is None else None


def test_every_change_of_every_value_is_refused(own_run: Path) -> None:
    run, count = open_run(own_run), 0
    assert list(run.seals()) == list(RECORDS)
    for name in (*RECORDS, "run", "result"):
        path = own_run / f"{name}.json"
        text = path.read_text()
        data = json.loads(text)
        for way in nodes(data):
            path.write_text(json.dumps(with_value(data, way, other(at(data, way))), indent=1) + "\n")
            if way != ("format",):
                with pytest.raises(EditedRecord, match=rf"{name}.json: was edited after.*--accept-edited {name}$"):
                    run.record(name)
                with accepting([name]):
                    run.record(name)
            count += 1
        path.write_text(text)
    assert count > 400
    open_run(own_run)


def test_a_record_laid_out_anew_is_the_same(own_run: Path) -> None:
    path = own_run / "preprocess.json"
    path.write_bytes(json.dumps(json.loads(path.read_text())).replace(",", ",\r\n").encode())
    open_run(own_run)


@pytest.mark.parametrize("name", ["recipe", "network", "data", "split", "preprocess"])
@pytest.mark.parametrize(
    "words",
    [
        ["eval", "{run}"], ["predict", "{run}", "{image}"], ["export", "{run}", "--to", "onnx", "--out", "{new}.onnx"],
        ["export", "{run}", "--to", "bundle", "--out", "{new}.safetensors"], ["show", "{run}"],
        ["train", "--resume", "{run}"], ["train", "{run}", "--out", "{new}"], ["compare", "{run}", "{whole}"],
        ["train", "lenet5", "--data", "digits", "--weights", "{run}", "--out", "{new}"], ["bench", "{run}"],
        ["finetune", "{run}", "--data", "{data}", "--out", "{new}"],
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, list) else words,
)  # fmt: skip
def test_every_verb_refuses_an_edited_run(
    words: list[str],
    name: str,
    own_run: Path,
    photo_run: tuple[Path, Path],
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    path = own_run / f"{name}.json"
    path.write_text(path.read_text().replace("1", "2"))
    image = next(photo_run[1].rglob("*.png"))
    named = {"run": own_run, "image": image, "new": tmp_path / "new", "data": photo_run[1], "whole": photo_run[0]}
    said = refused(*[word.format(**named) for word in words], code=1, watched=own_run)
    assert said == (
        f"{path}: was edited after it was written (its SHA-256 is not the one in run.json); put it back, or take it as "
        f"it is with --accept-edited {name}"
    )


def test_an_edit_that_is_accepted_counts(
    own_run: Path, command: Callable[..., Any], refused: Callable[..., str]
) -> None:
    path, split = own_run / "preprocess.json", own_run / "split.json"
    before = command("eval", own_run, "--json").json
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"mean": [0.9, 0.0, 0.9]}))
    split.write_text(split.read_text() + " ")  # the same content
    assert refused("eval", own_run, code=1).startswith(f"{path}: was edited")
    after = command("eval", own_run, "--json", "--accept-edited", "preprocess")
    assert after.code == 0
    assert after.json["loss"] != before["loss"]
    assert refused("eval", own_run, code=1).startswith(f"{path}: was edited")
    assert refused("eval", own_run, "--accept-edited", "split", code=1).startswith(f"{path}: was edited")
    assert command("eval", own_run, "--accept-edited", "split,preprocess.json").code == 0
    message = refused("eval", own_run, "--accept-edited", "preproces")
    assert message == "unknown record for --accept-edited 'preproces'; nearest: preprocess, recipe"


def test_a_resume_keeps_what_was_accepted(own_run: Path, command: Callable[..., Any]) -> None:
    path = own_run / "recipe.json"
    record = json.loads(path.read_text())
    record["recipe"]["seed"] += 1
    path.write_text(json.dumps(record))
    assert command("train", "--resume", own_run, "--epochs", "4").code == 1
    answer = command("train", "--resume", own_run, "--epochs", "4", "--accept-edited", "recipe")
    assert answer.code == 0, answer
    assert f"{path} was edited; the run goes on by it as it is now" in answer.err
    assert "recipe.json was edited, and accepted" in (own_run / "log.txt").read_text()
    assert command("eval", own_run).code == 0
    run = open_run(own_run)
    assert len(run.seals()["recipe"]) == 3  # as it began, as edited, with more epochs
    assert load_checkpoint(run).meta["records"]["recipe"] == run.seals()["recipe"][-1]


def test_a_checkpoint_knows_the_records(own_run: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    run = open_run(own_run)
    meta = load_checkpoint(run).meta
    assert meta["records"] == {name: seals.digest(run.record(name)) for name in RECORDS}
    path = own_run / "run.json"
    head = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("seals", "sha256")}
    path.write_text(json.dumps(head))  # as if the run were of a version without hashes
    open_run(own_run)
    said = refused("eval", own_run, code=1)
    assert said.startswith(f"{path}: was edited after it was written (the checkpoint of step")
    with accepting(["run"]):
        load_checkpoint(run)


def test_runs_of_before_are_read_without_a_word(own_run: Path, command: Callable[..., Any]) -> None:
    for name in ("run", "result"):
        path = own_run / f"{name}.json"
        data = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in data.items() if key not in ("seals", "sha256")}))
    for path in (own_run / "checkpoints").iterdir():
        plain = read_meta(path)
        del plain["records"]
        (path / "meta.json").write_text(seal(plain))
    preprocess = own_run / "preprocess.json"
    preprocess.write_text(json.dumps(json.loads(preprocess.read_text())))
    answer = command("eval", own_run)
    assert (answer.code, "warning" in answer.err) == (0, False), answer
    assert command("train", "--resume", own_run, "--epochs", "4", "--quiet").code == 0
    assert open_run(own_run).seals() == {}


def test_a_crash_between_hash_and_record_leaves_the_record_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(tmp_path / "run", "digits", {"recipe": {"length": 1}})
    monkeypatch.setattr(
        "convsmith.runs.directory.write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    with pytest.raises(BadFile, match="No space"):
        run.write_record("recipe", {"length": 2})
    monkeypatch.undo()
    assert open_run(run.path).record("recipe") == {"length": 1}
    run.write_record("recipe", {"length": 2})
    assert open_run(run.path).record("recipe") == {"length": 2}
    save_checkpoint(run, 1, {}, {}, {}, best=False)
    assert load_checkpoint(run).meta["records"] == {"recipe": seals.digest({"length": 2})}


@pytest.mark.parametrize("content", [None, b"", b'{"command": "tra', b"\x00\xff", b"[]", b"null", b'{"python": "2"}'])
@pytest.mark.parametrize("words", [["eval", "{run}"], ["train", "--resume", "{run}", "--epochs", "4", "--quiet"]])
def test_a_damaged_env_is_said_and_passed_over(
    content: bytes | None, words: list[str], own_run: Path, command: Callable[..., Any]
) -> None:
    path = own_run / "env.json"
    path.unlink() if content is None else path.write_bytes(content)
    answer = command(*[word.format(run=own_run) for word in words])
    assert answer.code == 0, answer
    assert answer.err.count("warning: ") == 1, answer.err
    assert f"warning: {path}: " in answer.err
    with pytest.warns(DamagedRecord):
        assert open_run(own_run).environment() == {}


@pytest.mark.parametrize(
    "content", [None, b"", b'{"state": "fin', b"\x00\xff" * 40, b"[]", b'{"epoch": 1, "step": 6}\n{']
)
@pytest.mark.parametrize("name", ["status.json", "metrics.jsonl"])
def test_a_resume_goes_on_without_what_lies_beside_the_weights(
    name: str, content: bytes | None, own_run: Path, command: Callable[..., Any]
) -> None:
    path, before = own_run / name, (own_run / "checkpoints").exists()
    path.unlink() if content is None else path.write_bytes(content)
    answer = command("train", "--resume", own_run, "--epochs", "4")
    assert answer.code == 0, answer
    quiet = name == "status.json" and content is None
    assert answer.err.count(f"warning: {path}: ") == (0 if quiet else 1), answer.err
    run = open_run(own_run)
    assert (run.status().state, run.status().epoch, before) == ("finished", 4, True)
    rows = [row["epoch"] for row in run.metrics()]
    assert rows == ([1, 2, 3, 4] if name == "status.json" else [4])
    assert command("eval", own_run).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected JSON"),
        (b"[]", "is not as it was written"),
        (b"{}", "is not as it was written"),
        (b'{"ended": "fin', "expected JSON"),
        (b"\x00\xff", "expected JSON"),
        (None, "is not as it was written"),  # one digit
    ],
)
def test_a_damaged_result_is_made_again(
    content: bytes | None, said: str, own_run: Path, command: Callable[..., Any]
) -> None:
    path = own_run / "result.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"steps": 1', b'"steps": 2') if content is None else content)
    assert path.read_bytes() != whole
    answer = command("train", "--resume", own_run, "--quiet")
    assert answer.code == 0, answer
    assert answer.err.count("warning: ") == 1, answer.err
    assert f"warning: {path}: {said}" in answer.err
    assert "(it is made again from the last checkpoint)" in answer.err
    assert path.read_bytes() == whole
    assert open_run(own_run).status().state == "finished"


def test_an_edited_result_that_is_accepted_stays_where_it_can_be_read(
    own_run: Path, command: Callable[..., Any]
) -> None:
    path = own_run / "result.json"
    path.write_bytes(path.read_bytes().replace(b'"epochs": 3', b'"epochs": 4'))
    edited = path.read_bytes()
    assert command("train", "--resume", own_run, "--accept-edited", "result", "--quiet").code == 0
    assert path.read_bytes() == edited
    path.write_text("[]")
    assert command("train", "--resume", own_run, "--accept-edited", "result", "--quiet").code == 0
    assert open_run(own_run).record("result")["epochs"] == 3


ODD: list[Any] = [None, True, -1, 10**30, 1e308, "", "x", [], {}, [None], {"x": None}]


def test_whatever_records_hold_there_is_one_message(
    own_run: Path, many: Callable[[int, int], int], capfd: pytest.CaptureFixture[str]
) -> None:
    cases = []
    for name in ("recipe", "data", "split", "preprocess", "env", "run", "result", "status", "last", "best"):
        data = json.loads((own_run / f"{name}.json").read_text())
        cases += [(name, data, way, odd) for way in [(), *nodes(data)] for odd in ODD]
    random.Random(0).shuffle(cases)
    # A record without its key is another case for each of its keys.
    accepted = ["--accept-edited", ",".join(SEALED)]
    for name, data, way, odd in cases[: many(60, len(cases))]:
        path = own_run / f"{name}.json"
        text = path.read_text()
        path.write_text(json.dumps(with_value(data, way, odd)))
        words = ["train", "--resume", str(own_run)] if name in ("result", "status", "last") else ["eval", str(own_run)]
        code = main([*words, *accepted, "--json"])
        said = capfd.readouterr().err
        assert code in (0, 1, 2), (name, way, odd)
        lines = [line for line in said.splitlines() if line.startswith("convsmith: ")]
        assert len(lines) == (code != 0), (name, way, odd, said)
        path.write_text(text)
