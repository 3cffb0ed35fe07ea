"""Training in several processes: each takes a slice of every batch, and all take the same step.

`World` is a run in one process, which exchanges nothing; `Group` is one process of several (DistributedDataParallel: Li
et al. 2020). Both compute the same numbers up to the order of sums, except for batch norms: each process normalizes its
own slice, and the statistics of the first process are kept.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.nn.parallel import DistributedDataParallel

from convsmith.base.errors import ConvsmithError, ProcessFailed, Told
from convsmith.base.processes import WHOLE, Part, restarts
from convsmith.nets.modules.build import BuiltNetwork
from convsmith.runs.status import process_lives, process_start
from convsmith.tasks.task import Losses

T = TypeVar("T")
Answers = Iterator[tuple[Tensor, ...]]

# How often a process gives a sign of life.
BEAT_SECONDS = 1.0
# How long a process that is not the first leaves it to the first to say what both have seen.
DEFERENCE = 2.0


class World:
    """A run in one process. In a run with several processes, all call the same methods in the same order."""

    part = WHOLE

    def restarted(self) -> bool:
        """Whether earlier processes of this job may have begun a run."""
        return restarts() > 0

    def meet(self) -> None:
        """Wait for all processes, for as long as each gives signs of life; an exchange waits `engine.timeout` only."""

    def lead(self, work: Callable[[], T], tell: Callable[[T], Any] = lambda done: done) -> Any:
        """The result of `work`, which only the first process runs; the other processes get `tell(result)` as JSON data.

        They wait for as long as the first process gives signs of life.
        """
        return work()

    def agree(self, wish: bool) -> bool:
        """Whether `wish` is True in any process."""
        return wish

    def totals(self, losses: Losses, asked: bool, look: bool) -> tuple[Losses, bool]:
        """A step's losses over all processes, and whether any process was asked to stop.

        With several processes the request is exchanged only if `look` is true: the exchange waits for the device.
        """
        return losses, asked

    def whole(self, tensor: Tensor, count: int) -> Tensor:
        """The whole batch of `count` rows, joined from the slices of all processes."""
        return tensor

    def own(self, tensor: Tensor) -> Tensor:
        """The slice of this process of a whole batch."""
        begin, end = self.part.slice(0, len(tensor))
        return tensor[begin:end]

    def in_order(self, answers: Answers, steps: int) -> Answers:
        """In the first process, the answers to all `steps` batches in their order; in the others, nothing.

        Each process passes the answers to the batches that its own loader yields.
        """
        return answers

    def parallel(self, model: nn.Module) -> nn.Module:
        """The module with the first process's weights, whose backward pass gives every process the mean gradient."""
        return model

    def same_statistics(self, model: nn.Module, mean: bool = False) -> None:
        """Give buffers (statistics of norms) the values that the first process has, or the mean over all."""

    def watch(self) -> contextlib.AbstractContextManager[Any]:
        """A context that turns a lost connection to another process into `ProcessFailed`, which names the process."""
        return contextlib.nullcontext()


ALONE = World()


