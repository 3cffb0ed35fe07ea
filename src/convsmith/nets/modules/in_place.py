"""ReLUs that write over what they are given: the same values, less memory to reach."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from itertools import pairwise

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from convsmith.nets.modules.layers import Concatenation, Scale, Sequence, Sum

# Layers that give a tensor which nothing else holds, and which they do not need for their gradient.
_GIVERS = (_ConvNd, nn.Linear, _BatchNorm, nn.GroupNorm, Scale)
_JOINS = (Sum, Concatenation)  # of one child alone they give its output


def work_in_place(module: nn.Module, on: bool = True) -> None:
    """Let each ReLU write over the output of the layer before it, where nothing else reads that output; or undo that.

    Other activations need what they were given for their gradient: torch would copy it first.

    Outputs and gradients stay as they are, bit for bit; a hook on the layer before would see what was written, unless
    it copies its output as `taps` does.
    """
    for part in module.modules():
        # Other kinds of sequence may hold the values between their children.
        if type(part) is Sequence:
            for before, after in pairwise(part.children()):
                if isinstance(after, nn.ReLU) and _gives(before):
                    after.inplace = on


def _gives(layer: nn.Module) -> bool:
    if isinstance(layer, _JOINS):
        return len(layer._modules) > 1
    return isinstance(layer, _GIVERS)
