"""What a run does (`Job`, fixed for its life) and where it stands (`State`, all that must survive a restart)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from convsmith.base.config import read, read_value
from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.data.augmentations import Augment
from convsmith.data.loaders import Loader
from convsmith.data.preprocess import ImageInput
from convsmith.tasks.task import Task
from convsmith.training.average import make_average
from convsmith.training.distributed import ALONE, World
from convsmith.training.engine import Engine
from convsmith.training.explosion import WINDOW, Stop
from convsmith.training.lookahead import slow_weights
from convsmith.training.not_finite import STATISTICS
from convsmith.training.optimize import make_optimizer, optimizer_state, restore_optimizer
from convsmith.training.options import EarlyStopping, Optimizer, Progressive, Schedule
from convsmith.training.schedule import Span, Watch
from convsmith.training.track import Tracker, Untracked

# The names in a checkpoint of what belongs neither to the model nor to the optimizer (whose names have `::`).
SUMS = ("loss", "correct", "norm")
PART = "part/"
# The numbers in the JSON data of every checkpoint.
NUMBERS = ("step", "sums_images", "seconds", "busy", "images")
SLOW, LIVE, LOADER, RECENT = "slow/", "live/", "loader/", "recent"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run's parts and rules. The loss of each of the heads `auxiliary` is added times `auxiliary_weight`."""

    task: Task
    classes: int
    training: Loader
    validation: Loader | None
    preprocess: ImageInput
    augment: tuple[Augment, ...]
    optimizer: Optimizer
    schedule: Schedule
    early_stopping: EarlyStopping
    engine: Engine
    span: Span
    seed: int
    evaluate_every: Duration
    checkpoint_every: Duration
    keep: int
    explosion: float
    auxiliary: tuple[str, ...]
    auxiliary_weight: float
    resize: Progressive | None = None
    tracker: Tracker = Untracked()
    world: World = ALONE

    @property
    def guess_loss(self) -> float:
        """The training loss of an answer that knows nothing, auxiliary heads counted in."""
        return self.task.guess_loss * (1 + self.auxiliary_weight * len(self.auxiliary))

    @cached_property
    def stop(self) -> Stop:
        """When the training loss has exploded."""
        warmup = self.schedule.warmup.steps(self.span.steps_per_epoch, self.span.total_steps)
        return Stop(self.explosion, self.guess_loss, warmup)


@dataclass
class Sums:
    """The sums since the last log line, float64: the training loss and its parts, right answers, gradient norms."""

    loss: Tensor
    correct: Tensor
    norm: Tensor
    parts: dict[str, Tensor]
    images: int = 0

    @staticmethod
    def zero(device: str, parts: Sequence[str] = ()) -> "Sums":
        """Nothing counted yet; `parts` are the names of the parts of the task's loss."""
        loss, correct, norm, *others = (torch.zeros((), dtype=torch.float64, device=device) for _ in (*SUMS, *parts))
        return Sums(loss, correct, norm, dict(zip(parts, others, strict=True)))


@dataclass
class Recent:
    """The losses and gradient norms of the last steps, float64 (2, WINDOW) on the device.

    The values of step s are in column s modulo WINDOW. `count` is the number of steps that are noted.
    """

    values: Tensor
    count: int = 0

    @staticmethod
    def none(device: str) -> "Recent":
        """Nothing noted yet."""
        return Recent(torch.zeros((2, WINDOW), dtype=torch.float64, device=device))

    def note(self, step: int, loss: Tensor, length: Tensor) -> None:
        """Note the loss and the gradient norm of step `step` (from 0), without waiting for the device."""
        self.values[0, step % WINDOW], self.values[1, step % WINDOW] = loss, length
        self.count = min(self.count + 1, WINDOW)

    def read(self, step: int) -> list[tuple[int, float, float]]:
        """Number, loss and gradient norm of each noted step up to `step`, the oldest first; waits for the device."""
        losses, lengths = self.values.tolist()
        return [(s, losses[s % WINDOW], lengths[s % WINDOW]) for s in range(step - self.count + 1, step + 1)]


@dataclass
class State:
    """Where a run stands. `best` is the summary of the best evaluation so far.

    `seconds` is wall time over all sessions, `busy` the part spent in training steps and waiting for their data.
    `slow` are lookahead's weights by name; `warmed` says that the training error was below the schedule's threshold.
    `unbounded` names buffers of a user's module that hold NaN or inf from the start, as a mask does.
    `start_loss` is the magnitude that an explosion is measured by, None before it is known (see `Stop`).
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: Sums
    recent: Recent
    step: int = 0
    start_loss: float | None = None
    stopping: Watch = field(default_factory=Watch)
    plateau: Watch = field(default_factory=Watch)
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    busy: float = 0.0
    images: int = 0
    warmed: bool = False
    average: AveragedModel | None = None
    slow: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    unbounded: frozenset[str] = frozenset()
    wrapped: nn.Module | None = None

    @property
    def runner(self) -> nn.Module:
        """What a training step calls: the model, or what exchanges its gradients with other processes."""
        return self.model if self.wrapped is None else self.wrapped

    @property
    def kept(self) -> nn.Module:
        """The model to evaluate and to keep: the average where there is one and it has begun."""
        if self.average is None or self.average.n_averaged == 0:
            return self.model
        return self.average.module


def new_state(model: nn.Module, options: Optimizer, engine: Engine, parts: Sequence[str] = ()) -> State:
    """The state before the first step; `parts` are the names of the parts of the task's loss."""
    if options.sam is not None and engine.precision == "fp16":
        raise UsageError("optimizer.sam: its two gradients cannot share fp16's loss scaling; use --precision fp32")
    device = torch.device(engine.device).type
    optimizer = make_optimizer(model, options)
    return State(
        model,
        optimizer,
        torch.amp.GradScaler(device, enabled=engine.precision == "fp16"),
        Sums.zero(engine.device, parts),
        Recent.none(engine.device),
        average=make_average(model, options.average),
        slow=slow_weights(model) if options.lookahead else {},
        unbounded=_unbounded(model),
    )


