"""What a run will take: time and memory from a few trial steps, disk from its weights."""

import resource
import sys
import time
from dataclasses import dataclass
from itertools import chain

import torch

from convsmith.data.loaders import steps_in_epoch
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.recipes.prepare import Plan, make_job, make_model
from convsmith.report.text import count, duration, size
from convsmith.training.engine import using
from convsmith.training.job import new_state
from convsmith.training.step import train_step

TRIAL_STEPS = 3
# Training work above which a run gets a trial before it starts: about a minute at 100 GFLOP/s.
LONG_FLOPS = 6e12


@dataclass(frozen=True)
class Estimate:
    """Seconds of training steps, the most memory used so far, and bytes of checkpoints."""

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
    job = make_job(plan)
    model = plan.engine.place(make_model(plan, []))
    state = new_state(model, plan.recipe.optimiser, plan.engine)
    # Of a small set an epoch has fewer steps than the trial.
    batches = chain.from_iterable(job.training.epoch(epoch) for epoch in range(TRIAL_STEPS))
    seconds: list[float] = []
    devices = [] if plan.engine.device == "cpu" else [torch.device(plan.engine.device)]
    with using(plan.engine), torch.random.fork_rng(devices=devices):
        for _, batch in zip(range(TRIAL_STEPS), batches, strict=False):
            start = time.perf_counter()
            train_step(state, batch, job)
            seconds.append(time.perf_counter() - start)
    step = min(seconds)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    momentum = sum(p.numel() * p.element_size() for p in model.parameters())
    return Estimate(
        steps=job.span.total_steps,
        seconds=step * job.span.total_steps,
        images_per_second=job.training.batch / step,
        memory_bytes=peak_memory(),
        disk_bytes=(weights + momentum) * (plan.recipe.keep + 1),
    )


def is_long(plan: Plan) -> bool:
    """Whether the run's arithmetic is enough to be worth a trial first."""
    if not isinstance(plan.network, Network):
        return False
    steps = plan.recipe.length.steps(steps_in_epoch(len(plan.dataset.train), plan.recipe.batch))
    images = steps * min(plan.recipe.batch, len(plan.dataset.train))
    return 6 * cost(plan.network).macs * images > LONG_FLOPS


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
