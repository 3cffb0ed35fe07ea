"""A trained network on larger images: unchanged if it pools over the whole map, else made convolutional."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import math
from collections.abc import Sequence

from torch import nn

from convsmith.base.errors import CheckFailed, UsageError
from convsmith.nets.model import Model
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Flatten
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN
from convsmith.nets.weights.carry import carry


def dense_module(network: Model, module: nn.Module, sizes: Sequence[tuple[int, int]]) -> nn.Module:
    """A module with the same weights for images of `sizes`; its output is (N, classes) or (N, classes, H, W).

    An imported module is returned unchanged and unchecked. Raises UsageError if a tree cannot take these sizes.
    """
    tree = network.tree
    if tree is None or all(_pools_to_one(tree, size) for size in sizes):
        return module
    try:
        after, state = carry(tree, module.state_dict(), "fully_convolutional")
        for size in sizes:
            after.trace(Shape(tree.input.channels, size))
    except (UsageError, CheckFailed) as error:
        raise UsageError(f"dense: {network.name} cannot be applied to larger images: {error}") from None
    made = build(after, seed=0)
    made.load_state_dict(state)
    return made.train(module.training)


def _pools_to_one(network: Network, size: tuple[int, int]) -> bool:
    """Whether the main head flattens maps of a single position, so that its linear layers fit images of any size."""
    try:
        steps = network.trace(Shape(network.input.channels, size)).steps
    except UsageError as error:
        raise UsageError(f"dense: {network.name} cannot take images of {size[0]}x{size[1]}: {error}") from None
    flattened = [step.x.shape for step in steps if step.path.startswith(f"{MAIN}.") and isinstance(step.node, Flatten)]
    return all(math.prod(shape.spatial) == 1 for shape in flattened)
