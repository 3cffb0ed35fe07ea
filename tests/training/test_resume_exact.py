"""A run that was killed, interrupted or refused ends with the bits of one that was not."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from convsmith.base.user_code import TRUST
from convsmith.cli import main
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.status import effective_state
from convsmith.training.engine import cpu_flags

BF16 = pytest.mark.skipif(
    not cpu_flags() & {"avx512_bf16", "amx_bf16"}, reason="this processor has no units for bf16: it would take minutes"
)
TIMES = {"seconds", "images_per_second", "data_wait"}
# Everything random and everything with a memory; a checkpoint in the middle of each epoch of 6 steps.
COMMON = [
    "--epochs", "8", "--batch", "8", "--lr", "0.05", "--optimizer.nesterov", "true", "--label_smoothing", "0.1",
    "--augment", "crop(2),flip", "--schedule.kind", "cosine", "--schedule.warmup", "7steps", "--seed", "3",
    "--checkpoint_every", "2steps", "--engine.threads", "1", "--quiet", "--json",
]  # fmt: skip
CASES = {
    "resident": ["dropping", "--edit", "drop_path=0.3", "--precision", "fp32", "--data.loader", "resident"],
    "streaming": ["dropping", "--precision", "fp32", "--data.loader", "streaming", "--workers", "0"],
    "two workers": ["dropping", "--precision", "fp32", "--data.loader", "streaming", "--workers", "2"],
    "normalized": ["resnet8", "--edit", "drop_path=0.3", "--precision", "fp32"],
    "bf16": ["resnet8", "--edit", "drop_path=0.3", "--precision", "bf16"],
    "methods": [
        "resnet8", "--edit", "drop_path=0.3", "--precision", "fp32", "--optimizer.kind", "muon",
        "--optimizer.clip", "1", "--optimizer.accumulate", "2", "--optimizer.lookahead", "lookahead(5)",
        "--optimizer.average", "ema(0.8)",
    ],
}  # fmt: skip
PARAMETERS = [pytest.param(name, id=name, marks=[BF16] if name == "bf16" else []) for name in CASES]


@pytest.fixture
def words(trees: Path, pictures: Path) -> Callable[..., list[str]]:
    """The words that train one of the cases."""

    def make(case: str, *more: str) -> list[str]:
        function, *rest = CASES[case]
        return ["train", f"{trees}:{function}", "--data", str(pictures), *COMMON, *rest, *more]

    return make


def outcome(path: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on interruptions."""
    run = open_run(path)
    saved = load_checkpoint(run)
    assert saved.warnings == ()
    assert run.status().state == "finished"
    state = {key: value for key, value in saved.meta["state"].items() if key not in ("seconds", "busy")}
    result = run.record("result")
    return {
        "tensors": {**saved.model, **saved.state},
        "best": load_checkpoint(run, "best").model,
        "step": saved.step,
        "state": state,
        "metrics": [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()],
        "result": {key: result[key] for key in ("ended", "epochs", "steps", "metrics")},
    }


def same(path: Path, expected: dict[str, Any]) -> None:
    """Assert that a run's outcome is the expected one, bit for bit, with nothing left over on the disk."""
    received = outcome(path)
    for kind in ("tensors", "best"):
        mine, theirs = received.pop(kind), expected[kind]
        assert mine.keys() == theirs.keys()
        different = [name for name in mine if bits(mine[name]) != bits(theirs[name])]
        assert not different, different
    assert received == {key: value for key, value in expected.items() if key not in ("tensors", "best")}
    assert [str(p) for p in path.rglob(".*")] == []


def bits(tensor: torch.Tensor) -> bytes:
    return str((tensor.dtype, tensor.shape)).encode() + tensor.contiguous().numpy().tobytes()


def steps(path: Path) -> int:
    """The step of the last checkpoint, 0 where there is none yet."""
    try:
        return json.loads((path / "last.json").read_text())["step"]
    except FileNotFoundError:
        return 0


def being_written(path: Path) -> bool:
    """Whether a checkpoint is being written at this moment."""
    try:
        return any(name.startswith(".tmp-") for name in os.listdir(path / "checkpoints"))
    except FileNotFoundError:
        return False


