"""Joining the processes that torchrun started, and leaving them: one message, one exit status, none left behind."""

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from convsmith.base.errors import ConvsmithError, ProcessFailed, Told
from convsmith.base.processes import Part, part
from convsmith.training.distributed import ALONE, DEFERENCE, Group, World, beat, comes
from convsmith.training.engine import own_device
from convsmith.training.interrupt import Interrupted
from convsmith.training.options import EngineOptions
from convsmith.training.step import Exploded

# Errors that every process raises at the same step: the first process prints them. Any other error is printed by the
# process that raises it.
AGREED = (Exploded, Interrupted)
# Seconds from the first process's start to the last one's: torch alone can take minutes to load from a slow disk.
GATHERING = 600.0

# The processes of a job join once, also if they train several runs one after the other.
_groups: list[Group] = []


@contextlib.contextmanager
def together(options: EngineOptions) -> Iterator[World]:
    """The `Group` of a training run, or `ALONE` if torchrun did not start several processes.

    An error of one process ends all processes and is printed once.
    """
    if part().size == 1:
        yield ALONE
        return
    if not _groups:
        _groups.append(_joined(options.timeout))
    group = _groups[0]
    group.begin()
    try:
        with group.watch():
            if group.device is None:
                group.open(own_device(options.device))
                atexit.register(dist.destroy_process_group)
            yield group
    except BaseException as error:
        # `destroy_process_group` would wait half a minute for processes that are gone.
        atexit.unregister(dist.destroy_process_group)
        raise _left(group, error) from error
    _end(group)


def _left(group: Group, error: BaseException) -> BaseException:
    """The error to raise in this process; `Told` if another process prints the message."""
    code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
    leads, words = group.part.leads, str(error)
    if not leads and not isinstance(error, ProcessFailed):
        words = f"process {group.part.rank} of {group.part.size}: {error}"
    with contextlib.suppress(dist.DistError):
        told = isinstance(error, Told) or (not leads and (isinstance(error, AGREED) or group.failure(DEFERENCE)))
        told = told or not group.fail(words, code)
        if leads or told:
            _end(group)
        if told:
            return Told(words, code)
        # The other processes notice that this one ends, and read the reason in the store.
        return error if leads or not isinstance(error, ConvsmithError) else ProcessFailed(words, code)
    return error  # the store is gone, so no other process prints it


def _end(group: Group) -> None:
    """Wait until the first process has ended its run: torchrun kills all processes once one exits with an error.

    The first process, which may hold the store, leaves last.
    """
    here, left = group.here, [f"left/{rank}" for rank in range(1, group.part.size)]
    with contextlib.suppress(dist.DistError):
        if group.part.leads:
            here.set("ended", "")
            comes(here, left, DEFERENCE)
        else:
            comes(here, ["ended"], group.patience)
            here.set(left[group.part.rank - 1], "")


def _joined(patience: float) -> Group:
    """The `Group` of this process, joined with the processes that were started with it."""
    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=GATHERING)))
        start = gathered(store, part())
        own = PrefixStore(f"start {start}", store)
        threading.Thread(target=beat, args=(own.clone(), part().rank), daemon=True).start()
        return Group(own, part(), patience, start)
    except dist.DistError as error:
        raise ProcessFailed(f"the process that holds the others together cannot be reached: {error}") from error


def gathered(store: Store, part: Part) -> int:
    """The number of this start of the job, from 1, once all of its processes are there.

    torchrun's store outlives a restart, with the addresses of the earlier torch groups in it, and each torchrun counts
    only its own restarts. So the first process takes a number that no start had, and the others wait for that number.
    """
    if part.leads:
        start = store.add("starts", 1)
        for rank in range(1, part.size):
            if not comes(store, [f"{start}/{rank}"], GATHERING):
                raise ProcessFailed(f"process {rank} of {part.size} did not come within {GATHERING:g} s")
        store.set(f"{start}/all", "")
        return start
    deadline, start, is_new = time.monotonic() + GATHERING, 0, False
    while not (is_new and store.check([f"{start}/all"])):
        if (found := store.add("starts", 0)) != start:
            # A second count under one number: the number is that of an earlier start.
            start, is_new = found, store.add(f"{found}/{part.rank}", 1) == 1
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the first process did not come within {GATHERING:g} s")
        time.sleep(0.01)
    return start
