"""One process works on a run: the lock, the heartbeat and the state that is left behind."""

import dataclasses as dc
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, CheckFailed, ConvsmithError, UsageError
from convsmith.runs.directory import RunDirectory
from convsmith.runs.status import HEARTBEAT_LIMIT, State, Status, effective_state, process_start

try:
    import fcntl
except ImportError:  # Windows: the state alone tells, two processes that start in the same instant both pass
    fcntl = None

BEAT_SECONDS = 5.0
_PATIENCE = 1.0
# How long to wait for a run of another host whose process may have died with it.
TAKEOVER_PATIENCE = HEARTBEAT_LIMIT + BEAT_SECONDS
_locks: set[int] = set()


class Holder:
    """The right to work on a run; `beat` says that the work goes on."""

    def __init__(self, run: RunDirectory, status: Status):
        self.run = run
        self._status = status
        self._step, self._epoch = status.step, status.epoch
        self._began = self._written = time.monotonic()

    def beat(self, step: int, epoch: int) -> None:
        """Note the progress; writes at most every `BEAT_SECONDS`. CheckFailed where another process took the run over.

        Call it in long evaluations too: another host takes a run over that was silent for `HEARTBEAT_LIMIT` seconds.
        """
        self._step, self._epoch = step, epoch
        if time.monotonic() - self._written < BEAT_SECONDS:
            return
        self._written = time.monotonic()
        if not self._mine():
            raise CheckFailed(
                f"{self.run.path}: another process took this run over while this one was silent for more than "
                f"{HEARTBEAT_LIMIT:.0f} s; this one stops, its last checkpoint is kept"
            )
        # A disk that is full for a moment must not end the training; the next checkpoint says so if it stays full.
        with suppress(BadFile):
            self._write("running")

    def leave(self, state: State, message: str = "") -> None:
        """Write the state that stays; nothing in a forked child and in one that lost the run."""
        if os.getpid() == self._status.pid and self._mine():
            self._write(state, message)

    def _mine(self) -> bool:
        mine = self._status
        now = self.run.status(quiet=True)  # where it was damaged from outside, the next write mends it
        return now.pid is None or (now.pid, now.host, now.process_start) == (mine.pid, mine.host, mine.process_start)

    def _write(self, state: State, message: str = "") -> None:
        seconds = self._status.seconds + time.monotonic() - self._began
        now: dict[str, Any] = {"step": self._step, "epoch": self._epoch, "seconds": seconds, "heartbeat": time.time()}
        self.run.write_status(dc.replace(self._status, state=state, **now, message=message))


class Paused(BaseException):
    """The caller of a training paused it after an epoch; its checkpoint is written, and a resume goes on.

    It is not an `Exception`, as KeyboardInterrupt is none: what explains errors must let it through.
    """


@contextmanager
def hold(run: RunDirectory, total_steps: int, patience: float = 0.0) -> Iterator[Holder]:
    """Take a run for this process and leave it finished, paused, stopped (Ctrl-C) or failed (any other).

    Raises UsageError where a living process holds it; a run whose process was killed is taken over. Of a process on
    another host that cannot be told at once: with `patience` it is waited for so many seconds.
    """
    descriptor = _take(run, patience)
    try:
        old = run.status()
        _log_takeover(run, old)
        started = time.time() if old.started is None else old.started
        me: dict[str, Any] = {
            "pid": os.getpid(), "host": socket.gethostname(), "process_start": process_start(os.getpid()),
        }  # fmt: skip
        fields = {"total_steps": total_steps, "heartbeat": time.time(), "started": started, "message": ""}
        holder = Holder(run, run.set_status("running", **me, **fields))
        try:
            yield holder
        except Paused:
            _leave_quietly(holder, "paused", "paused after an epoch")
            raise
        except KeyboardInterrupt:
            _leave_quietly(holder, "stopped", "interrupted")
            raise
        except BaseException as error:
            _leave_quietly(holder, "failed", _first_line(error))
            raise
        holder.leave("finished")
    finally:
        _release(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder of several runs for this process, without writing there; UsageError where another one has it."""
    descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    if descriptor is not None:
        _locks.add(descriptor)
    try:
        if descriptor is not None and not _lock(descriptor):
            raise UsageError(
                f"{folder}: another process trains its runs; wait for it, stop it there with Ctrl-C, or choose another "
                "folder with --out"
            )
        yield
    finally:
        _release(descriptor)


def _take(run: RunDirectory, patience: float) -> int | None:
    """The descriptor of the lock, None if the system has no such locks."""
    path = run.path / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    except OSError as error:
        raise BadFile(path, f"could not be opened ({error.strerror}); expected a run that can be written") from error
    _locks.add(descriptor)
    try:
        began = time.monotonic()
        while True:
            mine, status = _lock(descriptor), run.status()
            works = effective_state(status) == "running"
            if mine and not works:
                return descriptor
            # One that has just won may not have written its name yet, or may be about to leave.
            enough = _PATIENCE if not works else patience if status.host != socket.gethostname() else 0.0
            if time.monotonic() - began >= enough:
                raise _held(run, status)
            time.sleep(0.02 if enough <= _PATIENCE else 1.0)
    except BaseException:
        _release(descriptor)
        raise


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: the state alone tells
    return True


def _release(descriptor: int | None) -> None:
    if descriptor in _locks:
        _locks.discard(descriptor)
        with suppress(OSError):
            os.close(descriptor)


def _release_in_child() -> None:
    """A forked loader process shares the lock and would keep it after its parent was killed."""
    for descriptor in list(_locks):
        _release(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


def _held(run: RunDirectory, status: Status) -> UsageError:
    who, mend = "another process", ""
    if effective_state(status) == "running":
        age = max(0.0, time.time() - (status.heartbeat or 0.0))
        who = (
            f"process {status.pid} on {status.host} (step {status.step} of {status.total_steps}, "
            f"last sign of life {age:.0f} s ago)"
        )
        if status.host != socket.gethostname():
            mend = f"; if that machine is dead, try again {HEARTBEAT_LIMIT:.0f} s after its last sign of life"
    return UsageError(
        f"{run.path} is held by {who}; expected a run that no process works on; wait for it, stop it there with "
        f"Ctrl-C, or start another run{mend}"
    )


def _log_takeover(run: RunDirectory, old: Status) -> None:
    if effective_state(old) == "killed":
        run.log(f"process {old.pid} on {old.host} was killed after step {old.step}; process {os.getpid()} takes over")


def _leave_quietly(holder: Holder, state: State, message: str) -> None:
    """The exception on its way out matters more than a state that could not be written."""
    with suppress(ConvsmithError, OSError):
        holder.leave(state, message)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
