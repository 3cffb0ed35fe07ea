"""The worker processes of the streaming loader. If one dies or hangs, the error names the process and its image.

Images lie in memory that all processes share. The numbers of batches and the answers go through a pipe of each worker.
The processes share no lock, because a worker that is killed while it holds one blocks the others for ever. (The workers
of torch's DataLoader share an event, and with it a lock.)
"""

import mmap
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convsmith.base.errors import BadFile, ConvsmithError
from convsmith.data.decoding import decode_stack
from convsmith.data.examples import Examples
from convsmith.data.kept import Kept
from convsmith.data.preprocess import ImageInput, final_size

# Seconds between two checks of the workers while no batch arrives.
LOOK_SECONDS = 1.0
# The number of batches that each worker decodes ahead.
AHEAD = 2
# The columns of `_Decoding.notes`: the index of the image that a worker is decoding (-1: none), and the number of
# images that it has decoded.
IMAGE, COUNT = range(2)


class LoaderFailed(ConvsmithError, RuntimeError):
    """A worker process of the loader died, hangs or could not be started."""


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Connection


class _Decoding:
    """Decodes batches of indices into shared memory, in the workers."""

    def __init__(
        self, examples: Examples, preprocess: ImageInput, margin: bool, cache: Kept | None,
        batches: Sequence[list[int]], workers: int,
    ):  # fmt: skip
        self.examples, self._record, self._margin, self._cache = examples, preprocess, margin, cache
        # The workers inherit the batches: only their numbers go through the pipes, which hold any number of those.
        self.batches = batches
        shape = (max(map(len, batches)), preprocess.channels, *final_size(preprocess, margin))
        # The trainer asks for the next batch before it copies batch n. So meanwhile workers may write up to batch
        # n + AHEAD * workers, and batch n needs a slot of its own.
        count = AHEAD * workers + 1
        # Anonymous memory: forked workers inherit it, and the limit of /dev/shm does not apply to it.
        images, notes = mmap.mmap(-1, count * max(1, int(np.prod(shape)))), mmap.mmap(-1, workers * 2 * 8)
        self.slots = np.frombuffer(images, np.uint8).reshape(count, *shape)
        self.notes = np.frombuffer(notes, np.int64).reshape(workers, 2)
        self.notes[:, IMAGE] = -1

    def decode(self, number: int, worker: int) -> BadFile | str | None:
        """Decode batch `number` in `worker`; gives the error of its file, a traceback, or None."""
        note = self.notes[worker]
        try:
            # Image by image, with a note of each: the trainer can name the image at which a worker dies or hangs.
            for place, index in enumerate(self.batches[number]):
                note[IMAGE] = index
                stack = decode_stack(self.examples, [index], self._record, 1, self._margin, self._cache)
                self.slots[number % len(self.slots), place] = stack[0]
                note[COUNT] += 1
        except BadFile as error:
            return error
        except Exception:
            return traceback.format_exc()
        note[IMAGE] = -1
        return None


def decode_in_workers(
    examples: Examples, preprocess: ImageInput, margin: bool, cache: Kept | None, batches: Sequence[list[int]],
    *, workers: int, timeout: float, pinned: bool,
) -> Iterator[Tensor]:  # fmt: skip
    """The images of each batch of indices, uint8 (N, C, H, W), decoded by `workers` processes.

    Raises LoaderFailed if a worker dies, or if it decodes no image for `timeout` seconds while its batch is awaited.
    """
    if not batches:
        return
    count = min(workers, len(batches))
    started: list[_Worker] = []
    try:
        try:
            decoding = _Decoding(examples, preprocess, margin, cache, batches, count)
            for worker in range(count):
                started.append(_begin(decoding, worker))
        except OSError as error:
            raise LoaderFailed(
                f"data.workers: {count} loader processes could not be started ({error.strerror or error}); mend with "
                "a smaller --workers, or with more open files and memory for a process (ulimit -n, ulimit -v)"
            ) from None
        for number in range(min(AHEAD * count, len(batches))):
            _ask(started, number)
        for number, batch in enumerate(batches):
            problem = _await(decoding, started, number, timeout)
            if isinstance(problem, BadFile):
                raise problem
            if problem is not None:
                raise RuntimeError(f"loader worker {number % count} failed:\n{problem}")
            if number + AHEAD * count < len(batches):
                _ask(started, number + AHEAD * count)
            images = torch.from_numpy(decoding.slots[number % len(decoding.slots), : len(batch)])
            yield images.pin_memory() if pinned else images.clone()
    finally:
        # SIGKILL, since neither a closed pipe nor SIGTERM ends a stopped process (SIGSTOP).
        for process, _ in started:
            process.kill()
        for process, pipe in started:
            process.join(5)
            pipe.close()


