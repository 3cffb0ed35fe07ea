"""What a run may set about its optimisation; records without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from convsmith.base.config import option
from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError


@dataclass(frozen=True)
class Rule:
    """What differs for parameters whose name holds `pattern`, a regular expression; None leaves a value as it is."""

    pattern: str
    weight_decay: float | None = None
    lr: float | None = None
    freeze: bool = False
    tagged: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Stochastic gradient descent with momentum (coupled weight decay, as in torch and in He et al. 2016)."""

    lr: float = option(0.1, "peak learning rate")
    momentum: float = option(0.9, "share of the last update that is kept")
    nesterov: bool = option(False, "look ahead along the momentum")
    weight_decay: float = option(1e-4, "L2 penalty added to the gradient")
    rules: tuple[Rule, ...] = option((), "exceptions by parameter name: rule('norm|bias', weight_decay=0)")

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UsageError(f"optimiser.lr: expected a number above 0, received {self.lr}")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"optimiser.momentum: expected a number from 0 to below 1, received {self.momentum}")
        if self.weight_decay < 0:
            raise UsageError(f"optimiser.weight_decay: expected a number from 0, received {self.weight_decay}")
        if self.nesterov and self.momentum == 0:
            raise UsageError("optimiser.nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate goes: linearly up to the peak during `warmup`, then by `kind`.

    constant: stays; step: times `factor` at each of `at`; plateau: times `factor` when the smoothed validation loss has
    not improved for `patience`; cosine and linear: down to `floor` times the peak at the end (one-cycle is linear with
    a long warm-up).
    """

    kind: Literal["constant", "step", "plateau", "cosine", "linear"] = option("cosine", "how the rate falls")
    warmup: Duration = option(Duration(0, "ep"), "linear rise from nearly zero")
    at: tuple[Duration, ...] = option((), "step: when the rate falls")
    factor: float = option(0.1, "step and plateau: what the rate is multiplied by")
    patience: Duration = option(Duration(5, "ep"), "plateau: how long without improvement")
    floor: float = option(0.0, "cosine and linear: the last rate as a share of the peak")

    def __post_init__(self) -> None:
        if self.kind == "step" and not self.at:
            raise UsageError("schedule.at: a step schedule needs the moments at which it falls, such as 50%,75%")
        if self.at and self.kind != "step":
            raise UsageError(f"schedule.at belongs to the step schedule, not to {self.kind}; set schedule.kind first")
        if not 0 < self.factor <= 1:
            raise UsageError(f"schedule.factor: expected a number above 0 and at most 1, received {self.factor}")
        if not 0 <= self.floor <= 1:
            raise UsageError(f"schedule.floor: expected a share from 0 to 1, received {self.floor}")


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when the validation loss, smoothed over evaluations, has not improved for `patience`."""

    patience: Duration | None = option(None, "how long without improvement; none: never stop early")
    smoothing: float = option(0.5, "weight of the past in the moving average of the validation loss")

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise UsageError(
                f"early_stopping.smoothing: expected a number from 0 to below 1, received {self.smoothing}"
            )


Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What is asked of the machine; `engine.resolve` turns it into choices that a run keeps for its life."""

    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    precision: Precision = option("auto", "number format of the training step; evaluation is always fp32")
    channels_last: bool = option(True, "keep images as (N, H, W, C) in memory, which convolutions prefer")
    deterministic: bool = option(False, "only algorithms that give the same bits on every run")
    threads: int | None = option(None, "processor threads; none: as many as there are cores")

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"engine.threads: expected at least 1, received {self.threads}")