def _unbounded(model: nn.Module) -> frozenset[str]:
    """Buffers that hold NaN or inf, but for the statistics of norms, which never may."""
    buffers = ((name, b) for name, b in model.named_buffers() if not name.endswith(STATISTICS))
    return frozenset(name for name, buffer in buffers if not bool(buffer.isfinite().all()))


def pack(state: State, loader: Loader) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """The state, with that of the training loader, as tensors of the model to use, tensors of the rest, and JSON data.

    Where weights are averaged the model is their average, and the weights that training goes on with are in the rest.
    """
    model = state.kept
    tensors = optimizer_state(state.optimizer, state.model)
    tensors |= {f"sums.{name}": getattr(state.sums, name) for name in SUMS}
    tensors |= {f"sums.{PART}{name}": value for name, value in state.sums.parts.items()}
    tensors |= {RECENT: state.recent.values}
    tensors |= {SLOW + name: value for name, value in state.slow.items()}
    tensors |= {LOADER + name: value for name, value in loader.pack().items()}
    if model is not state.model:
        tensors |= {LIVE + name: value for name, value in state.model.state_dict().items()}
    data = {
        "step": state.step,
        "start_loss": state.start_loss,
        "recent_steps": state.recent.count,
        "sums_images": state.sums.images,
        "stopping": _watch_data(state.stopping),
        "plateau": _watch_data(state.plateau),
        "best": state.best,
        "seconds": state.seconds,
        "busy": state.busy,
        "images": state.images,
        "warmed": state.warmed,
        "averaged": 0 if state.average is None else int(state.average.n_averaged),
        "scaler": state.scaler.state_dict(),
    }
    return dict(model.state_dict()), tensors, data


def unpack(
    state: State, loader: Loader, model: Mapping[str, Tensor], tensors: Mapping[str, Tensor], data: Mapping[str, Any]
) -> None:
    """Put what `pack` gave back into a new state and loader; what runs of before did not have stays as it is.

    Raises UsageError or KeyError for data that `pack` never gives, and UsageError if the checkpoint's state of a loader
    has other names than the loader's.
    """
    _check_state(data)
    kept = _under(LOADER, tensors)
    if set(kept) != set(names := loader.pack()):
        wanted, there = (", ".join(sorted(of)) or "none" for of in (names, kept))
        raise UsageError(f"the state of the loader: expected {wanted}, received {there}")
    loader.unpack(kept)
    if state.average is not None and data.get("averaged"):
        state.average.module.load_state_dict(dict(model))
        state.average.n_averaged.fill_(data["averaged"])
        model = _under(LIVE, tensors)
    state.model.load_state_dict(dict(model))
    for name, value in _under(SLOW, tensors).items():
        state.slow[name].copy_(value)
    for name, value in _under("sums.", tensors).items():
        if name.startswith(PART):
            state.sums.parts[name.removeprefix(PART)].copy_(value)
        elif name in SUMS:  # older runs have others
            setattr(state.sums, name, value.to(state.sums.loss.device))
    if RECENT in tensors:
        state.recent.values.copy_(tensors[RECENT])
        state.recent.count = min(data["recent_steps"], WINDOW)
    restore_optimizer(state.optimizer, state.model, {key: tensors[key] for key in tensors if "::" in key})
    state.sums.images = data["sums_images"]
    state.step = data["step"]
    # Runs of before have the first loss, without that of a guess; those of before that step have None.
    state.start_loss = data["start_loss"] if "start_loss" in data else data["first_loss"] and abs(data["first_loss"])
    state.stopping, state.plateau = _watch(data["stopping"]), _watch(data["plateau"])
    state.best, state.seconds = data["best"], data["seconds"]
    state.busy, state.images = data["busy"], data["images"]
    state.warmed = data.get("warmed", False)
    if data["scaler"]:
        state.scaler.load_state_dict(data["scaler"])


def _check_state(data: Any) -> None:
    if not isinstance(data, dict):
        raise UsageError(f"state: expected an object, received {data!r:.40}")
    for name in NUMBERS:
        read_value(float, data[name], f"state.{name}")
    for name in ("averaged", "recent_steps", "start_loss", "first_loss"):
        read_value(float | None, data.get(name), f"state.{name}")
    for name in ("best", "scaler", "stopping", "plateau"):
        if not isinstance(data[name], dict | None):
            raise UsageError(f"state.{name}: expected an object, received {data[name]!r:.40}")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _watch_data(watch: Watch) -> dict[str, Any]:
    # JSON has no infinity: a watch that has seen nothing has no best.
    return asdict(watch) | {"best": None if watch.smoothed is None else watch.best}


def _watch(data: Mapping[str, Any]) -> Watch:
    return Watch() if data["best"] is None else read(Watch, data, "state.watch")
