"""Several processes take the steps that one takes; they end together, and what they wrote can be resumed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.base.processes import Part, launch, local_part, part
from convsmith.data.dataset import open_data
from convsmith.data.loaders import evaluation_loader, training_loader
from convsmith.data.options import DataOptions
from convsmith.recipes.evaluate import evaluate_run
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.run import made_before, train
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.runs.status import effective_state
from convsmith.training.launch import without_count
from convsmith.training.options import EngineOptions
from convsmith.training.step import step_seed

SOURCE = Path(__file__).resolve().parents[2] / "src"
TIMES = {"seconds", "images_per_second", "data_wait"}
# Patience for a machine that has much else to do.
LIMIT = 300
COMMON = ["--precision", "fp32", "--engine.threads", "1", "--device", "cpu", "--quiet", "--json"]
COMMON += ["--engine.timeout", str(LIMIT)]
# Batches that two processes cannot share evenly.
LENET = ["train", "lenet5", "--data", "digits", "--batch", "33", "--length", "7steps", "--lr", "0.05", *COMMON]
CASES = {
    # About 800 images to evaluate in four batches, of which two processes take two each; both counts are odd or prime.
    "mixed images, clip, accumulate, ema": [
        "--data.split", "10/45/45", "--augment", "crop(2),flip,mixup(0.4),cutmix(1.0)", "--label_smoothing", "0.1",
        "--optimiser.clip", "0.5", "--optimiser.accumulate", "3", "--optimiser.average", "ema(0.8)",
    ],
    "sam, lookahead, muon": [
        "--optimiser.sam", "0.05", "--optimiser.lookahead", "lookahead(2)", "--optimiser.kind", "muon", "--lr", "0.003",
    ],
}  # fmt: skip
# Everything random and everything with a memory, batch norms among it; a checkpoint in the middle of each epoch.
RESUMED = [
    "--epochs", "2", "--batch", "8", "--lr", "0.05", "--augment", "crop(2),flip", "--edit", "drop_path=0.3",
    "--checkpoint_every", "2steps", "--seed", "3", *COMMON,
]  # fmt: skip


def environment(rank, size, port):
    """What torchrun says to a process."""
    stated = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
    return {**{key: str(value) for key, value in stated.items()}, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@pytest.fixture
def group(forks):
    """`group(*words)` starts the command in two processes; what they say begins an empty `forks.log`."""

    def start(*words, size=2):
        forks.log.write_text("")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [forks.start(*words, environment=environment(rank, size, port)) for rank in range(size)]

    return start


def said(forks):
    """The only message of the command that all processes wrote."""
    found = re.findall(r"^convsmith: (.*)$", forks.log.read_text(), re.MULTILINE)
    assert len(found) == 1, forks.log.read_text()
    return found[0]


def last_step(path):
    try:
        return json.loads((path / "last.json").read_text())["step"]
    except FileNotFoundError:
        return 0


def numbers(path):
    """A run's tensors and rows without times."""
    saved, run = load_checkpoint(open_run(path)), open_run(path)
    rows = [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()]
    return {**saved.model, **saved.state}, rows


def bits(tensors):
    return {name: (t.dtype, t.shape, t.contiguous().numpy().tobytes()) for name, t in tensors.items()}


# ------------------------------------------------------------------------------------------------- the same steps


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_steps_of_one(case, group, command, forks, tmp_path):
    words = [*LENET, *CASES[case], "--evaluate_every", "3steps"]
    both = group(*words, "--out", tmp_path / "two")
    assert command(*words, "--out", tmp_path / "one").code == 0
    assert [process.wait(LIMIT) for process in both] == [0, 0], forks.log.read_text()
    (mine, rows), (theirs, wanted) = numbers(tmp_path / "two"), numbers(tmp_path / "one")
    assert [row.keys() for row in rows] == [row.keys() for row in wanted]
    for row, want in zip(rows, wanted, strict=True):
        assert row == pytest.approx(want, rel=1e-4)
    assert mine.keys() == theirs.keys()
    for name in theirs:
        assert torch.allclose(mine[name].double(), theirs[name].double(), rtol=1e-3, atol=2e-5), name
    # Each image once, whichever process it went through.
    states = [load_checkpoint(open_run(tmp_path / name)).meta["state"] for name in ("one", "two")]
    assert [state["images"] for state in states] == [7 * 33] * 2
    # One process printed its result, as one that is alone does.
    printed = [json.loads(line) for line in forks.log.read_text().splitlines() if line.startswith("{")]
    assert [result["run"] for result in printed] == [str(tmp_path / "two")]
    # The evaluation of the same weights by one process gives the same bits.
    result = open_run(tmp_path / "two").record("result")
    for split in ("val", "test"):
        alone = evaluate_run(tmp_path / "two", split=split, engine=EngineOptions(device="cpu", threads=1)).result
        assert json.loads(json.dumps(alone.to_json())) == result["metrics"][split]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("loader", ["resident", "streaming"])
