"""The learning rate as a function of the step, and what watches the validation loss. Pure numbers, no torch."""

import math
from dataclasses import dataclass, replace

from convsmith.base.durations import Duration
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


ONE_CYCLE_START = 1 / 25  # of the peak, as in Smith and Topin 2017 and torch's OneCycleLR


def rate(schedule: Schedule, step: int, span: Span, drops: int = 0, warmed: bool = True) -> float:
    """The share of the peak learning rate that optimizer step `step` (from 0) uses.

    `drops` is a plateau's count; `warmed` says whether the training error was ever below the schedule's threshold.
    """
    if schedule.warmup_error is not None and not warmed:
        return schedule.warmup_rate
    warmup = _steps(schedule.warmup, span)
    if step < warmup:
        if schedule.kind == "one_cycle":
            return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - _half_cosine(step / warmup))
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, span.total_steps - warmup))
    match schedule.kind:
        case "constant":
            return 1.0
        case "step":
            return _factor(schedule) ** sum(step >= _steps(moment, span) for moment in schedule.at)
        case "exponential":
            return _factor(schedule) ** (step // _steps(schedule.every, span))
        case "plateau":
            return _factor(schedule) ** drops
        case "cosine" | "one_cycle":
            return schedule.floor + (1 - schedule.floor) * _half_cosine(done)
        case "linear":
            return schedule.floor + (1 - schedule.floor) * (1 - done)


def _steps(duration: Duration, span: Span) -> int:
    return duration.steps(span.steps_per_epoch, span.total_steps)


def _factor(schedule: Schedule) -> float:
    return schedule.factor if schedule.factor is not None else 0.9 if schedule.kind == "exponential" else 0.1


def _half_cosine(done: float) -> float:
    """From 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * done)) / 2


def watched(watch: Watch, loss: float, step: int, smoothing: float) -> Watch:
    """The watch after an evaluation at `step` gave `loss`."""
    smoothed = loss if watch.smoothed is None else smoothing * watch.smoothed + (1 - smoothing) * loss
    if smoothed < watch.best:
        return replace(watch, smoothed=smoothed, best=smoothed, best_step=step)
    return replace(watch, smoothed=smoothed)


def plateaued(watch: Watch, schedule: Schedule, step: int, span: Span) -> Watch:
    """The watch after a fall of the rate, where the loss has not improved for the schedule's patience."""
    if schedule.kind == "plateau" and step - watch.best_step >= _steps(schedule.patience, span):
        return replace(watch, drops=watch.drops + 1, best_step=step)
    return watch
