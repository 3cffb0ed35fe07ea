"""Chooses the engine by a short trial of layout, number format, threads and compilation on the run's first steps.

A change is taken only if it is clearly faster and its losses stay close to those of plain fp32. The choice is stored
for this machine, network and shape, and written into the run, so that a resume uses the same engine.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, islice
from statistics import median
from typing import Any, Literal

from convsmith.base.compiler import missing_compiler
from convsmith.base.config import read
from convsmith.base.errors import ConvsmithError
from convsmith.base.remembered import key_of, recall, remember
from convsmith.base.speed import CLEARLY, ratio
from convsmith.data.loaders import Batch, steps_in_epoch
from convsmith.training.engine import Engine, cores, has_bf16, may_compile, using
from convsmith.training.job import Job, State, new_state
from convsmith.training.memory import is_out_of_memory, memory_explained
from convsmith.training.rules import set_training
from convsmith.training.step import train_step
from convsmith.work.compiling import obstacle
from convsmith.work.prepare import Plan, make_job, make_model

Say = Callable[[str], None]

WARM_STEPS, ROUNDS, STEPS = 2, 3, 2
# The largest difference between the mean loss of the trial's steps and that of plain fp32, as a share of the latter.
TOLERANCE = 0.02
FILE = "engines.json"


@dataclass(frozen=True)
class Found:
    """The fields of an engine that a trial chooses and stores; its other fields name the machine and the versions."""

    precision: Literal["fp32", "bf16", "fp16"]
    channels_last: bool
    threads: int
    compile: bool


@dataclass(frozen=True)
class Trial:
    """The trial of one engine: images per second, relative difference of its loss from fp32, seconds to start.

    `taken` says whether it was better than all engines before it, `why` the reason if not. The numbers are None if the
    engine failed.
    """

    engine: Engine
    images_per_second: float | None
    loss_gap: float | None
    start_seconds: float | None
    taken: bool
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """The trial as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Tuning:
    """The chosen engine and its trials; no trials if an earlier command stored the choice."""

    engine: Engine
    trials: tuple[Trial, ...]


def tune(plan: Plan, say: Say = lambda text: None, *, fresh: bool = False) -> Tuning:
    """The fastest engine for the plan's training step; what an earlier trial found, unless `fresh`."""
    key = _key(plan)
    choice = None if fresh else _stored_choice(key)
    if choice is not None:
        engine = replace(plan.engine, **vars(choice))
        say(f"engine from an earlier trial of this network on this machine: {describe(engine)}")
        return Tuning(engine, ())
    tuning = _tune(plan, say)
    remember(FILE, key, {field.name: getattr(tuning.engine, field.name) for field in fields(Found)})
    return tuning


def describe(engine: Engine) -> str:
    """The engine as text: `bf16, channels last, 4 threads, not compiled`."""
    layout = "channels last" if engine.channels_last else "channels first"
    compiled = "compiled" if engine.compile else "not compiled"
    return f"{engine.precision}, {layout}, {engine.threads} thread{'s' * (engine.threads > 1)}, {compiled}"


def _tune(plan: Plan, say: Say) -> Tuning:
    """Try one change after the other, each against the best engine so far."""
    job, batches = _job_and_batches(plan)
    reference = _plain_engine(plan)
    with memory_explained(job):
        best = _Candidate(plan, reference, job, batches)
    expected = best.losses
    trials = [Trial(reference, best.rate(), 0.0, best.start_seconds, True)]
    say(f"trying engines: {describe(reference)}: {best.rate():,.0f} images/s")
    for change in _changes(plan):
        engine = replace(best.engine, **change)
        if engine == best.engine:
            continue
        try:
            candidate = _Candidate(plan, engine, job, batches)
            faster = _faster(candidate, best)
        except Exception as error:  # compilers and kernels may raise any exception
            trials.append(Trial(engine, None, None, None, False, _failure(error)))
            say(f"trying engines: {describe(engine)}: {trials[-1].why}")
            continue
        rate = candidate.rate()
        loss_gap = abs(candidate.losses - expected) / expected
        why = _objection(candidate, best, faster, loss_gap)
        trials.append(Trial(engine, rate, loss_gap, candidate.start_seconds, not why, why))
        say(f"trying engines: {describe(engine)}: {rate:,.0f} images/s{f' ({why})' if why else ''}")
        if not why:
            best = candidate
    return Tuning(best.engine, tuple(trials))


def _job_and_batches(plan: Plan) -> tuple[Job, list[Batch]]:
    """The run's job and its first batches, which are read once for all engines."""
    # The trial does not stop for an exploding loss; the run does.
    job = replace(make_job(plan), explosion=0.0)
    count = max(WARM_STEPS, STEPS)
    # An epoch of a small data set has fewer steps than the trial.
    return job, list(islice(chain.from_iterable(job.training.epoch(epoch) for epoch in range(count)), count))


