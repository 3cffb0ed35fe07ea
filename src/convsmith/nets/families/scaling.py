"""Rules for families: scaling by multipliers or stage by stage, and forms for small images without first strides."""

import math
from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.nets.family import Numbers
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, PadSame
from convsmith.nets.tree import Node, rewrite, walk


def check_multipliers(**multipliers: float) -> None:
    """Raise UsageError if a multiplier of width or depth is not above 0 and at most 1000."""
    for name, value in multipliers.items():
        if not 0 < value <= 1000:
            raise UsageError(f"{name} is {value}, expected a multiplier above 0, at most 1000, such as 0.5")


def repeats(count: int, depth: float) -> int:
    """`count` units times `depth`, rounded up (Tan and Le 2019, their code)."""
    return math.ceil(count * depth)


def widen(numbers: Numbers, factor: float) -> Numbers:
    """The numbers with `factor` times the width multiplier."""
    return {**numbers, "width": numbers["width"] * factor}


def deepen(numbers: Numbers, factor: float) -> Numbers:
    """The numbers with `factor` times the depth multiplier."""
    return {**numbers, "depth": numbers["depth"] * factor}


def without_first_strides(network: Network) -> Network:
    """The network for images of about 32 pixels: its first two convolutions of stride 2 get stride 1.

    32x32 then ends at 4x4 (224x224 ended at 7x7), as in kuangliu/pytorch-cifar's MobileNet v2.
    """
    nodes = [item for name, stage in network.stages for item in walk(stage, name)]
    strided = [path.rpartition(".")[0] for path, node in nodes if isinstance(node, Conv) and node.stride != 1]

    def change(path: str, node: Node) -> Node:
        # TensorFlow's padding before a convolution depends on its stride, so it changes with the stride.
        first = path.rpartition(".")[0] in strided[:2] and isinstance(node, Conv | PadSame)
        return replace(node, stride=1) if first else node

    return replace(network, stages=tuple((name, rewrite(stage, change, name)) for name, stage in network.stages))


def wider_stages(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the width of the stages, not of the stem."""
    return {**numbers, "widths": tuple(max(1, round(width * factor)) for width in numbers["widths"])}


def deeper_stages(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the units of each stage, at least one."""
    return {**numbers, "depths": tuple(max(1, round(depth * factor)) for depth in numbers["depths"])}


def without_early_strides(network: Network) -> Network:
    """The network for images of about 32 pixels: the stem and the first stage keep the size, so that 32 ends at 4."""

    def change(path: str, node: Node) -> Node:
        return replace(node, stride=1) if isinstance(node, Conv) else node

    first, second, *others = network.stages
    kept = tuple((name, rewrite(stage, change)) for name, stage in (first, second))
    return replace(network, stages=(*kept, *others))
