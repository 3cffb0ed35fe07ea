"""A save that is cut, or that the disk refuses, at each of its system calls; and a power cut between any two of them.

The calls are counted by strace, which kills the process at one, or lets the call fail, where it enters the system.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from convsmith.runs import checkpoints
from convsmith.runs.directory import create_run

SOURCE = str(Path(checkpoints.__file__).parents[2])
HEAD = """
import builtins, json, os, shutil, subprocess, sys, time
import torch
from convsmith.runs.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from convsmith.runs.directory import open_run
torch.set_num_threads(1)
run = open_run({path!r})

def save(step):
    tensors = {{"w": torch.full((64,), float(step))}}
    save_checkpoint(run, step, tensors, tensors, {{}}, best=True)

def verified():
    loaded = load_checkpoint(run)
    good = (loaded.model["w"] == loaded.step).all() and (loaded.state["w"] == loaded.step).all()
    return loaded.step if good else None

def left_over():
    return [str(path) for path in run.path.rglob(".*")]
"""
TRACED = """
CALLS = {calls!r}

def traced(call, injection, work):
    "The exit status of a child that does the work under strace; 3 for a CheckpointError. Each call has its own count."
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        os.read(ready, 1)
        try:
            work()
        except CheckpointError:
            os._exit(3)
        os._exit(0)
    os.close(ready)
    words = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", f"inject={{call}}:{{injection}}"]
    tracer = subprocess.Popen([*words, "-p", str(child)], stderr=subprocess.DEVNULL)
    while "TracerPid:\\t0" in open(f"/proc/{{child}}/status").read():
        assert tracer.poll() is None, "strace may not trace here"
        time.sleep(0.001)
    os.write(go, b"x")
    os.close(go)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tracer.wait()
    return code
"""
EVERY = "openat,write,fsync,rename,mkdir,unlink,rmdir,unlinkat,close,getdents64,ftruncate"
WRITING = "write,fsync,rename,mkdir"


def run_code(tmp_path: Path, code: str, calls: str = EVERY) -> list:
    path = create_run(tmp_path / "run", "digits", {"recipe": {"a": 1}}).path
    text = HEAD.format(path=str(path)) + TRACED.format(calls=calls) + textwrap.dedent(code)
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.mark.all
@needs_strace
def test_a_process_killed_at_each_system_call_of_a_save_leaves_a_good_generation(tmp_path):
    code = """
    save(1)
    results = []
    for step in (2, 1):  # 1 is there already, as after a fallback
        for call in CALLS.split(","):
            for when in range(1, 500):
                save(1)
                code = traced(call, f"signal=KILL:when={when}", lambda: save(step))
                found = verified()
                save(found + 1)  # the next save of a resumed run
                results.append([step, when, code, found, verified(), left_over()])
                if code == 0:
                    break
    print(json.dumps(results))
    """
    results = run_code(tmp_path, code)
    assert {code for _, _, code, *_ in results} == {0, -9}
    assert all(found in (1, step) and then == found + 1 and rest == [] for step, _, _, found, then, rest in results)
    assert len(results) > 80, len(results)


@pytest.mark.all
@needs_strace
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_a_disk_that_refuses_any_write_leaves_a_good_generation(tmp_path, error):
    code = f"""
    results = []
    save(1)
    for call in CALLS.split(","):
        for when in range(1, 200):
            shutil.rmtree(run.path / "checkpoints/00000002", ignore_errors=True)
            save(1)
            code = traced(call, f"error={error}:when={{when}}", lambda: save(2))
            results.append([when, code, verified(), left_over()])
            save(2)  # there is room again
            results[-1].append(verified())
            if code == 0:
                break
    print(json.dumps(results))
    """
    results = run_code(tmp_path, code, WRITING)
    assert {code for _, code, *_ in results} == {0, 3}
    assert sum(code == 3 for _, code, *_ in results) >= 12
    assert all(found in (1, 2) and after == 2 for _, _, found, _, after in results)
    assert all(rest == [] for _, _, _, rest, _ in results), results


def test_a_power_cut_at_any_call_of_a_save_leaves_a_good_generation(tmp_path):
    """What was written and not synced is gone, as the disk never had it."""
    code = """
    def cut_at(k):
        calls, unsynced, original_open = iter(range(10_000)), {}, builtins.open

        def cut():
            for path in unsynced.values():
                if os.path.exists(path):
                    os.truncate(path, 0)
            os._exit(9)

        def wrap(original, name):
            def call(*args, **kwargs):
                if next(calls) == k:
                    cut()
                done = original(*args, **kwargs)
                if name == "fsync":
                    unsynced.pop(args[0], None)
                return done
            return call

        def opened(file, mode="r", *args, **kwargs):
            found = original_open(file, mode, *args, **kwargs)
            if set(mode) & set("wax+"):
                unsynced[found.fileno()] = str(file)
            return found

        builtins.open = opened
        for name in ("fsync", "replace", "rename", "mkdir", "open", "close", "unlink", "rmdir", "scandir"):
            setattr(os, name, wrap(getattr(os, name), name))

    save(1)
    results = []
    for step in (2, 1):
        for k in range(300):
            save(1)
            child = os.fork()
            if not child:
                cut_at(k)
                save(step)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            results.append([step, k, code, verified()])
            save(1)
            results[-1].append(left_over())
            if code == 0:
                break
    print(json.dumps(results))
    """
    results = run_code(tmp_path, code)
    assert all(found in (1, step) and rest == [] for step, _, _, found, rest in results), results
    assert {code for _, _, code, *_ in results} == {0, 9}
    assert len(results) > 40
