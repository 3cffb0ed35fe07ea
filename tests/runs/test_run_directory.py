import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError, WrongType
from convsmith.base.result import known
from convsmith.runs import status as status_module
from convsmith.runs.directory import FORMAT, RECORDS, create_run, is_run, open_run
from convsmith.runs.listing import list_runs
from convsmith.runs.seals import DamagedRecord
from convsmith.runs.status import Status, effective_state, process_lives, process_start

RECORD_DATA = {name: {"kind": name, "value": [1, 2.5, None, "é"]} for name in RECORDS}
# What every result has beside its metrics.
ENDED = {"ended": "finished", "epochs": 3, "steps": 30, "seconds": 12.5}


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", "digits", RECORD_DATA)


def test_records_are_read_as_they_were_written(run):
    opened = open_run(str(run.path))
    assert {name: opened.record(name) for name in RECORDS} == RECORD_DATA
    assert opened.status() == Status("created")
    opened.write_record("result", {"accuracy": 0.5})
    assert opened.record("result") == {"accuracy": 0.5}
    assert opened.has("result")
    assert not opened.has("answer")


def test_default_path_holds_date_name_and_id(tmp_path):
    run = create_run(None, "my_net.py:make", {}, tmp_path / "deep" / "runs")
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}-my_net.py-make-[0-9a-f]{6}", run.path.name)
    assert os.listdir(tmp_path / "deep" / "runs") == [run.path.name]


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".tmp-convsmith-1-abcdef").mkdir()
    os.utime(out / ".tmp-convsmith-1-abcdef", (0, 0))
    inode = out.stat().st_ino
    create_run(out, "digits", RECORD_DATA)
    assert out.stat().st_ino == inode
    assert open_run(out).record("data") == RECORD_DATA["data"]
    assert not [name for name in os.listdir(out) if name.startswith(".")]


def test_only_old_leftovers_of_our_own_are_removed_beside_a_run(tmp_path):
    for name in (".tmp-mine", ".tmp-convsmith-1-abcdef", ".tmp-convsmith-2-abcdef"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, None if "2" in name else (0, 0))
    create_run(tmp_path / "run", "digits", {})
    assert sorted(os.listdir(tmp_path)) == [".tmp-convsmith-2-abcdef", ".tmp-mine", "run"]


def test_a_path_that_is_taken_is_refused(tmp_path, run):
    with pytest.raises(UsageError, match=r"run is a run already; continue it with --resume .*run, or choose another"):
        create_run(run.path, "digits", {})
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    message = r"full: expected a new or empty folder, received one that holds thesis.txt; choose another with --out"
    with pytest.raises(UsageError, match=message):
        create_run(full, "digits", {})
    with pytest.raises(UsageError, match=r"thesis.txt: expected a new or empty folder, received a file"):
        create_run(full / "thesis.txt", "digits", {})
    with pytest.raises(UsageError, match=r"could not make a run directory there \(Not a directory\).* --out"):
        create_run(full / "thesis.txt" / "run", "digits", {})
    with pytest.raises(UnknownName, match=r"unknown record of a run 'recipes'; nearest: recipe"):
        create_run(tmp_path / "new", "digits", {"recipes": {}})
    assert os.listdir(full) == ["thesis.txt"]
    assert sorted(os.listdir(tmp_path)) == ["full", "run"]


