"""The learning rate as a function of the step, and what watches the validation loss. Pure numbers, no torch."""

import math
from dataclasses import dataclass, replace

from convsmith.training.options import Schedule


@dataclass(frozen=True)
class Span:
    """A run's length: what durations are measured against."""

    steps_per_epoch: int
    total_steps: int


@dataclass(frozen=True)
class Watch:
    """Remembers the best of a smoothed loss and the step at which it was seen; `drops` counts a plateau's falls."""

    smoothed: float | None = None
    best: float = math.inf
    best_step: int = 0
    drops: int = 0


def rate(schedule: Schedule, step: int, span: Span, drops: int = 0) -> float:
    """The share of the peak learning rate that optimiser step `step` (from 0) uses; `drops` is a plateau's count."""
    warmup = schedule.warmup.steps(span.steps_per_epoch, span.total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    match schedule.kind:
        case "constant":
            return 1.0
        case "step":
            passed = sum(step >= d.steps(span.steps_per_epoch, span.total_steps) for d in schedule.at)
            return schedule.factor**passed
        case "plateau":
            return schedule.factor**drops
        case "cosine" | "linear":
            done = (step - warmup) / max(1, span.total_steps - warmup)
            left = (1 + math.cos(math.pi * min(done, 1.0))) / 2 if schedule.kind == "cosine" else 1 - min(done, 1.0)
            return schedule.floor + (1 - schedule.floor) * left


def watched(watch: Watch, loss: float, step: int, smoothing: float) -> Watch:
    """The watch after an evaluation at `step` gave `loss`."""
    smoothed = loss if watch.smoothed is None else smoothing * watch.smoothed + (1 - smoothing) * loss
    if smoothed < watch.best:
        return replace(watch, smoothed=smoothed, best=smoothed, best_step=step)
    return replace(watch, smoothed=smoothed)


def plateaued(watch: Watch, schedule: Schedule, step: int, span: Span) -> Watch:
    """The watch after a fall of the rate, where the loss has not improved for the schedule's patience."""
    patience = schedule.patience.steps(span.steps_per_epoch, span.total_steps)
    if schedule.kind == "plateau" and step - watch.best_step >= patience:
        return replace(watch, drops=watch.drops + 1, best_step=step)
    return watch
