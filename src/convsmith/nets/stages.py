"""What a network's stages are like, for tables and drawings."""

from typing import TYPE_CHECKING

from convsmith.nets.cost import cost
from convsmith.nets.ops import Conv
from convsmith.nets.tree import Add, Branching, Leaf, Node, walk
from convsmith.report.architecture import Stage

if TYPE_CHECKING:
    from convsmith.nets.network import Network  # which draws itself with these numbers


def summarise(network: "Network") -> list[Stage]:
    """The stages and heads of a network for its own input."""
    numbers, ends = cost(network), network.trace().stages
    rows: list[Stage] = []
    for name, node in network.stages + network.heads:
        layers = [layer for layer in numbers.layers if layer.name.split(".")[0] == name]
        shape = ends[name].shape
        rows.append(
            Stage(
                name=name,
                detail=_detail(node),
                channels=shape.channels,
                size=shape.spatial,
                params=sum(layer.params for layer in layers),
                macs=sum(layer.macs for layer in layers),
                layers=sum(layer.op in ("conv", "linear") for layer in layers),
            )
        )
    return rows


def _detail(node: Node) -> str:
    """A stage in a few words: `3 x residual (1x1, 3x3, 1x1)`, `2 x conv 3x3, max pool`."""
    if not isinstance(node, Branching):
        return _leaf(node)
    units = [child for _, child in node.children if isinstance(child, Add)]
    if units:
        branch = dict(units[0].children).get("branch", units[0])
        inside = ", ".join(_kernel(leaf) for _, leaf in walk(branch) if leaf.op == "conv")
        return f"{len(units)} x residual ({inside})"
    names = [_leaf(leaf) for _, leaf in walk(node) if isinstance(leaf, Leaf) and leaf.op in _SHOWN]
    counted: list[list[str | int]] = []
    for name in names:
        if counted and counted[-1][0] == name:
            counted[-1][1] = int(counted[-1][1]) + 1
        else:
            counted.append([name, 1])
    return ", ".join(f"{n} x {name}" if n != 1 else str(name) for name, n in counted)


_SHOWN = ("conv", "linear", "max_pool", "avg_pool", "adaptive_avg_pool", "rbf")


def _leaf(node: Node) -> str:
    names = {"max_pool": "max pool", "avg_pool": "average pool", "adaptive_avg_pool": "global pool"}
    return f"conv {_kernel(node)}" if node.op == "conv" else names.get(node.op, node.op)


def _kernel(node: Node) -> str:
    if not isinstance(node, Conv):
        return node.op
    return f"{node.kernel}x{node.kernel}" if isinstance(node.kernel, int) else "x".join(map(str, node.kernel))