@pytest.mark.parametrize("call", ["fsync", "replace", "rename", "mkdir"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_creation_that_fails_anywhere_leaves_no_run(tmp_path, monkeypatch, call, existing):
    original, messages = getattr(os, call), []
    for k in range(40):
        out = tmp_path / f"run{k}"
        if existing:
            out.mkdir()
        count = iter(range(1000))

        def failing(*args, count=count, k=k, **kwargs):
            if next(count) == k:
                raise OSError(28, "No space left on device")
            return original(*args, **kwargs)

        monkeypatch.setattr(os, call, failing)
        try:
            create_run(out, "digits", {"recipe": {}, "data": {}})
            break
        except UsageError as error:
            messages.append(str(error))
        finally:
            monkeypatch.setattr(os, call, original)
        # A failure after the last rename leaves a whole run; before it, nothing that could pass for one.
        assert not is_run(out) or open_run(out).record("data") == {}
        assert not list(tmp_path.rglob(".*"))
        assert is_run(out) or not out.exists() or not os.listdir(out)
    assert messages
    expected = "could not make a run directory there (No space left on device); expected a new or empty folder"
    assert all(expected in message for message in messages)


def test_opening_what_is_no_run_says_why(tmp_path, run):
    with pytest.raises(MissingPath, match=r"nothing: no such run; expected a run directory; `convsmith runs` lists"):
        open_run(tmp_path / "nothing")
    with pytest.raises(BadFile, match=r"recipe.json: expected a run directory, received a file"):
        open_run(run.path / "recipe.json")
    with pytest.raises(BadFile, match=r"is not a run directory: run.json is missing; it holds runs, such as .*run"):
        open_run(tmp_path)
    with pytest.raises(BadFile, match=r"run.json is missing; give a folder that `convsmith train` made"):
        open_run(run.path / "checkpoints")


@pytest.mark.parametrize(
    ("version", "mend"), [(FORMAT + 1, "update Convsmith"), (0, "use the version of Convsmith that wrote it")]
)
def test_another_format_is_refused_with_both_versions(run, version, mend):
    run_json = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(run_json | {"format": version}))
    with pytest.raises(BadFile, match=rf"is a run of format {version}, this Convsmith reads format {FORMAT}; {mend}"):
        open_run(run.path)


def test_damaged_records_are_named(run):
    (run.path / "split.json").write_text('{"train": [1, 2')
    with pytest.raises(BadFile, match=r"split.json: expected JSON, could not read it"):
        open_run(run.path)
    (run.path / "split.json").unlink()
    with pytest.raises(BadFile, match=r"split.json: is missing; records there: data, env, network, .*"):
        open_run(run.path)
    (run.path / "split.json").mkdir()
    with pytest.raises(BadFile, match=r"split.json: could not be read \(Is a directory\)"):
        open_run(run.path)
    (run.path / "run.json").write_text("[]")
    with pytest.raises(BadFile, match=r"run.json: expected the field 'format' with the number 1, received \[\]"):
        open_run(run.path)


@pytest.mark.parametrize("name", ["../escape", "run", "status", "last", "Result", ""])
def test_record_names_are_checked(run, name):
    with pytest.raises(UsageError, match=r"record name: expected lower-case letters, .* received"):
        run.write_record(name, {})


def test_records_that_json_cannot_hold_are_refused(run):
    for value in (float("nan"), {1, 2}):
        with pytest.raises(WrongType, match=r"record result: expected data that JSON can hold"):
            run.write_record("result", {"loss": value})
    assert not run.has("result")


def test_metrics_ignore_and_heal_a_torn_last_line(run):
    assert run.metrics() == []
    assert run.metrics_length() == 0
    rows = [{"step": n, "loss": 1 / (n + 1)} for n in range(3)]
    for row in rows:
        run.append_metrics(row)
    path = run.path / "metrics.jsonl"
    whole = path.read_bytes()
    begin = whole.rstrip().rfind(b"\n") + 1
    for cut in range(begin, len(whole)):
        path.write_bytes(whole[:cut])
        assert run.metrics() == rows[:2]
        assert run.metrics_length() == begin
        run.append_metrics(rows[2])
        assert path.read_bytes() == whole


def test_metrics_with_long_torn_lines_are_measured_from_the_end(run):
    run.append_metrics({"note": "x" * 200_000})
    length = run.metrics_length()
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b"y" * 200_000)
    assert run.metrics_length() == length


def test_metrics_are_cut_back_to_a_checkpoint(run):
    run.append_metrics({"step": 1})
    length = run.metrics_length()
    run.append_metrics({"step": 2})
    assert run.cut_metrics(length, 1) == ""
    assert run.metrics() == [{"step": 1}]
    assert run.cut_metrics(0, 0) == ""
    assert run.metrics() == []


@pytest.mark.parametrize(
    ("damaged", "left"),
    [
        (None, []),
        (b"", []),
        (b'{"step": 1}\n', [1]),
        (b'{"step": 1}\n{"ste', [1]),
        (b'{"step": 1}\n{"st\x00\xff\n{"step": 3}\n{"step": 4}\n', [1, 3]),
        (b'{"step": "1"}\n[]\nnull\n{"step": 2, "more": "' + b"x" * 40 + b'"}\n', [2]),
        (random.Random(0).randbytes(300), []),
    ],
)
def test_a_log_that_lost_rows_goes_on_with_what_can_be_read(run, damaged, left):
    for step in (1, 2, 3):
        run.append_metrics({"step": step})
    length, path = run.metrics_length(), run.path / "metrics.jsonl"
    run.append_metrics({"step": 4})
    path.unlink() if damaged is None else path.write_bytes(damaged)
    said = run.cut_metrics(length, 3)
    assert re.search(r"metrics.jsonl: expected 36 bytes of rows up to step 3, received \d+: rows were lost or", said)
    assert f"goes on after the {len(left)} that can be read" in said
    assert [row["step"] for row in run.metrics()] == left
    run.append_metrics({"step": 4})
    assert [row["step"] for row in run.metrics()] == [*left, 4]


