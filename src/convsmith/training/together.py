"""Joining the processes that torchrun started, and leaving them: one message, one exit status, none left behind."""

import atexit
import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from convsmith.base.errors import ConvsmithError, ProcessFailed, Told, UsageError
from convsmith.base.processes import local_part, part, restarts
from convsmith.report.text import many
from convsmith.training.distributed import ALONE, Group, World
from convsmith.training.interrupt import Interrupted
from convsmith.training.options import EngineOptions
from convsmith.training.presence import DEFERENCE, GATHERING, Presence, join
from convsmith.training.step import Exploded

# A run's errors that come up in every process, so that the first one says them. Of any other the process that has it
# does.
AGREED = (Exploded, Interrupted)

# A job's processes join once, whatever they train one after the other.
_present: list[Presence] = []
_groups: list[Group] = []


@contextlib.contextmanager
def together(options: EngineOptions) -> Iterator[World]:
    """The world of one training run; alone where torchrun did not start several processes.

    An error of one process ends all of them, and is said once.
    """
    if part().size == 1:
        yield ALONE
        return
    presence = _joined(options)
    presence.begin()
    ended = presence.key("ended")
    try:
        yield _grouped(presence, options)
    except BaseException as error:
        raise _left(presence, ended, error) from error
    if presence.part.leads:
        presence.put(ended, None)
        _wait_for_others(presence, ended)
    else:
        presence.read(ended, author=0)
        presence.store.add(f"{ended}/left", 1)


def _left(presence: Presence, ended: str, error: BaseException) -> BaseException:
    """The error to leave with: `Told` where another process says it."""
    code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
    # With processes that are gone the end of the process group would wait for them, half a minute.
    atexit.unregister(dist.destroy_process_group)
    try:
        if presence.part.leads:
            first = isinstance(error, Told) or presence.fail(str(error), code)
            presence.put(ended, None)
            _wait_for_others(presence, ended)
            return error if first else Told(str(error), code)
        if isinstance(error, (Told, *AGREED)):
            with contextlib.suppress(ConvsmithError):
                _await_end(presence, ended)
            presence.store.add(f"{ended}/left", 1)
            return Told(str(error), code)
        if presence.failure(wait=DEFERENCE) is not None or not presence.fail(_worded(presence, error), code):
            presence.store.add(f"{ended}/left", 1)
            return Told(str(error), code)
    except dist.DistError:
        return error  # nobody is left to tell
    return ProcessFailed(_worded(presence, error), code) if isinstance(error, ConvsmithError) else error


def _worded(presence: Presence, error: BaseException) -> str:
    own = f"process {presence.part.rank} of {presence.part.size}: {error}"
    return str(error) if isinstance(error, ProcessFailed) else own


def _await_end(presence: Presence, ended: str) -> None:
    """Until the first process has left its run in order: torchrun ends all once one has ended with an error."""
    deadline = time.monotonic() + presence.patience
    while not presence.store.check([ended]) and time.monotonic() < deadline:
        time.sleep(0.02)


def _wait_for_others(presence: Presence, ended: str) -> None:
    """The store may end with this process: a moment for the others to have read it."""
    deadline = time.monotonic() + DEFERENCE
    with contextlib.suppress(dist.DistError):
        while presence.store.add(f"{ended}/left", 0) < presence.part.size - 1 and time.monotonic() < deadline:
            time.sleep(0.01)


def _joined(options: EngineOptions) -> Presence:
    """The presence of this process, with all others there."""
    if not _present:
        try:
            store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=GATHERING)))
        except dist.DistError as error:
            raise ProcessFailed(f"the process that holds the others together cannot be reached: {error}") from error
        _present.append(join(PrefixStore("convsmith", store), part(), options.timeout, restarts()))
    return _present[0]


def _grouped(presence: Presence, options: EngineOptions) -> Group:
    """The process group; that a device is missing is known to all before any waits for another in torch."""
    if not _groups:
        group = Group(presence, _device(options.device))
        presence.meet()
        with group.watch():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if group.device.type == "cuda" else "gloo",
                store=PrefixStore("group", presence.store), rank=presence.part.rank, world_size=presence.part.size,
                timeout=timedelta(seconds=options.timeout),
            )  # fmt: skip
        atexit.register(dist.destroy_process_group)
        _groups.append(group)
    return _groups[0]


def _device(name: str) -> torch.device:
    """The device of this process: the GPU with its number on this machine, which becomes the current one."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    local = local_part()
    if name not in ("auto", "cuda"):
        raise UsageError(f"engine.device: each process takes a GPU of its own: expected auto, cpu or cuda, not {name}")
    if local.size > torch.cuda.device_count():
        raise UsageError(
            f"{many(local.size, 'process', 'processes')} on this machine and "
            f"{many(torch.cuda.device_count(), 'GPU')}; start one for each GPU "
            "(--nproc, --nproc-per-node), or train on processors with --device cpu"
        )
    torch.cuda.set_device(local.rank)
    return torch.device("cuda", local.rank)
