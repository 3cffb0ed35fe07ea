"""The effect of initialization on activations and gradients through depth: the settings and their theory."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from convsmith.series.experiment import Measurement
from convsmith_textbook.later import later

DEPTH, WIDTH, BATCH = 40, 256, 256
QUICK_DEPTH, QUICK_WIDTH = 30, 64


@dataclass(frozen=True)
class Setting:
    """One initialization of a network: `gain` is fan_in times the variance of its weights."""

    name: str
    act: Literal["relu", "tanh"]
    gain: float
    norm: bool = False


# fan_in * variance: 2 in He et al. 2015; 1 for Xavier, if layers are as wide as their input.
GAINS = {"too small (0.5)": 0.5, "Xavier (1)": 1.0, "He (2)": 2.0, "too large (4)": 4.0}
SETTINGS = tuple(
    Setting(name, act, gain, norm)
    for act in ("relu", "tanh")
    for name, gain, norm in [*((n, g, False) for n, g in GAINS.items()), ("He, batch norm", 2.0, True)]
)


@dataclass(frozen=True)
class Course:
    """Root mean squares layer by layer: of the activations, and of the loss's gradient by them.

    The gradients are divided by the gradient at the last layer.
    """

    forward: tuple[float, ...]
    backward: tuple[float, ...]


def expected(setting: Setting, depth: int) -> Course:
    """The course through wide layers from inputs of variance 1, for independent weights and gradients.

    With z normal of variance q: q' = gain E[f(sqrt(q) z)^2] goes up, and a squared gradient is multiplied by
    gain E[f'(sqrt(q) z)^2] on its way down (Poole et al. 2016; Schoenholz et al. 2017). For ReLU both are gain / 2:
    the condition of He et al. 2015, equations 10 and 14. Batch normalization makes q 1 and divides by the layer's
    deviation, so that the gradient is multiplied by E[f'(z)^2] / Var[f(z)] whatever the gain (Yang et al. 2019).
    """
    square, slope, variance = moments(setting.act, 1.0) if setting.norm else (0.0, 0.0, 0.0)
    forward, factors, second = [], [], 1.0  # the input's mean square
    for _ in range(depth):
        if setting.norm:
            second, factor = square, slope / variance
        else:
            second, factor, _ = moments(setting.act, setting.gain * second)
            factor *= setting.gain
        forward.append(math.sqrt(second))
        factors.append(factor)
    # From the last activations down: each step passes the layer above and its activation.
    backward = [1.0]
    for factor in reversed(factors[1:]):
        backward.append(backward[-1] * math.sqrt(factor))
    return Course(tuple(forward), tuple(reversed(backward)))


def moments(act: str, variance: float) -> tuple[float, float, float]:
    """E[f^2], E[f'^2] and Var[f] of an activation of a normal variable of this variance."""
    if act == "relu":
        return variance / 2, 0.5, variance / 2 * (1 - 1 / math.pi)
    # The grid is fine because tanh is a step for large variances. By symmetry f has mean 0.
    z = np.linspace(-8, 8, 16001)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    values = np.tanh(math.sqrt(variance) * z)
    square = float((weight * values**2).sum())
    return square, float((weight * (1 - values**2) ** 2).sum()), square


EXPERIMENTS = {
    "initialization": Measurement(
        title="activations and gradients through 40 layers",
        question="Which initialization keeps signals and gradients alive through depth, and what does batch norm do?",
        source="Glorot and Bengio 2010; He et al. 2015, section 2.2; Yang et al. 2019 for batch normalization",
        measure=later("questions.initialization_measured", "measure"),
        seeds=5,
    )
}