def test_damaged_and_impossible_rows_are_refused(run):
    with pytest.raises(WrongType, match=r"metrics: expected a row that JSON can hold .* received \{'loss': nan\}"):
        run.append_metrics({"loss": float("nan")})
    (run.path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.warns(DamagedRecord, match=r"metrics.jsonl: line 2: expected a JSON object.*; left out 1 of 3 lines"):
        assert run.metrics() == [{"step": 1}, {"step": 3}]


def test_log_lines_carry_the_time(run):
    run.log("one\ntwo \udcff")
    lines = (run.path / "log.txt").read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in lines] == ["one", "two \\udcff"]


def test_writing_into_a_run_that_went_is_one_clear_error(tmp_path, run):
    os.rename(run.path, tmp_path / "elsewhere")
    for write in (
        lambda: run.write_record("result", {}),
        lambda: run.log("x"),
        lambda: run.append_metrics({}),
        lambda: run.set_status("running"),
    ):
        with pytest.raises(
            BadFile, match=r"could not be written \(No such file or directory\); mend: there is no folder"
        ):
            write()


def test_status_keeps_the_fields_not_given(run):
    run.set_status("running", pid=7, step=3, heartbeat=5)
    assert run.set_status("stopped", message="interrupted") == run.status()
    assert run.status() == Status("stopped", pid=7, step=3, heartbeat=5.0, message="interrupted")
    with pytest.raises(UnknownName, match=r"unknown key in status 'stepp'; nearest: step"):
        run.set_status("running", stepp=3)
    with pytest.raises(UnknownName, match=r"unknown value for status.state: 'done'"):
        run.set_status("done")
    (run.path / "status.json").write_text('{"state": "running", "step": "three"}')
    with pytest.warns(DamagedRecord, match=r"status.json: status.step: expected .*taken from the other files"):
        run.status()
    (run.path / "status.json").unlink()
    assert run.status() == Status("stopped", message="status.json is missing")


@pytest.mark.parametrize("content", [b"", b'{"state": "run', b"\x00\xff\xfe" * 50, b"[]", b"null", b'{"state": "x"}'])
def test_a_damaged_state_is_made_up_for(run, content):
    (run.path / "last.json").write_text('{"step": 40, "path": "checkpoints/00000040"}')
    (run.path / "status.json").write_bytes(content)
    with pytest.warns(DamagedRecord, match=r"status.json: .* \(state and progress are taken from the other files\)"):
        assert run.status() == Status("stopped", step=40, message="status.json was damaged")
    run.write_record("result", {"steps": 40})
    assert run.status(quiet=True).state == "finished"
    with pytest.warns(DamagedRecord):
        assert run.set_status("running", step=41).step == 41
    assert run.status() == Status("running", step=41, message="status.json was damaged")


def test_a_process_is_told_from_a_later_one_of_the_same_number():
    me = os.getpid()
    assert process_lives(me, process_start(me))
    assert process_lives(me, None)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    while process_start(child.pid):
        time.sleep(0.01)  # until it is a zombie, which counts as dead
    assert process_lives(child.pid, None) is False
    child.wait()
    assert process_lives(child.pid, None) is False
    assert process_lives(None, None) is None
    assert process_lives(me, "1@another") is False


def test_without_proc_a_signal_tells(monkeypatch):
    monkeypatch.setattr(status_module, "process_start", lambda pid: None)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert process_lives(os.getpid(), None) is True
    assert process_lives(1, None) is True
    assert process_lives(child.pid, None) is False
    monkeypatch.setattr(os, "name", "nt")
    assert process_lives(os.getpid(), None) is None


def test_effective_state_tells_killed_runs():
    host, me, now = status_module.socket.gethostname(), os.getpid(), time.time()
    assert effective_state(Status("finished")) == "finished"
    assert effective_state(Status("running", me, host, process_start(me))) == "running"
    assert effective_state(Status("running", me, host, "1@other")) == "killed"
    assert effective_state(Status("running", 1, "elsewhere", heartbeat=now - 60)) == "running"
    assert effective_state(Status("running", 1, "elsewhere", heartbeat=now - 121)) == "killed"
    assert effective_state(Status("running")) == "killed"


