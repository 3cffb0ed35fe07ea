"""Every field of a bundle and of a run's records with hostile values: an error of ours or a right answer."""

import copy
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convsmith.base.errors import BadFile, UsageError
from convsmith.cli import main
from convsmith.runs.records import reading
from convsmith.runs.sealed import seal
from convsmith.runs.subject import open_subject
from convsmith.runs.weights import load_bundle, save_bundle

NUMBERS = (-1, 0, 0.5, 1, 10**9, 2**70, 10**400, 1e300)
VALUES = (*NUMBERS, None, True, "", "x" * 1_000_000, "../../etc/passwd", [], [1], [2**70, 2**70], [[]], {}, {"a": 1})
MOST_MEMORY = 512 * 2**20
SIZES = "preprocessing: expected sizes of at most 65535 pixels a side and 16,777,216 in all,"


def paths(data: Any, at: tuple = ()) -> Iterator[tuple]:
    """The places of every value in JSON data; of a list the first and the last."""
    if at:
        yield at
    if isinstance(data, dict):
        for key, value in data.items():
            yield from paths(value, (*at, key))
    elif isinstance(data, list) and data:
        for place in {0, len(data) - 1}:
            yield from paths(data[place], (*at, place))


def changed(data: Any, at: tuple, value: Any) -> Any:
    """A copy of JSON data with another value at a place."""
    data = copy.deepcopy(data)
    inner = data
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return data


