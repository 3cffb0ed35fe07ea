"""Activation functions and distances."""

from dataclasses import dataclass
from typing import ClassVar

from convsmith.base.errors import UsageError
from convsmith.base.table import Table
from convsmith.nets.shape import Shape
from convsmith.nets.sizes import at_least
from convsmith.nets.tree import Kind, Leaf, TorchCall

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
        "softmax": "convsmith.nets.modules.layers.ChannelSoftmax",
        "scaled_tanh": "convsmith.nets.modules.layers.ScaledTanh",
    },
)


@dataclass(frozen=True, slots=True)
class Act(Leaf):
    """An activation function by name."""

    function: str = "relu"
    kind: ClassVar[Kind] = "act"
    rides: ClassVar[bool] = True

    def label(self) -> str:
        return self.function.replace("_", " ")

    def output(self, x: Shape) -> Shape:
        ACTIVATIONS[self.function]
        return x

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall(ACTIVATIONS[self.function], {})


@dataclass(frozen=True, slots=True)
class Rbf(Leaf):
    """Minus the squared distance to one fixed code of +1 and -1 for each class (LeCun et al. 1998, equation 7)."""

    channels: int
    kind: ClassVar[Kind] = "linear"

    def words(self, widths: bool = True) -> str:
        return f"rbf {self.channels}" if widths else "rbf"

    def label(self) -> str:
        return self.words()

    def output(self, x: Shape) -> Shape:
        if x.spatial:
            raise UsageError(f"an RBF layer needs a vector, receives {x}; put a flatten before it")
        at_least(1, channels=self.channels)
        return Shape(self.channels)

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 3 * x.channels * y.channels

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.Rbf", {"inputs": x.channels, "outputs": self.channels})
