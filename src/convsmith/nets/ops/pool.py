"""Pooling: over windows, over a grid, over random windows."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from convsmith.base.errors import UsageError
from convsmith.nets.ops.layout import PadSame
from convsmith.nets.shape import Shape, Window
from convsmith.nets.sizes import Axes, across, at_least, dimension, per_axis, slide, strided
from convsmith.nets.tree import Kind, Leaf, TorchCall


@dataclass(frozen=True, slots=True)
class _Pool(Leaf):
    kernel: Axes = 2
    stride: Axes = 2
    padding: Axes = 0
    ceil: bool = False
    kind: ClassVar[Kind] = "pool"
    takes: ClassVar[str] = "max"

    def words(self, widths: bool = True) -> str:
        return f"{self.takes} pool {across(self.kernel)}"

    def label(self) -> str:
        return f"{self.takes} pool {across(self.kernel, '×')}{strided(self.stride)}"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        sizes = (per_axis(v, x) for v in (self.kernel, self.stride, self.padding))
        return tuple(Window(k, s, p) for k, s, p in zip(*sizes, strict=True))

    def output(self, x: Shape) -> Shape:
        dimension("a pooling layer", x)
        at_least(1, kernel=self.kernel, stride=self.stride)
        at_least(0, padding=self.padding)
        padding = per_axis(self.padding, x)
        if any(2 * p > k for p, k in zip(padding, per_axis(self.kernel, x), strict=True)):
            raise UsageError(f"padding is {self.padding}, expected at most half of the kernel, which is {self.kernel}")
        return Shape(x.channels, slide("a pooling layer", x, self.windows(x), padding, self.ceil))

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements * math.prod(per_axis(self.kernel, x))

    def _call(self, x: Shape, name: str) -> TorchCall:
        arguments = {
            "kernel_size": per_axis(self.kernel, x),
            "stride": per_axis(self.stride, x),
            "padding": per_axis(self.padding, x),
            "ceil_mode": self.ceil,
        }
        return TorchCall(f"torch.nn.{name}{dimension('a pooling layer', x)}", arguments)


@dataclass(frozen=True, slots=True)
class MaxPool(_Pool):
    """The largest value in each window, whose positions lie `dilation` apart."""

    dilation: Axes = 1

    def windows(self, x: Shape) -> tuple[Window, ...]:
        sizes = (per_axis(v, x) for v in (self.kernel, self.stride, self.padding, self.dilation))
        return tuple(Window((k - 1) * d + 1, s, p) for k, s, p, d in zip(*sizes, strict=True))

    def output(self, x: Shape) -> Shape:
        at_least(1, dilation=self.dilation)
        return _Pool.output(self, x)

    def torch(self, x: Shape) -> TorchCall:
        call = self._call(x, "MaxPool")
        return TorchCall(call.path, call.arguments | {"dilation": per_axis(self.dilation, x)})


@dataclass(frozen=True, slots=True)
class AvgPool(_Pool):
    """The mean of each window; with `count_padding` the zeros of the padding count."""

    count_padding: bool = True
    takes: ClassVar[str] = "average"

    def output(self, x: Shape) -> Shape:
        # torch's average over three axes needs a kernel that fits without the padding, unlike its other pools.
        if len(x.spatial) == 3 and any(k > n for k, n in zip(per_axis(self.kernel, x), x.spatial, strict=True)):
            raise UsageError(f"an average over {self.kernel} positions needs an input as large, receives {x}")
        return _Pool.output(self, x)

    def torch(self, x: Shape) -> TorchCall:
        call = self._call(x, "AvgPool")
        return TorchCall(call.path, call.arguments | {"count_include_pad": self.count_padding})


@dataclass(frozen=True, slots=True)
class AvgPoolSame(Leaf):
    """The mean of each window under TensorFlow's "same" padding, as in `PadSame`; the padding does not count."""

    kernel: Axes = 3
    stride: Axes = 1
    kind: ClassVar[Kind] = "pool"

    def words(self, widths: bool = True) -> str:
        return f"average pool {across(self.kernel)}"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        starts = PadSame(self.kernel, self.stride).windows(x)
        sizes = zip(per_axis(self.kernel, x), per_axis(self.stride, x), starts, strict=True)
        return tuple(Window(k, s, start.before) for k, s, start in sizes)

    def output(self, x: Shape) -> Shape:
        dimension("a pooling layer", x)
        at_least(1, kernel=self.kernel, stride=self.stride)
        return Shape(x.channels, tuple(-(-n // s) for n, s in zip(x.spatial, per_axis(self.stride, x), strict=True)))

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements * math.prod(per_axis(self.kernel, x))

    def torch(self, x: Shape) -> TorchCall:
        arguments = {"kernel": per_axis(self.kernel, x), "stride": per_axis(self.stride, x)}
        return TorchCall("convsmith.nets.modules.layers.AvgPoolSame", arguments)


@dataclass(frozen=True, slots=True)
class _AdaptivePool(Leaf):
    size: Axes = 1
    whole: ClassVar[bool] = True
    kind: ClassVar[Kind] = "pool"

    def output(self, x: Shape) -> Shape:
        dimension("an adaptive pooling layer", x)
        at_least(1, size=self.size)
        return Shape(x.channels, per_axis(self.size, x))

    def elementwise(self, x: Shape, y: Shape) -> int:
        return x.elements

    def _call(self, x: Shape, name: str) -> TorchCall:
        path = f"torch.nn.{name}{dimension('an adaptive pooling layer', x)}"
        return TorchCall(path, {"output_size": per_axis(self.size, x)})


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(_AdaptivePool):
    """The means of a grid of `size` cells over the whole input; with 1 it is global average pooling."""

    def words(self, widths: bool = True) -> str:
        return "global pool" if self.size in (1, (1, 1)) else f"pool to {across(self.size)}"

    def label(self) -> str:
        return "global average pool" if self.size in (1, (1, 1)) else f"average pool to {across(self.size, '×')}"

    def torch(self, x: Shape) -> TorchCall:
        return self._call(x, "AdaptiveAvgPool")


@dataclass(frozen=True, slots=True)
class AdaptiveMaxPool(_AdaptivePool):
    """The largest values of a grid of `size` cells; with 1, over one axis, it is max-over-time pooling (Kim 2014)."""

    def words(self, widths: bool = True) -> str:
        return "global max pool" if self.size in (1, (1, 1)) else f"max pool to {across(self.size)}"

    def label(self) -> str:
        return "global max pool" if self.size in (1, (1, 1)) else f"max pool to {across(self.size, '×')}"

    def torch(self, x: Shape) -> TorchCall:
        return self._call(x, "AdaptiveMaxPool")


@dataclass(frozen=True, slots=True)
class FractionalMaxPool(Leaf):
    """Max pooling that divides each side by `ratio`, between 1 and 2, at random places (Graham 2014).

    Overlapping 2x2 windows; training draws them for each sample and channel, evaluation fixes them. The receptive
    field assumes equal strides.
    """

    ratio: float = math.sqrt(2)
    kind: ClassVar[Kind] = "pool"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return tuple(Window(2, Fraction(n, m), 0) for n, m in zip(x.spatial, self.output(x).spatial, strict=True))

    def output(self, x: Shape) -> Shape:
        if len(x.spatial) not in (2, 3):
            raise UsageError(f"a fractional pooling layer needs 2 or 3 spatial axes, receives {x}")
        if not 1 < self.ratio <= 2:
            raise UsageError(f"ratio is {self.ratio}, expected a number above 1, at most 2")
        sizes = tuple(int(n / self.ratio) for n in x.spatial)
        if min(sizes) < 1:
            raise UsageError(f"a fractional pooling layer of ratio {self.ratio:.3g} leaves nothing of {x}")
        return Shape(x.channels, sizes)

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements * 2 ** len(x.spatial)

    def torch(self, x: Shape) -> TorchCall:
        path = f"convsmith.nets.modules.random_layers.FractionalMaxPool{len(x.spatial)}d"
        return TorchCall(path, {"kernel_size": 2, "output_ratio": 1 / self.ratio})


@dataclass(frozen=True, slots=True)
class StochasticPool(Leaf):
    """Picks one value of each window with a probability proportional to the value (Zeiler and Fergus 2013).

    Evaluation returns the mean weighted by these probabilities. Values below zero count as zero, as after a ReLU.
    """

    kernel: Axes = 2
    stride: Axes = 2
    kind: ClassVar[Kind] = "pool"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return tuple(Window(k, s, 0) for k, s in zip(per_axis(self.kernel, x), per_axis(self.stride, x), strict=True))

    def output(self, x: Shape) -> Shape:
        dimension("a pooling layer", x)
        at_least(1, kernel=self.kernel, stride=self.stride)
        return Shape(x.channels, slide("a pooling layer", x, self.windows(x), (0,) * len(x.spatial)))

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 3 * y.elements * math.prod(per_axis(self.kernel, x))

    def torch(self, x: Shape) -> TorchCall:
        arguments = {"kernel": per_axis(self.kernel, x), "stride": per_axis(self.stride, x)}
        return TorchCall("convsmith.nets.modules.random_layers.StochasticPool", arguments)
