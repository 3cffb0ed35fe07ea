"""Functions of entries about whole networks: totals by name, layers with weights."""

from collections.abc import Callable

from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, Linear
from convsmith.nets.tree import MAIN, Add, Branching, Cat, Gate, Node
from convsmith.nets.zoo import network
from convsmith_textbook.lectures.entry import Figure


def named(*names: str) -> Callable[[], dict[str, object]]:
    """A function that gives parameters and MACs of networks of the zoo."""

    def compute() -> dict[str, object]:
        values: dict[str, object] = {}
        for name in names:
            numbers = cost(network(name))
            values |= {f"{name}: parameters": numbers.params, f"{name}: MACs": numbers.macs}
        return values

    return compute


def counts(**rows: tuple[int, int]) -> tuple[Figure, ...]:
    """The figures of networks that the lectures name without numbers: parameters and MACs."""
    return tuple(
        Figure(f"{name}: {what}", None, count)
        for name, counts in rows.items()
        for what, count in zip(("parameters", "MACs"), counts, strict=True)
    )


def weight_layers(tree: Network) -> int:
    """The convolution and linear layers on the longest path through the network, without projections of shortcuts."""
    return sum(_depth(node) for _, node in tree.stages) + sum(_depth(n) for name, n in tree.heads if name == MAIN)


def _depth(node: Node) -> int:
    if isinstance(node, Conv | Linear):
        return 1
    if not isinstance(node, Branching) or isinstance(node, Gate):
        return 0
    depths = [_depth(child) for _, child in node.children]
    return max(depths, default=0) if isinstance(node, Add | Cat) else sum(depths)
