"""Joining the processes that torchrun started, and leaving them: one message, one exit status, none left behind."""

import atexit
import contextlib
import itertools
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from convsmith.base.errors import ConvsmithError, ProcessFailed, Told, UsageError
from convsmith.base.processes import local_part, part, restarts
from convsmith.training.board import DEFERENCE, GATHERING, Board
from convsmith.training.distributed import ALONE, Group, World
from convsmith.training.options import EngineOptions

# A job's processes join once, whatever they train one after the other.
_joined: list[Group] = []
_uses = itertools.count()


@contextlib.contextmanager
def together(options: EngineOptions, agreed: tuple[type[BaseException], ...]) -> Iterator[World]:
    """The world of one training run; alone where torchrun did not start several processes.

    The run's errors that are of one of the types `agreed` come up in every process, and the first one says them. Of
    any other the process that has it does, and all end.
    """
    if part().size == 1:
        yield ALONE
        return
    group = _joined[0] if _joined else _join(options)
    ended = f"ended/{next(_uses)}"
    try:
        yield group
    except BaseException as error:
        raise _left(group, ended, error, agreed) from error
    if group.part.leads:
        group.board.put(ended, None)
        _wait_for_others(group, ended)
    else:
        group.board.read(ended, author=0)
        group.board.store.add(f"{ended}/left", 1)


def _left(
    group: Group, ended: str, error: BaseException, agreed: tuple[type[BaseException], ...]
) -> BaseException:  # fmt: skip
    """The error to leave with: `Told` where another process says it."""
    board, code = group.board, 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
    # With processes that are gone the ends of the process group and its connections would wait for them, half a minute.
    atexit.unregister(dist.destroy_process_group)
    if type(error) is ProcessFailed:
        atexit.register(_end_at_once, code)
    try:
        if group.part.leads:
            first = isinstance(error, Told) or board.fail(str(error), code)
            board.put(ended, None)
            _wait_for_others(group, ended)
            return error if first else Told(str(error), code)
        if isinstance(error, (Told, *agreed)):
            with contextlib.suppress(ConvsmithError):
                _await_end(group, ended)
            board.store.add(f"{ended}/left", 1)
            return Told(str(error), code)
        if board.failure(wait=DEFERENCE) is not None or not board.fail(_worded(group, error), code):
            board.store.add(f"{ended}/left", 1)
            return Told(str(error), code)
    except dist.DistError:
        return error  # nobody is left to tell
    return ProcessFailed(_worded(group, error), code) if isinstance(error, ConvsmithError) else error


def _end_at_once(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _worded(group: Group, error: BaseException) -> str:
    own = f"process {group.part.rank} of {group.part.size}: {error}"
    return str(error) if isinstance(error, ProcessFailed) else own


def _await_end(group: Group, ended: str) -> None:
    """Until the first process has left its run in order: torchrun ends all once one has ended with an error."""
    deadline = time.monotonic() + group.board.patience
    while not group.board.store.check([ended]) and time.monotonic() < deadline:
        time.sleep(0.02)


def _wait_for_others(group: Group, ended: str) -> None:
    """The store may end with this process: a moment for the others to have read it."""
    deadline = time.monotonic() + DEFERENCE
    with contextlib.suppress(dist.DistError):
        while group.board.store.add(f"{ended}/left", 0) < group.part.size - 1 and time.monotonic() < deadline:
            time.sleep(0.01)


def _join(options: EngineOptions) -> Group:
    mine = part()
    device = _device(options.device)
    store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=GATHERING)))
    # A store that outlives a restart of the processes still has what those before wrote.
    store = PrefixStore(f"convsmith/{restarts()}", store)
    board = Board(store, mine, options.timeout)
    board.meet()
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", store=PrefixStore("group", store),
        rank=mine.rank, world_size=mine.size, timeout=timedelta(seconds=options.timeout),
    )  # fmt: skip
    atexit.register(dist.destroy_process_group)
    _joined.append(Group(mine, board, device))
    return _joined[0]


def _device(name: str) -> torch.device:
    """The device of this process: the GPU with its number on this machine, which becomes the current one."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    local = local_part()
    if name not in ("auto", "cuda"):
        raise UsageError(f"engine.device: each process takes a GPU of its own: expected auto, cpu or cuda, not {name}")
    if local.size > torch.cuda.device_count():
        raise UsageError(
            f"{local.size} processes on this machine and {torch.cuda.device_count()} GPUs; start one for each GPU "
            "(--nproc, --nproc-per-node), or train on processors with --device cpu"
        )
    torch.cuda.set_device(local.rank)
    return torch.device("cuda", local.rank)