def test_the_parts_of_an_epoch_make_the_whole(size, loader):
    data = open_data(DataOptions(source="digits", loader=loader, workers=0))

    def batches(part):
        made = training_loader(
            data.train, data.preprocess, DataOptions(loader=loader, workers=0), batch=50, seed=1, part=part
        )
        assert (made.batch, made.steps, made.examples) == (50, 28, 1400)
        return list(made.epoch(2, start=25))

    whole, parts = batches(Part()), [batches(Part(rank, size)) for rank in range(size)]
    for step, batch in enumerate(whole):
        slices = [part[step] for part in parts]
        assert max(len(s.targets) for s in slices) - min(len(s.targets) for s in slices) <= 1
        for field in range(4):
            assert torch.equal(torch.cat([s[field] for s in slices]), batch[field])


def test_a_batch_has_an_image_for_each_process():
    data = open_data(DataOptions(source="digits"))
    with pytest.raises(UsageError, match=r"^batch: each of 3 processes takes a slice of it, so expected at least 3"):
        training_loader(data.train, data.preprocess, DataOptions(), batch=2, seed=1, part=Part(0, 3))


@pytest.mark.parametrize("size", [2, 3])
def test_whole_batches_are_evaluated_in_turn(size):
    data = open_data(DataOptions(source="digits"))

    def batches(part):
        return list(evaluation_loader(data.test, data.preprocess, DataOptions(), batch=20, part=part).epoch(0))

    whole, parts = batches(Part()), [batches(Part(rank, size)) for rank in range(size)]
    assert sum(len(b.targets) for b in whole) == 179
    assert sum(map(len, parts)) == len(whole) == 9
    for number, batch in enumerate(whole):
        assert torch.equal(parts[number % size][number // size].positions, batch.positions)
        assert torch.equal(parts[number % size][number // size].images, batch.images)


@pytest.mark.parametrize(("begin", "end", "size"), [(0, 9, 2), (64, 128, 3), (5, 5, 4), (7, 9, 8)])
def test_slices_cover_a_range_in_order(begin, end, size):
    slices = [Part(rank, size).slice(begin, end) for rank in range(size)]
    assert [n for low, high in slices for n in range(low, high)] == list(range(begin, end))
    assert max(high - low for low, high in slices) - min(high - low for low, high in slices) <= 1


def test_dropout_differs_by_process_and_is_that_of_one_in_the_first():
    seeds = [step_seed(3, 17, rank) for rank in range(4)]
    assert seeds[0] == step_seed(3, 17)
    assert len(set(seeds)) == 4


# ------------------------------------------------------------------------------------------- ends and beginnings


def test_a_killed_run_goes_on_with_the_same_bits_and_one_process_can_take_over(
    group, command, forks, pictures, trees, tmp_path
):
    words = ["train", f"{trees}:resnet8", "--data", pictures, *RESUMED]
    straight = group(*words, "--out", tmp_path / "straight")
    assert [process.wait(LIMIT) for process in straight] == [0, 0], forks.log.read_text()
    run = tmp_path / "run"
    both = group(*words, "--out", run)
    assert both[0].until(lambda: last_step(run) >= 4, LIMIT)
    for process in both:
        process.kill()
    assert effective_state(open_run(run).status()) == "killed"
    refusal = command("train", "--resume", run)
    assert refusal.code == 2
    assert "processes was 2, is 1" in refusal.err
    alone = tmp_path / "alone"
    subprocess.run(["cp", "-r", run, alone], check=True)
    assert command("train", "--resume", alone, "--allow-drift", "--quiet", "--json").code == 0
    assert [row["epoch"] for row in open_run(alone).metrics()] == [1, 2]
    resumed = group("train", "--resume", run, "--quiet", "--json")
    assert [process.wait(LIMIT) for process in resumed] == [0, 0], forks.log.read_text()
    (mine, rows), (theirs, wanted) = numbers(run), numbers(tmp_path / "straight")
    assert bits(mine) == bits(theirs)
    assert rows == wanted


def test_a_signal_to_one_process_stops_all_at_one_checkpoint(group, forks, tmp_path):
    run = tmp_path / "run"
    both = group("train", "lenet5", "--data", "digits", "--epochs", "1000", *COMMON, "--out", run)
    assert both[1].until(lambda: last_step(run) > 0, LIMIT)
    both[1].send(signal.SIGTERM)
    assert [process.wait(LIMIT) for process in both] == [130, 130], forks.log.read_text()
    message = said(forks)
    assert message == f"stopped at step {last_step(run)}; go on with: convsmith train --resume {run}"
    assert open_run(run).status().state == "stopped"


def test_an_explosion_is_said_once_and_ends_all(group, forks, tmp_path):
    both = group(*LENET, "--lr", "1e6", "--out", tmp_path / "run")
    assert [process.wait(LIMIT) for process in both] == [1, 1], forks.log.read_text()
    message = said(forks)
    assert "the step was not taken" in message
    assert "The last good state is in" in message
    assert open_run(tmp_path / "run").status().state == "failed"
    assert (tmp_path / "run" / "report.html").exists()


def test_a_mistake_is_said_once_and_leaves_nothing(group, forks, tmp_path):
    both = group(*LENET, "--optimiser.rules", "rule('nothing', lr=1)", "--out", tmp_path / "run")
    assert [process.wait(LIMIT) for process in both] == [2, 2], forks.log.read_text()
    message = said(forks)
    assert "no parameter is called 'nothing'" in message
    assert not (tmp_path / "run").exists()


def test_an_error_of_one_process_is_said_by_it_and_ends_all(group, forks, pictures, tmp_path):
    module = tmp_path / "failing.py"
    module.write_text(
        "import os\nfrom torch import nn\nfrom convsmith.base.errors import BadFile\n\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes, channels):\n"
        "        super().__init__()\n"
        "        self.out, self.calls = nn.Linear(channels, classes), 0\n\n"
        "    def forward(self, images):\n"
        "        self.calls += self.training\n"
        "        if self.calls > 4 and os.environ.get('RANK') == '1':\n"
        "            raise BadFile('thing.png', 'cannot be read')\n"
        "        return self.out(images.mean((2, 3)))\n\n\n"
        "def make(classes, channels):\n    return Net(classes, channels)\n"
    )
    both = group("train", f"{module}:make", "--data", pictures, "--batch", "8", *COMMON, "--out", tmp_path / "run")
    assert [process.wait(LIMIT) for process in both] == [1, 1], forks.log.read_text()
    assert said(forks) == "process 1 of 2: thing.png: cannot be read"
    status = open_run(tmp_path / "run").status()
    assert status.state == "failed"
    assert "thing.png: cannot be read" in status.message


@pytest.mark.parametrize(
    ("number", "patience", "wanted"),
    [(signal.SIGKILL, LIMIT, "process 1 of 2 is gone"), (signal.SIGSTOP, 10, "another process does not answer")],
    ids=["dies", "hangs"],
)
def test_a_process_that_dies_or_hangs_is_noticed(number, patience, wanted, group, forks, tmp_path):
    run = tmp_path / "run"
    words = ["train", "lenet5", "--data", "digits", "--epochs", "1000", *COMMON, "--out", run]
    first, second = group(*words, "--engine.timeout", patience)
    try:
        assert first.until(lambda: last_step(run) > 0, LIMIT)
        second.send(number)
        assert first.wait(LIMIT) == 1, forks.log.read_text()
    finally:
        second.kill()
    message = said(forks)
    assert wanted in message
    assert f"engine.timeout is {patience} s" in message
    status = open_run(run).status()
    assert status.state == "failed"
    assert wanted in status.message
    assert load_checkpoint(open_run(run)).step == last_step(run)


# ------------------------------------------------------------------------------------------------------- torchrun


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
def test_torchrun_restarts_what_died_and_leaves_no_process_where_it_is_killed(tmp_path):
    run = tmp_path / "run"
    words = ["lenet5", "--data", "digits", "--epochs", "1000", "--checkpoint_every", "2steps", *COMMON, "--out", run]
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
def test_nproc_ends_as_one_command_and_leaves_no_process(tmp_path):
    run = tmp_path / "run"
    words = ["lenet5", "--data", "digits", "--epochs", "1000", *COMMON, "--out", run]
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
        (("--engine.timeout", "0"), "engine.timeout: expected 1 to 86400 seconds, received 0"),
    ],
)
def test_what_nproc_refuses(words, message, refused, here):
    assert message in refused("train", "lenet5", "--data", "digits", *words)


@pytest.mark.parametrize(
    ("stated", "words", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, ("--nproc", "2"), "torchrun has started 2 processes already"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, (), "the environment says RANK=2 and WORLD_SIZE=2"),
        ({"WORLD_SIZE": "two"}, (), "the environment says WORLD_SIZE=two; expected a whole number"),
        ({"TORCHELASTIC_MAX_RESTARTS": "3"}, (), "give it --out DIR"),
    ],
)
def test_what_the_environment_of_torchrun_may_say(stated, words, message, refused, here, monkeypatch):
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    assert message in refused("train", "lenet5", "--data", "digits", "--quick", *words)


def test_the_parts_that_the_environment_states(monkeypatch):
    assert (part(), local_part(), launch()) == (Part(0, 1), Part(0, 1), None)
    for name, value in environment(1, 2, 1234).items():
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
    assert not made_before(run.path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert made_before(run.path)
    assert not made_before(tmp_path / "other")
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
