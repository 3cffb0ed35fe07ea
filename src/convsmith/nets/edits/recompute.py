"""The edit `recompute`: less memory in training, more computation."""

from dataclasses import replace
from math import isqrt

from convsmith.base.errors import UsageError
from convsmith.nets.edits.record import recorded
from convsmith.nets.network import Network
from convsmith.nets.tree import Seq


def recompute(network: Network, group: int = 0) -> Network:
    """Activation checkpointing: training keeps only the values between groups of a stage's children.

    The backward pass computes the other values again: the results are the same, and a step takes about a third longer
    (Chen et al. 2016, section 4). `group` is the number of children in a group; 0 takes the square root of the number
    of children of the longest stage.
    """
    if group < 0:
        raise UsageError(f"recompute: expected groups of at least 1, or 0 to choose, received {group}")
    longest = max((len(node.children) for _, node in network.stages if isinstance(node, Seq)), default=0)
    if not longest:
        raise UsageError(f"recompute: {network.name} has no stage of several children to compute again")
    args = (group,) if group else ()
    return recorded(network, replace(network, recompute=group or isqrt(longest)), "recompute", *args)
