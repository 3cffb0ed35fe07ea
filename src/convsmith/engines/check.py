"""Whether an engine says of images what the network itself says."""

from dataclasses import dataclass

from torch import Tensor

from convsmith.engines.inference import Inference
from convsmith.report.text import many

# The largest difference of a probability. fp32: sums in another order; bf16 has 8 bits of a value, fp16 11.
TOLERANCES = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 5e-3}


@dataclass(frozen=True)
class Agreement:
    """Predictions against those of the network as it is, on the same images."""

    images: int
    same_class: int
    difference: float
    tolerance: float

    @property
    def objection(self) -> str:
        """Why the engine must not be used; empty where it may."""
        if not self.difference <= self.tolerance:
            return f"a value is off by {self.difference:.1e} (at most {self.tolerance:.0e})"
        if self.same_class < self.images:
            images = many(self.images, "image gets", "images get")
            return f"{self.images - self.same_class} of {images} another class"
        return ""


def agreement(model: Inference, expected: Tensor, found: Tensor, precision: str) -> Agreement:
    """The comparison of outputs (N, classes) of an engine with those that are `expected`."""
    if found.shape != expected.shape:
        return Agreement(len(expected), 0, float("inf"), TOLERANCES[precision])
    if model.features_before is not None:
        # Features have no scale of their own: differences are relative to those that are not small.
        far = ((found.double() - expected.double()).abs() / (1 + expected.double().abs())).max()
        return Agreement(len(expected), len(expected), float(far), TOLERANCES[precision])
    far = (model.probabilities(found.double()) - model.probabilities(expected.double())).abs().max()
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    return Agreement(len(expected), same, float(far), TOLERANCES[precision])