@pytest.fixture(scope="module")
def exported(photo_run: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle."""
    path = tmp_path_factory.mktemp("bundle") / "whole.safetensors"
    assert main(["export", str(photo_run[0]), "--to", "bundle", "--out", str(path)]) == 0
    return path


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.fixture
def memory() -> Iterator[None]:
    """The process may not take more than 512 MB more."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _peak()
    except OSError:
        before = None
    yield
    assert before is None or _peak() - before < MOST_MEMORY


BUNDLE_FIELDS = ("network", "preprocess", "card", "temperature", "channels_last", "run", "step", "format")


@pytest.mark.parametrize("name", BUNDLE_FIELDS)
def test_hostile_fields_of_a_bundle(name: str, exported: Path, tmp_path: Path, photo_run, memory, capfd) -> None:
    tensors, fields = load_bundle(exported)
    image = next(photo_run[1].rglob("*.png"))
    fields = {key: value for key, value in fields.items() if key != "format"} | {"format": 1}
    places = [at for at in paths({name: fields[name]}) if name != "network" or len(at) < 4]
    path = tmp_path / "hostile.safetensors"
    for at in places:
        for value in VALUES:
            save_bundle(path, tensors, changed(fields, at, value))
            capfd.readouterr()
            code = main(["predict", str(path), str(image), "--json"])
            out, err = capfd.readouterr()
            assert code in (0, 1), (at, str(value)[:80], err[:300])
            assert len(err) < 4200, (at, str(value)[:80])
            if code:
                assert err.startswith("convsmith: "), (at, str(value)[:80], err[:300])
                assert err.count("\n") == 1
            else:
                top = json.loads(out)[0]["top"]
                total = sum(guess["probability"] for guess in top)
                # Of several labels each is probable by itself.
                assert at == ("card", "multilabel") or abs(total - 1) < 1e-5, (at, str(value)[:80])


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (("temperature",), 0, "temperature: expected from 0.0001 to 10000, received 0"),
        (("temperature",), -1.0, "temperature: expected from 0.0001 to 10000, received -1"),
        (("temperature",), True, "temperature: expected number, received True"),
        (("card", "classes"), ["a"], "the network gives outputs of shape (3,), and the data has 1 class"),
        (("card", "classes"), list("abcd"), "the network gives outputs of shape (3,), and the data has 4 classes"),
        (("preprocess", "resize"), 10**9, f"{SIZES} received (12, 12) and resize 1000000000; "),
        (("preprocess", "size"), [2**70, 2**70], f"{SIZES} received ({2**70}, {2**70}) and resize None; "),
        (("preprocess", "mean"), [1e9] * 3, "preprocessing: expected means of at most 1000 either way"),
        (("preprocess", "std"), [1e-30] * 3, "preprocessing: expected means of at most 1000 either way"),
        (("preprocess", "mode"), "L", "preprocessing: mode L needs 1 mean and as many deviations"),
        (("step",), -1, "step: expected 0 or more, received -1"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_bundle_is_said(at, value, says, exported: Path, tmp_path: Path, refused) -> None:
    tensors, fields = load_bundle(exported)
    path = tmp_path / "hostile.safetensors"
    save_bundle(path, tensors, changed({k: v for k, v in fields.items() if k != "format"}, at, value))
    for verb in (["predict", path, path], ["finetune", path, "--data", "digits", "--mode", "probe"]):
        said = refused(*verb, code=1)
        assert said.startswith(f"{path}: {says}"), said
        assert said.endswith("export the bundle again")


@pytest.mark.parametrize("record", ["network", "preprocess", "data"])
def test_hostile_fields_of_a_runs_records(record: str, photo_run, tmp_path: Path, memory, capfd) -> None:
    run = Path(shutil.copytree(photo_run[0], tmp_path / "run"))
    image = next(photo_run[1].rglob("*.png"))
    path = run / f"{record}.json"
    data = json.loads(path.read_text())
    whole = data["card"] if record == "data" else data
    for at in paths(whole):
        if record == "network" and len(at) > 2:
            continue
        for value in VALUES:
            hostile = changed(whole, at, value)
            path.write_text(json.dumps(data | {"card": hostile} if record == "data" else hostile))
            capfd.readouterr()
            code = main(["predict", str(run), str(image), "--quiet"])
            _, err = capfd.readouterr()
            assert code in (0, 1, 2), (at, str(value)[:80], err[:300])
            assert len(err) < 4200, (at, str(value)[:80])
    path.write_text(json.dumps(data))
    assert open_subject(run).step


PIPES = (
    "metrics.jsonl", "log.txt", "last.json", "best.json", "status.json", "recipe.json", "result.json",
    "checkpoints/{step}/meta.json", "checkpoints/{step}/model.safetensors", "checkpoints/{step}/state.safetensors",
)  # fmt: skip


@pytest.mark.parametrize("name", PIPES)
def test_a_named_pipe_in_a_run_never_hangs(command, photo_run, tmp_path, name) -> None:
    run = shutil.copytree(photo_run[0], tmp_path / "run")
    step = max(path.name for path in (run / "checkpoints").iterdir())
    path = run / name.format(step=step)
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    def give_up(*_: object) -> None:
        raise AssertionError(f"waits for ever at {name}")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        image = next(photo_run[1].rglob("*.png"))
        for words in (
            ("show", run), ("eval", run), ("predict", run, image), ("runs", tmp_path), ("train", "--resume", run),
            ("train", "--resume", run, "--epochs", "4"),
        ):  # fmt: skip
            signal.alarm(60)
            answer = command(*words)
            assert answer.code in (0, 1, 2), answer.err
            assert "Traceback" not in answer.err
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("fault", [TypeError, ValueError, AttributeError, IndexError, OverflowError], ids=str)
def test_a_fault_of_ours_is_not_called_one_of_the_file(fault):
    with pytest.raises(fault, match="ours") as caught, reading(Path("a.json")):
        raise fault("ours")
    assert not isinstance(caught.value, BadFile)
    for error, said in (
        (UsageError("a.json: b: wrong"), "a.json: b: wrong"),
        (KeyError("b"), "a.json: the key 'b' is "),
    ):
        with pytest.raises(BadFile) as refused, reading(Path("a.json")):
            raise error
        assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (("metrics_length",), "x", "metrics_length: expected "),
        (("state",), [], "state: expected an object, received []"),
        (("state", "step"), "x", "state.step: expected a number"),
        (("state", "seconds"), None, "state.seconds: expected number"),
        (("state", "start_loss"), "x", "state.start_loss: expected "),
        (("state", "stopping"), 3, "state.stopping: expected an object, received 3"),
        (("state", "plateau", "best"), "x", "state.watch.best: expected a number"),
        (("state", "scaler"), [1], "state.scaler: expected an object, received [1]"),
    ],
)  # fmt: skip
def test_a_checkpoint_whose_state_is_none_of_ours(at, value, says, photo_run, refused, tmp_path):
    run = Path(shutil.copytree(photo_run[0], tmp_path / "run"))
    (run / "result.json").unlink()
    for meta in run.glob("checkpoints/*/meta.json"):
        data = changed(json.loads(meta.read_text()), at, value)
        data.pop("sha256")
        meta.write_text(seal(data))
    assert refused("train", "--resume", run, code=1).startswith(f"{run}/checkpoints: {says}")


def test_class_weights_that_are_no_numbers(photo_run, refused, tmp_path):
    run = Path(shutil.copytree(photo_run[0], tmp_path / "run"))
    record = json.loads((run / "recipe.json").read_text())
    for value, received in (([1], "an object"), ({"bent": "x", "flat": 1.0, "round": 1.0}, "a number")):
        (run / "recipe.json").write_text(json.dumps(record | {"class_weights": value}))
        said = refused("eval", run, "--accept-edited", "recipe", code=1)
        assert said.startswith(f"{run}/recipe.json: expected ")
        assert received in said
