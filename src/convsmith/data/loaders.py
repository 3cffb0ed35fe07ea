"""Loaders: batches from memory or streamed. Their order is a function of (seed, epoch), without saved state."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.base.processes import WHOLE, Part, check_script_may_be_imported
from convsmith.data.cache import open_cache
from convsmith.data.decoding import ahead, decode_stack
from convsmith.data.examples import Examples
from convsmith.data.image_sets import Images
from convsmith.data.kept import Kept
from convsmith.data.keys import epoch_order, sampled_order
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, final_size
from convsmith.data.split import apportion
from convsmith.data.targets import Kind
from convsmith.data.workers import decode_in_workers
from convsmith.report.text import many

# 'auto' keeps sets of up to this many decoded bytes in memory.
RESIDENT_BYTES = 2_000_000_000

_decoded: "weakref.WeakKeyDictionary[Images, dict[Any, Tensor]]" = weakref.WeakKeyDictionary()


class Batch(NamedTuple):
    """Inputs, targets (`Targets.stack`) and the identity of the samples; all on one device.

    Inputs are pictures, uint8 (N, C, H, W), or several tensors by name. Positions, int64 (N), are the samples' places
    in the epoch's order; `samples`, int64 (N), are their indices in the split, the same every epoch.
    """

    inputs: Tensor | dict[str, Tensor]
    targets: Tensor
    positions: Tensor
    samples: Tensor

    @property
    def images(self) -> Tensor:
        """The inputs if there is only one. Raises UsageError if there are several."""
        if isinstance(self.inputs, dict):
            raise UsageError(f"expected one input, received {len(self.inputs)}: {', '.join(self.inputs)}")
        return self.inputs

    def chunk(self, parts: int) -> list["Batch"]:
        """The batch in `parts` of one size, the last one smaller; fewer parts if samples are few."""
        size = -(-len(self.positions) // parts)
        return [self.slice(begin, begin + size) for begin in range(0, len(self.positions), size)]

    def slice(self, begin: int, end: int) -> "Batch":
        """The samples from number `begin` to below `end`."""
        return self._each(lambda tensor: tensor[begin:end])

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        inputs = self.inputs
        changed = {n: change(t) for n, t in inputs.items()} if isinstance(inputs, dict) else change(inputs)
        return Batch(changed, change(self.targets), change(self.positions), change(self.samples))


class Loader(Protocol):
    """Batches of one split: `examples` in an epoch, in `steps` batches of `batch`, over all processes.

    `kind` is the kind of the targets.
    """

    kind: Kind
    examples: int
    steps: int
    batch: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on, or this process's part of them. No other images are read."""
        ...

    def pack(self) -> Mapping[str, Tensor]:
        """The loader's state after its last batch, for a checkpoint: all that (seed, epoch, start) do not determine.

        The names do not change during a run. A loader of the images of a split has no state and returns no tensors; a
        replay memory or a generator has some.
        """
        return {}

    def unpack(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `pack` returned; the loader may keep the tensors."""


def class_counts(examples: Examples, sampling: str) -> list[int] | None:
    """The number of images of each class in an epoch, which has as many as there are examples; None: each example once.

    They are in proportion to images ** 0 (balanced) or images ** 0.5 (square_root; Mahajan et al. 2018; Kang et al.
    2020, equation 1).
    """
    if sampling == "natural":
        return None
    if examples.labels.ndim != 1:
        raise UsageError(f"sampling {sampling}: images with several labels each belong to no one class; use natural")
    counts = np.bincount(examples.labels)
    weights = np.where(counts > 0, counts ** (0.0 if sampling == "balanced" else 0.5), 0.0)
    return apportion(len(examples), (weights / weights.sum()).tolist())


def steps_in_epoch(count: int, batch: int) -> int:
    """The number of training batches of `count` examples: full batches only, or one batch if there are too few."""
    return count // min(batch, count)


def training_loader(
    examples: Examples,
    preprocess: ImageInput,
    options: DataOptions,
    *,
    batch: int,
    seed: int,
    device: torch.device | str = "cpu",
    part: Part = WHOLE,
) -> Loader:
    """Shuffled batches of one size: a last, partial batch is dropped, and `batch` is at most the number of examples.

    `options.sampling` says how often each class is seen; the length of an epoch does not change. Images keep the margin
    for random crops if the record has one (`resize` above `size`). Each of several processes gets its slice of every
    batch.
    """
    _check(examples, batch)
    if min(batch, len(examples)) < part.size:
        raise UsageError(
            f"batch: each of {part.size} processes takes a slice of it, so expected at least "
            f"{many(part.size, 'image')}, "
            f"received {min(batch, len(examples))}; mend with --batch {part.size} or fewer processes"
        )

    counts = class_counts(examples, options.sampling)

    def order(epoch: int, device: torch.device) -> Tensor:
        if counts is None:
            return epoch_order(len(examples), seed, epoch, device)
        return sampled_order(torch.from_numpy(examples.labels).to(device), counts, seed, epoch)

    steps = steps_in_epoch(len(examples), batch)
    batch = min(batch, len(examples))
    plan = _Plan(examples, preprocess, True, batch, steps, torch.device(device), order, part)
    return _choose(plan, options)


def evaluation_loader(
    examples: Examples,
    preprocess: ImageInput,
    options: DataOptions,
    *,
    batch: int,
    device: torch.device | str = "cpu",
    part: Part = WHOLE,
) -> Loader:
    """Every example once, in order, at its final size; the last batch may be smaller.

    Several processes take whole batches in turn.
    """
    _check(examples, batch)

    def order(epoch: int, device: torch.device) -> Tensor:
        return torch.arange(len(examples), device=device)

    batch = min(batch, len(examples))
    plan = _Plan(examples, preprocess, False, batch, -(-len(examples) // batch), torch.device(device), order, part)
    return _choose(plan, options)


def decode_all(
    examples: Examples, preprocess: ImageInput, workers: int, margin: bool = False, cache: Kept | None = None
) -> Tensor:
    """Every example decoded, uint8 (N, C, H, W). The same examples, size and mode give the same tensor."""
    decoded = _decoded.setdefault(examples.images, {})
    height, width = final_size(preprocess, margin)
    p = preprocess
    key = (p.exif, p.mode, p.resize, p.fit, p.interpolation, p.decoding, height, width)
    if key not in decoded:
        stack = decode_stack(examples, range(len(examples)), preprocess, workers, margin, cache)
        decoded[key] = torch.from_numpy(stack)
    return decoded[key]


@dataclass(frozen=True)
class _Plan:
    """The settings that all loaders share."""

    source: Examples
    preprocess: ImageInput
    margin: bool
    batch: int
    steps: int
    device: torch.device
    order: Callable[[int, torch.device], Tensor]
    part: Part = WHOLE
    cache: Kept | None = None
    timeout: float = DataOptions.timeout

    @property
    def examples(self) -> int:
        """The number of examples in an epoch: fewer than in the split if the last batch is dropped."""
        return min(self.steps * self.batch, len(self.source))

    def ranges(self, start: int) -> list[tuple[int, int]]:
        """The first and the end, in the epoch's order, of each of this process's batches from number `start` on."""
        whole = [(s * self.batch, min((s + 1) * self.batch, self.examples)) for s in range(start, self.steps)]
        if not self.margin:  # only training images keep a margin
            return whole[self.part.rank :: self.part.size]
        return [self.part.slice(begin, end) for begin, end in whole]


class _Planned(Loader):
    """A loader of a plan's images."""

    def __init__(self, plan: _Plan, workers: int):
        self.kind: Kind = plan.source.targets.kind
        self._plan, self._workers = plan, workers
        self.examples, self.steps, self.batch = plan.examples, plan.steps, plan.batch


class _Resident(_Planned):
    """All images in one tensor on the device; a batch is an index into it."""

    def __init__(self, plan: _Plan, workers: int):
        super().__init__(plan, workers)
        decoded = decode_all(plan.source, plan.preprocess, workers, plan.margin, plan.cache)
        self._images = decoded.to(plan.device)
        self._targets = _targets(plan, range(len(plan.source))).to(plan.device)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = self._plan.order(epoch, self._plan.device)
        for begin, end in self._plan.ranges(start):
            picked = order[begin:end]
            positions = torch.arange(begin, end, device=picked.device)
            yield Batch(self._images[picked], self._targets[picked], positions, picked)


class _Streaming(_Planned):
    """Worker processes decode the images while training runs; threads read them if the cache has them."""

    def __init__(self, plan: _Plan, workers: int):
        super().__init__(plan, workers)
        self._timeout, self._kept = plan.timeout, False
        if workers:
            check_script_may_be_imported()

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        plan = self._plan
        order, ranges = plan.order(epoch, torch.device("cpu")), plan.ranges(start)
        batches = [order[begin:end].tolist() for begin, end in ranges]
        # A full cache stays full; a slot that is invalid after all is decoded again.
        self._kept = self._kept or _is_kept(plan)
        images_of = self._read(batches) if self._kept else self._decode(batches)
        for (begin, end), images in zip(ranges, images_of, strict=True):
            picked, positions = order[begin:end], torch.arange(begin, end, device=plan.device)
            yield Batch(images, _targets(plan, picked.tolist()), positions, picked).to(plan.device)

    def _read(self, batches: list[list[int]]) -> Iterator[Tensor]:
        plan = self._plan

        def read(indices: list[int]) -> Tensor:
            stack = decode_stack(plan.source, indices, plan.preprocess, 1, plan.margin, plan.cache)
            images = torch.from_numpy(stack)
            return images.pin_memory() if plan.device.type == "cuda" else images

        return ahead(read, batches, self._workers)

    def _decode(self, batches: list[list[int]]) -> Iterator[Tensor]:
        plan, pinned = self._plan, self._plan.device.type == "cuda"
        how = (plan.source, plan.preprocess, plan.margin, plan.cache)
        if self._workers:
            return decode_in_workers(*how, batches, workers=self._workers, timeout=self._timeout, pinned=pinned)
        return self._read(batches)


class _Filling(_Planned):
    """Streams until the cache is full, so that training begins at once; from then on all images are in memory.

    Each of several processes keeps streaming: one that reads everything at once would make the others wait.
    """

    def __init__(self, plan: _Plan, workers: int):
        super().__init__(plan, workers)
        self._loader: Loader = _Streaming(plan, workers)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        if isinstance(self._loader, _Streaming) and self._plan.part == WHOLE and _is_kept(self._plan):
            self._loader = _Resident(self._plan, self._workers)
        return self._loader.epoch(epoch, start)


def _is_kept(plan: _Plan) -> bool:
    """Whether the cache lacks less than a batch of the images: an epoch of full batches may leave so many unread."""
    return plan.cache is not None and plan.cache.missing(plan.source.images) < plan.batch


def _targets(plan: _Plan, at: Sequence[int]) -> Tensor:
    return torch.from_numpy(plan.source.targets.stack(at, plan.preprocess, plan.margin))


def _choose(plan: _Plan, options: DataOptions) -> Loader:
    height, width = final_size(plan.preprocess, plan.margin)
    needed = len(plan.source) * plan.preprocess.channels * height * width
    resident = options.loader == "resident" or (options.loader == "auto" and needed <= RESIDENT_BYTES)
    cache, _ = open_cache(plan.source, plan.preprocess, plan.margin, options.cache)
    plan = replace(plan, cache=cache, timeout=options.timeout)
    if options.loader == "auto" and resident and cache is not None:
        return _Filling(plan, options.workers)
    return (_Resident if resident else _Streaming)(plan, options.workers)


def _check(examples: Examples, batch: int) -> None:
    if batch < 1:
        raise UsageError(f"batch: expected at least 1 image, received {batch}")
    if len(examples) == 0:
        raise UsageError("expected a split with at least one image, received an empty one")
