import errno
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from convsmith.base.errors import BadFile, UsageError, WrongType
from convsmith.runs import checkpoints, generations
from convsmith.runs.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from convsmith.runs.directory import create_run

SOURCE = str(Path(checkpoints.__file__).parents[2])


def tensors(step):
    return {"conv.weight": torch.full((2, 3), float(step)), "norm.count": torch.tensor(step)}


def save(run, step, best=False, keep=2):
    model = tensors(step)
    return save_checkpoint(
        run, step, model, {"momentum": model["conv.weight"] / 7}, {"loss": 0.5}, best=best, keep=keep
    )


def check(checkpoint, step):
    assert checkpoint.step == checkpoint.meta["step"] == step
    assert all(torch.equal(checkpoint.model[name], tensor) for name, tensor in tensors(step).items())
    assert torch.equal(checkpoint.state["momentum"], tensors(step)["conv.weight"] / 7)


def left_over(run):
    return [str(path) for path in run.path.rglob(".*")]


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", "digits", {})


def test_values_come_back_bit_for_bit(run):
    torch.manual_seed(0)
    base = torch.randn(4, 3, 5, 5)
    model = {
        "channels_last": base.to(memory_format=torch.channels_last),
        "bfloat16": base.bfloat16(),
        "float64": base.double(),
        "half": base.half(),
        "int64": torch.arange(5) - 2**62,
        "uint8": torch.arange(5, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(0.1),
        "empty": torch.zeros(0, 3),
        "special": torch.tensor([float("nan"), -0.0, float("inf"), 1e-45]),
        "shared": base,
        "again": base,
        "view": base[1:3, 1],
        "transposed": base[0, 0].t(),
        "expanded": torch.tensor([1.5]).expand(3),
        "parameter": torch.nn.Parameter(base[0, 0, 0]),
        "complex": torch.randn(3, dtype=torch.complex64).conj(),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
    }
    save_checkpoint(run, 3, model, {}, {}, best=False)
    loaded = load_checkpoint(run)
    assert list(loaded.model) == sorted(model)
    assert loaded.state == {}
    assert loaded.warnings == ()
    for name, tensor in model.items():
        received, expected = loaded.model[name], tensor.detach().resolve_conj().resolve_neg().contiguous()
        assert (received.dtype, received.shape) == (expected.dtype, expected.shape), name
        assert bytes(received.contiguous().flatten().view(torch.uint8).tolist() if received.numel() else []) == bytes(
            expected.flatten().view(torch.uint8).tolist() if expected.numel() else []
        ), name
        assert not received.requires_grad


def test_meta_and_pointers_say_what_is_there(run):
    path = save_checkpoint(run, 120, tensors(120), {}, {"metrics_length": 17, "best": {"accuracy": 0.5}}, best=True)
    assert path == run.path / "checkpoints" / "00000120"
    for name in ("last", "best"):
        assert json.loads((run.path / f"{name}.json").read_text()) == {"step": 120, "path": "checkpoints/00000120"}
    meta = load_checkpoint(run, "best").meta
    assert (meta["format"], meta["step"], meta["metrics_length"], meta["best"]) == (1, 120, 17, {"accuracy": 0.5})
    for name, entry in meta["files"].items():
        assert entry == {"sha256": checkpoints.hashlib.sha256((path / name).read_bytes()).hexdigest(),
                         "size": (path / name).stat().st_size}  # fmt: skip


def test_the_newest_and_the_best_are_kept(run):
    for step in range(1, 8):
        save(run, step, best=step == 2)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["00000002", "00000006", "00000007"]
    check(load_checkpoint(run, "best"), 2)
    check(load_checkpoint(run), 7)
    check(load_checkpoint(run, 6), 6)
    with pytest.raises(BadFile, match=r"checkpoints: holds no checkpoint of step 5; steps there: 2, 6, 7"):
        load_checkpoint(run, 5)
    save(run, 8, best=True, keep=1)
    assert os.listdir(run.path / "checkpoints") == ["00000008"]


def test_generations_after_a_fallback_go_and_a_damaged_one_does_not_count(run):
    for step in (1, 2, 3, 4):
        save(run, step, keep=3)
    (run.path / "checkpoints/00000004/model.safetensors").write_bytes(b"")
    assert load_checkpoint(run).step == 3
    (run.path / "checkpoints/00000003/meta.json").unlink()
    save(run, 3)
    check(load_checkpoint(run), 3)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["00000002", "00000003"]
    (run.path / "checkpoints/00000003/meta.json").unlink()
    save(run, 4)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["00000002", "00000004"]


def test_later_generations_of_a_course_that_was_cut_back_take_no_place(run):
    for step in (1, 2, 3, 4):
        save(run, step, best=step == 4, keep=4)
    check(load_checkpoint(run, 1), 1)
    save(run, 2)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["00000001", "00000002", "00000004"]
    check(load_checkpoint(run), 2)


def test_what_cannot_be_saved_is_refused_before_anything_is_written(run):
    cases = [
        (UsageError, r"expected step >= 0 and keep >= 1, received step=-1", {"step": -1}),
        (UsageError, r"received step=1 and keep=0", {"keep": 0}),
        (WrongType, r"lr: expected a tensor, received float", {"model": {"lr": 0.1}}),
        (UsageError, r"expected dense tensors of dtypes that safetensors knows; received torch.float32 torch.sparse",
         {"model": {"w": torch.eye(2).to_sparse()}}),
        (UsageError, r"received torch.float32 torch.strided on meta", {"model": {"w": torch.ones(2, device="meta")}}),
        (WrongType, r"meta of step 1: expected data that JSON can hold", {"meta": {"best": float("nan")}}),
        (WrongType, r"the key 'sha256' is kept for the hash", {"meta": {"sha256": ""}}),
        (UsageError, r"meta: the key 'step' is the checkpoint's own \(1\), received 2", {"meta": {"step": 2}}),
    ]  # fmt: skip
    for error, message, change in cases:
        arguments = {"step": 1, "model": {}, "state": {}, "meta": {"step": 1}, "best": False} | change
        with pytest.raises(error, match=message):
            save_checkpoint(run, **arguments)
    assert os.listdir(run.path / "checkpoints") == []
    with pytest.raises(BadFile, match=r"checkpoints: holds no checkpoint; the run ended before its first one"):
        load_checkpoint(run)


FILES = ("model.safetensors", "state.safetensors", "meta.json")


def test_every_torn_write_is_detected_and_the_generation_before_is_used(run):
    save(run, 1)
    save(run, 2)
    generator, folder, cases = random.Random(0), run.path / "checkpoints/00000002", 0
    targets = [folder / name for name in FILES] + [run.path / "last.json"]
    for path in targets:
        good = path.read_bytes()
        damaged = {good[:0], good[:-1], good + b"\n", bytes(len(good))}
        damaged |= {good[: generator.randrange(len(good))] for _ in range(60)}
        for _ in range(80):
            offset, bit = generator.randrange(len(good)), 1 << generator.randrange(8)
            damaged.add(good[:offset] + bytes([good[offset] ^ bit]) + good[offset + 1 :])
        for content in damaged:
            path.write_bytes(content)
            loaded = load_checkpoint(run)
            step = 2 if path.name == "last.json" else 1  # without a pointer the newest is taken
            check(loaded, step)
            (warning,) = loaded.warnings
            assert str(path) in warning
            assert "is damaged (" in warning
            assert warning.endswith(f"used the checkpoint of step {step} instead")
            cases += 1
        path.unlink()
        assert f"{path} is missing" in load_checkpoint(run).warnings[0]
        path.write_bytes(good)
    check(load_checkpoint(run), 2)
    assert load_checkpoint(run).warnings == ()
    assert cases >= 400


def test_swapped_missing_and_unknown_folders_are_detected(run):
    for step in (1, 2, 3):
        save(run, step, keep=3)
    folder = run.path / "checkpoints"
    os.rename(folder / "00000003", folder / "00000004")
    loaded = load_checkpoint(run)
    check(loaded, 2)
    assert "00000003/meta.json is missing" in loaded.warnings[0]
    with pytest.raises(BadFile, match=r"tried: .*00000004/meta.json belongs to step 3, not to this folder; put a copy"):
        load_checkpoint(run, 4)
    shutil.copy(folder / "00000001/model.safetensors", folder / "00000002/model.safetensors")
    (folder / "00000001/state.safetensors").unlink()
    (folder / "00000001/state.safetensors").mkdir()
    message = r"holds no intact checkpoint; tried: .*meta.json is missing; .*model.safetensors is damaged .*SHA-256 is"
    with pytest.raises(BadFile, match=message + r".*state.safetensors could not be read \(Is a directory\)"):
        load_checkpoint(run)


def test_meta_of_another_format_or_shape_is_not_read(run):
    path = save(run, 1) / "meta.json"
    for change, message in [
        ({"format": 2}, "is of format 2, this Convsmith reads format 1"),
        ({"files": {}}, "does not describe model.safetensors and state.safetensors"),
    ]:
        path.write_text(checkpoints.seal({"format": 1, "step": 1} | change))
        with pytest.raises(BadFile, match=message):
            load_checkpoint(run)
    for text in ("[]", "[" * 100_000, "{}", '{"sha256": ""}'):
        path.write_text(text)
        with pytest.raises(BadFile, match=r"meta.json is damaged \("):
            load_checkpoint(run)


def test_a_damaged_or_absent_best_is_said(run):
    save(run, 1)
    loaded = load_checkpoint(run, "best")
    assert loaded.warnings == (f"{run.path / 'best.json'} is missing; used the checkpoint of step 1 instead",)
    save(run, 2, best=True)
    save(run, 3)
    (run.path / "checkpoints/00000002/state.safetensors").unlink()
    loaded = load_checkpoint(run, "best")
    check(loaded, 3)
    assert "00000002/state.safetensors is missing; used the checkpoint of step 3 instead" in loaded.warnings[0]
    (run.path / "best.json").write_text("{")
    save(run, 4)
    check(load_checkpoint(run), 4)


CALLS = ("fsync", "replace", "rename", "mkdir", "open")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("step", [2, 3])
def test_an_error_at_any_call_of_the_save_leaves_a_good_generation(run, monkeypatch, call, step):
    """`step` 3 is there already, as after a fallback."""
    save(run, 1, best=True)
    if step == 3:
        save(run, 3)
    original, messages, unread = getattr(os, call), [], []
    for k in range(60):
        count = iter(range(10_000))

        def failing(*args, count=count, k=k, **kwargs):
            if next(count) == k:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args, **kwargs)

        monkeypatch.setattr(os, call, failing)
        try:
            save(run, step, best=True)
            completed = next(count) <= k
        except BadFile as error:  # before it writes, the save reads the seals of the records
            unread.append(str(error))
            completed = False
        except CheckpointError as error:
            messages.append(str(error))
            completed = False
        finally:
            monkeypatch.setattr(os, call, original)
        check(load_checkpoint(run), load_checkpoint(run).step)
        assert not [path for path in left_over(run) if "/.old" not in path and "/.tmp-" not in path]
        if completed:
            break
        save(run, 3 if step == 3 else 1, best=True)
        assert left_over(run) == []
        if step == 2:
            shutil.rmtree(run.path / "checkpoints/00000002", ignore_errors=True)
    assert completed
    assert messages or call == "open"
    assert all("run.json: could not be read (No space left on device)" in message for message in unread)
    for message in messages:
        assert (
            f"could not save the checkpoint of step {step} (No space left on device); the last good one that" in message
        )
        assert "mend: give it 1 MB of space and a writable folder, then continue with --resume" in message