def lives(group: int) -> bool:
    """Whether any process of the group does."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_run_killed_again_and_again_ends_with_the_same_bits(case, words, forks, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert main(words(case, "--out", str(straight))) == 0
    expected = outcome(straight)
    assert expected["step"] == 48
    assert any(name.endswith("::momentum_buffer") for name in expected["tensors"])
    randomly = random.Random(case)
    moments: list[int] = []
    groups: list[int] = []
    for attempt in range(30):
        resumed = ["train", "--resume", str(killed), "--quiet", "--json"]
        process = forks.start(*(resumed if is_run(killed) else words(case, "--out", str(killed))))
        begin = steps(killed)
        groups.append(process.pid)
        if len(moments) < 8:
            if attempt % 2 == 0:  # right while a checkpoint is written
                process.until(
                    lambda b=begin: steps(killed) > b and (being_written(killed) or steps(killed) > b + 6), pause=0
                )
            else:  # at a random moment: starting up, in a step, between checkpoints, in the evaluation
                time.sleep(randomly.uniform(0, 0.2))
            code = process.kill()
            if code == -signal.SIGKILL:
                moments.append(steps(killed))
                continue
        else:
            code = process.wait()
        assert code == 0, forks.log.read_text()
        break
    same(killed, expected)
    assert moments == sorted(moments), "a checkpoint was lost"
    assert len(set(moments)) >= 3, moments
    assert "was killed after step" in (killed / "log.txt").read_text()
    deadline = time.monotonic() + 300
    while alive := [group for group in groups if lives(group)]:
        assert time.monotonic() < deadline, f"loader processes of killed ones live on: {alive}"
        time.sleep(0.1)


def test_what_a_save_that_was_killed_left_is_removed_even_where_no_save_follows(words, tmp_path):
    path = tmp_path / "run"
    assert main(words("resident", "--epochs", "1", "--out", str(path))) == 0
    # As it is when the process is killed while it removes what is too old, after its last checkpoint.
    (path / "checkpoints" / f".tmp-4-{2**22 + 1}").mkdir()
    (path / f".last.json.{2**22 + 1}.tmp").write_text("{")
    (path / "result.json").unlink()
    open_run(path).set_status("running", pid=2**22 + 1)
    assert main(["train", "--resume", str(path), "--quiet", "--json"]) == 0
    assert list(path.rglob(".*")) == []


def test_a_run_killed_before_its_first_checkpoint_begins_anew(words, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for path in (straight, killed):
        assert main(words("resident", "--out", str(path))) == 0
    shutil.rmtree(killed / "checkpoints")
    for name in ("last.json", "best.json", "metrics.jsonl", "result.json"):
        (killed / name).unlink()
    open_run(killed).set_status("running", pid=2**22 + 1)
    assert main(["train", "--resume", str(killed), "--quiet", "--json"]) == 0
    same(killed, outcome(straight))


def test_the_command_itself_is_killed_and_resumed(words, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert main(words("resident", "--out", str(straight))) == 0
    environment = os.environ | {"PYTHONPATH": str(Path(main.__code__.co_filename).parents[2])}
    start = [sys.executable, "-m", "convsmith"]
    process = subprocess.Popen([*start, *words("resident", "--out", str(killed))], env=environment)
    while steps(killed) < 8:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert effective_state(open_run(killed).status()) == "killed"
    done = subprocess.run([*start, "train", "--resume", killed, "--json"], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["test"]["count"] == 6
    assert b"resumes" in done.stderr
    same(killed, outcome(straight))


@pytest.mark.parametrize("group", [False, True], ids=["to the process", "to its group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_run_writes_a_checkpoint_stops_and_goes_on(number, group, words, forks, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    rare = ("--checkpoint_every", "100steps")
    assert main(words("two workers", *rare, "--out", str(straight))) == 0
    process = forks.start(*words("two workers", *rare, "--out", str(stopped)))
    # 40 images make a row; the moment is somewhere in the third epoch.
    assert process.until(lambda: (stopped / "metrics.jsonl").exists() and len(open_run(stopped).metrics()) >= 2)
    process.send(number, group)
    assert process.wait() == 130, forks.log.read_text()
    status = open_run(stopped).status()
    assert status.state == "stopped"
    assert 12 <= load_checkpoint(open_run(stopped)).step < 48
    assert forks.log.read_text().splitlines()[-1].endswith(f"go on with: convsmith train --resume {stopped}")
    assert main(["train", "--resume", str(stopped), "--quiet", "--json"]) == 0
    same(stopped, outcome(straight))


def test_a_batch_system_ends_all_processes_while_images_are_awaited(trees, write_pictures, forks, tmp_path):
    images, path = write_pictures(tmp_path / "large", 8, 500), tmp_path / "run"
    process = forks.start(
        "train", f"{trees}:dropping", "--data", images, "--size", 16, "--data.loader", "streaming", "--workers", 2,
        "--batch", 6, "--epochs", 50, "--precision", "fp32", "--checkpoint_every", "2steps", "--quiet", "--out", path,
    )  # fmt: skip
    assert process.until(lambda: steps(path) >= 2)
    process.send(signal.SIGTERM, group=True)
    assert process.wait() == 130, forks.log.read_text()
    assert open_run(path).status().state == "stopped"


def test_a_second_signal_ends_at_once_and_loses_only_what_followed_the_checkpoint(words, forks, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(words("resident", "--out", str(straight))) == 0
    process = forks.start(*words("resident", "--out", str(stopped)))
    assert process.until(lambda: steps(stopped) >= 6)
    process.send(signal.SIGINT)
    process.send(signal.SIGINT)
    assert process.wait() == 130, forks.log.read_text()
    assert open_run(stopped).status().state == "stopped"
    assert main(["train", "--resume", str(stopped), "--quiet", "--json"]) == 0
    same(stopped, outcome(straight))


def test_a_run_killed_after_it_stopped_early_does_not_train_on(words, forks, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    early = ("--early_stopping.patience", "1ep", "--lr", "0.5", "--epochs", "60", "--explosion", "0")
    assert main(words("resident", *early, "--out", str(straight))) == 0
    expected = outcome(straight)
    assert expected["result"]["ended"] == "stopped early"
    # As it is on the disk when the process is killed between the last checkpoint and the result.
    assert main(words("resident", *early, "--out", str(killed))) == 0
    (killed / "result.json").unlink()
    open_run(killed).set_status("running", pid=2**22 + 1)
    assert main(["train", "--resume", str(killed), "--quiet", "--json"]) == 0
    same(killed, expected)


def test_a_run_resumed_within_an_epoch_does_not_stop_before_it_ends(words, forks, tmp_path):
    # The best is at step 6 or later, so that a patience of 8 steps is over within an epoch and counts at its end.
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    early = ("--early_stopping.patience", "8steps", "--lr", "1e-9")
    assert main(words("resident", *early, "--out", str(straight))) == 0
    expected = outcome(straight)
    assert expected["step"] % 6 == 0
    for moment in (14, 26, 38):
        process = forks.start(*words("resident", *early, "--out", str(killed)))
        process.until(lambda m=moment: steps(killed) >= m, pause=0)
        process.kill()
        assert main(["train", "--resume", str(killed), "--quiet", "--json"]) == 0
        same(killed, expected)
        shutil.rmtree(killed)


@pytest.fixture
def stopped_run(words, forks, tmp_path) -> Path:
    """A run that was killed in its middle."""
    path = tmp_path / "run"
    process = forks.start(*words("resident", "--out", str(path)))
    assert process.until(lambda: steps(path) >= 4)
    process.kill()
    return path


def test_a_second_process_is_refused_and_touches_nothing(words, forks, refused, tmp_path):
    path = tmp_path / "run"
    process = forks.start(*words("resident", "--epochs", "500", "--out", str(path)))
    assert process.until(lambda: steps(path) >= 4)
    process.send(signal.SIGSTOP)
    time.sleep(0.05)  # until it stands still: `refused` compares the run's files before and after
    for more in ((), ("--epochs", "900")):
        message = refused("train", "--resume", path, *more, "--quiet", code=2, watched=path)
        assert message.startswith(f"{path} is held by process {process.pid} on ")
        assert "stop it there with Ctrl-C" in message
    assert effective_state(open_run(path).status()) == "running"
    process.kill()
    assert effective_state(open_run(path).status()) == "killed"


def test_changed_data_is_refused(stopped_run, pictures, refused):
    changed = sorted(pictures.rglob("*.png"))[7]
    changed.write_bytes(changed.read_bytes() + b"\0")
    message = refused("train", "--resume", stopped_run, "--quiet", code=1, watched=stopped_run)
    assert message.startswith(f"{pictures}: the data has changed since the run {stopped_run} began")
    assert f"convsmith train {stopped_run} --out NEW" in message


def test_data_with_more_images_is_refused(stopped_run, pictures, refused):
    first = sorted(pictures.rglob("*.png"))[0]
    (first.parent / "zzz.png").write_bytes(first.read_bytes())
    message = refused("train", "--resume", stopped_run, "--quiet", code=1, watched=stopped_run)
    assert message.startswith(f"{pictures}: ")


def test_data_that_is_gone_is_refused(stopped_run, pictures, refused):
    pictures.rename(pictures.with_name("elsewhere"))
    assert str(pictures) in refused("train", "--resume", stopped_run, "--quiet", watched=stopped_run)


def test_another_machine_or_torch_is_refused_unless_allowed(stopped_run, refused):
    recipe = open_run(stopped_run).record("recipe")
    recipe["engine"] |= {"torch_version": "1.0", "threads": 999}
    open_run(stopped_run).write_record("recipe", recipe)
    message = refused("train", "--resume", stopped_run, "--quiet", watched=stopped_run)
    assert message.startswith(f"{stopped_run}: resumed here the result would differ from an uninterrupted run's: ")
    assert f"was '1.0', is '{torch.__version__}'; threads were 999" in message
    assert message.endswith("go on all the same with --allow-other-machine")
    recipe["engine"]["threads"] = 1
    open_run(stopped_run).write_record("recipe", recipe)
    assert main(["train", "--resume", str(stopped_run), "--quiet", "--json", "--allow-other-machine"]) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("named", [("auto", "auto"), ("cuda", "fp16")])
def test_a_run_of_a_gpu_goes_on_without_one_where_that_is_allowed(named, stopped_run, refused, command):
    recipe = open_run(stopped_run).record("recipe")
    recipe["engine"] |= {"device": "cuda", "precision": "fp16"}
    recipe["recipe"]["engine"] |= {"device": named[0], "precision": named[1]}
    open_run(stopped_run).write_record("recipe", recipe)
    message = refused("train", "--resume", stopped_run, "--quiet", watched=stopped_run)
    assert "device was 'cuda', is 'cpu'; go on all the same with --allow-other-machine" in message
    answer = command("train", "--resume", stopped_run, "--allow-other-machine", "--json")
    assert answer.code == 0, answer.err
    assert "goes on with what is here: device cpu in place of cuda" in answer.err
    assert answer.json["ended"] == "finished"


def test_a_run_of_another_format_is_refused(stopped_run, refused):
    path = stopped_run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 9}))
    message = refused("train", "--resume", stopped_run, "--quiet", code=1, watched=stopped_run)
    assert "is a run of format 9, this Convsmith reads format 1; update Convsmith" in message


def test_a_changed_or_missing_file_of_the_user_is_refused(modules, pictures, refused, tmp_path):
    path = tmp_path / "run"
    options = ["--data", pictures, "--quick", "--quiet", "--json", "--out", path]
    assert main([str(word) for word in ("train", f"{modules}:make", *options)]) == 0
    open_run(path).set_status("stopped")
    (path / "result.json").unlink()
    text = modules.read_text()
    modules.write_text(text.replace("0.2", "0.3"))
    assert f"{modules}: has changed since the run" in refused("train", "--resume", path, "--quiet", code=1)
    modules.unlink()
    assert f"{modules}: the file that makes a network is gone" in refused("train", "--resume", path, "--quiet")
    modules.write_text(text)
    assert f"{modules}:make makes a network" in refused("train", "--resume", path, "--quiet")
    assert main(["train", "--resume", str(path), TRUST, "--quiet", "--json"]) == 0


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (("--lr", "0.1"), "--lr"),
        (("--on-bad", "skip"), "--on-bad"),
        (("--optimizer.momentum", "0.5"), "--optimizer.momentum"),
        (("--quick",), "--quick"),
        (("--out", "elsewhere"), "--out"),
        (("--dry-run",), "--dry-run"),
    ],
    ids=str,
)
def test_resume_takes_no_other_option(option, named, photo_run, refused):
    message = refused("train", "--resume", photo_run[0], *option)
    assert message.startswith(f"--resume goes on as the run began, so {named} cannot be given; ")


def test_resume_takes_no_subject(photo_run, refused):
    message = refused("train", "digits", "--resume", photo_run[0])
    assert message.startswith("--resume goes on as the run began, so 'digits' cannot be given; ")
    assert "--subject" not in message


def test_more_epochs_extend_a_run(words, tmp_path, command):
    path, straight = tmp_path / "run", tmp_path / "straight"
    constant = ("--schedule.kind", "constant")
    assert main(words("resident", *constant, "--out", str(path), "--epochs", "3")) == 0
    assert main(words("resident", *constant, "--out", str(straight))) == 0
    answer = command("train", "--resume", path, "--epochs", "8", "--json")
    assert "extended from 3ep to 8ep; the constant schedule goes on over the new length\n" in answer.err
    assert (answer.code, answer.json["epochs"]) == (0, 8)
    same(path, outcome(straight))


def test_extending_a_schedule_that_ends_says_that_the_rate_rises(words, tmp_path, command):
    path = tmp_path / "run"
    assert main(words("resident", "--out", str(path), "--epochs", "1")) == 0
    answer = command("train", "--resume", path, "--epochs", "2")
    assert "so the rate rises again to where that length has it" in answer.err
    assert open_run(path).record("recipe")["recipe"]["length"] == "2ep"
    assert open_run(path).record("result")["epochs"] == 2


def test_more_epochs_give_a_run_that_stopped_early_its_patience_anew(words, tmp_path, command):
    path = tmp_path / "run"
    early = ("--early_stopping.patience", "1ep", "--lr", "1e-9", "--epochs", "20")
    assert main(words("resident", *early, "--out", str(path))) == 0
    before = open_run(path).record("result")
    assert before["ended"] == "stopped early"
    assert "is finished" in command("train", "--resume", path).err
    answer = command("train", "--resume", path, "--epochs", "21", "--json")
    assert answer.code == 0
    assert before["steps"] + 6 <= answer.json["steps"] < 21 * 6


def test_a_run_that_did_not_finish_has_a_report(words, forks, tmp_path):
    path = tmp_path / "run"
    process = forks.start(*words("resident", "--out", str(path)))
    assert process.until(lambda: steps(path) >= 4)
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert "stopped" in (path / "report.html").read_text()


def test_a_finished_run_is_left_as_it_is(words, tmp_path, command):
    path = tmp_path / "run"
    assert main(words("resident", "--out", str(path), "--epochs", "1")) == 0
    before = (path / "last.json").read_bytes(), (path / "result.json").read_bytes()
    answer = command("train", "--resume", path, "--json")
    assert "is finished; train on with a larger --epochs" in answer.err
    assert answer.json["epochs"] == 1
    assert before == ((path / "last.json").read_bytes(), (path / "result.json").read_bytes())


@pytest.mark.parametrize("text", ["2", "0", "-1", "many", "1e-1", "inf"])
def test_fewer_or_odd_epochs_are_refused(text, photo_run, refused):
    message = refused("train", "--resume", photo_run[0], "--epochs", text, watched=photo_run[0])
    assert "\n" not in message
    assert ("long; it can be made longer, not" in message) or message.startswith(("epochs: ", "length: "))


def test_resuming_from_a_damaged_checkpoint_takes_the_one_before(words, forks, tmp_path, command):
    straight, path = tmp_path / "straight", tmp_path / "run"
    assert main(words("resident", "--out", str(straight))) == 0
    process = forks.start(*words("resident", "--out", str(path)))
    assert process.until(lambda: steps(path) >= 8)
    process.kill()
    newest = path / "checkpoints" / f"{steps(path):08d}" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-10])
    answer = command("train", "--resume", path, "--json")
    assert answer.code == 0
    assert f"warning: {newest} is damaged (expected " in answer.err
    same(path, outcome(straight))


def test_resuming_without_any_intact_checkpoint_is_refused(stopped_run, refused):
    for file in stopped_run.rglob("meta.json"):
        file.write_text("{}")
    message = refused("train", "--resume", stopped_run, "--quiet", code=1)
    assert message.startswith(f"{stopped_run / 'checkpoints'}: holds no intact checkpoint")
