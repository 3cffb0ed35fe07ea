"""Runs convsmith commands in forked children; torch is loaded once, here, before any child.

Reads JSON lines: ["start", words, log file, environment] answers a process number, ["poll", number] its exit status or
null.
"""

import atexit
import json
import os
import sys

import sklearn.datasets  # noqa: F401 - what the bundled digits need
import torch._dynamo  # which the first optimizer loads, in seconds
import torch.distributed.rendezvous  # noqa: F401

import convsmith.work.run  # noqa: F401 - torch, torchvision and all of training
from convsmith.cli import main


def start(words: list[str], log: str, environment: dict[str, str]) -> int:
    """A child in its own process group that runs the command and writes what it says to the end of a file."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    code = main(words)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by sys.exit: C++ threads that the server had when it forked are not there to be ended, and abort the process.
    os._exit(code)


def poll(pid: int) -> int | None:
    """The exit status of a child, None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


if __name__ == "__main__":
    # Not `for line in sys.stdin`: a child must not inherit lines that were read ahead.
    while line := sys.stdin.readline():
        action, *arguments = json.loads(line)
        print(json.dumps({"start": start, "poll": poll}[action](*arguments)), flush=True)