def test_a_failing_serialization_writes_nothing(run, monkeypatch):
    save(run, 1)
    for k in range(2):
        count = iter(range(10))

        def failing(tensors, metadata=None, count=count, k=k, original=checkpoints.encode):
            if next(count) == k:
                raise MemoryError
            return original(tensors, metadata)

        monkeypatch.setattr(checkpoints, "encode", failing)
        with pytest.raises(MemoryError):
            save(run, 2)
        monkeypatch.undo()
        check(load_checkpoint(run), 1)
        assert left_over(run) == []


def test_a_folder_that_went_or_is_a_file_is_one_clear_error(run):
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "checkpoints").write_text("")
    message = r"could not save the checkpoint of step 1 \(File exists\); there is no earlier one; mend: give it 1 MB"
    with pytest.raises(CheckpointError, match=message) as caught:
        save(run, 1)
    assert caught.value.exit_code == 1


def test_a_generation_set_aside_by_a_cut_save_is_read_and_restored(run):
    save(run, 1)
    save(run, 2, best=True)
    folder = run.path / "checkpoints"
    os.rename(folder / "00000002", folder / ".old-00000002-123")
    check(load_checkpoint(run, "best"), 2)
    save(run, 3, keep=1)
    assert sorted(os.listdir(folder)) == ["00000002", "00000003"]
    check(load_checkpoint(run, "best"), 2)
    assert load_checkpoint(run, "best").warnings == ()


