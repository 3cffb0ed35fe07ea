"""What a run will take: time, memory and the size of a checkpoint from a few trial steps."""

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
    """Seconds of training steps and evaluations, the most memory used so far, and bytes of checkpoints.

    The memory is that of `device`; `compiled` says that the run's steps will be, which those measured were not.
    """

    steps: int
    seconds: float
    images_per_second: float
    memory_bytes: int
    disk_bytes: int
    device: str
    compiled: bool

    def text(self) -> str:
        """The estimate as a line for people."""
        how = "measured on a few, uncompiled" if self.compiled else "measured on a few"
        memory = "memory" if self.device == "cpu" else "GPU memory"
        return (
            f"{many(self.steps, 'step')} at {self.images_per_second:,.0f} images/s ({how}): about "
            f"{duration(self.seconds)}, at least {size(self.memory_bytes)} of {memory}, {size(self.disk_bytes)} on disk"
        )


def estimate(plan: Plan) -> Estimate:
    """Take a few steps on a copy of the network that is then thrown away."""
    # The first images of a run may be smaller than later ones: steps at the full size say what it takes at most.
    # Whether the loss explodes is for the run to say.
    check_batch(plan)
    engine = plan.engine
    if engine.device != "cpu":
        torch.cuda.reset_peak_memory_stats(engine.device)
    job = replace(make_job(plan), resize=None, explosion=0.0)
    model = engine.place(make_model(plan, []))
    state = new_state(model, plan.recipe.optimizer, engine, plan.learned.task.parts)
    # Of a small set an epoch has fewer steps than the trial.
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
    """How long some work takes the device."""
    engine.wait()
    start = time.perf_counter()
    work()
    engine.wait()
    return time.perf_counter() - start


def _evaluating(model: nn.Module, job: Job, plan: Plan) -> float:
    """Seconds of all evaluations, by the first validation images: those while training, and both splits at the end."""
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
    """How many images of the network's size go through it outside of training steps.

    Those of the evaluations while training, of both splits at the end, and of these through the recipe's views; where
    weights are averaged by SWA in a network with batch norms (`normed`), the training images for their statistics.
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
    """The bytes of a checkpoint once everything in it has begun: the state must have taken a step."""
    model, rest, _ = pack(state, loader)
    # An average that begins later is then saved besides the weights that training goes on with.
    later = state.average is not None and state.kept is state.model
    tensors = [*model.values(), *rest.values(), *(model.values() if later else ())]
    return sum(t.numel() * t.element_size() for t in tensors)


def is_long(plan: Plan) -> bool:
    """Whether the run's arithmetic is enough to be worth a trial first."""
    return training_flops(plan.recipe, plan.dataset, plan.network) > LONG_FLOPS


def peak_memory(device: str) -> int:
    """The most memory that this process has held, in bytes; of a GPU, since its peak was last reset."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
