"""What a run may set about its optimization; records without torch."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.base.record import REQUIRED, Record, Tagged, check_order, option


@dataclass(frozen=True)
class Rule(Tagged):
    """What differs for parameters whose name holds `pattern`, a regular expression; None leaves a value as it is."""

    pattern: str = option(REQUIRED, "regular expression that is searched for in a parameter's name")
    weight_decay: float | None = option(None, "weight decay of these parameters; none: the optimizer's", least=0)
    lr: float | None = option(None, "what the learning rate is multiplied by for them; none: 1", least=0)
    freeze: bool = option(False, "these parameters stay as they are")


@dataclass(frozen=True)
class Lookahead(Tagged):
    """Slow weights that follow the optimizer's by `share` of the way, every `steps` steps (Zhang et al. 2019)."""

    steps: int = option(5, "steps between two moves of the slow weights", least=1)
    share: float = option(0.5, "share of the way that they follow", above=0, most=1)


@dataclass(frozen=True)
class Ema(Tagged):
    """Exponential moving average of the weights after every step from `start` on; statistics of norms are averaged too.

    The last 1 / (1 - decay) steps count most.
    """

    decay: float = option(0.999, "share of the average that is kept in a step", above=0, below=1)
    start: Duration = option(Duration(0, "ep"), "when the average begins", least=0)


@dataclass(frozen=True)
class Swa(Tagged):
    """Mean of the weights at the end of each `every` after `start`, with fresh statistics (Izmailov et al. 2018)."""

    start: Duration = option(Duration(75, "%"), "when the average begins", least=0)
    every: Duration = option(Duration(1, "ep"), "how often weights are added to it", above=0)


OptimizerKind = Literal["sgd", "adam", "adamw", "rmsprop", "lamb", "muon"]


