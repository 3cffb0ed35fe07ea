"""Training in several processes: each takes a slice of every batch, and all take the same step.

`Alone` is one process, for which nothing is to exchange; `Group` is one of several (DistributedDataParallel: Li et al.
2020). What a run computes is the same for both up to the order of sums; what is normal or normed over a batch is not:
batch norms see the slice of their process, and the first one's statistics are kept.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convsmith.base.errors import ConvsmithError, ProcessFailed, Told
from convsmith.base.processes import WHOLE, Part, restarts
from convsmith.nets.modules.build import BuiltNetwork
from convsmith.tasks.task import Losses
from convsmith.training.interrupt import Request, stop_requests
from convsmith.training.presence import DEFERENCE, Presence

T = TypeVar("T")
Answers = Iterator[tuple[Tensor, ...]]


class World(Protocol):
    """What a run needs of the processes that work on it. All of them call the same methods in the same order."""

    part: Part

    @property
    def restarted(self) -> bool:
        """Whether the job had processes before these, which may have begun a run."""
        ...

    def meet(self) -> None:
        """Wait until all have come here, each as long as it lives: an exchange waits `engine.timeout` and no longer."""
        ...

    def lead(self, work: Callable[[], T], tell: Callable[[T], Any] = lambda done: done) -> Any:
        """What `work` gives, which only the first process does; the others get the JSON data that `tell` makes of it.

        They wait as long as the first one lives.
        """
        ...

    def agree(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        ...

    def totals(self, losses: Losses, asked: bool, look: bool) -> tuple[Losses, bool]:
        """A step's losses over all processes, and whether any process was asked to stop.

        With several processes the second is told only if `look` is true, because the exchange waits for the device.
        """
        ...

    def whole(self, tensor: Tensor, count: int) -> Tensor:
        """A batch of `count` rows, of which each process has its slice."""
        ...

    def own(self, tensor: Tensor) -> Tensor:
        """The slice of this process of a whole batch."""
        ...

    def in_order(self, answers: Answers, steps: int) -> Answers:
        """The answers to `steps` batches in their order, for the first process; the others get none.

        Each computes those that its loader gives it.
        """
        ...

    def parallel(self, model: nn.Module) -> nn.Module:
        """The module whose backward pass gives every process the mean gradient; weights are those of the first."""
        ...

    def gradients(self, module: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Around a part of a step: gradients are exchanged with the last one."""
        ...

    def same_statistics(self, model: nn.Module, mean: bool = False) -> None:
        """Give buffers (statistics of norms) the values that the first process has, or the mean over all."""
        ...

    def watch(self) -> contextlib.AbstractContextManager[Any]:
        """Around work with the others: that one of them is gone becomes an error for the user."""
        ...

    def requests(self) -> contextlib.AbstractContextManager[Request | None]:
        """Around a run: torchrun signals all processes when one fails, and none may die of it before it has ended."""
        ...


class Alone:
    """One process."""

    part = WHOLE

    @property
    def restarted(self) -> bool:
        return restarts() > 0

    def meet(self) -> None: ...

    def lead(self, work: Callable[[], T], tell: Callable[[T], Any] = lambda done: done) -> Any:
        return work()

    def agree(self, wish: bool) -> bool:
        return wish

    def totals(self, losses: Losses, asked: bool, look: bool) -> tuple[Losses, bool]:
        return losses, asked

    def whole(self, tensor: Tensor, count: int) -> Tensor:
        return tensor

    def own(self, tensor: Tensor) -> Tensor:
        return tensor

    def in_order(self, answers: Answers, steps: int) -> Answers:
        return answers

    def parallel(self, model: nn.Module) -> nn.Module:
        return model

    def gradients(self, module: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def same_statistics(self, model: nn.Module, mean: bool = False) -> None: ...

    def watch(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def requests(self) -> contextlib.AbstractContextManager[Request | None]:
        return contextlib.nullcontext()


ALONE = Alone()


class Group:
    """One of several processes, joined by torch's process group."""

    def __init__(self, presence: Presence, device: torch.device):
        self.part, self.presence, self.device = presence.part, presence, device

    @property
    def restarted(self) -> bool:
        return self.presence.restarted

    def meet(self) -> None:
        self.presence.meet()

    def lead(self, work: Callable[[], T], tell: Callable[[T], Any] = lambda done: done) -> Any:
        key = self.presence.turn("lead")
        if not self.part.leads:
            return self.presence.read(key, author=0)
        done = work()
        self.presence.put(key, tell(done))
        return done

    def agree(self, wish: bool) -> bool:
        wishes = torch.tensor(float(wish))
        dist.all_reduce(wishes)
        return wishes.item() > 0

    def totals(self, losses: Losses, asked: bool, look: bool) -> tuple[Losses, bool]:
        # Filled in by the device itself: a number that is copied there waits for it.
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
        largest = -(-count // self.part.size)
        padded = torch.cat([tensor, tensor.new_zeros((largest - len(tensor), *tensor.shape[1:]))])
        slices = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(slices, padded)
        return torch.cat([slice[: end - begin] for slice, (begin, end) in zip(slices, counts, strict=True)])

    def own(self, tensor: Tensor) -> Tensor:
        begin, end = self.part.slice(0, len(tensor))
        return tensor[begin:end]

    def in_order(self, answers: Answers, steps: int) -> Answers:
        for _ in range(-(-steps // self.part.size)):
            mine = next(answers, None)
            found: list[Any] = [None] * self.part.size if self.part.leads else []
            dist.gather_object(mine and tuple(tensor.cpu() for tensor in mine), found or None)
            for answer in found:
                if answer is not None:
                    yield tuple(tensor.to(self.device) for tensor in answer)

    def parallel(self, model: nn.Module) -> nn.Module:
        # Looking for unused parameters has another good: gradients are then summed in the same order in the first step
        # after a resume as in all others, which the bits of three processes or more depend on.
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        wrapped = DistributedDataParallel(model, device_ids=devices, find_unused_parameters=True)
        if isinstance(model, BuiltNetwork):
            # The buffers of a tree are statistics that no training step both reads and changes: it is enough that they
            # were sent just now, and are before each evaluation. What other modules do with theirs is not known.
            wrapped.broadcast_buffers = False
        return wrapped

    def gradients(self, module: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        if last or not isinstance(module, DistributedDataParallel):
            return contextlib.nullcontext()
        return module.no_sync()

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

    def requests(self) -> contextlib.AbstractContextManager[Request | None]:
        return stop_requests(silent=True)

    def _lost(self, error: RuntimeError) -> ProcessFailed:
        """What to say where another process does not answer."""
        with contextlib.suppress(dist.DistError):
            failure = self.presence.failure(wait=0.2 if self.part.leads else DEFERENCE)
            if failure is not None:
                return Told(failure.message, failure.exit_code)
            dead = self.presence.dead()
            who = f"process {dead[0]} of {self.part.size} is gone" if dead else "another process does not answer"
            return ProcessFailed(f"{who} (engine.timeout is {self.presence.patience:g} s): {_first_line(error)}")
        return ProcessFailed(f"the process that holds the others together is gone: {_first_line(error)}")


def is_of_connection(error: Exception) -> bool:
    """Whether an exchange failed; gloo's errors have no class of their own."""
    words = ("gloo", "nccl", "connection closed", "connection reset", "timed out waiting", "broken pipe", "pair clos")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
