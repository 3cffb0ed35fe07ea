"""The record of an edit, and the ways in which an edit changes the nodes of a network."""

import warnings
from collections.abc import Callable
from dataclasses import replace

from convsmith.base.calls import format_call
from convsmith.base.errors import NoChange
from convsmith.nets.network import Network
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Add, Node, Seq, rewrite


def edit_stages(network: Network, change: Callable[[str, Node], Node]) -> Network:
    """The network with every node of its stages replaced by `change(path, node)`, children before parents."""
    return replace(network, stages=tuple((name, rewrite(node, change, name)) for name, node in network.stages))


def edit_all(network: Network, change: Callable[[str, Node], Node]) -> Network:
    """`edit_stages` for the stages and the heads."""
    heads = tuple((name, rewrite(node, change, name)) for name, node in network.heads)
    return replace(edit_stages(network, change), heads=heads)


def recorded(before: Network, after: Network, name: str, *args: object) -> Network:
    """`after` with the edit in its `edits`, if it fits its input; warns if the edit changed nothing."""
    text = format_call(name, args)
    if _computed(after) == _computed(before):
        warnings.warn(f"the edit {text} changed nothing in {before.name}", NoChange, stacklevel=3)
    else:
        after.trace()
    return replace(after, edits=(*before.edits, text))


def _computed(network: Network) -> tuple[object, ...]:
    return network.stages, network.heads, network.input, network.recompute


def shapes(network: Network) -> dict[str, tuple[Shape, Shape]]:
    """The input and output shapes of each node of the network, by path."""
    return {step.path: (step.x.shape, step.y.shape) for step in network.trace().steps}


def is_residual(node: Node) -> bool:
    """Whether a node adds a `branch` to a `shortcut`."""
    return isinstance(node, Add) and {"branch", "shortcut"} <= dict(node.children).keys()


def appended(node: Node, name: str, leaf: Node) -> Seq:
    """`node` followed by `leaf`; an earlier child called `name` is replaced."""
    children = dict(node.children) if isinstance(node, Seq) else {"body": node}
    return Seq(tuple({**children, name: leaf}.items()))
