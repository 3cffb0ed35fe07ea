"""The engine by a short trial: layout, number format, threads and compilation are tried on the run's own first steps.

A choice is taken only where it is clearly faster and the losses stay those of plain fp32. What was found is kept for
this machine, network and shape, and written into the run: a resume does not decide again.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, islice
from statistics import median
from typing import Any

import torch

from convsmith.base.remembered import key_of, recall, remember
from convsmith.data.loaders import Batch, steps_in_epoch
from convsmith.nets.network import Network
from convsmith.recipes.prepare import Plan, make_job, make_model
from convsmith.training.engine import Engine, cores, has_bf16, may_compile, using
from convsmith.training.job import Job, State, new_state
from convsmith.training.rules import set_training
from convsmith.training.step import train_step

Say = Callable[[str], None]

WARM_STEPS, ROUNDS, STEPS = 2, 3, 2
# How much faster an engine must be to be taken: less is noise.
CLEARLY = 1.05
# How far the mean loss of the trial's steps may be from that of plain fp32, as a share of it.
TOLERANCE = 0.02
FILE = "engines.json"


@dataclass(frozen=True)
class Trial:
    """An engine that was tried: images per second, how far its loss is from fp32's, seconds that it took to start.

    `taken` says whether it was better than all before it; `why` not, where it was not.
    """

    engine: Engine
    images_per_second: float
    drift: float
    start_seconds: float
    taken: bool
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """The trial as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Tuning:
    """The engine that was chosen, and the trials; none where it was found earlier."""

    engine: Engine
    trials: tuple[Trial, ...]


def tune(plan: Plan, say: Say = lambda text: None, *, fresh: bool = False) -> Tuning:
    """The fastest engine for the plan's training step; what an earlier trial found, unless `fresh`."""
    key = _key(plan)
    found = None if fresh else recall(FILE, key)
    if found is not None:
        engine = Engine(**found)
        say(f"engine from an earlier trial of this network on this machine: {describe(engine)}")
        return Tuning(engine, ())
    tuning = _tune(plan, say)
    remember(FILE, key, asdict(tuning.engine))
    return tuning


def describe(engine: Engine) -> str:
    """An engine in a few words."""
    layout = "channels last" if engine.channels_last else "channels first"
    compiled = "compiled" if engine.compile else "not compiled"
    return f"{engine.precision}, {layout}, {engine.threads} thread{'s' * (engine.threads > 1)}, {compiled}"


def _tune(plan: Plan, say: Say) -> Tuning:
    """One change after the other, each against the best so far."""
    reference = _plainest(plan)
    best = _Candidate(plan, reference)
    expected = best.losses
    trials = [Trial(reference, best.rate(), 0.0, best.start_seconds, True)]
    say(f"trying engines: {describe(reference)}: {trials[0].images_per_second:,.0f} images/s")
    for change in _changes(plan):
        engine = replace(best.engine, **change)
        if engine == best.engine:
            continue
        candidate = _Candidate(plan, engine)
        ratio = _faster(candidate, best)
        rate = candidate.rate()
        drift = abs(candidate.losses - expected) / expected
        why = _objection(plan, candidate, best, ratio, drift)
        trials.append(Trial(engine, rate, drift, candidate.start_seconds, not why, why))
        say(f"trying engines: {describe(engine)}: {rate:,.0f} images/s{f' ({why})' if why else ''}")
        if not why:
            best = candidate
    return Tuning(best.engine, tuple(trials))


def _plainest(plan: Plan) -> Engine:
    """The engine without anything that makes it faster but what the user asked for."""
    options = plan.recipe.engine
    return replace(
        plan.engine,
        precision="fp32" if options.precision == "auto" else plan.engine.precision,
        channels_last=False,
        compile=options.compile == "on",
    )


