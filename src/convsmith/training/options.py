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


@dataclass(frozen=True)
class Lookahead:
    """Slow weights that follow the optimiser's by `share` of the way, every `steps` steps (Zhang et al. 2019)."""

    steps: int = 5
    share: float = 0.5
    tagged: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"optimiser.lookahead: expected at least 1 step, received {self.steps}")
        if not 0 < self.share <= 1:
            raise UsageError(f"optimiser.lookahead: expected a share above 0 and at most 1, received {self.share}")


@dataclass(frozen=True)
class Ema:
    """Exponential moving average of the weights after every step from `start` on; statistics of norms are averaged too.

    The last 1 / (1 - decay) steps count most.
    """

    decay: float = 0.999
    start: Duration = Duration(0, "ep")
    tagged: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise UsageError(f"optimiser.average: expected a decay between 0 and 1, received {self.decay}")


@dataclass(frozen=True)
class Swa:
    """Mean of the weights at the end of each `every` after `start`, with fresh statistics (Izmailov et al. 2018)."""

    start: Duration = Duration(75, "%")
    every: Duration = Duration(1, "ep")
    tagged: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.every.amount > 0:
            raise UsageError(f"optimiser.average: expected more than nothing between weights, received {self.every}")


OptimiserKind = Literal["sgd", "adam", "adamw", "rmsprop", "lamb", "muon"]


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """How a gradient becomes a step.

    sgd, adam and rmsprop add the weight decay to the gradient (coupled: He et al. 2016); adamw, lamb and muon shrink
    the weights by it apart from the gradient's means (decoupled: Loshchilov and Hutter 2019).
    """

    kind: OptimiserKind = option("sgd", "which rule")
    lr: float = option(0.1, "peak learning rate")
    momentum: float = option(0.9, "share of the last update that is kept (beta1 of adam, adamw and lamb)")
    nesterov: bool = option(False, "sgd and muon: look ahead along the momentum")
    beta2: float | None = option(
        None, "share of the mean squared gradient that is kept; none: 0.99 for rmsprop, else 0.999"
    )
    eps: float | None = option(None, "added to the divisor; none: 1e-6 for lamb, else 1e-8")
    weight_decay: float = option(1e-4, "coupled: L2 penalty added to the gradient; decoupled: share per rate and step")
    rules: tuple[Rule, ...] = option((), "exceptions by parameter name: rule('norm|bias', weight_decay=0)")
    clip: float | None = option(None, "longest gradient, as the norm over all parameters; a longer one is scaled down")
    accumulate: int = option(1, "parts that a batch goes through the network in: less memory for the same step")
    sam: float | None = option(None, "sharpness-aware: distance to the worse weights whose gradient is taken (0.05)")
    lookahead: Lookahead | None = option(None, "slow weights that follow: lookahead(5, 0.5)")
    average: Ema | Swa | None = option(None, "weights evaluated and kept: ema(0.999) or swa('75%', '1ep')")

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UsageError(f"optimiser.lr: expected a number above 0, received {self.lr}")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"optimiser.momentum: expected a number from 0 to below 1, received {self.momentum}")
        if self.beta2 is not None and not 0 <= self.beta2 < 1:
            raise UsageError(f"optimiser.beta2: expected a number from 0 to below 1, received {self.beta2}")
        if self.weight_decay < 0:
            raise UsageError(f"optimiser.weight_decay: expected a number from 0, received {self.weight_decay}")
        if self.nesterov and self.momentum == 0:
            raise UsageError("optimiser.nesterov needs a momentum above 0")
        for name in ("eps", "clip", "sam"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"optimiser.{name}: expected a number above 0, received {value}")
        if self.accumulate < 1:
            raise UsageError(f"optimiser.accumulate: expected at least 1, received {self.accumulate}")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate goes: linearly up to the peak during `warmup`, then by `kind`.

    constant: stays; step: times `factor` at each of `at`; exponential: times `factor` after each `every`; plateau:
    times `factor` when the smoothed validation loss has not improved for `patience`; cosine and linear: down to `floor`
    times the peak at the end; one_cycle: up from 1/25 of the peak and down to `floor` along half cosines, `warmup` long
    and the rest (Smith and Topin 2017).
    """

    kind: Literal["constant", "step", "exponential", "plateau", "cosine", "linear", "one_cycle"] = option(
        "cosine", "how the rate falls"
    )
    warmup: Duration = option(Duration(0, "ep"), "linear rise from nearly zero; one_cycle: its rise")
    warmup_error: float | None = option(
        None, "stay at `warmup_rate` until an epoch's training error is below this: 0.8 for ResNet-110"
    )
    warmup_rate: float = option(0.1, "warmup_error: that rate as a share of the peak")
    at: tuple[Duration, ...] = option((), "step: when the rate falls")
    every: Duration = option(Duration(1, "ep"), "exponential: how often the rate falls")
    factor: float | None = option(
        None, "step, plateau, exponential: what the rate is multiplied by; none: 0.9 for exponential, else 0.1"
    )
    patience: Duration = option(Duration(5, "ep"), "plateau: how long without improvement")
    floor: float = option(0.0, "cosine, linear, one_cycle: share of the peak, reached one step after the last")

    def __post_init__(self) -> None:
        if self.kind == "step" and not self.at:
            raise UsageError("schedule.at: a step schedule needs the moments at which it falls, such as 50%,75%")
        if self.at and self.kind != "step":
            raise UsageError(f"schedule.at belongs to the step schedule, not to {self.kind}; set schedule.kind first")
        if self.factor is not None and not 0 < self.factor <= 1:
            raise UsageError(f"schedule.factor: expected a number above 0 and at most 1, received {self.factor}")
        if not 0 <= self.floor <= 1:
            raise UsageError(f"schedule.floor: expected a share from 0 to 1, received {self.floor}")
        if not self.every.amount > 0:
            raise UsageError(f"schedule.every: expected more than nothing, received {self.every}")
        if not 0 < self.warmup_rate <= 1:
            raise UsageError(f"schedule.warmup_rate: expected a share above 0, at most 1, received {self.warmup_rate}")
        if self.warmup_error is not None and not 0 < self.warmup_error <= 1:
            raise UsageError(
                f"schedule.warmup_error: expected a share above 0, at most 1, received {self.warmup_error}"
            )
        if self.kind == "one_cycle" and not self.warmup.amount > 0:
            raise UsageError("schedule.warmup: one_cycle needs a length for its rise, such as 30%")
        if self.warmup_error is not None and self.warmup.amount > 0:
            raise UsageError("schedule.warmup and schedule.warmup_error both say how to begin; give one")


@dataclass(frozen=True)
class Progressive:
    """Training images that grow: from `first` of their side, from `start` to `end` up to `last` of it.

    Smaller images are faster (Howard 2018; FFCV's ImageNet recipes go from 160 to 192 of 256 pixels). Sides are
    multiples of `multiple`; evaluation sees whole images, which may well be larger than the last in training (Touvron
    et al. 2019).
    """

    first: float = 0.7
    last: float = 1.0
    start: Duration = Duration(0, "%")
    end: Duration = Duration(60, "%")
    multiple: int = 32
    tagged: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last <= 1:
            raise UsageError(
                f"resize: expected shares of the side, first above 0, last from there to 1, "
                f"received {self.first} and {self.last}"
            )
        if self.multiple < 1:
            raise UsageError(f"resize: expected a multiple of at least 1 pixel, received {self.multiple}")
        if self.start.unit == self.end.unit and self.start.amount > self.end.amount:
            raise UsageError(f"resize: expected a start before the end, received {self.start} and {self.end}")


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
    compile: Literal["auto", "on", "off"] = option(
        "auto", "fuse the operations of a training step, which takes about a minute once; auto: where that pays"
    )
    autotune: bool = option(False, "try layouts, formats, threads and compilation first, and take the fastest")
    threads: int | None = option(None, "processor threads; none: as many as there are cores for each process")
    timeout: float = option(30.0, "seconds of silence after which a process counts as gone, where there are several")

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"engine.threads: expected at least 1, received {self.threads}")
        if not 1 <= self.timeout <= 86400:
            raise UsageError(f"engine.timeout: expected 1 to 86400 seconds, received {self.timeout}")