def test_only_leftovers_of_dead_writers_are_removed(run):
    folder = run.path / "checkpoints"
    alive, dead = f".tmp-9-{os.getppid()}", ".tmp-9-999999999"
    for name in (alive, dead, f".tmp-9-{os.getpid()}", ".tmp-odd"):
        (folder / name).mkdir()
    (run.path / f".last.json.{os.getppid()}.tmp").touch()
    (run.path / ".last.json.999999999.tmp").touch()
    save(run, 1)
    assert sorted(os.listdir(folder)) == [alive, "00000001"]
    assert sorted(left_over(run)) == sorted([str(run.path / f".last.json.{os.getppid()}.tmp"), str(folder / alive)])


def in_subprocess(code, run):
    """Run `code` in a fresh interpreter that has imported torch once and may fork; its last line is JSON."""
    head = f"""
import errno, json, os, random, resource, signal, sys, time
from pathlib import Path
import torch
from convsmith.runs.directory import open_run
from convsmith.runs.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
torch.set_num_threads(1)
run = open_run({str(run.path)!r})

def save(step, size=64, **kwargs):
    tensors = {{"w": torch.full((size,), float(step))}}
    save_checkpoint(run, step, tensors, tensors, {{}}, best=step % 5 == 0, **kwargs)

def verified():
    loaded = load_checkpoint(run)
    good = (loaded.model["w"] == loaded.step).all() and (loaded.state["w"] == loaded.step).all()
    return loaded.step if good else None
"""
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": SOURCE}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_process_that_dies_at_any_call_of_the_save_leaves_a_good_generation(run):
    """Nothing is cleaned up here, unlike after an error: the process is gone at its k-th call."""
    code = """
    def die_at(k):
        calls = iter(range(10_000))
        def wrap(original):
            def call(*args, **kwargs):
                if next(calls) == k:
                    os._exit(9)
                return original(*args, **kwargs)
            return call
        for name in ("fsync", "replace", "rename", "mkdir", "open", "close", "unlink", "rmdir", "scandir"):
            setattr(os, name, wrap(getattr(os, name)))

    save(1)
    results = []
    for step in (2, 1):   # 1 is there already
        for k in range(300):
            save(1, keep=1)
            child = os.fork()
            if not child:
                die_at(k)
                save(step)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            results.append((step, k, code, verified()))
            save(1)
            results[-1] += ([str(p) for p in run.path.rglob(".*")],)
            if code == 0:
                break
    print(json.dumps(results))
    """
    results = in_subprocess(code, run)
    assert all(found in (1, step) for step, _, _, found, _ in results)
    assert all(rest == [] for *_, rest in results)
    assert {code for _, _, code, _, _ in results} == {0, 9}
    assert [code for _, _, code, _, _ in results].count(0) == 2
    assert len(results) > 40


