"""What a run does (`Job`, fixed for its life) and where it stands (`State`, all that must survive a restart)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from convsmith.base.durations import Duration
from convsmith.data.loaders import Loader
from convsmith.data.options import Augment
from convsmith.data.preprocess import Preprocess
from convsmith.training.engine import Engine
from convsmith.training.optimise import optimiser_state, restore_optimiser
from convsmith.training.options import EarlyStopping, Optimiser, Schedule
from convsmith.training.schedule import Span, Watch


class Evaluation(Protocol):
    """A task's numbers over a split."""

    def summary(self) -> dict[str, Any]:
        """The numbers of a log line: at least `loss`, `score` (larger is better) and `count`."""
        ...


class Tally(Protocol):
    """Sums over the batches of an evaluation, kept on the device."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch: outputs (N, classes), targets (N,)."""
        ...

    def result(self) -> Evaluation:
        """The numbers over everything counted."""
        ...


class Task(Protocol):
    """What is learned: a loss, a count of what was right, and an evaluation."""

    @property
    def guess_loss(self) -> float:
        """The loss of an answer that knows nothing."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean training loss of a batch."""
        ...

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of the batch were right, on the device."""
        ...

    def tally(self, device: str) -> Tally:
        """An empty tally."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run's parts and rules."""

    task: Task
    training: Loader
    validation: Loader | None
    preprocess: Preprocess
    augment: tuple[Augment, ...]
    optimiser: Optimiser
    schedule: Schedule
    early_stopping: EarlyStopping
    engine: Engine
    span: Span
    seed: int
    evaluate_every: Duration
    checkpoint_every: Duration
    keep: int
    explosion: float


@dataclass
class Sums:
    """Training loss and hits since the last log line, in float64 on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @staticmethod
    def zero(device: str) -> "Sums":
        """Nothing counted yet."""
        return Sums(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.float64, device=device)
        )


@dataclass
class State:
    """Where a run stands. `best` is the summary of the best evaluation so far.

    `seconds` is wall time over all sessions, `busy` the part spent in training steps and waiting for their data.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: Sums
    step: int = 0
    first_loss: float | None = None
    stopping: Watch = field(default_factory=Watch)
    plateau: Watch = field(default_factory=Watch)
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    busy: float = 0.0
    images: int = 0


def new_state(model: nn.Module, optimiser: torch.optim.Optimizer, engine: Engine) -> State:
    """The state before the first step."""
    device = torch.device(engine.device).type
    scaler = torch.amp.GradScaler(device, enabled=engine.precision == "fp16")
    return State(model, optimiser, scaler, Sums.zero(engine.device))


def pack(state: State) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """The state as tensors of the model, tensors of the rest, and JSON data."""
    tensors = optimiser_state(state.optimiser, state.model)
    tensors |= {"sums.loss": state.sums.loss, "sums.correct": state.sums.correct}
    data = {
        "step": state.step,
        "first_loss": state.first_loss,
        "sums_images": state.sums.images,
        "stopping": _watch_data(state.stopping),
        "plateau": _watch_data(state.plateau),
        "best": state.best,
        "seconds": state.seconds,
        "busy": state.busy,
        "images": state.images,
        "scaler": state.scaler.state_dict(),
    }
    return dict(state.model.state_dict()), tensors, data


def unpack(state: State, model: Mapping[str, Tensor], tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> None:
    """Put what `pack` gave back into a new state."""
    state.model.load_state_dict(dict(model))
    sums = {key: tensors[key].to(state.sums.loss.device) for key in ("sums.loss", "sums.correct")}
    state.sums = Sums(sums["sums.loss"], sums["sums.correct"], data["sums_images"])
    rest = {key: value for key, value in tensors.items() if key not in sums}
    restore_optimiser(state.optimiser, state.model, rest)
    state.step, state.first_loss = data["step"], data["first_loss"]
    state.stopping, state.plateau = _watch(data["stopping"]), _watch(data["plateau"])
    state.best, state.seconds = data["best"], data["seconds"]
    state.busy, state.images = data["busy"], data["images"]
    if data["scaler"]:
        state.scaler.load_state_dict(data["scaler"])


def _watch_data(watch: Watch) -> dict[str, Any]:
    # JSON has no infinity: a watch that has seen nothing has no best.
    return asdict(watch) | {"best": None if watch.smoothed is None else watch.best}


def _watch(data: Mapping[str, Any]) -> Watch:
    return Watch() if data["best"] is None else Watch(**data)
