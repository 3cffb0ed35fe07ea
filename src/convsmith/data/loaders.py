"""Loaders: batches whose order is a function of (seed, epoch), from memory or streamed; no generator to save."""

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convsmith.base.errors import BadFile, UsageError
from convsmith.data.decoding import decode_stack, final_size
from convsmith.data.examples import Examples
from convsmith.data.keys import epoch_order
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import Preprocess

# 'auto' keeps sets of up to this many decoded bytes in memory.
RESIDENT_BYTES = 2_000_000_000

_decoded: "weakref.WeakKeyDictionary[Examples, dict[Any, Tensor]]" = weakref.WeakKeyDictionary()


class Batch(NamedTuple):
    """Images uint8 (N, C, H, W), and int64 (N) targets, positions and samples, all on the loader's device.

    A position is the sample's place in the epoch's order; `samples` are its index in the split, the same every epoch.
    """

    images: Tensor
    targets: Tensor
    positions: Tensor
    samples: Tensor


class Loader(Protocol):
    """Batches of one split: `examples` in an epoch, in `steps` batches of `batch`."""

    examples: int
    steps: int
    batch: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on; those before it are not read."""
        ...


def steps_in_epoch(count: int, batch: int) -> int:
    """How many training batches `count` examples make: whole ones, or one of all where there are fewer."""
    return count // min(batch, count)


def training_loader(
    examples: Examples,
    preprocess: Preprocess,
    options: DataOptions,
    *,
    batch: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Loader:
    """Shuffled batches of one size: the last, partial one is dropped, and `batch` is at most the number of examples.

    Images keep the margin that random crops need where the record has one (`resize` above `size`).
    """
    _check(examples, batch)

    def order(epoch: int, device: torch.device) -> Tensor:
        return epoch_order(len(examples), seed, epoch, device)

    steps = steps_in_epoch(len(examples), batch)
    batch = min(batch, len(examples))
    plan = _Plan(examples, preprocess, True, batch, steps, torch.device(device), order)
    return _choose(plan, options)


def evaluation_loader(
    examples: Examples,
    preprocess: Preprocess,
    options: DataOptions,
    *,
    batch: int,
    device: torch.device | str = "cpu",
) -> Loader:
    """Every example once, in order, at its final size; the last batch is smaller where it must be."""
    _check(examples, batch)

    def order(epoch: int, device: torch.device) -> Tensor:
        return torch.arange(len(examples), device=device)

    batch = min(batch, len(examples))
    plan = _Plan(examples, preprocess, False, batch, -(-len(examples) // batch), torch.device(device), order)
    return _choose(plan, options)


def decode_all(examples: Examples, preprocess: Preprocess, workers: int, margin: bool = False) -> Tensor:
    """Every example decoded, uint8 (N, C, H, W); the same tensor again for the same examples, size and mode."""
    cache = _decoded.setdefault(examples, {})
    height, width = final_size(preprocess, margin)
    key = (preprocess.exif, preprocess.mode, preprocess.resize, preprocess.interpolation, height, width)
    if key not in cache:
        cache[key] = torch.from_numpy(decode_stack(examples, range(len(examples)), preprocess, workers, margin))
    return cache[key]


@dataclass(frozen=True)
class _Plan:
    """What both loaders need to know."""

    source: Examples
    preprocess: Preprocess
    margin: bool
    batch: int
    steps: int
    device: torch.device
    order: Callable[[int, torch.device], Tensor]

    @property
    def examples(self) -> int:
        """How many examples an epoch has: with dropped last batches fewer than the split."""
        return min(self.steps * self.batch, len(self.source))


class _Resident:
    """All images in one tensor on the device; a batch is an index into it."""

    def __init__(self, plan: _Plan, workers: int):
        self.examples, self.steps, self.batch, self._plan = plan.examples, plan.steps, plan.batch, plan
        decoded = decode_all(plan.source, plan.preprocess, workers, plan.margin)
        self._images = decoded.to(plan.device)
        self._targets = torch.from_numpy(plan.source.labels).to(plan.device)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = self._plan.order(epoch, self._plan.device)
        for step in range(start, self.steps):
            begin, end = step * self.batch, min((step + 1) * self.batch, self.examples)
            picked = order[begin:end]
            positions = torch.arange(begin, end, device=picked.device)
            yield Batch(self._images[picked], self._targets[picked], positions, picked)


class _Streaming:
    """Images are decoded by worker processes while training runs."""

    def __init__(self, plan: _Plan, workers: int):
        self.examples, self.steps, self.batch, self._plan = plan.examples, plan.steps, plan.batch, plan
        self._workers = workers
        self._targets = torch.from_numpy(plan.source.labels)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        plan = self._plan
        order = plan.order(epoch, torch.device("cpu"))[: self.examples]
        batches = [picked.tolist() for picked in order.split(self.batch)][start:]
        loader = DataLoader(
            _Decoding(plan.source, plan.preprocess, plan.margin),
            batch_size=None,
            sampler=batches,
            num_workers=min(self._workers, len(batches)),
            collate_fn=_as_it_is,
            worker_init_fn=partial(_begin_worker, os.getpid()),
            pin_memory=plan.device.type == "cuda",
            # Without one of its own it would draw from, and so move, the generator of the whole process.
            generator=torch.Generator(),
        )
        for step, images in enumerate(loader, start):
            if isinstance(images, tuple):
                raise BadFile(*images)
            begin = step * self.batch
            picked = order[begin : begin + self.batch]
            positions = torch.arange(begin, begin + len(picked), device=plan.device)
            moved = images.to(plan.device, non_blocking=True)
            targets = self._targets[picked].to(plan.device, non_blocking=True)
            yield Batch(moved, targets, positions, picked.to(plan.device, non_blocking=True))


class _Decoding(Dataset[Any]):
    """Batches of indices to images; runs in the worker processes."""

    def __init__(self, examples: Examples, preprocess: Preprocess, margin: bool):
        self._examples, self._preprocess, self._margin = examples, preprocess, margin

    def __getitem__(self, indices: list[int]) -> Tensor | tuple[str, str]:
        try:
            stack = decode_stack(self._examples, indices, self._preprocess, 1, self._margin)
        except BadFile as error:
            # An exception would arrive rewritten by the DataLoader, without the type that names the file.
            return error.path, str(error).removeprefix(f"{error.path}: ")
        return torch.from_numpy(stack)


def _begin_worker(parent: int, worker: int) -> None:
    """Leave signals to the parent, and end with it.

    Batch systems send SIGTERM to a whole group: a worker that dies of it would fail the run that is being saved.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """torch watches for whoever is the parent when a worker begins: that may be another if it was killed just then."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _as_it_is(batch: Any) -> Any:
    return batch


def _choose(plan: _Plan, options: DataOptions) -> Loader:
    height, width = final_size(plan.preprocess, plan.margin)
    needed = len(plan.source) * plan.preprocess.channels * height * width
    resident = options.loader == "resident" or (options.loader == "auto" and needed <= RESIDENT_BYTES)
    return (_Resident if resident else _Streaming)(plan, options.workers)


def _check(examples: Examples, batch: int) -> None:
    if batch < 1:
        raise UsageError(f"batch: expected at least 1 image, received {batch}")
    if len(examples) == 0:
        raise UsageError("expected a split with at least one image, received an empty one")
