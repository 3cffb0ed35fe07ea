import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from convsmith.base.errors import BadFile, CheckFailed, UsageError
from convsmith.runs import lock
from convsmith.runs.directory import create_run
from convsmith.runs.lock import hold
from convsmith.runs.status import effective_state, process_start

SOURCE = str(Path(lock.__file__).parents[2])


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", "digits", {})


def start(code, run, **kwargs):
    head = "import sys, time, os\nfrom pathlib import Path\nfrom convsmith.base.errors import UsageError\n"
    head += "from convsmith.runs.directory import open_run\nfrom convsmith.runs.lock import hold\n"
    return subprocess.Popen(
        [sys.executable, "-c", f"{head}run = open_run({str(run.path)!r})\n{textwrap.dedent(code)}"],
        env={**os.environ, "PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


HOLDING = """
with hold(run, 100) as holder:
    print("held", flush=True)
    time.sleep(600)
"""


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_run_is_left_finished(run, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 600.0)
    with hold(run, 100) as holder:
        status = run.status()
        assert (status.state, status.pid, status.host) == ("running", os.getpid(), socket.gethostname())
        assert (status.process_start, status.total_steps) == (process_start(os.getpid()), 100)
        holder.beat(40, 2)
        assert run.status().step == 0  # no more than a write in BEAT_SECONDS
    left = run.status()
    assert (left.state, left.step, left.epoch, left.message) == ("finished", 40, 2, "")
    assert left.seconds > 0
    with hold(run, 200) as holder:
        time.sleep(0.01)
    again = run.status()
    assert (again.state, again.step, again.total_steps, again.started) == ("finished", 40, 200, left.started)
    assert again.seconds >= left.seconds + 0.01


def test_beats_are_written_after_a_while(run, monkeypatch):
    with hold(run, 100) as holder:
        monkeypatch.setattr(lock, "BEAT_SECONDS", 0.0)
        holder.beat(7, 1)
        assert (run.status().step, run.status().epoch, run.status().state) == (7, 1, "running")
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        holder.beat(8, 1)
        monkeypatch.undo()
        assert run.status().step == 7
        (run.path / "status.json").write_text("{")
        monkeypatch.setattr(lock, "BEAT_SECONDS", 0.0)
        holder.beat(9, 1)
        assert (run.status().step, run.status().pid) == (9, os.getpid())


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (ValueError("loss is inf\nat step 3"), "failed", "ValueError: loss is inf"),
        (SystemExit(), "failed", "SystemExit"),
    ],
)
def test_a_run_that_ends_early_says_how(run, error, state, message):
    with pytest.raises(type(error)), hold(run, 10):
        raise error
    assert (run.status().state, run.status().message) == (state, message)
    with hold(run, 10):
        assert run.status().message == ""


def test_a_second_holder_is_refused_in_the_same_process_too(run):
    message = (
        rf"run is held by process {os.getpid()} on .* \(step 0 of 10, last sign of life \d s ago\); expected a run"
    )
    with hold(run, 10), pytest.raises(UsageError, match=message), hold(run, 10):
        pass
    assert run.status().state == "finished"


def test_a_run_held_by_a_living_process_is_refused_and_a_killed_one_taken_over(run):
    process = start(HOLDING, run)
    try:
        assert process.stdout.readline() == "held\n"
        message = rf"held by process {process.pid} on {socket.gethostname()} .*; wait for it, stop it there with Ctrl-C"
        with pytest.raises(UsageError, match=message) as caught, hold(run, 10):
            pass
        assert caught.value.exit_code == 2
        assert effective_state(run.status()) == "running"
        process.send_signal(signal.SIGKILL)
        while process_start(process.pid):
            time.sleep(0.01)
        assert effective_state(run.status()) == "killed"  # a zombie still
        with hold(run, 10):
            assert run.status().pid == os.getpid()
    finally:
        end(process)
    assert (
        f"process {process.pid} on {socket.gethostname()} was killed after step 0" in (run.path / "log.txt").read_text()
    )


def test_an_interrupt_leaves_the_run_stopped(run):
    process = start(HOLDING, run, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGINT)
        process.wait(300)
    finally:
        end(process)
    assert run.status().state == "stopped"


