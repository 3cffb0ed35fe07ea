"""Layers with weights: convolutions, transposed convolutions and fully connected layers."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from convsmith.base.errors import UsageError
from convsmith.nets.shape import Shape, Window
from convsmith.nets.sizes import Axes, across, at_least, check_probability, dimension, per_axis, slide, strided
from convsmith.nets.tree import Kind, Leaf, TorchCall


@dataclass(frozen=True, slots=True)
class Conv(Leaf):
    """A convolution layer (cross-correlation) with `channels` outputs, over the 1, 2 or 3 spatial axes of its input."""

    channels: int
    kernel: Axes = 1
    stride: Axes = 1
    padding: Axes = 0
    dilation: Axes = 1
    groups: int = 1
    bias: bool = True
    kind: ClassVar[Kind] = "conv"
    weighted: ClassVar[bool] = True

    @property
    def pointwise(self) -> bool:
        return self.kernel in (1, (1, 1))

    def words(self, widths: bool = True) -> str:
        return _words(self, widths)

    def label(self) -> str:
        return _label(self)

    def alike(self, loose: bool) -> Hashable:
        return (self.op, self.channels, self.kernel, self.dilation, self.groups) if loose else self

    def windows(self, x: Shape) -> tuple[Window, ...]:
        sizes = (per_axis(v, x) for v in (self.kernel, self.stride, self.padding, self.dilation))
        return tuple(Window((k - 1) * d + 1, s, p) for k, s, p, d in zip(*sizes, strict=True))

    def output(self, x: Shape) -> Shape:
        dimension("a convolution", x)
        at_least(1, channels=self.channels, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        at_least(0, padding=self.padding)
        check_groups("a convolution", self.groups, x.channels, self.channels)
        return Shape(self.channels, slide("a convolution", x, self.windows(x), per_axis(self.padding, x)))

    def weights(self, x: Shape) -> int:
        """The number of filter weights, without the bias."""
        return self.channels * (x.channels // self.groups) * math.prod(per_axis(self.kernel, x))

    def params(self, x: Shape) -> int:
        return self.weights(x) + self.channels * self.bias

    def macs(self, x: Shape, y: Shape) -> int:
        return self.weights(x) * y.positions

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements * self.bias

    def torch(self, x: Shape) -> TorchCall:
        arguments = {
            "in_channels": x.channels,
            "out_channels": self.channels,
            "kernel_size": per_axis(self.kernel, x),
            "stride": per_axis(self.stride, x),
            "padding": per_axis(self.padding, x),
            "dilation": per_axis(self.dilation, x),
            "groups": self.groups,
            "bias": self.bias,
        }
        return TorchCall(f"torch.nn.Conv{dimension('a convolution', x)}", arguments)


@dataclass(frozen=True, slots=True)
class ConvTranspose(Leaf):
    """A transposed convolution: the transposed matrix of the convolution with the same fields; upsamples by `stride`.

    `output_padding` adds positions at the far end: several input sizes of that convolution give one output size, and it
    chooses among them.
    """

    channels: int
    kernel: Axes = 2
    stride: Axes = 2
    padding: Axes = 0
    output_padding: Axes = 0
    dilation: Axes = 1
    groups: int = 1
    bias: bool = True
    kind: ClassVar[Kind] = "conv"
    weighted: ClassVar[bool] = True

    def words(self, widths: bool = True) -> str:
        return _words(self, widths, up="up ")

    def label(self) -> str:
        return f"up-{_label(self)}"

    def alike(self, loose: bool) -> Hashable:
        return (self.op, self.channels, self.kernel, self.dilation, self.groups) if loose else self

    def windows(self, x: Shape) -> tuple[Window, ...]:
        sizes = (per_axis(v, x) for v in (self.kernel, self.stride, self.padding, self.dilation))
        return tuple(Window((k - 1) * d + 1, 1, p, up=s) for k, s, p, d in zip(*sizes, strict=True))

    def output(self, x: Shape) -> Shape:
        dimension("a transposed convolution", x)
        at_least(1, channels=self.channels, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        at_least(0, padding=self.padding, output_padding=self.output_padding)
        check_groups("a transposed convolution", self.groups, x.channels, self.channels)
        extra = per_axis(self.output_padding, x)
        wide = zip(extra, per_axis(self.stride, x), per_axis(self.dilation, x), strict=True)
        if any(more >= max(stride, dilation) for more, stride, dilation in wide):
            raise UsageError(f"output_padding is {self.output_padding}, expected less than the stride {self.stride}")
        sizes = tuple(
            (n - 1) * w.up - 2 * w.before + w.span + more
            for n, w, more in zip(x.spatial, self.windows(x), extra, strict=True)
        )
        if min(sizes) < 1:
            raise UsageError(f"a transposed convolution of {x} with padding {self.padding} leaves nothing")
        return Shape(self.channels, sizes)

    def weights(self, x: Shape) -> int:
        """The number of filter weights, without the bias."""
        return x.channels * (self.channels // self.groups) * math.prod(per_axis(self.kernel, x))

    def params(self, x: Shape) -> int:
        return self.weights(x) + self.channels * self.bias

    def macs(self, x: Shape, y: Shape) -> int:
        return self.weights(x) * x.positions

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements * self.bias

    def torch(self, x: Shape) -> TorchCall:
        arguments = {
            "in_channels": x.channels,
            "out_channels": self.channels,
            "kernel_size": per_axis(self.kernel, x),
            "stride": per_axis(self.stride, x),
            "padding": per_axis(self.padding, x),
            "output_padding": per_axis(self.output_padding, x),
            "dilation": per_axis(self.dilation, x),
            "groups": self.groups,
            "bias": self.bias,
        }
        return TorchCall(f"torch.nn.ConvTranspose{dimension('a transposed convolution', x)}", arguments)


@dataclass(frozen=True, slots=True)
class Linear(Leaf):
    """A fully connected layer on a vector, with `channels` outputs.

    In training, each weight is zeroed with probability `dropconnect` and the rest scaled to match (Wan et al. 2013).
    One draw serves the whole batch. The paper draws for each sample, which takes a weight matrix for each sample.
    """

    channels: int
    bias: bool = True
    dropconnect: float = 0.0
    kind: ClassVar[Kind] = "linear"
    weighted: ClassVar[bool] = True

    def words(self, widths: bool = True) -> str:
        return f"linear {self.channels}" if widths else "linear"

    def label(self) -> str:
        return self.words()

    def output(self, x: Shape) -> Shape:
        if x.spatial:
            raise UsageError(f"a linear layer needs a vector, receives {x}; put a flatten before it")
        at_least(1, channels=self.channels)
        check_probability(self.dropconnect, one=False)
        return Shape(self.channels)

    def params(self, x: Shape) -> int:
        return self.channels * (x.channels + self.bias)

    def macs(self, x: Shape, y: Shape) -> int:
        return self.channels * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return self.channels * self.bias

    def torch(self, x: Shape) -> TorchCall:
        arguments = {"in_features": x.channels, "out_features": self.channels, "bias": self.bias}
        if self.dropconnect:
            return TorchCall(
                "convsmith.nets.modules.random_layers.DropConnectLinear", arguments | {"drop": self.dropconnect}
            )
        return TorchCall("torch.nn.Linear", arguments)


def check_groups(op: str, groups: int, inputs: int, outputs: int) -> None:
    """Raise UsageError if the groups do not divide the channels; the error names the nearest numbers that do."""
    for name, count in (("input", inputs), ("output", outputs)):
        if groups < 1 or count % groups:
            fitting = [n for n in range(1, count + 1) if inputs % n == 0 and outputs % n == 0]
            near = sorted(sorted(fitting, key=lambda n: abs(n - groups))[:3])
            raise UsageError(
                f"{op} in {groups} groups cannot divide its {count} {name} channels; "
                f"groups that would: {', '.join(map(str, near))}"
            )


def _words(conv: Conv | ConvTranspose, widths: bool, up: str = "") -> str:
    depthwise = "dw " if _depthwise(conv) else ""
    if not widths:
        return f"{depthwise}{across(conv.kernel)}"
    dilated = f" dilated {conv.dilation}" if conv.dilation not in (1, (1, 1)) else ""
    grouped = f" C={conv.groups}" if conv.groups > 1 and not depthwise else ""
    return f"{depthwise}{up}{across(conv.kernel)} {conv.channels}{dilated}{grouped}"


def _label(conv: Conv | ConvTranspose) -> str:
    name = "depthwise" if _depthwise(conv) else "conv"
    grouped = f", {conv.groups} groups" if conv.groups > 1 and not _depthwise(conv) else ""
    dilated = f", dilation {across(conv.dilation, '×')}" if conv.dilation not in (1, (1, 1)) else ""
    return f"{name} {across(conv.kernel, '×')}, {conv.channels}{strided(conv.stride)}{grouped}{dilated}"


def _depthwise(conv: Conv | ConvTranspose) -> bool:
    """Whether each channel has its own filter."""
    return conv.groups > 1 and conv.channels % conv.groups == 0 and conv.channels // conv.groups <= 2
