"""Solvers: how the weights of a run are found. `steps` is `fit.fit`, `logistic` is `logistic.Logistic`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from convsmith.runs.directory import RunDirectory
from convsmith.training.interrupt import Request
from convsmith.training.job import Job, State
from convsmith.training.progress import Progress

# What is asked after each epoch, with its row of the log: whether the run is to pause.
AfterEpoch = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Beside:
    """What goes on beside a solver, and may be left out but for the progress.

    `beat(step, epoch)` is called after every step. `request` says that a stop was asked for (None: the solver listens
    for Ctrl-C itself). `after_epoch` gets each row of the log; if it gives True the run pauses: the solver writes a
    checkpoint and raises `Paused`.
    """

    progress: Progress
    beat: Callable[[int, int], None] = lambda step, epoch: None
    request: Request | None = None
    after_epoch: AfterEpoch | None = None


class Solver(Protocol):
    """Finds the weights from where `state` stands, in place; says how it ended: "finished" or "stopped early".

    It writes the rows of the log and the checkpoints (`fit.save_state`), of which the last one holds what it found. A
    run that was killed calls it again with the state, and with the training loader, of its last checkpoint.
    """

    def __call__(self, job: Job, state: State, run: RunDirectory, beside: Beside) -> str: ...