def test_a_forked_child_neither_keeps_the_lock_nor_writes_the_state(run):
    code = """
    with hold(run, 100) as holder:
        child = os.fork()
        if not child:
            holder.leave("failed")
            print(os.getpid(), flush=True)
            time.sleep(600)
        time.sleep(600)
    """
    process = start(code, run)
    child = None
    try:
        child = int(process.stdout.readline())
        assert run.status().state == "running"
        process.send_signal(signal.SIGKILL)
        while process_start(process.pid):
            time.sleep(0.01)
        with hold(run, 10):
            pass
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
        end(process)


def test_of_processes_that_race_exactly_one_wins(run):
    code = """
    print("ready", flush=True)
    while not (run.path / "go").exists():
        pass
    try:
        with hold(run, 100):
            print("won", flush=True)
            while not (run.path / "end").exists():
                time.sleep(0.01)
    except UsageError as error:
        print(error, flush=True)
    """
    for attempt in range(3):
        processes = [start(code, run) for _ in range(4)]
        try:
            for process in processes:
                assert process.stdout.readline() == "ready\n"
            (run.path / "go").touch()
            losers = [p for p in processes if (line := p.stdout.readline()) != "won\n" and check_loser(line)]
            assert len(losers) == 3, f"attempt {attempt}"
            (run.path / "end").touch()
            for process in processes:
                process.wait(300)
        finally:
            for process in processes:
                end(process)
        assert run.status().state == "finished"
        (run.path / "go").unlink()
        (run.path / "end").unlink()


def check_loser(line):
    assert "is held by process" in line
    return True


def test_a_holder_on_another_host_counts_until_its_heartbeat_is_old(run):
    run.set_status("running", pid=1, host="elsewhere", heartbeat=time.time() - 60, step=5, total_steps=9)
    message = r"process 1 on elsewhere \(step 5 of 9, last sign of life 6\d s ago\).*try again 120 s after its last"
    with pytest.raises(UsageError, match=message), hold(run, 9):
        pass
    run.set_status("running", heartbeat=time.time() - 200)
    with hold(run, 9):
        assert run.status().host == socket.gethostname()


def test_with_patience_another_host_is_waited_for(run, monkeypatch):
    run.set_status("running", pid=1, host="elsewhere", heartbeat=time.time() - 118.5, step=5, total_steps=9)
    with hold(run, 9, patience=30.0):
        assert run.status().host == socket.gethostname()
    run.set_status("running", pid=1, host="elsewhere", heartbeat=time.time())
    with pytest.raises(UsageError, match="is held by process 1 on elsewhere"), hold(run, 9, patience=0.1):
        pass
    # A process of this host is seen to live: waiting would tell nothing more.
    run.set_status("finished")
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: pytest.fail("waited"))
    with hold(run, 9), pytest.raises(UsageError, match="is held by process"), hold(run, 9, patience=30.0):
        pass


def test_a_holder_that_lost_the_run_stops_and_leaves_the_state_alone(run, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.0)
    with hold(run, 9) as holder:
        taken = run.set_status("running", pid=1, host="elsewhere", heartbeat=time.time())
        with pytest.raises(CheckFailed, match=r"another process took this run over while this one was silent"):
            holder.beat(3, 0)
    assert run.status() == taken


@pytest.mark.parametrize("locks", ["absent", "refused"])
def test_without_locks_the_state_tells(run, monkeypatch, locks):
    if locks == "absent":
        monkeypatch.setattr(lock, "fcntl", None)
    else:
        monkeypatch.setattr(lock.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
    with hold(run, 9), pytest.raises(UsageError, match=rf"held by process {os.getpid()}"), hold(run, 9):
        pass
    assert run.status().state == "finished"


def test_a_winner_that_has_not_written_its_name_yet_is_waited_for(run, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.1)
    descriptor = os.open(run.path / "lock", os.O_RDWR | os.O_CREAT)
    lock.fcntl.flock(descriptor, lock.fcntl.LOCK_EX)
    with pytest.raises(UsageError, match=r"run is held by another process; expected"), hold(run, 9):
        pass
    os.close(descriptor)
    with hold(run, 9):
        pass


def test_a_run_that_cannot_be_locked_is_named(tmp_path, run):
    os.rename(run.path, tmp_path / "elsewhere")
    message = r"lock: could not be opened \(No such file or directory\); expected a run"
    with pytest.raises(BadFile, match=message), hold(run, 9):
        pass
