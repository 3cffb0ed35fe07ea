"""Operators of training only: dropout and stochastic depth."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

from convsmith.nets.shape import Shape
from convsmith.nets.sizes import check_probability
from convsmith.nets.tree import Kind, Leaf, TorchCall


@dataclass(frozen=True, slots=True)
class Dropout(Leaf):
    """In training, zeroes each value with probability `drop`; evaluation returns the mean of training.

    The inverted form scales the kept values by 1 / (1 - drop). The plain form (Srivastava et al. 2014, section 4; both:
    section 10) scales nothing in training and every value by 1 - drop in evaluation.
    """

    drop: float = 0.5
    form: Literal["inverted", "plain"] = "inverted"
    kind: ClassVar[Kind] = "drop"
    rides: ClassVar[bool] = True

    def label(self) -> str:
        return f"{'plain ' if self.form == 'plain' else ''}dropout {self.drop:g}"

    def output(self, x: Shape) -> Shape:
        check_probability(self.drop, one=True)
        return x

    def torch(self, x: Shape) -> TorchCall:
        path = "convsmith.nets.modules.random_layers.PlainDropout" if self.form == "plain" else "torch.nn.Dropout"
        return TorchCall(path, {"p": self.drop})

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements if self.form == "plain" else 0


@dataclass(frozen=True, slots=True)
class DropPath(Leaf):
    """In training, zeroes whole samples (or the whole batch) with probability `drop` and scales the rest to match.

    Stochastic depth (Huang et al. 2016); the paper drops whole batches.
    """

    drop: float
    by: Literal["sample", "batch"] = "sample"
    kind: ClassVar[Kind] = "drop"
    rides: ClassVar[bool] = True

    def alike(self, loose: bool) -> Hashable:
        return None

    def output(self, x: Shape) -> Shape:
        check_probability(self.drop, one=False)
        return x

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.random_layers.DropPath", {"drop": self.drop, "by": self.by})
