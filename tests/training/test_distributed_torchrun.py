"""torchrun starts the processes and starts them again; what it, and --nproc, may not be asked for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convsmith.base.errors import UsageError
from convsmith.base.processes import Part, launch, local_part, part
from convsmith.recipes.recipe import Recipe
from convsmith.runs.directory import open_run
from convsmith.runs.status import effective_state
from convsmith.training.launch import without_count
from convsmith.work.run import made_before, train

SOURCE = Path(__file__).resolve().parents[2] / "src"
LIMIT = 300


def children(pid):
    """The processes that a process started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def start(*words):
    """A command of its own, as a shell starts it."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_for(condition, process, limit=LIMIT):
    deadline = time.monotonic() + limit
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_torchrun_restarts_what_died_and_leaves_no_process_where_it_is_killed(common, last_step, tmp_path):
    run = tmp_path / "run"
    words = ["lenet5", "--data", "digits", "--epochs", "1000", "--checkpoint_every", "2steps", *common, "--out", run]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1", "-m", "convsmith"]
    process = start(*torchrun, "train", *words)
    wait_for(lambda: last_step(run) > 2, process)
    before = children(process.pid)
    os.kill(before[1], signal.SIGKILL)
    # The same command has taken the run up again, from the last checkpoint on.
    wait_for(lambda: (workers := children(process.pid)) and not set(workers) & set(before), process)
    step = last_step(run)
    wait_for(lambda: last_step(run) > step, process)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + LIMIT
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(lives, workers))
    assert effective_state(open_run(run).status()) != "running"
    epochs = [row["epoch"] for row in open_run(run).metrics()]
    assert epochs == list(range(1, len(epochs) + 1))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_nproc_ends_as_one_command_and_leaves_no_process(common, last_step, tmp_path):
    run = tmp_path / "run"
    words = ["lenet5", "--data", "digits", "--epochs", "1000", *common, "--out", run]
    process = start("convsmith", "train", *words, "--nproc", "2")
    wait_for(lambda: last_step(run) > 0, process)
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (130, "")
    assert err == f"convsmith: stopped at step {last_step(run)}; go on with: convsmith train --resume {run}\n"
    assert open_run(run).status().state == "stopped"
    assert not any(map(lives, workers))


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nproc", "0"), "--nproc must be at least 1, received 0"),
        (("--nproc", "5000"), "start at most one process for each"),
        (("--nproc", "2", "--repeat", "2"), "--repeat works in one process, received 2"),
        (("--nproc", "2", "--dry-run"), "--dry-run works in one process, received 2"),
        (("--engine.timeout", "0"), "engine.timeout: expected a number from 1 to 86400, received 0"),
    ],
)
def test_what_nproc_refuses(words, message, refused, here):
    assert message in refused("train", "lenet5", "--data", "digits", *words)


@pytest.mark.parametrize(
    ("found", "words", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, ("--nproc", "2"), "torchrun has started 2 processes already"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, (), "the environment says RANK=2 and WORLD_SIZE=2"),
        ({"WORLD_SIZE": "two"}, (), "the environment says WORLD_SIZE=two; expected a whole number"),
        ({"TORCHELASTIC_MAX_RESTARTS": "3"}, (), "give it --out DIR"),
        ({"TORCHELASTIC_MAX_RESTARTS": "3"}, ("--out", "run"), "give torchrun --rdzv-id NAME, or --standalone"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, ("--autotune",), "engine.autotune: works in one process, received 2"),
    ],
)
def test_what_the_environment_of_torchrun_may_say(found, words, message, refused, here, monkeypatch):
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert message in refused("train", "lenet5", "--data", "digits", "--quick", *words)


def test_an_experiment_is_for_one_process(stated, refused, here, monkeypatch):
    for name, value in stated(0, 2, 1234).items():
        monkeypatch.setenv(name, value)
    message = refused("reproduce", "regularization", "--quick", "--quiet")
    what = "the experiment regularization"
    assert message == f"{what}: works in one process, received 2; give the command without torchrun"


def test_the_parts_that_the_environment_states(stated, monkeypatch):
    assert (part(), local_part(), launch()) == (Part(0, 1), Part(0, 1), None)
    for name, value in stated(1, 2, 1234).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    assert (part(), local_part(), launch()) == (Part(1, 4), Part(1, 2), "torchrun abc")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert launch() == "slurm 77"


def test_only_the_same_command_of_the_same_job_takes_its_run_up_again(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    run = train(Recipe(network="lenet5").edit(quick=True), out=tmp_path / "run", quiet=True).run
    assert run.record("env")["launch"] == "torchrun abc"
    with pytest.raises(UsageError, match="is a run already"):
        train(Recipe(network="lenet5").edit(quick=True), out=run.path, quiet=True)
    assert made_before(run.path)
    assert not made_before(tmp_path / "other")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train(Recipe(network="lenet5").edit(quick=True), out=run.path, quiet=True).result == run.record("result")
    monkeypatch.setattr(sys, "argv", ["convsmith", "train", "--lr", "1"])
    assert not made_before(run.path)
    with pytest.raises(UsageError, match="is a run already"):
        train(Recipe(network="lenet5").edit(quick=True), out=run.path, quiet=True)
    monkeypatch.undo()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not made_before(run.path)


def test_the_words_that_are_left_for_the_processes():
    assert without_count(["digits", "--nproc", "2", "--lr", "1"]) == ["digits", "--lr", "1"]
    assert without_count(["--nproc=2", "digits"]) == ["digits"]
