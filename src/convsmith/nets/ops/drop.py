"""What training alone does: dropout and stochastic depth."""

from dataclasses import dataclass
from typing import Literal

from convsmith.nets.shape import Shape
from convsmith.nets.sizes import check_probability
from convsmith.nets.tree import Leaf, TorchCall


@dataclass(frozen=True, slots=True)
class Dropout(Leaf):
    """In training, zeroes each value with probability `drop`; in both forms evaluation gives training's mean.

    The inverted form scales what is kept by 1 / (1 - drop). The plain one (Srivastava et al. 2014, section 4; both:
    section 10) scales nothing in training and every value by 1 - drop in evaluation.
    """

    drop: float = 0.5
    form: Literal["inverted", "plain"] = "inverted"

    def output(self, x: Shape) -> Shape:
        check_probability(self.drop, one=True)
        return x

    def torch(self, x: Shape) -> TorchCall:
        path = "convsmith.nets.random_layers.PlainDropout" if self.form == "plain" else "torch.nn.Dropout"
        return TorchCall(path, {"p": self.drop})

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements if self.form == "plain" else 0


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
        return TorchCall("convsmith.nets.random_layers.DropPath", {"drop": self.drop, "by": self.by})
