"""What a run will take: time and memory from a few trial steps, disk from its weights."""

import resource
import sys
import time
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import nn

from convsmith.data.augment import normalise
from convsmith.recipes.prepare import Plan, make_job, make_model
from convsmith.recipes.work import training_flops
from convsmith.report.text import count, duration, size
from convsmith.training.engine import using
from convsmith.training.job import Job, new_state
from convsmith.training.memory import memory_explained
from convsmith.training.step import train_step

TRIAL_STEPS = 3
# Training work above which a run gets a trial before it starts: about a minute at 100 GFLOP/s.
LONG_FLOPS = 6e12


@dataclass(frozen=True)
class Estimate:
    """Seconds of training steps and evaluations, the most memory used so far, and bytes of checkpoints."""

    steps: int
    seconds: float
    images_per_second: float
    memory_bytes: int
    disk_bytes: int

    def text(self) -> str:
        """The estimate as a line for people."""
        return (
            f"{count(self.steps)} steps at {self.images_per_second:,.0f} images/s (measured on a few): about "
            f"{duration(self.seconds)}, at least {size(self.memory_bytes)} of memory, {size(self.disk_bytes)} on disk"
        )


def estimate(plan: Plan) -> Estimate:
    """Take a few steps on a copy of the network that is then thrown away."""
    # The first images of a run may be smaller than later ones: steps at the full size say what it takes at most.
    # Whether the loss explodes is for the run to say.
    job = replace(make_job(plan), resize=None, explosion=0.0)
    model = plan.engine.place(make_model(plan, []))
    state = new_state(model, plan.recipe.optimiser, plan.engine)
    # Of a small set an epoch has fewer steps than the trial.
    batches = chain.from_iterable(job.training.epoch(epoch) for epoch in range(TRIAL_STEPS))
    seconds: list[float] = []
    devices = [] if plan.engine.device == "cpu" else [torch.device(plan.engine.device)]
    with memory_explained(job), using(plan.engine), torch.random.fork_rng(devices=devices):
        for _, batch in zip(range(TRIAL_STEPS), batches, strict=False):
            start = time.perf_counter()
            train_step(state, batch, job)
            seconds.append(time.perf_counter() - start)
        evaluating = _evaluating(model, job, plan)
    step = min(seconds)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    momentum = sum(p.numel() * p.element_size() for p in model.parameters())
    return Estimate(
        steps=job.span.total_steps,
        seconds=step * job.span.total_steps + evaluating,
        images_per_second=job.training.batch / step,
        memory_bytes=peak_memory(),
        disk_bytes=(weights + momentum) * (plan.recipe.keep + 1),
    )


def _evaluating(model: nn.Module, job: Job, plan: Plan) -> float:
    """Seconds of all evaluations, by the first validation images: those while training, and both splits at the end."""
    if job.validation is None:
        return 0.0
    batch = next(iter(job.validation.epoch(0)))
    start = time.perf_counter()
    with torch.no_grad():
        model.eval()(normalise(batch.images, job.preprocess, memory_format=job.engine.memory_format))
    each = (time.perf_counter() - start) / len(batch.targets)
    span = job.span
    every = max(job.evaluate_every.steps(span.steps_per_epoch, span.total_steps), span.steps_per_epoch)
    times = -(-span.total_steps // every) + 1
    return each * (times * len(plan.dataset.val) + (0 if plan.dataset.test is None else len(plan.dataset.test)))


def is_long(plan: Plan) -> bool:
    """Whether the run's arithmetic is enough to be worth a trial first."""
    return training_flops(plan.recipe, plan.dataset, plan.network) > LONG_FLOPS


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