def _begin(decoding: _Decoding, worker: int) -> _Worker:
    context = get_context("fork")
    here, there = context.Pipe()
    try:
        process = context.Process(target=_work, args=(decoding, worker, there, os.getpid()), daemon=True)
        process.start()
    except OSError:
        here.close()
        raise
    finally:
        there.close()  # without the trainer's copy, the pipe ends with the worker
    return _Worker(process, here)


def _work(decoding: _Decoding, worker: int, pipe: Connection, parent: int) -> None:
    """Decode the batches whose numbers come through the pipe, until the trainer ends this process.

    Batch systems send SIGTERM to the whole process group, terminals send SIGINT and SIGHUP. If they ended a worker, the
    run would fail while its checkpoint is saved.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)  # the workers are the threads
    while True:
        pipe.send(decoding.decode(pipe.recv(), worker))


def _end_with(parent: int) -> None:
    """End the process when `parent` ends. The pipe does not end then, because other workers have copies of it."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _ask(workers: Sequence[_Worker], number: int) -> None:
    """Ask a worker for batch `number`. The workers take turns. `_await` raises the error for a worker that is gone."""
    with suppress(OSError):
        workers[number % len(workers)].pipe.send(number)


def _await(decoding: _Decoding, workers: Sequence[_Worker], number: int, timeout: float) -> BadFile | str | None:
    """The error of batch `number`, or None, as soon as a worker has decoded it."""
    awaited = number % len(workers)
    pipe, sentinels = workers[awaited].pipe, [process.sentinel for process, _ in workers]
    seen, since = int(decoding.notes[awaited, COUNT]), time.monotonic()
    while True:
        if pipe in wait([pipe, *sentinels], LOOK_SECONDS):
            try:
                return pipe.recv()
            except (EOFError, OSError):
                workers[awaited].process.join(5)  # the pipe ends a moment before the process
        for worker, (process, _) in enumerate(workers):
            if process.exitcode is not None:
                raise LoaderFailed(f"{_named(worker, process)} {_ended(process)}{_at(decoding, worker)}")
        # The time-out is for one image, not for the batch: each decoded image starts it again.
        now = int(decoding.notes[awaited, COUNT])
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= timeout:
            raise LoaderFailed(_hangs(decoding, workers, awaited, timeout))


def _ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code >= 0:
        return f"ended with exit status {code}"
    names = {number.value: number.name for number in signal.Signals}
    why = " (for lack of memory? a smaller --workers or --batch takes less)" if code == -signal.SIGKILL else ""
    return f"was killed by {names.get(-code, f'signal {-code}')}{why}"


def _hangs(decoding: _Decoding, workers: Sequence[_Worker], awaited: int, timeout: float) -> str:
    """The message for a worker that hangs. It names a stopped worker, if there is one, as the cause."""
    stopped = [worker for worker, (process, _) in enumerate(workers) if _is_stopped(process.pid)]
    worker = stopped[0] if stopped else awaited
    why = "is stopped (SIGSTOP) and" if stopped else "hangs: it"
    return (
        f"{_named(worker, workers[worker].process)} {why} has decoded nothing for {timeout:g} s (--data.timeout)"
        f"{_at(decoding, worker)}; a slow disk may need a larger one"
    )


def _named(worker: int, process: BaseProcess) -> str:
    return f"loader worker {worker} (process {process.pid})"


def _at(decoding: _Decoding, worker: int) -> str:
    """The name of the image that a worker was decoding, for the end of a message; empty if there was none."""
    index = int(decoding.notes[worker, IMAGE])
    return f" at {decoding.examples.name(index)}" if index >= 0 else ""


def _is_stopped(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        return False
