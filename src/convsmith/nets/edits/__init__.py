"""Edits: functions (network) -> (network). Each records itself in the network's `edits`.

An edit that changes nothing warns: a comparison with an unchanged network would be a wrong result.
"""

from convsmith.nets.edits.convolutions import dilate, fully_convolutional, linear_bottleneck, low_rank, separable
from convsmith.nets.edits.fold import fold_norm, reparameterise
from convsmith.nets.edits.identity import identity_layers
from convsmith.nets.edits.layers import act, dropconnect, dropout, norm, pool
from convsmith.nets.edits.recompute import recompute
from convsmith.nets.edits.record import edit_stages, recorded
from convsmith.nets.edits.residual import drop_path, plain, se
from convsmith.nets.edits.size import channels, classes, cut, main_head, size

__all__ = [
    "act", "channels", "classes", "cut", "dilate", "drop_path", "dropconnect", "dropout", "edit_stages",
    "fold_norm", "fully_convolutional", "identity_layers", "linear_bottleneck", "low_rank", "main_head", "norm",
    "plain", "pool", "recompute", "recorded", "reparameterise", "se", "separable", "size",
]  # fmt: skip
