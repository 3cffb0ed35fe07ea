"""Operators of sequences (embeddings of tokens, recurrent layers), and a convolution with kept filters."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from convsmith.base.errors import UsageError, unknown
from convsmith.nets.shape import Shape, Window
from convsmith.nets.sizes import Axes, across, at_least, dimension, per_axis, slide
from convsmith.nets.tree import Kind, Leaf, TorchCall


@dataclass(frozen=True, slots=True)
class Embedding(Leaf):
    """A learnt vector of `channels` numbers for each of `vocabulary` tokens: (N, 1, ...) int64 to (N, channels, ...).

    The vector of the token `padding` is zero and is not trained; with None every token has a learnt vector.
    """

    vocabulary: int
    channels: int
    padding: int | None = 0
    kind: ClassVar[Kind] = "linear"

    def words(self, widths: bool = True) -> str:
        return f"embedding {self.channels}" if widths else "embedding"

    def label(self) -> str:
        return f"embedding of {self.vocabulary} tokens, {self.channels}"

    def output(self, x: Shape) -> Shape:
        at_least(1, vocabulary=self.vocabulary, channels=self.channels)
        if x.channels != 1 or not x.spatial:
            raise UsageError(f"an embedding needs one channel of tokens, such as 1x20, receives {x}")
        if self.padding is not None and not 0 <= self.padding < self.vocabulary:
            raise UsageError(f"padding is {self.padding}, expected a token from 0 to {self.vocabulary - 1}, or none")
        return Shape(self.channels, x.spatial)

    def params(self, x: Shape) -> int:
        return self.vocabulary * self.channels

    def torch(self, x: Shape) -> TorchCall:
        arguments = {"vocabulary": self.vocabulary, "channels": self.channels, "padding": self.padding}
        return TorchCall("convsmith.nets.modules.sequence_layers.Embedding", arguments)


# The matrices of each cell; the element-wise operations of one unit in one step, derived in `Recurrent`.
_CELLS = {"lstm": (4, 21), "gru": (3, 17)}


@dataclass(frozen=True, slots=True)
class Recurrent(Leaf):
    """A recurrent layer over a sequence (N, C, steps): an LSTM (Gers et al. 2000) or a GRU (Cho et al. 2014).

    It `gives` the states of all steps, (N, channels, steps), or the last state, (N, channels). With two `directions` a
    second layer reads backwards: its states are further channels, and its last state is the one at the first step.

    `tokens` names a kept value (1, steps) that tells where each sequence ends: after its last token other than
    `padding`. The states after the end are zero, the last state is the one at the end, and the backward layer
    starts there, so that padding changes nothing. A sequence of padding only gives zeros. Without `tokens` every step
    counts.

    A step takes gates * (C + channels) * channels multiply-accumulates, with 4 gates for an LSTM and 3 for a GRU
    (equations 1 to 6 there; equations 5 to 8). Element-wise: an LSTM's gates add a product and two biases (3 x 4) and
    have a function (4), then two products and a sum, a tanh and a product (5): 21. A GRU's gates add the same (3 x 3),
    have a function (3) and one a product (1), then 1 - z, two products and a sum (4): 17.
    """

    channels: int
    cell: Literal["lstm", "gru"] = "lstm"
    directions: int = 1
    gives: Literal["states", "last"] = "states"
    tokens: str = ""
    padding: int = 0
    whole: ClassVar[bool] = True
    kind: ClassVar[Kind] = "linear"
    weighted: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.tokens,) if self.tokens else ()

    def wants(self, x: Shape) -> tuple[Shape, ...]:
        return (Shape(1, x.spatial),) if self.tokens else ()

    def words(self, widths: bool = True) -> str:
        both = "both ways " if self.directions == 2 else ""
        return f"{both}{self.cell} {self.channels}" if widths else f"{both}{self.cell}"

    def label(self) -> str:
        return f"{self.words()}{', last state' if self.gives == 'last' else ''}"

    def output(self, x: Shape) -> Shape:
        at_least(1, channels=self.channels)
        if len(x.spatial) != 1:
            raise UsageError(f"a recurrent layer needs a sequence, such as 64x20, receives {x}")
        if self.cell not in _CELLS:
            raise unknown("cell of a recurrent layer", str(self.cell), _CELLS)
        if self.gives not in ("states", "last"):
            raise unknown("value for gives", str(self.gives), ("states", "last"))
        if self.directions not in (1, 2):
            raise UsageError(f"directions is {self.directions}, expected 1 or 2")
        return Shape(self.channels * self.directions, x.spatial if self.gives == "states" else ())

    def params(self, x: Shape) -> int:
        # torch has two biases for each gate, although one would be enough.
        gates, _ = _CELLS[self.cell]
        return self.directions * gates * self.channels * (x.channels + self.channels + 2)

    def macs(self, x: Shape, y: Shape) -> int:
        gates, _ = _CELLS[self.cell]
        return self.directions * x.positions * gates * self.channels * (x.channels + self.channels)

    def elementwise(self, x: Shape, y: Shape) -> int:
        _, operations = _CELLS[self.cell]
        return self.directions * x.positions * operations * self.channels

    def torch(self, x: Shape) -> TorchCall:
        arguments: dict[str, Any] = {
            "inputs": x.channels,
            "channels": self.channels,
            "cell": self.cell,
            "directions": self.directions,
            "last_state": self.gives == "last",
        }
        if self.tokens:
            arguments |= {"tokens": self.tokens, "padding": self.padding}
        return TorchCall("convsmith.nets.modules.sequence_layers.Recurrent", arguments)


@dataclass(frozen=True, slots=True)
class Correlate(Leaf):
    """A convolution whose filters are a kept value, different for each sample: (N, channels * C, *kernel) under `name`.

    Question-configured attention (Chen et al. 2015, "ABC-CNN") has one filter over all channels of the map.
    """

    name: str
    kernel: Axes = 3
    padding: Axes = 0
    channels: int = 1
    kind: ClassVar[Kind] = "conv"
    weighted: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.name,)

    def wants(self, x: Shape) -> tuple[Shape, ...]:
        return (Shape(self.channels * x.channels, per_axis(self.kernel, x)),)

    def words(self, widths: bool = True) -> str:
        size = f"{across(self.kernel)} of {self.name}"
        return f"{size} {self.channels}" if widths else size

    def label(self) -> str:
        return f"correlate with {self.name}"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return tuple(Window(k, 1, p) for k, p in zip(per_axis(self.kernel, x), per_axis(self.padding, x), strict=True))

    def output(self, x: Shape) -> Shape:
        dimension("a correlation", x)
        at_least(1, kernel=self.kernel, channels=self.channels)
        at_least(0, padding=self.padding)
        return Shape(self.channels, slide("a correlation", x, self.windows(x), per_axis(self.padding, x)))

    def macs(self, x: Shape, y: Shape) -> int:
        return self.channels * x.channels * math.prod(per_axis(self.kernel, x)) * y.positions

    def torch(self, x: Shape) -> TorchCall:
        arguments = {"name": self.name, "channels": self.channels, "padding": per_axis(self.padding, x)}
        return TorchCall("convsmith.nets.modules.sequence_layers.Correlation", arguments)
