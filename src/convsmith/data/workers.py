"""The worker processes of the streaming loader. If one dies or hangs, the error names the process and its image.

Images lie in memory that all processes share; only one answer for each batch goes through a pipe. So a worker that
stops in the middle of a batch leaves no partial message, and the size of /dev/shm does not matter.
"""

import mmap
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

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


class _Decoding(Dataset[Any]):
    """Decodes batches of indices into shared memory, in the workers. An item is the batch's error, or None."""

    def __init__(
        self, examples: Examples, preprocess: ImageInput, margin: bool, cache: Kept | None, largest: int,
        workers: int,
    ):  # fmt: skip
        self.examples, self._record, self._margin, self._cache = examples, preprocess, margin, cache
        shape = (largest, preprocess.channels, *final_size(preprocess, margin))
        # torch's loader hands out the next batch before it returns one. So while the trainer copies batch n, workers
        # may write up to batch n + AHEAD * workers, and batch n needs a slot of its own.
        count = AHEAD * workers + 1
        # Anonymous memory: forked workers inherit it, and the limit of /dev/shm does not apply to it.
        images, notes = mmap.mmap(-1, count * max(1, int(np.prod(shape)))), mmap.mmap(-1, workers * 2 * 8)
        self.slots = np.frombuffer(images, np.uint8).reshape(count, *shape)
        self.notes = np.frombuffer(notes, np.int64).reshape(workers, 2)
        self.notes[:, IMAGE] = -1

    def __getitem__(self, task: tuple[int, list[int]]) -> BadFile | str | None:
        (number, indices), info = task, get_worker_info()
        note = self.notes[info.id if info else 0]
        try:
            # Image by image, with a note of each: the trainer can name the image at which a worker dies or hangs.
            for place, index in enumerate(indices):
                note[IMAGE] = index
                stack = decode_stack(self.examples, [index], self._record, 1, self._margin, self._cache)
                self.slots[number % len(self.slots), place] = stack[0]
                note[COUNT] += 1
        except BadFile as error:
            return error
        except Exception:  # torch's loader would wrap the message of an exception in its own
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
    workers, before = min(workers, len(batches)), active_children()
    processes: list[BaseProcess] = []
    try:
        try:
            decoding = _Decoding(examples, preprocess, margin, cache, max(map(len, batches)), workers)
            with _signals_kept():
                answers = iter(_loader(decoding, batches, workers))
        except OSError as error:
            _forget(error)
            raise LoaderFailed(
                f"data.workers: {workers} loader processes could not be started ({error.strerror or error}); mend with "
                "a smaller --workers, or with more open files and memory for a process (ulimit -n, ulimit -v)"
            ) from None
        finally:
            # Also after an error: workers that were started before it must end too.
            new = [process for process in active_children() if process not in before]
            # In the order of their start, which is the number in their names: `Process-12`.
            processes += sorted(new, key=lambda process: int(re.sub(r"\D", "", process.name)))
        for number, batch in enumerate(batches):
            problem = _await(answers, decoding, processes, number, timeout)
            if isinstance(problem, BadFile):
                raise problem
            if problem is not None:
                raise RuntimeError(f"loader worker {number % workers} failed:\n{problem}")
            images = torch.from_numpy(decoding.slots[number % len(decoding.slots), : len(batch)])
            yield images.pin_memory() if pinned else images.clone()
    finally:
        # SIGKILL, since neither a closed pipe nor SIGTERM ends a stopped process (SIGSTOP).
        for process in processes:
            process.kill()
        for process in processes:
            process.join(5)


def _loader(decoding: _Decoding, batches: Sequence[list[int]], workers: int) -> DataLoader[Any]:
    return DataLoader(
        decoding,
        batch_size=None,
        sampler=list(enumerate(batches)),  # pyright: ignore[reportArgumentType] - any sequence will do
        num_workers=workers,
        prefetch_factor=AHEAD,
        timeout=LOOK_SECONDS,
        multiprocessing_context="fork",
        collate_fn=_as_it_is,
        worker_init_fn=partial(_begin_worker, os.getpid()),
        # Without its own generator the loader would draw from the global one, and so change its state.
        generator=torch.Generator(),
    )


def _as_it_is(answer: Any) -> Any:
    return answer


def _await(
    answers: Iterator[Any], decoding: _Decoding, processes: Sequence[BaseProcess], number: int, timeout: float
) -> BadFile | str | None:
    """The error of batch `number`, or None, as soon as a worker has decoded it."""
    awaited = number % len(decoding.notes)  # torch's loader gives the batches to the workers in turn
    seen, since = int(decoding.notes[awaited, COUNT]), time.monotonic()
    while True:
        try:
            return next(answers)
        except (RuntimeError, OSError, EOFError) as error:
            # No answer for LOOK_SECONDS, or a worker has ended: torch's loader raises the same errors for both.
            for worker, process in enumerate(processes):
                if process.exitcode is not None:
                    raise LoaderFailed(f"{_named(worker, process)} {_ended(process)}{_at(decoding, worker)}") from error
            # The time-out is for one image, not for the batch: each decoded image starts it again.
            now = int(decoding.notes[awaited, COUNT])
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since >= timeout:
                raise LoaderFailed(_hangs(decoding, processes, awaited, timeout)) from error


def _ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code >= 0:
        return f"ended with exit status {code}"
    names = {number.value: number.name for number in signal.Signals}
    why = " (for lack of memory? a smaller --workers or --batch takes less)" if code == -signal.SIGKILL else ""
    return f"was killed by {names.get(-code, f'signal {-code}')}{why}"


def _hangs(decoding: _Decoding, processes: Sequence[BaseProcess], awaited: int, timeout: float) -> str:
    """The message for a worker that hangs. It names a stopped worker, if there is one, as the cause."""
    stopped = [worker for worker, process in enumerate(processes) if _is_stopped(process.pid)]
    worker = stopped[0] if stopped else awaited
    why = "is stopped (SIGSTOP) and" if stopped else "hangs: it"
    return (
        f"{_named(worker, processes[worker])} {why} has decoded nothing for {timeout:g} s (--data.timeout)"
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


def _forget(error: OSError) -> None:
    """Delete the incomplete loader that the error's frames hold, without the error that its `__del__` would print."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = hook


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handler of SIGCHLD afterwards. torch's loader sets one that raises at any point of the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _begin_worker(parent: int, worker: int) -> None:
    """Ignore signals that are meant for the parent, and end when the parent ends.

    Batch systems send SIGTERM to the whole process group, terminals send SIGINT and SIGHUP. If they ended a worker, the
    run would fail while its checkpoint is saved.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End the process when `parent` ends. torch's own watch misses a parent that is killed before the worker begins."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)
