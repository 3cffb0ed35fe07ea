"""Normalizations and learnt or constant scales."""

from dataclasses import dataclass
from typing import ClassVar

from convsmith.base.errors import UsageError
from convsmith.nets.shape import Shape, Window
from convsmith.nets.sizes import at_least, dimension
from convsmith.nets.tree import Kind, Leaf, TorchCall
from convsmith.report.text import many


@dataclass(frozen=True, slots=True)
class BatchNorm(Leaf):
    """Batch normalization with a learnt scale and shift (Ioffe and Szegedy 2015); `momentum` is torch's."""

    eps: float = 1e-5
    momentum: float = 0.1
    kind: ClassVar[Kind] = "norm"
    rides: ClassVar[bool] = True

    def params(self, x: Shape) -> int:
        return 2 * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 2 * y.elements

    def torch(self, x: Shape) -> TorchCall:
        axes = dimension("a normalization", x) if x.spatial else "1d"
        arguments = {"num_features": x.channels, "eps": self.eps, "momentum": self.momentum}
        return TorchCall(f"torch.nn.BatchNorm{axes}", arguments)


@dataclass(frozen=True, slots=True)
class GroupNorm(Leaf):
    """Normalization over positions and `groups` of channels of one sample, with a learnt scale and shift.

    Wu and He 2018; 1 group is layer normalization over the whole sample.
    """

    groups: int = 32
    eps: float = 1e-5
    kind: ClassVar[Kind] = "norm"
    rides: ClassVar[bool] = True

    def output(self, x: Shape) -> Shape:
        if self.groups < 1 or x.channels % self.groups:
            raise UsageError(
                f"a group normalization in {many(self.groups, 'group')} cannot divide {many(x.channels, 'channel')}"
            )
        return x

    def params(self, x: Shape) -> int:
        return 2 * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 2 * y.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("torch.nn.GroupNorm", {"num_groups": self.groups, "num_channels": x.channels, "eps": self.eps})


@dataclass(frozen=True, slots=True)
class LayerNorm(Leaf):
    """Normalization over the channels at each position, with a learnt scale and shift (Ba et al. 2016)."""

    eps: float = 1e-5
    kind: ClassVar[Kind] = "norm"
    rides: ClassVar[bool] = True

    def params(self, x: Shape) -> int:
        return 2 * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 2 * y.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall(
            "convsmith.nets.modules.layers.ChannelLayerNorm", {"normalized_shape": x.channels, "eps": self.eps}
        )


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Leaf):
    """Normalization across `size` neighboring channels (Krizhevsky et al. 2012, section 3.3)."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    kind: ClassVar[Kind] = "norm"
    rides: ClassVar[bool] = True

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
class LocalContrastNorm(Leaf):
    """Subtracts the mean of a Gaussian window over all channels, then divides by its deviation if that is above 1.

    Jarrett et al. 2009, section 2, with the threshold of Pinto et al. 2008 in place of the mean over the image, so that
    the operator stays local. `size` is the window's side; at the borders the window is renormalized.
    """

    size: int = 9
    kind: ClassVar[Kind] = "norm"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        # The mean is taken twice: of the values and of their squared deviations.
        return (Window(2 * self.size - 1, 1, self.size - 1),) * len(x.spatial)

    def output(self, x: Shape) -> Shape:
        dimension("a local contrast normalization", x)
        if self.size < 1 or self.size % 2 == 0:
            raise UsageError(f"size is {self.size}, expected an odd number")
        return x

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 4 * y.elements + 2 * self.size ** len(x.spatial) * x.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.LocalContrastNorm", {"size": self.size, "axes": len(x.spatial)})


@dataclass(frozen=True, slots=True)
class Affine(Leaf):
    """A learnt scale for each channel, which starts at `scale`, and with `shift` a learnt shift.

    With the shift: the coefficient and bias of LeNet-5's subsampling. Without: the layer scale of newer networks.
    """

    scale: float = 1.0
    shift: bool = True
    kind: ClassVar[Kind] = "norm"
    rides: ClassVar[bool] = True

    def params(self, x: Shape) -> int:
        return (1 + self.shift) * x.channels

    def elementwise(self, x: Shape, y: Shape) -> int:
        return (1 + self.shift) * y.elements

    def torch(self, x: Shape) -> TorchCall:
        arguments = {"channels": x.channels, "scale": self.scale, "shift": self.shift}
        return TorchCall("convsmith.nets.modules.layers.Affine", arguments)


@dataclass(frozen=True, slots=True)
class Scale(Leaf):
    """Multiplication by a constant."""

    factor: float
    rides: ClassVar[bool] = True

    def label(self) -> str:
        return f"scale {self.factor:g}"

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.Scaled", {"factor": self.factor})