class Group(World):
    """One process of several. Only these processes use `store`; `start` counts the starts of the job from 1.

    Processes in step with each other exchange by torch's process group, which waits `patience` seconds. A process that
    waits for longer work of another polls the store, for as long as the other gives signs of life.
    """

    def __init__(self, store: Store, part: Part, patience: float, start: int = 1):
        self.part, self.store, self.patience, self.start = part, store, patience, start
        self.device: Any = None
        self.members: list[Any] = []
        self.uses = 0

    def begin(self) -> None:
        """Start the next use of the group; a failure that ended an earlier use does not end this one."""
        self.uses, self.turns = self.uses + 1, 0
        self.here = PrefixStore(f"use {self.uses}", self.store)

    def open(self, device: torch.device) -> None:
        """Open the process group for tensors on `device`."""
        # A process without a device fails before this meeting. In the process group, the others would wait for it.
        self.meet()
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        size, rank, store = self.part.size, self.part.rank, PrefixStore("group", self.store)
        patience = timedelta(seconds=self.patience)
        dist.init_process_group(backend, timeout=patience, world_size=size, rank=rank, store=store)
        pid, members = os.getpid(), list[Any]([None] * size)
        dist.all_gather_object(members, (socket.gethostname(), pid, process_start(pid), restarts()))
        self.device, self.members = device, members

    def restarted(self) -> bool:
        # Each torchrun counts only its own restarts.
        return self.start > 1 or any(count > 0 for *_, count in self.members)

    def meet(self) -> None:
        names = [f"met/{self.turns}/{rank}" for rank in range(self.part.size)]
        self.here.set(names[self.part.rank], "")
        self.lead(lambda: [self._await(name, rank) for rank, name in enumerate(names)])

    def lead(self, work: Callable[[], T], tell: Callable[[T], Any] = lambda done: done) -> Any:
        self.turns += 1
        key = f"lead/{self.turns}"
        if self.part.leads:
            done = work()
            self.here.set(key, json.dumps(tell(done)))
            return done
        self._await(key, author=0)
        return json.loads(self.here.get(key))

    def agree(self, wish: bool) -> bool:
        wishes = torch.tensor(float(wish))
        dist.all_reduce(wishes)
        return wishes.item() > 0

    def totals(self, losses: Losses, asked: bool, look: bool) -> tuple[Losses, bool]:
        # `full_like` fills on the device: copying a number from the processor would wait for the device.
        wish = torch.full_like(losses.total, asked, dtype=torch.float64)
        right = torch.zeros_like(wish) if losses.right is None else losses.right.double()
        means = [value.double() / self.part.size for value in (losses.total, *losses.parts.values())]
        numbers = torch.stack([wish, right, *means])
        dist.all_reduce(numbers)
        _, hits, total, *parts = numbers
        named = dict(zip(losses.parts, parts, strict=True))
        found = Losses(total, None if losses.right is None else hits, named)
        return found, look and numbers[0].item() > 0

    def whole(self, tensor: Tensor, count: int) -> Tensor:
        counts = [Part(rank, self.part.size).slice(0, count) for rank in range(self.part.size)]
        # An exchange needs tensors of one shape, and slices differ by one row: the shorter ones get a row of zeros.
        largest = -(-count // self.part.size)
        padded = torch.cat([tensor, tensor.new_zeros((largest - len(tensor), *tensor.shape[1:]))])
        slices = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(slices, padded)
        return torch.cat([slice[: end - begin] for slice, (begin, end) in zip(slices, counts, strict=True)])

    def in_order(self, answers: Answers, steps: int) -> Answers:
        # The first process alone takes sums, in the order of one process: their bits do not depend on the count.
        for _ in range(-(-steps // self.part.size)):
            mine = next(answers, None)
            found: list[Any] = [None] * self.part.size if self.part.leads else []
            dist.gather_object(mine and tuple(tensor.cpu() for tensor in mine), found or None)
            for answer in found:
                if answer is not None:
                    yield tuple(tensor.to(self.device) for tensor in answer)

    def parallel(self, model: nn.Module) -> nn.Module:
        # With `find_unused_parameters` every step sums gradients in one order. Without it, the first step after a
        # resume sums in another order, and with three processes or more the bits differ.
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        wrapped = DistributedDataParallel(model, device_ids=devices, find_unused_parameters=True)
        if isinstance(model, BuiltNetwork):
            # No training step both reads and changes the buffers of a tree, which are statistics: sending them now and
            # before each evaluation is enough. Buffers of a user's module are sent in every step.
            wrapped.broadcast_buffers = False
        return wrapped

    def same_statistics(self, model: nn.Module, mean: bool = False) -> None:
        for buffer in model.buffers():
            value = buffer.contiguous()
            if mean and buffer.is_floating_point():
                dist.all_reduce(value)
                value = value / self.part.size
            else:
                dist.broadcast(value, src=0)
            buffer.copy_(value)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, ConvsmithError) or not is_of_connection(error):
                raise
            raise self._lost(error) from error

    def fail(self, message: str, exit_code: int) -> bool:
        """Store why the job ends; False if another process has stored a reason already."""
        mine = json.dumps([message, exit_code])
        return self.here.compare_set("failure", "", mine) == mine.encode()

    def failure(self, wait: float = 0.0) -> Told | None:
        """The stored reason for the end of the job; None if there is none within `wait` seconds."""
        return Told(*json.loads(self.here.get("failure"))) if comes(self.here, ["failure"], wait) else None

    def _lost(self, error: RuntimeError) -> ProcessFailed:
        """The error for a process that does not answer: the reason that it stored, else who is gone."""
        what, here = str(error).strip().partition("\n")[0][:200] or type(error).__name__, socket.gethostname()
        with contextlib.suppress(dist.DistError):
            if (failure := self.failure(0.2 if self.part.leads else DEFERENCE)) is not None:
                return failure
            near = [(rank, pid, start) for rank, (host, pid, start, _) in enumerate(self.members) if host == here]
            dead = [rank for rank, pid, start in near if process_lives(pid, start) is False]
            who = f"process {dead[0]} of {self.part.size} is gone" if dead else "another process does not answer"
            return ProcessFailed(f"{who} (engine.timeout is {self.patience:g} s): {what}")
        return ProcessFailed(f"the process that holds the others together is gone: {what}")

    def _await(self, key: str, author: int) -> None:
        """Wait until process `author` has written `key`, as long as it gives signs of life.

        Raises `Told` if the job fails meanwhile, and `ProcessFailed` after `patience` without a sign of life.
        """
        seen, since = 0, time.monotonic()
        while not comes(self.here, [key], 0.2):
            if (failure := self.failure()) is not None:
                raise failure
            if (beats := self.store.add(f"beats/{author}", 0)) != seen:
                seen, since = beats, time.monotonic()
            elif time.monotonic() - since > self.patience:
                who = f"process {author} of {self.part.size}"
                raise ProcessFailed(f"{who} gave no sign of life for {self.patience:g} s")


def beat(store: Store, rank: int) -> None:
    """Count up this process's signs of life in the store until the store is gone.

    Ends the process if its torchrun was killed: it would otherwise run on alone.
    """
    # Without torchrun, a parent that ends means nothing: the user's shell may close.
    parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
    with contextlib.suppress(dist.DistError):
        while True:
            store.add(f"beats/{rank}", 1)
            if parent not in (None, os.getppid()):
                os._exit(1)
            time.sleep(BEAT_SECONDS)


def comes(store: Store, names: Sequence[str], seconds: float) -> bool:
    """Whether the store gets all names within `seconds`. `Store.wait` prints warnings of its own if it does not."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while not (found := store.check(list(names))) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return found


def is_of_connection(error: Exception) -> bool:
    """Whether an exchange failed; gloo's errors have no class of their own."""
    words = ("gloo", "nccl", "connection closed", "connection reset", "timed out waiting", "broken pipe", "pair clos")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)
