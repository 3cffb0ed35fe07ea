"""What training alone does: dropout and stochastic depth."""

from dataclasses import dataclass
from typing import Literal

from convsmith.nets.shape import Shape
from convsmith.nets.sizes import check_probability
from convsmith.nets.tree import Leaf, TorchCall


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
