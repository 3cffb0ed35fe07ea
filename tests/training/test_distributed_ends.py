"""Several processes end together, and what they wrote can be resumed."""

import contextlib
import signal
import subprocess

import pytest

from convsmith import cli
from convsmith.base.errors import ProcessFailed
from convsmith.base.processes import end_at_once
from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.runs.status import effective_state
from convsmith.training.distributed import World
from convsmith.training.track import Untracked
from convsmith.work import run as running

TIMES = {"seconds", "images_per_second", "data_wait"}
# Everything random and everything with a memory, batch norms among it; a checkpoint in the middle of each epoch.
RESUMED = [
    "--epochs", "2", "--batch", "8", "--lr", "0.05", "--augment", "crop(2),flip", "--edit", "drop_path=0.3",
    "--checkpoint_every", "2steps", "--seed", "3",
]  # fmt: skip


def numbers(path):
    """A run's tensors and rows without times."""
    saved, run = load_checkpoint(open_run(path)), open_run(path)
    rows = [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()]
    return {**saved.model, **saved.state}, rows


def bits(tensors):
    return {name: (t.dtype, t.shape, t.contiguous().numpy().tobytes()) for name, t in tensors.items()}


def test_a_killed_run_goes_on_with_the_same_bits_and_one_process_can_take_over(
    group, command, forks, limit, common, last_step, pictures, trees, tmp_path
):
    words = ["train", f"{trees}:resnet8", "--data", pictures, *RESUMED, *common]
    straight = group(*words, "--out", tmp_path / "straight")
    assert [process.wait(limit) for process in straight] == [0, 0], forks.log.read_text()
    run = tmp_path / "run"
    both = group(*words, "--out", run)
    assert both[0].until(lambda: last_step(run) >= 4, limit)
    for process in both:
        process.kill()
    assert effective_state(open_run(run).status()) == "killed"
    refusal = command("train", "--resume", run)
    assert refusal.code == 2
    assert "processes was 2, is 1" in refusal.err
    alone = tmp_path / "alone"
    subprocess.run(["cp", "-r", run, alone], check=True)
    assert command("train", "--resume", alone, "--allow-other-machine", "--quiet", "--json").code == 0
    assert [row["epoch"] for row in open_run(alone).metrics()] == [1, 2]
    resumed = group("train", "--resume", run, "--quiet", "--json")
    assert [process.wait(limit) for process in resumed] == [0, 0], forks.log.read_text()
    (mine, rows), (theirs, wanted) = numbers(run), numbers(tmp_path / "straight")
    assert bits(mine) == bits(theirs)
    assert rows == wanted


def test_a_signal_to_one_process_stops_all_at_one_checkpoint(group, forks, limit, common, last_step, said, tmp_path):
    run = tmp_path / "run"
    both = group("train", "lenet5", "--data", "digits", "--epochs", "1000", *common, "--out", run)
    assert both[1].until(lambda: last_step(run) > 0, limit)
    both[1].send(signal.SIGTERM)
    assert [process.wait(limit) for process in both] == [130, 130], forks.log.read_text()
    message = said()
    assert message == f"stopped at step {last_step(run)}; go on with: convsmith train --resume {run}"
    assert open_run(run).status().state == "stopped"


def test_an_explosion_is_said_once_and_ends_all(group, forks, limit, lenet, said, tmp_path):
    both = group(*lenet, "--lr", "1e6", "--out", tmp_path / "run")
    assert [process.wait(limit) for process in both] == [1, 1], forks.log.read_text()
    message = said()
    assert "the step was not taken" in message
    assert "The last good state is in" in message
    assert open_run(tmp_path / "run").status().state == "failed"
    assert (tmp_path / "run" / "report.html").exists()


def test_a_gradient_of_nan_in_one_process_stops_all_before_the_same_update(
    group, forks, limit, common, said, pictures, tmp_path
):
    module = tmp_path / "bent.py"
    module.write_text(
        "import os\nfrom torch import nn\n\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes, channels):\n"
        "        super().__init__()\n"
        "        self.out, self.calls = nn.Linear(channels, classes), 0\n\n"
        "    def forward(self, images):\n"
        "        self.calls += self.training\n"
        "        outputs = self.out(images.mean((2, 3)))\n"
        "        if self.training and self.calls == 5 and os.environ.get('RANK') == '1':\n"
        "            outputs.register_hook(lambda gradient: gradient * float('nan'))\n"
        "        return outputs\n\n\n"
        "def make(classes, channels):\n    return Net(classes, channels)\n"
    )
    words = ["--data", pictures, "--batch", "8", "--checkpoint_every", "1steps", *common]
    both = group("train", f"{module}:make", *words, "--out", tmp_path / "run")
    assert [process.wait(limit) for process in both] == [1, 1], forks.log.read_text()
    message = said()
    assert message.startswith("step 5 (epoch 1): the norm of the gradient is nan, where the training loss is")
    assert "the step was not taken" in message
    assert load_checkpoint(open_run(tmp_path / "run")).step == 4


def test_a_mistake_is_said_once_and_leaves_nothing(group, forks, limit, lenet, said, tmp_path):
    both = group(*lenet, "--optimizer.rules", "rule('nothing', lr=1)", "--out", tmp_path / "run")
    assert [process.wait(limit) for process in both] == [2, 2], forks.log.read_text()
    message = said()
    assert "no parameter is called 'nothing'" in message
    assert not (tmp_path / "run").exists()


