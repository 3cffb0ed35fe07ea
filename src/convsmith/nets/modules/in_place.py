"""In-place ReLUs: the same values with less memory traffic."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from itertools import pairwise

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from convsmith.nets.modules.layers import Concatenation, Scale, Sequence, Sum

# Layers whose output no other part holds, and which do not need their output for their gradient.
_GIVERS = (_ConvNd, nn.Linear, _BatchNorm, nn.GroupNorm, Scale)
_JOINS = (Sum, Concatenation)  # with a single child they return the child's output itself


def work_in_place(module: nn.Module, on: bool = True) -> None:
    """Make each ReLU overwrite the output of the layer before it if only the ReLU reads it; `on` False undoes it.

    Other activations stay: they need their input for the gradient, and torch would copy it first.

    Outputs and gradients stay the same, bit for bit. A hook on the layer before the ReLU sees the overwritten output,
    unless it copies the output as `taps` does.
    """
    for part in module.modules():
        # A subclass of Sequence, such as Recomputed, may hold the values between its children.
        if type(part) is Sequence:
            for before, after in pairwise(part.children()):
                if isinstance(after, nn.ReLU) and _gives(before):
                    after.inplace = on


def _gives(layer: nn.Module) -> bool:
    """Whether the output of a layer may be overwritten."""
    if isinstance(layer, _JOINS):
        return len(layer._modules) > 1
    return isinstance(layer, _GIVERS)
