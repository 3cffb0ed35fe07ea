"""What a run may set about its loss; a record without torch."""

from dataclasses import dataclass
from typing import Literal, get_args

from convsmith.base.config import option
from convsmith.base.errors import UsageError

LossKind = Literal["cross_entropy", "bce", "focal", "hinge"]
ClassWeights = Literal["balanced", "effective"]


def is_weights_file(text: str) -> bool:
    """Whether what `class_weights` says is a file."""
    return text.lower().endswith((".csv", ".json"))


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What training makes small; evaluations always say the cross entropy.

    cross_entropy: of the softmax; bce: binary cross entropy of each class against the rest, the mean over the classes
    (Wightman et al. 2021); focal: the cross entropy times (1 - p) ** gamma (Lin et al. 2017, equation 4,
    here of the softmax); hinge: how far the true class is not 1 above the best of the others (Crammer and Singer 2001).
    Where an image may have several labels there are bce, and focal of each class by itself.
    """

    kind: LossKind | None = option(
        None,
        "which loss; none: cross_entropy, for several labels bce. hinge takes neither label smoothing nor mixed images",
    )
    gamma: float = option(2.0, "focal: how fast images that are sure already stop to count; 0: cross entropy")
    reduction: Literal["mean", "sum"] = option("mean", "bce, and focal of several labels: over the classes")
    class_weights: ClassWeights | str | None = option(
        None,
        "what an image counts by its class: balanced, images / (classes * count), effective, with `beta`, or a file "
        "of class,weight (.csv, .json)",
    )
    beta: float = option(0.999, "effective: an image counts (1 - beta) / (1 - beta ** count), scaled to mean 1 a class")
    auxiliary: float = option(
        0.3,
        "share of auxiliary heads' losses in training: 0.3 GoogLeNet's, 0.4 Inception-v3's and NASNet's code; 0: none",
    )

    def __post_init__(self) -> None:
        # Written so that what is no number is refused too.
        if not 0 <= self.gamma < float("inf"):
            raise UsageError(f"loss.gamma: expected a number from 0, received {self.gamma}")
        weights = self.class_weights
        if weights is not None and weights not in get_args(ClassWeights) and not is_weights_file(weights):
            raise UsageError(
                f"loss.class_weights: expected {' or '.join(get_args(ClassWeights))}, or a file .csv or .json, "
                f"received {weights!r}"
            )
        if not 0 <= self.beta < 1:
            raise UsageError(f"loss.beta: expected a number from 0 to below 1, received {self.beta}")
        if not 0 <= self.auxiliary < float("inf"):
            raise UsageError(f"loss.auxiliary: expected a number from 0, received {self.auxiliary}")