def _plain_engine(plan: Plan) -> Engine:
    """The engine without optimizations, except those that the user asked for."""
    options = plan.recipe.engine
    return replace(
        plan.engine,
        precision="fp32" if options.precision == "auto" else plan.engine.precision,
        channels_last=False,
        compile=options.compile == "on",
    )


def _changes(plan: Plan) -> Iterator[dict[str, Any]]:
    """The changes to try, in order. Fields that the user set are not changed."""
    options = plan.recipe.engine
    if plan.engine.channels_last:
        yield {"channels_last": True}
    if options.precision == "auto" and has_bf16(plan.engine.device):
        yield {"precision": "bf16"}
    if options.threads is None and plan.engine.device == "cpu" and cores() > 1:
        yield {"threads": max(1, plan.engine.threads // 2)}
    # With `resize` each image size compiles anew, and the trial's steps see only the first size.
    if may_compile(options, plan.engine.device) and plan.recipe.resize is None and not _has_obstacle(plan):
        yield {"compile": True}


def _has_obstacle(plan: Plan) -> bool:
    return obstacle(plan.recipe, plan.network, plan.dataset.preprocess) is not None


class _Candidate:
    """A copy of the run on one engine. It repeats the run's first steps."""

    def __init__(self, plan: Plan, engine: Engine, job: Job, batches: Sequence[Batch]):
        self.engine, self.batches = engine, batches
        self.seconds: list[float] = []
        self.job = replace(job, engine=engine)
        with _run(engine):
            model = engine.place(make_model(plan, []))
            self.state: State = new_state(model, plan.recipe.optimizer, engine, plan.learned.task.parts)
            engine.accelerate(model)
            set_training(model)
            start = time.perf_counter()
            self._steps(WARM_STEPS)
            self.losses = self.state.sums.loss.item() / self.state.sums.images
            self.start_seconds = time.perf_counter() - start

    def time(self) -> float:
        """The mean seconds of `STEPS` steps; also appended to `seconds`."""
        with _run(self.engine):
            self.engine.wait()
            start = time.perf_counter()
            self._steps(STEPS)
            self.engine.wait()
        self.seconds.append((time.perf_counter() - start) / STEPS)
        return self.seconds[-1]

    def rate(self) -> float:
        """Images per second."""
        return self.job.training.batch / (median(self.seconds) if self.seconds else self.time())

    def _steps(self, count: int) -> None:
        for batch in self.batches[:count]:
            train_step(self.state, batch, self.job)


def _faster(candidate: _Candidate, best: _Candidate) -> float:
    """The candidate's speed divided by the best engine's, over rounds in which both take turns."""
    turns = [(best.time(), candidate.time()) for _ in range(ROUNDS)]
    return ratio(*zip(*turns, strict=True))


def _failure(error: Exception) -> str:
    """The reason why the trial of an engine failed."""
    if is_out_of_memory(error):
        return "it does not fit into memory beside the best so far"
    reason = " ".join(str(error).split())
    return f"it fails ({type(error).__name__}: {reason:.200})"


def _objection(candidate: _Candidate, best: _Candidate, faster: float, loss_gap: float) -> str:
    """The reason why a candidate is not taken; empty if it is taken."""
    if not loss_gap <= TOLERANCE:
        return f"its loss is {loss_gap:.1%} off that of fp32, more than {TOLERANCE:.0%}"
    if faster < CLEARLY:
        return f"{faster:.2f} times the speed of the best so far"
    if candidate.engine.compile:
        saved = best.job.span.total_steps * (median(best.seconds) - median(candidate.seconds))
        if saved < 2 * candidate.start_seconds:
            start = candidate.start_seconds
            return f"{faster:.2f} times the speed, which so short a run does not make up for {start:.0f} s of compiling"
    return ""


@contextlib.contextmanager
def _run(engine: Engine) -> Iterator[None]:
    """Apply the engine's settings, and restore torch's generators afterwards."""
    with using(engine), engine.generator_kept():
        yield


def _stored_choice(key: str) -> Found | None:
    try:
        return read(Found, recall(FILE, key))
    except (ConvsmithError, TypeError):
        return None  # a damaged record is replaced by a new trial


def _key(plan: Plan) -> str:
    """The key of everything that the fastest engine depends on."""
    engine = plan.engine
    parts = {
        "machine": [engine.device, engine.cpu, cores(), engine.torch_version, engine.processes],
        "compiler": missing_compiler(engine.device),
        "network": plan.network.to_json(),
        "resize": str(plan.recipe.resize),
        "shape": [plan.recipe.batch, plan.dataset.preprocess.channels, *plan.dataset.preprocess.size],
        "optimizer": str(plan.recipe.optimizer),
        "asked": str(plan.recipe.engine),
        "found": [field.name for field in fields(Found)],
        # Whether compiling pays depends weakly on the length, so the key holds its order of magnitude.
        "steps": plan.recipe.length.steps(steps_in_epoch(len(plan.dataset.train), plan.recipe.batch)).bit_length(),
    }
    return key_of(parts)