def _changes(plan: Plan) -> Iterator[dict[str, Any]]:
    """What is tried in turn; what the user set by hand stays."""
    options = plan.recipe.engine
    if options.channels_last:
        yield {"channels_last": True}
    if options.precision == "auto" and has_bf16(plan.engine.device):
        yield {"precision": "bf16"}
    if options.threads is None and plan.engine.device == "cpu" and cores() > 1:
        yield {"threads": max(1, plan.engine.threads // 2)}
    if may_compile(options, plan.engine.device) and plan.recipe.resize is None:
        yield {"compile": True}


class _Candidate:
    """A copy of the run on one engine, which takes the run's first steps again and again."""

    def __init__(self, plan: Plan, engine: Engine):
        self.engine = engine
        self.seconds: list[float] = []
        with _run(engine):
            # Whether the loss explodes is for the run to say.
            self.job: Job = replace(make_job(replace(plan, engine=engine)), explosion=0.0)
            model = engine.place(make_model(plan, []))
            self.state: State = new_state(model, plan.recipe.optimiser, engine)
            engine.accelerate(model)
            set_training(model)
            start = time.perf_counter()
            self._steps(WARM_STEPS)
            self.start_seconds = time.perf_counter() - start
            self.losses = self.state.sums.loss.item() / self.state.sums.images

    def time(self) -> float:
        """Seconds of a step, as the mean of a few; remembered."""
        with _run(self.engine):
            _wait(self.engine)
            start = time.perf_counter()
            self._steps(STEPS)
            _wait(self.engine)
        self.seconds.append((time.perf_counter() - start) / STEPS)
        return self.seconds[-1]

    def rate(self) -> float:
        """Images per second."""
        return self.job.training.batch / (median(self.seconds) if self.seconds else self.time())

    def _steps(self, count: int) -> None:
        batches: Iterator[Batch] = chain.from_iterable(self.job.training.epoch(epoch) for epoch in range(count))
        for batch in islice(batches, count):
            train_step(self.state, batch, self.job)


def _faster(candidate: _Candidate, best: _Candidate) -> float:
    """How many times faster a candidate is, by the median over rounds in which both take turns."""
    ratios: list[float] = []
    for _ in range(ROUNDS):
        before = best.time()
        ratios.append(before / candidate.time())
    return median(ratios)


def _objection(plan: Plan, candidate: _Candidate, best: _Candidate, ratio: float, drift: float) -> str:
    """Why a candidate is not taken; empty where it is."""
    if not drift <= TOLERANCE:
        return f"its loss is {drift:.1%} off that of fp32, more than {TOLERANCE:.0%}"
    if ratio < CLEARLY:
        return f"{ratio:.2f} times the speed of the best so far"
    if candidate.engine.compile:
        saved = best.job.span.total_steps * (median(best.seconds) - median(candidate.seconds))
        if saved < 2 * candidate.start_seconds:
            start = candidate.start_seconds
            return f"{ratio:.2f} times the speed, which so short a run does not make up for {start:.0f} s of compiling"
    return ""


@contextlib.contextmanager
def _run(engine: Engine) -> Iterator[None]:
    """The engine's settings; torch's global generator is put back afterwards."""
    devices = [] if engine.device == "cpu" else [torch.device(engine.device)]
    with using(engine), torch.random.fork_rng(devices=devices):
        yield


def _wait(engine: Engine) -> None:
    if engine.device != "cpu":
        torch.cuda.synchronize(engine.device)


def _key(plan: Plan) -> str:
    """What the fastest engine depends on."""
    network = plan.network.to_json() if isinstance(plan.network, Network) else plan.network.source
    parts = {
        "machine": [plan.engine.device, plan.engine.cpu, cores(), plan.engine.torch_version, plan.engine.processes],
        "network": network,
        "shape": [plan.recipe.batch, plan.dataset.preprocess.channels, *plan.dataset.preprocess.size],
        "optimiser": str(plan.recipe.optimiser),
        "asked": str(plan.recipe.engine),
        "found": [field.name for field in fields(Engine)],
        # Whether compiling pays depends on the length, but hardly.
        "steps": plan.recipe.length.steps(steps_in_epoch(len(plan.dataset.train), plan.recipe.batch)).bit_length(),
    }
    return key_of(parts)
