"""Engines side by side on one network: speed, start, agreement and memory."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.base.speed import ratio
from convsmith.engines.check import Agreement
from convsmith.engines.inference import Inference
from convsmith.engines.measure import filled, rounds
from convsmith.engines.runner import Refused, Runner
from convsmith.engines.start import launch, plain, reference
from convsmith.training.engine import Engine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """An engine's figures. Images per second: the median, the slowest and the fastest round.

    `times` as fast as the network as it is, `difference` the largest of a probability; `memory` is what the process
    grew by, None if that cannot be told. `why` it would be refused; figures that it then has not are None.
    """

    engine: str
    precision: str | None = None
    images_per_second: float | None = None
    slowest: float | None = None
    fastest: float | None = None
    times: float | None = None
    start_seconds: float | None = None
    difference: float | None = None
    memory: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Bench:
    """The rows, the network as it is first, and how many rounds they are of; fewer than wanted after an interrupt."""

    rows: tuple[Row, ...]
    batch: int
    rounds: int
    interrupted: bool

    def to_json(self) -> dict[str, Any]:
        """What `bench --json` prints."""
        return asdict(self)


def bench(
    model: Inference, engine: Engine, batch: int, images: Tensor, names: Sequence[str], count: int, say: Say
) -> Bench:
    """Start the engines, compare each with the network as it is on `images`, then time them in `count` rounds of turns.

    An interrupt ends the rounds; what they found until then is kept.
    """
    if count < 1 or batch < 1:
        raise UsageError(f"bench: expected at least 1 round and 1 image, received {count} and {batch}")
    before = _memory(engine.device)
    runners = [plain(model, engine, batch)]
    known = reference(model, engine, batch, images)
    memory = [_growth(before, engine.device)]
    agreements: list[Agreement | None] = [None]
    refused: list[Row] = []
    for name in names:
        say(f"starting {name}")
        before = _memory(engine.device)
        try:
            runner, found = launch(name, model, engine, batch, known)
        except (Refused, UsageError) as error:
            refused.append(Row(name, why=str(error).removeprefix(f"engine {name}: ")))
            continue
        runners.append(runner)
        agreements.append(found)
        memory.append(_growth(before, engine.device))
    times, interrupted = _times(runners, filled(images, batch), count, say)
    if not times:
        raise KeyboardInterrupt
    columns = list(zip(*times, strict=True))
    rows = [
        _row(runner, column, columns[0], found, grown)
        for runner, column, found, grown in zip(runners, columns, agreements, memory, strict=True)
    ]
    return Bench((*rows, *refused), batch, len(times), interrupted)


def _times(runners: Sequence[Runner], images: Tensor, count: int, say: Say) -> tuple[list[list[float]], bool]:
    """Seconds of each runner, a list for each round; whether an interrupt came before the last."""
    done: list[list[float]] = []
    try:
        for row in rounds(runners, images, count):
            done.append(row)
            say(f"round {len(done)} of {count}")
    except KeyboardInterrupt:
        return done, True
    return done, False


def _row(
    runner: Runner, seconds: Sequence[float], before: Sequence[float], found: Agreement | None, memory: int | None
) -> Row:
    rates = [runner.batch / each for each in seconds]
    return Row(
        engine=runner.engine,
        precision=runner.precision,
        images_per_second=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        times=ratio(before, seconds),
        start_seconds=runner.start_seconds,
        difference=None if found is None else found.difference,
        memory=memory,
        why="" if found is None else found.objection,
    )


def _memory(device: str) -> int | None:
    """Bytes in use: of the device where it is a GPU, else of this process."""
    if device != "cpu":
        return torch.cuda.memory_allocated(device)
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file.exists() else None


def _growth(before: int | None, device: str) -> int | None:
    after = _memory(device)
    return None if before is None or after is None else max(0, after - before)
