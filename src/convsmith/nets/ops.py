"""The operators: one frozen class each, which says everything about it.

Sizes that differ between axes may be given as tuples. Paddings are per side, as in torch (the lectures' p counts both).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from convsmith.base.errors import UsageError
from convsmith.base.table import Table
from convsmith.nets.shape import Shape, Window
from convsmith.nets.sizes import Axes, at_least, check_probability, dimension, per_axis, slide
from convsmith.nets.tree import Leaf, TorchCall

ACTIVATIONS: Table[str] = Table(
    "activation",
    {
        "relu": "torch.nn.ReLU",
        "relu6": "torch.nn.ReLU6",
        "tanh": "torch.nn.Tanh",
        "sigmoid": "torch.nn.Sigmoid",
        "silu": "torch.nn.SiLU",
        "gelu": "torch.nn.GELU",
        "hardswish": "torch.nn.Hardswish",
        "hardsigmoid": "torch.nn.Hardsigmoid",
        "softmax": "convsmith.nets.layers.ChannelSoftmax",
        "scaled_tanh": "convsmith.nets.layers.ScaledTanh",
    },
)


@dataclass(frozen=True, slots=True)
class Conv(Leaf):
    """A convolution layer (cross-correlation) with `channels` outputs, over 1, 2 or 3 axes as its input has."""

    channels: int
    kernel: Axes = 1
    stride: Axes = 1
    padding: Axes = 0
    dilation: Axes = 1
    groups: int = 1
    bias: bool = True

    def windows(self, x: Shape) -> tuple[Window, ...]:
        sizes = (per_axis(v, x) for v in (self.kernel, self.stride, self.padding, self.dilation))
        return tuple(Window((k - 1) * d + 1, s, p) for k, s, p, d in zip(*sizes, strict=True))

    def output(self, x: Shape) -> Shape:
        dimension("a convolution", x)
        at_least(1, channels=self.channels, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        at_least(0, padding=self.padding)
        for name, count in (("input", x.channels), ("output", self.channels)):
            if self.groups < 1 or count % self.groups:
                raise UsageError(f"a convolution in {self.groups} groups cannot divide its {count} {name} channels")
        return Shape(self.channels, slide("a convolution", x, self.windows(x), per_axis(self.padding, x)))

    def weights(self, x: Shape) -> int:
        """The numbers in its filters, without the bias."""
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
class Linear(Leaf):
    """A fully connected layer on a vector, with `channels` outputs."""

    channels: int
    bias: bool = True

    def output(self, x: Shape) -> Shape:
        if x.spatial:
            raise UsageError(f"a linear layer needs a vector, receives {x}; put a flatten before it")
        at_least(1, channels=self.channels)
        return Shape(self.channels)

    def params(self, x: Shape) -> int:
        return self.channels * (x.channels + self.bias)

    def macs(self, x: Shape, y: Shape) -> int:
        return self.channels * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return self.channels * self.bias

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall(
            "torch.nn.Linear", {"in_features": x.channels, "out_features": self.channels, "bias": self.bias}
        )


@dataclass(frozen=True, slots=True)
class BatchNorm(Leaf):
    """Batch normalisation with a learnt scale and shift (Ioffe and Szegedy 2015); `momentum` is torch's."""

    eps: float = 1e-5
    momentum: float = 0.1

    def params(self, x: Shape) -> int:
        return 2 * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 2 * y.elements

    def torch(self, x: Shape) -> TorchCall:
        axes = dimension("a normalisation", x) if x.spatial else "1d"
        arguments = {"num_features": x.channels, "eps": self.eps, "momentum": self.momentum}
        return TorchCall(f"torch.nn.BatchNorm{axes}", arguments)


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Leaf):
    """Normalisation across `size` neighbouring channels (Krizhevsky et al. 2012, section 3.3)."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    def output(self, x: Shape) -> Shape:
        at_least(1, size=self.size)
        return x

    def elementwise(self, x: Shape, y: Shape) -> int:
        return (self.size + 4) * y.elements

    def torch(self, x: Shape) -> TorchCall:
        # torch divides alpha by the size, as Caffe does; the paper does not.
        arguments = {"size": self.size, "alpha": self.alpha * self.size, "beta": self.beta, "k": self.k}
        return TorchCall("torch.nn.LocalResponseNorm", arguments)


@dataclass(frozen=True, slots=True)
class Act(Leaf):
    """An activation function by name."""

    function: str = "relu"

    def output(self, x: Shape) -> Shape:
        ACTIVATIONS[self.function]
        return x

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall(ACTIVATIONS[self.function], {})


@dataclass(frozen=True, slots=True)
class _Pool(Leaf):
    kernel: Axes = 2
    stride: Axes = 2
    padding: Axes = 0
    ceil: bool = False

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
    """The largest value in each window."""

    def torch(self, x: Shape) -> TorchCall:
        return self._call(x, "MaxPool")


@dataclass(frozen=True, slots=True)
class AvgPool(_Pool):
    """The mean of each window; `count_padding` tells whether the zeros of the padding count."""

    count_padding: bool = True

    def output(self, x: Shape) -> Shape:
        # torch's average over three axes wants the kernel to fit without the padding, unlike its other pools.
        if len(x.spatial) == 3 and any(k > n for k, n in zip(per_axis(self.kernel, x), x.spatial, strict=True)):
            raise UsageError(f"an average over {self.kernel} positions needs an input as large, receives {x}")
        return _Pool.output(self, x)

    def torch(self, x: Shape) -> TorchCall:
        call = self._call(x, "AvgPool")
        return TorchCall(call.path, call.arguments | {"count_include_pad": self.count_padding})


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(Leaf):
    """The means of a grid of `size` cells over the whole input; with 1 it is global average pooling."""

    size: Axes = 1
    whole: ClassVar[bool] = True

    def output(self, x: Shape) -> Shape:
        dimension("an adaptive pooling layer", x)
        at_least(1, size=self.size)
        return Shape(x.channels, per_axis(self.size, x))

    def elementwise(self, x: Shape, y: Shape) -> int:
        return x.elements

    def torch(self, x: Shape) -> TorchCall:
        path = f"torch.nn.AdaptiveAvgPool{dimension('an adaptive pooling layer', x)}"
        return TorchCall(path, {"output_size": per_axis(self.size, x)})


@dataclass(frozen=True, slots=True)
class Flatten(Leaf):
    """All positions of all channels as one vector."""

    whole: ClassVar[bool] = True

    def output(self, x: Shape) -> Shape:
        return Shape(x.elements)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("torch.nn.Flatten", {})


@dataclass(frozen=True, slots=True)
class Dropout(Leaf):
    """In training, zeroes each value with probability `drop` and scales the rest by 1 / (1 - drop)."""

    drop: float = 0.5

    def output(self, x: Shape) -> Shape:
        check_probability(self.drop, one=True)
        return x

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("torch.nn.Dropout", {"p": self.drop})


@dataclass(frozen=True, slots=True)
class DropPath(Leaf):
    """In training, zeroes whole samples (or the whole batch) with probability `drop` and scales the rest to match.

    Stochastic depth (Huang et al. 2016); dropping per batch is the paper's form.
    """

    drop: float
    by: Literal["sample", "batch"] = "sample"

    def output(self, x: Shape) -> Shape:
        check_probability(self.drop, one=False)
        return x

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.layers.DropPath", {"drop": self.drop, "by": self.by})


@dataclass(frozen=True, slots=True)
class Take(Leaf):
    """Some of the channels, in the order given."""

    channels: tuple[int, ...]

    def output(self, x: Shape) -> Shape:
        if not self.channels or not all(0 <= c < x.channels for c in self.channels):
            raise UsageError(f"take needs channels from 0 to {x.channels - 1}, received {self.channels}")
        return Shape(len(self.channels), x.spatial)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.layers.Take", {"channels": self.channels})


@dataclass(frozen=True, slots=True)
class Pad(Leaf):
    """Zeros around the channels (`before` and `after`): the parameter-free shortcut of He et al. 2016, option A."""

    before: int
    after: int

    def output(self, x: Shape) -> Shape:
        channels = self.before + x.channels + self.after
        if channels < 1:
            raise UsageError(f"padding by {self.before} and {self.after} leaves none of {x.channels} channels")
        return Shape(channels, x.spatial)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.layers.PadChannels", {"before": self.before, "after": self.after})


@dataclass(frozen=True, slots=True)
class Affine(Leaf):
    """A learnt scale and shift for each channel: the coefficient and bias of LeNet-5's subsampling layers."""

    def params(self, x: Shape) -> int:
        return 2 * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 2 * y.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.layers.Affine", {"channels": x.channels})


@dataclass(frozen=True, slots=True)
class Rbf(Leaf):
    """Minus the squared distance to one fixed code of +1 and -1 for each class (LeCun et al. 1998, equation 7)."""

    channels: int

    def output(self, x: Shape) -> Shape:
        if x.spatial:
            raise UsageError(f"an RBF layer needs a vector, receives {x}; put a flatten before it")
        at_least(1, channels=self.channels)
        return Shape(self.channels)

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 3 * x.channels * y.channels

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.layers.Rbf", {"inputs": x.channels, "outputs": self.channels})


OPERATORS: Table[type[Leaf]] = Table(
    "operator",
    {
        "conv": Conv,
        "linear": Linear,
        "batch_norm": BatchNorm,
        "local_response_norm": LocalResponseNorm,
        "act": Act,
        "max_pool": MaxPool,
        "avg_pool": AvgPool,
        "adaptive_avg_pool": AdaptiveAvgPool,
        "flatten": Flatten,
        "dropout": Dropout,
        "drop_path": DropPath,
        "take": Take,
        "pad": Pad,
        "affine": Affine,
        "rbf": Rbf,
    },
)