def test_list_shows_scores_states_and_broken_runs(tmp_path):
    root = tmp_path / "runs"
    assert list_runs(root) == []
    first = create_run(root / "b", "first", RECORD_DATA)
    first.append_metrics({"epoch": 1, "val_accuracy": 0.5, "train_accuracy": 0.9})
    first.append_metrics({"epoch": 2, "loss": 1.0})
    second = create_run(root / "a", "second", RECORD_DATA)
    second.write_record("result", ENDED | {"metrics": {"test": {"accuracy": 0.75, "count": 100}}})
    second.set_status("finished", epoch=3, seconds=12.5)
    broken = create_run(root / "c", "third", RECORD_DATA)
    (broken.path / "data.json").write_text("{")
    odd = create_run(root / "d", "fourth", {})
    (odd.path / "run.json").write_text('{"format": 1, "records": []}')
    half = root / "e"
    half.mkdir()
    (half / "recipe.json").write_text("{}")
    (root / "notes").mkdir()
    (root / ".tmp-x-1-ab").mkdir()
    listed = {summary.path.name: summary for summary in list_runs(root)}
    assert sorted(listed) == ["a", "b", "c", "d", "e"]
    assert [s.path.name for s in list_runs(root) if s.path.name in "ab"] == ["b", "a"]
    assert (listed["a"].state, listed["a"].epoch, listed["a"].seconds) == ("finished", 3, 12.5)
    assert listed["a"].score == known("accuracy", 0.75)
    assert [listed[n].state for n in "cde"] == ["unreadable"] * 3
    assert "data.json: expected JSON" in listed["c"].reason
    assert "d: KeyError('created')" in listed["d"].reason
    assert "run.json is missing" in listed["e"].reason
    assert [s.name for s in list_runs(root / "a")] == ["second"]
    assert listed["b"].score == known("accuracy", 0.5)
    assert listed["c"].score is None


@pytest.mark.parametrize(
    ("result", "row", "score"),
    [
        ({"metrics": {"val": {"map": 0.6, "accuracy": 0.1}, "test": {"map": 0.5, "accuracy": 0.2}}}, {}, ("map", 0.5)),
        ({"metrics": {"val": {"score": -3.5, "loss": 1.0}, "test": None}}, {}, ("score", -3.5)),
        ({"metrics": {"val": {"loss": 1.0}}}, {"train_accuracy": 0.9}, ("loss", 1.0)),
        (None, {"train_accuracy": 0.9, "val_accuracy": 0.3, "val_map": 0.7, "lr": 0.1}, ("map", 0.7)),
        (None, {"train_accuracy": 0.9, "val_loss": 0.3, "val_score": 7}, ("score", 7.0)),
        (None, {"train_accuracy": 0.9, "train_loss": 0.3}, ("accuracy", 0.9)),
    ],
)
def test_the_score_that_is_listed(tmp_path, result, row, score):
    run = create_run(tmp_path / "run", "named", RECORD_DATA)
    run.append_metrics({"epoch": 1, **row})
    if result:
        run.write_record("result", ENDED | result)
    (listed,) = list_runs(tmp_path)
    assert listed.score == known(*score)


def test_runs_are_listed_without_torch(tmp_path):
    code = (
        "import sys; from convsmith.runs import directory, listing, lock, generations;"
        f"listing.list_runs({str(tmp_path)!r}); sys.exit('torch' in sys.modules)"
    )
    source = str(Path(status_module.__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}).returncode == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
def test_a_log_that_is_a_pipe_is_refused_and_never_waited_for(tmp_path):
    run = create_run(tmp_path / "run", "digits", {})
    os.mkfifo(run.path / "metrics.jsonl")
    for use in (lambda: run.append_metrics({"step": 1}), lambda: run.cut_metrics(0, 1), run.metrics):
        with pytest.raises(BadFile, match=r"metrics\.jsonl: could not be"):
            use()


@pytest.mark.parametrize(
    ("name", "safe"), [("Meine Früchte", "Meine-Fruchte"), ("Ångström_1", "Angstrom_1"), ("花", "run")]
)
def test_the_folder_of_a_run_keeps_the_letters_of_its_name(name, safe, tmp_path):
    made = create_run(None, name, {}, tmp_path).path.name
    assert made[11:-7] == safe


def test_the_list_of_runs_has_the_time_of_the_result(digit_runs):
    for path in digit_runs:
        assert list_runs(path)[0].seconds == open_run(path).record("result")["seconds"]
