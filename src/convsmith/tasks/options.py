"""What a run may set about its loss; a record without torch."""

from dataclasses import dataclass
from typing import Literal, get_args

from convsmith.base.errors import UsageError
from convsmith.base.record import Record, option

LossKind = Literal["cross_entropy", "bce", "focal", "hinge"]
ClassWeights = Literal["balanced", "effective"]


def is_weights_file(text: str) -> bool:
    """Whether what `class_weights` says is a file."""
    return text.lower().endswith((".csv", ".json"))


def _check_weights(text: str) -> None:
    kinds = get_args(ClassWeights)
    if text not in kinds and not is_weights_file(str(text)):
        raise UsageError(
            f"loss.class_weights: expected {' or '.join(kinds)}, or a file .csv or .json, received {text!r:.200}"
        )


@dataclass(frozen=True, kw_only=True)
class Loss(Record):
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
    gamma: float = option(2.0, "focal: how fast images that are sure already stop to count; 0: cross entropy", least=0)
    reduction: Literal["mean", "sum"] = option("mean", "bce, and focal of several labels: over the classes")
    class_weights: ClassWeights | str | None = option(
        None,
        "what an image counts by its class: balanced, images / (classes * count), effective, with `beta`, or a file "
        "of class,weight (.csv, .json)",
        check=_check_weights,
    )
    beta: float = option(
        0.999,
        "effective: an image counts (1 - beta) / (1 - beta ** count), scaled to mean 1 a class",
        least=0,
        below=1,
    )
    auxiliary: float = option(
        0.3,
        "share of auxiliary heads' losses in training: 0.3 GoogLeNet's, 0.4 Inception-v3's and NASNet's code; 0: none",
        least=0,
    )
