"""Estimates the time, the memory and the size of the checkpoints of a run from a few trial steps."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from convsmith.data.augment import normalize
from convsmith.data.loaders import Loader
from convsmith.data.views import price
from convsmith.report.text import duration, many, size
from convsmith.training.engine import Engine, using
from convsmith.training.job import Job, State, new_state, pack
from convsmith.training.memory import memory_explained
from convsmith.training.options import Swa
from convsmith.training.step import train_step
from convsmith.work.first_step import check_batch
from convsmith.work.prepare import Plan, make_job, make_model
from convsmith.work.work import training_flops

TRIAL_STEPS = 3
# Training work above which a run gets a trial before it starts: about a minute at 100 GFLOP/s.
LONG_FLOPS = 6e12


@dataclass(frozen=True)
class Estimate:
    """Seconds of training steps and evaluations, peak memory so far, and bytes of checkpoints.

    The memory is that of `device`. `compiled`: the run compiles its steps; the measured steps were not compiled.
    """

    steps: int
    seconds: float
    images_per_second: float
    memory_bytes: int
    disk_bytes: int
    device: str
    compiled: bool

    def text(self) -> str:
        """The estimate as one line of text."""
        how = "measured on a few, uncompiled" if self.compiled else "measured on a few"
        memory = "memory" if self.device == "cpu" else "GPU memory"
        return (
            f"{many(self.steps, 'step')} at {self.images_per_second:,.0f} images/s ({how}): about "
            f"{duration(self.seconds)}, at least {size(self.memory_bytes)} of {memory}, {size(self.disk_bytes)} on disk"
        )


def estimate(plan: Plan) -> Estimate:
    """The estimate for a plan, from a few steps on a copy of the network."""
    # With `resize` a run begins with smaller images. Steps at the full size give an upper bound.
    # The trial does not stop for an exploding loss; the run does.
    check_batch(plan)
    engine = plan.engine
    if engine.device != "cpu":
        torch.cuda.reset_peak_memory_stats(engine.device)
    job = replace(make_job(plan), resize=None, explosion=0.0)
    model = engine.place(make_model(plan, []))
    state = new_state(model, plan.recipe.optimizer, engine, plan.learned.task.parts)
    # An epoch of a small data set has fewer steps than the trial.
    batches = chain.from_iterable(job.training.epoch(epoch) for epoch in range(TRIAL_STEPS))
    seconds: list[float] = []
    with memory_explained(job), using(engine), engine.generator_kept():
        for _, batch in zip(range(TRIAL_STEPS), batches, strict=False):
            seconds.append(_seconds(engine, lambda batch=batch: train_step(state, batch, job)))
        evaluating = _evaluating(model, job, plan)
    step = min(seconds)
    return Estimate(
        steps=job.span.total_steps,
        seconds=step * job.span.total_steps + evaluating,
        images_per_second=job.training.batch / step,
        memory_bytes=peak_memory(engine.device),
        disk_bytes=checkpoint_bytes(state, job.training) * (plan.recipe.keep + 1),
        device=engine.device,
        compiled=engine.compile,
    )


def _seconds(engine: Engine, work: Callable[[], object]) -> float:
    """The seconds that the device needs for `work`."""
    engine.wait()
    start = time.perf_counter()
    work()
    engine.wait()
    return time.perf_counter() - start


def _evaluating(model: nn.Module, job: Job, plan: Plan) -> float:
    """Seconds of all evaluations, during training and at the end, measured on the first validation images."""
    if job.validation is None:
        return 0.0
    batch = next(iter(job.validation.epoch(0)))
    model.eval()

    def answer() -> None:
        model(normalize(batch.images, job.preprocess, memory_format=job.engine.memory_format))

    with torch.no_grad():
        each = _seconds(job.engine, answer) / len(batch.targets)
    return each * evaluated_images(plan, job, any(isinstance(m, _BatchNorm) for m in model.modules()))


def evaluated_images(plan: Plan, job: Job, normed: bool) -> float:
    """The number of images that go through the network outside of training steps, in units of its own image size.

    They are the images of evaluations during training and of both splits at the end, also through the recipe's views.
    With SWA and batch norms (`normed`), the training images are added: they give the averaged network its statistics.
    """
    span, data, recipe = job.span, plan.dataset, plan.recipe
    every = max(job.evaluate_every.steps(span.steps_per_epoch, span.total_steps), span.steps_per_epoch)
    steps = [min(step, span.total_steps) for step in range(every, span.total_steps + every, every)]
    both = len(data.val) + (0 if data.test is None else len(data.test))
    seen = price(recipe.views, data.preprocess).pixels if recipe.views else 0.0
    images = len(steps) * len(data.val) + both * (1 + seen)
    average = job.optimizer.average
    if isinstance(average, Swa) and normed:
        start, step = (d.steps(span.steps_per_epoch, span.total_steps) for d in (average.start, average.every))
        first = min((start // step + 1) * step, span.total_steps)
        images += sum(step >= first for step in steps) * span.steps_per_epoch * job.training.batch
    return images


def checkpoint_bytes(state: State, loader: Loader) -> int:
    """The bytes of a checkpoint at its largest. The state must have taken a step, which fills the optimizer."""
    model, rest, _ = pack(state, loader)
    # An average that begins later adds a second set of weights to the checkpoint.
    later = state.average is not None and state.kept is state.model
    tensors = [*model.values(), *rest.values(), *(model.values() if later else ())]
    return sum(t.numel() * t.element_size() for t in tensors)


def is_long(plan: Plan) -> bool:
    """Whether the run needs more than `LONG_FLOPS`, so that a trial pays."""
    return training_flops(plan.recipe, plan.dataset, plan.network) > LONG_FLOPS


def peak_memory(device: str) -> int:
    """The peak memory of this process in bytes; for a GPU, since its peak was last reset."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