def test_a_process_killed_at_random_times_leaves_a_good_generation(run):
    code = """
    save(1)
    results, random = [], random.Random(1)
    while len(results) < 12 or results[-1] == results[0]:
        child = os.fork()
        if not child:
            for step in range(verified() + 1, 100_000):
                save(step)
        time.sleep(random.uniform(0.01, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        results.append(verified())
    save(results[-1] + 1)
    print(json.dumps([results, [str(p) for p in run.path.rglob(".*")], len(os.listdir(run.path / "checkpoints"))]))
    """
    steps, rest, count = in_subprocess(code, run)
    assert None not in steps
    assert steps == sorted(steps)
    assert steps[-1] > steps[0]
    assert rest == []
    assert count <= 3


def test_a_full_disk_is_one_clear_error_and_a_retry_succeeds(run):
    code = """
    save(1)
    results = []
    for limit in (1, 500, 4096, 50_000, 399_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            save(2, size=100_000)
            results.append("saved")
        except CheckpointError as error:
            results.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        results.append([verified(), os.listdir(run.path / "checkpoints"), len(list(run.path.rglob(".*")))])
    save(2, size=100_000)
    print(json.dumps([results, verified()]))
    """
    results, final = in_subprocess(code, run)
    for message, remains in zip(results[::2], results[1::2], strict=True):
        assert "could not save the checkpoint of step 2 (File too large); the last good one that remains is" in message
        assert "00000001; mend: give it 2 MB of space" in message
        assert remains == [1, ["00000001"], 0]
    assert final == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_one_clear_error(run):
    save(run, 1)
    (run.path / "checkpoints").chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match=r"\(Permission denied\); the last good one that remains"):
            save(run, 2)
    finally:
        (run.path / "checkpoints").chmod(0o700)
    check(load_checkpoint(run), 1)


def test_pruning_that_fails_is_no_error(run, monkeypatch):
    save(run, 1)
    monkeypatch.setattr(generations.shutil, "rmtree", lambda *args, **kwargs: None)
    save(run, 2, keep=1)
    monkeypatch.undo()
    check(load_checkpoint(run), 2)
    save(run, 3, keep=1)
    assert left_over(run) == []


@pytest.mark.parametrize("gone", ["the folder", "what lies in it"])
def test_a_run_that_was_deleted_while_it_was_trained_is_named_as_such(run, gone):
    """`rm -r` may meet a file that is just being written, and then leaves the folder with that file in it."""
    save(run, 1)
    shutil.rmtree(run.path)
    if gone == "what lies in it":
        run.path.mkdir()
        (run.path / "metrics.jsonl").touch()
    message = (
        r"could not save the checkpoint of step 2: run.json is gone, so the run was deleted or moved while it was in"
    )
    with pytest.raises(CheckpointError, match=message):
        save(run, 2)
    assert run.path.exists() == (gone == "what lies in it")