def test_an_error_of_one_process_is_said_by_it_and_ends_all(group, forks, limit, common, said, pictures, tmp_path):
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
    both = group("train", f"{module}:make", "--data", pictures, "--batch", "8", *common, "--out", tmp_path / "run")
    assert [process.wait(limit) for process in both] == [1, 1], forks.log.read_text()
    assert said() == "process 1 of 2: thing.png: cannot be read"
    status = open_run(tmp_path / "run").status()
    assert status.state == "failed"
    assert "thing.png: cannot be read" in status.message


@pytest.mark.parametrize(
    ("number", "patience", "wanted"),
    [(signal.SIGKILL, None, "process 1 of 2 is gone"), (signal.SIGSTOP, 10, "another process does not answer")],
    ids=["dies", "hangs"],
)
def test_a_process_that_dies_or_hangs_is_noticed(
    number, patience, wanted, group, forks, limit, common, last_step, said, tmp_path
):
    patience = limit if patience is None else patience
    run = tmp_path / "run"
    words = ["train", "lenet5", "--data", "digits", "--epochs", "1000", *common, "--out", run]
    first, second = group(*words, "--engine.timeout", patience)
    try:
        assert first.until(lambda: last_step(run) > 0, limit)
        second.send(number)
        assert first.wait(limit) == 1, forks.log.read_text()
    finally:
        second.kill()
    message = said()
    assert wanted in message
    assert f"engine.timeout is {patience} s" in message
    status = open_run(run).status()
    assert status.state == "failed"
    assert wanted in status.message
    assert load_checkpoint(open_run(run)).step == last_step(run)


def test_what_one_process_lacks_is_said_by_it_before_any_waits(group, forks, limit, lenet, said, tmp_path):
    both = group(*lenet, "--out", tmp_path / "run", more=["--device", "cuda:1"])
    assert [process.wait(limit) for process in both] == [2, 2], forks.log.read_text()
    wanted = "engine.device: each process takes a GPU of its own: expected auto, cpu or cuda, not cuda:1"
    assert said() == f"process 1 of 2: {wanted}"
    assert not (tmp_path / "run").exists()


def test_a_restart_that_only_one_torchrun_counted_goes_on_in_all(group, forks, limit, lenet, said, printed, tmp_path):
    words, job = [*lenet, "--out", tmp_path / "run"], {"TORCHELASTIC_RUN_ID": "abc"}
    first = group(*words, alike=job)
    assert [process.wait(limit) for process in first] == [0, 0], forks.log.read_text()
    (result,) = printed()
    again = group(*words, alike=job)
    assert [process.wait(limit) for process in again] == [2, 2], forks.log.read_text()
    assert "is a run already" in said()
    restarted = group(*words, alike=job, differing={"TORCHELASTIC_RESTART_COUNT": "1"})
    assert [process.wait(limit) for process in restarted] == [0, 0], forks.log.read_text()
    assert printed() == [result]


def test_each_takes_its_time_until_all_meet(monkeypatch, tmp_path):
    """What only the first process does comes before the meeting, what waits no longer than for a step after it."""
    calls: list[str] = []

    class Noting(World):
        def meet(self):
            calls.append("meet")

        def parallel(self, model):
            calls.append("parallel")
            return model

        def same_statistics(self, model, mean=False):
            calls.append("statistics")

    def open_tracker(*about):
        calls.append("tracker")
        return Untracked()

    monkeypatch.setattr(running, "together", lambda options: contextlib.nullcontext(Noting()))
    monkeypatch.setattr(running, "open_tracker", open_tracker)
    running.train(Recipe(network="lenet5").edit(quick=True), out=tmp_path / "run", quiet=True)
    assert calls[:3] == ["tracker", "meet", "parallel"]
    assert calls[-4:] == ["meet", "statistics", "meet", "meet"]


def test_only_the_command_ends_at_once_where_a_process_is_gone(monkeypatch, capfd):
    """A program that catches the error goes on."""

    class Verb:
        @staticmethod
        def run(words):
            raise ProcessFailed("process 1 of 2 is gone", 3)

    ends: list[object] = []
    monkeypatch.setattr(cli, "import_module", lambda name: Verb)
    monkeypatch.setattr(cli.atexit, "register", lambda *what: ends.append(what))
    assert cli.main(["train"]) == 3
    assert ends == [(end_at_once, 3)]
    assert capfd.readouterr().err == "convsmith: process 1 of 2 is gone\n"


def test_a_process_that_is_stopped_before_the_first_step_is_noticed(
    group, forks, limit, common, said, pictures, tmp_path
):
    """The others wait for it as long as it gives signs of life."""
    module = tmp_path / "stopping.py"
    module.write_text(
        "import os, signal\nfrom torch import nn\n\n\n"
        "def make(classes, channels):\n"
        "    if os.environ.get('RANK') == '1':\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))\n"
    )
    words = ["train", f"{module}:make", "--data", pictures, "--batch", "8", *common, "--out", tmp_path / "run"]
    first, second = group(*words, "--engine.timeout", 5)
    try:
        assert first.wait(limit) == 1, forks.log.read_text()
    finally:
        second.kill()
    assert said() == "process 1 of 2 gave no sign of life for 5 s"