@dataclass(frozen=True, kw_only=True)
class Optimizer(Record):
    """How a gradient becomes a step.

    sgd, adam and rmsprop add the weight decay to the gradient (coupled: He et al. 2016); adamw, lamb and muon shrink
    the weights by it apart from the gradient's means (decoupled: Loshchilov and Hutter 2019).
    """

    kind: OptimizerKind = option("sgd", "which rule")
    lr: float = option(0.1, "peak learning rate", above=0, log=True)
    momentum: float = option(
        0.9, "share of the last update that is kept (beta1 of adam, adamw and lamb)", least=0, below=1
    )
    nesterov: bool = option(False, "sgd and muon: look ahead along the momentum")
    beta2: float | None = option(
        None, "share of the mean squared gradient that is kept; none: 0.99 for rmsprop, else 0.999", least=0, below=1
    )
    eps: float | None = option(None, "added to the divisor; none: 1e-6 for lamb, else 1e-8", above=0, log=True)
    weight_decay: float = option(
        1e-4, "coupled: L2 penalty added to the gradient; decoupled: share per rate and step", least=0, log=True
    )
    rules: tuple[Rule, ...] = option((), "exceptions by parameter name: rule('norm|bias', weight_decay=0)")
    clip: float | None = option(
        None, "longest gradient, as the norm over all parameters; a longer one is scaled down", above=0, log=True
    )
    accumulate: int = option(
        1, "parts that a batch goes through the network in: less memory for the same step", least=1
    )
    sam: float | None = option(
        None, "sharpness-aware: distance to the worse weights whose gradient is taken (0.05)", above=0, log=True
    )
    lookahead: Lookahead | None = option(None, "slow weights that follow: lookahead(5, 0.5)")
    average: Ema | Swa | None = option(None, "weights evaluated and kept: ema(0.999) or swa('75%', '1ep')")

    def check(self) -> None:
        """Nesterov's rule has a momentum to look along."""
        if self.nesterov and self.momentum == 0:
            raise UsageError("optimizer.nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True)
class Schedule(Record):
    """How the learning rate goes: linearly up to the peak during `warmup`, then by `kind`.

    constant: stays; step: times `factor` at each of `at`; exponential: times `factor` after each `every`; plateau:
    times `factor` when the smoothed validation loss has not improved for `patience`; cosine and linear: down to `floor`
    times the peak at the end; one_cycle: up from 1/25 of the peak and down to `floor` along half cosines, `warmup` long
    and the rest (Smith and Topin 2017).
    """

    kind: Literal["constant", "step", "exponential", "plateau", "cosine", "linear", "one_cycle"] = option(
        "cosine", "how the rate falls"
    )
    warmup: Duration = option(Duration(0, "ep"), "linear rise from nearly zero; one_cycle: its rise", least=0)
    warmup_error: float | None = option(
        None, "stay at `warmup_rate` until an epoch's training error is below this: 0.8 for ResNet-110", above=0, most=1
    )
    warmup_rate: float = option(0.1, "warmup_error: that rate as a share of the peak", above=0, most=1)
    at: tuple[Duration, ...] = option((), "step: when the rate falls", least=0)
    every: Duration = option(Duration(1, "ep"), "exponential: how often the rate falls", above=0)
    factor: float | None = option(
        None,
        "step, plateau, exponential: what the rate is multiplied by; none: 0.9 for exponential, else 0.1",
        above=0,
        most=1,
    )
    patience: Duration = option(Duration(5, "ep"), "plateau: how long without improvement", least=0)
    floor: float = option(
        0.0, "cosine, linear, one_cycle: share of the peak, reached one step after the last", least=0, most=1
    )

    def check(self) -> None:
        """A schedule has what its kind needs, and one way to begin."""
        if self.kind == "step" and not self.at:
            raise UsageError("schedule.at: a step schedule needs the moments at which it falls, such as 50%,75%")
        if self.at and self.kind != "step":
            raise UsageError(f"schedule.at belongs to the step schedule, not to {self.kind}; set schedule.kind first")
        if self.kind == "one_cycle" and not self.warmup.amount > 0:
            raise UsageError("schedule.warmup: one_cycle needs a length for its rise, such as 30%")
        if self.warmup_error is not None and self.warmup.amount > 0:
            raise UsageError("schedule.warmup and schedule.warmup_error both say how to begin; give one")


@dataclass(frozen=True)
class Progressive(Tagged):
    """Training images that grow: from `first` of their side, from `start` to `end` up to `last` of it.

    Smaller images are faster (Howard 2018; FFCV's ImageNet recipes go from 160 to 192 of 256 pixels). Sides are
    multiples of `multiple`; evaluation sees whole images, which may well be larger than the last in training (Touvron
    et al. 2019).
    """

    first: float = option(0.7, "share of the side at first", above=0, most=1)
    last: float = option(1.0, "share of the side in the end", above=0, most=1)
    start: Duration = option(Duration(0, "%"), "when images begin to grow", least=0)
    end: Duration = option(Duration(60, "%"), "when they have grown", least=0)
    multiple: int = option(32, "pixels of which a side is a multiple", least=1)

    def check(self) -> None:
        """Images grow, and in time."""
        check_order(self, "first", "last")
        if self.start.unit == self.end.unit and self.start.amount > self.end.amount:
            raise UsageError(f"progressive: expected a start before the end, received {self.start} and {self.end}")


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Record):
    """Stop when the validation loss, smoothed over evaluations, has not improved for `patience`."""

    patience: Duration | None = option(None, "how long without improvement; none: never stop early", least=0)
    smoothing: float = option(0.5, "weight of the past in the moving average of the validation loss", least=0, below=1)


Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions(Record, called="engine"):
    """What is asked of the machine; `engine.resolve` turns it into choices that a run keeps for its life."""

    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    precision: Precision = option("auto", "number format of the training step; evaluation is always fp32")
    channels_last: bool = option(True, "keep images as (N, H, W, C) in memory, which convolutions prefer")
    deterministic: bool = option(False, "only algorithms that give the same bits on every run")
    compile: Literal["auto", "on", "off"] = option(
        "auto", "fuse the operations of a training step, which takes about a minute once; auto: where that pays"
    )
    autotune: bool = option(False, "try layouts, formats, threads and compilation first, and take the fastest")
    threads: int | None = option(None, "processor threads; none: as many as there are cores for each process", least=1)
    timeout: float = option(
        30.0, "seconds of silence after which a process counts as gone, where there are several", least=1, most=86400
    )
