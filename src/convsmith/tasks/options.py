"""What a run may set about its loss; a record without torch."""

from dataclasses import dataclass
from typing import Literal

from convsmith.base.config import option
from convsmith.base.errors import UsageError

LossKind = Literal["cross_entropy", "bce", "focal", "hinge"]
ClassWeights = Literal["balanced", "effective"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What training makes small; evaluations always say the cross entropy.

    cross_entropy: of the softmax; bce: binary cross entropy of each class against the rest, the mean over the classes
    (Wightman et al. 2021); focal: the cross entropy times (1 - p) ** gamma (Lin et al. 2017, equation 4,
    here of the softmax); hinge: how far the true class is not 1 above the best of the others (Crammer and Singer 2001).
    """

    kind: LossKind = option("cross_entropy", "which loss; hinge takes neither label smoothing nor mixed images")
    gamma: float = option(2.0, "focal: how fast images that are sure already stop to count; 0: cross entropy")
    class_weights: ClassWeights | None = option(
        None, "what an image counts by its class: balanced, images / (classes * count), or effective, with `beta`"
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
        if not 0 <= self.beta < 1:
            raise UsageError(f"loss.beta: expected a number from 0 to below 1, received {self.beta}")
        if not 0 <= self.auxiliary < float("inf"):
            raise UsageError(f"loss.auxiliary: expected a number from 0, received {self.auxiliary}")
