"""Edits: (network) -> (network), from outside. Each records itself in the network's `edits`.

An edit that finds nothing to change warns, since a variation asked for and not made is a wrong result.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace

from convsmith.base.calls import format_call
from convsmith.base.errors import UsageError
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, DropPath, Linear, Rbf
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Add, Node, Seq, rewrite, walk


class NoChange(UserWarning):
    """An edit found nothing to change."""


def edit_stages(network: Network, change: Callable[[str, Node], Node]) -> Network:
    """The network with every node of its stages replaced by `change(path, node)`, children before parents."""
    return replace(network, stages=tuple((name, rewrite(node, change, name)) for name, node in network.stages))


def recorded(before: Network, after: Network, name: str, *args: object) -> Network:
    """`after` with the edit written down; warns where it is `before` unchanged."""
    text = format_call(name, args)
    if (after.stages, after.heads, after.input) == (before.stages, before.heads, before.input):
        warnings.warn(f"the edit {text} changed nothing in {before.name}", NoChange, stacklevel=3)
    return replace(after, edits=(*before.edits, text))


def classes(network: Network, count: int) -> Network:
    """The network with `count` outputs: the last linear layer or convolution of the main head gets another width."""
    if count < 1:
        raise UsageError(f"classes: expected at least 1, received {count}")
    heads = dict(network.heads)
    last = [path for path, node in walk(heads[MAIN], MAIN) if isinstance(node, Linear | Conv | Rbf)]
    if not last:
        raise UsageError(f"{network.name}: the head has no linear layer or convolution to give {count} classes")

    def change(path: str, node: Node) -> Node:
        return replace(node, channels=count) if path == last[-1] and isinstance(node, Linear | Conv | Rbf) else node

    heads[MAIN] = rewrite(heads[MAIN], change, MAIN)
    return recorded(network, replace(network, heads=tuple(heads.items())), "classes", count)


def channels(network: Network, count: int) -> Network:
    """The network for images of `count` channels; the first layers take the width that they receive."""
    if count < 1:
        raise UsageError(f"channels: expected at least 1, received {count}")
    return recorded(network, replace(network, input=Shape(count, network.input.spatial)), "channels", count)


def size(network: Network, height: int, width: int | None = None) -> Network:
    """The network for images of `height` by `width` (square where only one is given)."""
    shape = Shape(network.input.channels, (height, height if width is None else width))
    if min(shape.spatial) < 1:
        raise UsageError(f"size: expected at least 1, received {min(shape.spatial)}")
    network.trace(shape)
    return recorded(network, replace(network, input=shape), "size", *shape.spatial)


def plain(network: Network) -> Network:
    """The network without shortcuts: each sum of a `branch` and a `shortcut` becomes the branch (He et al. 2016)."""

    def change(path: str, node: Node) -> Node:
        return dict(node.children)["branch"] if _is_residual(node) and isinstance(node, Add) else node

    return recorded(network, edit_stages(network, change), "plain")


def drop_path(network: Network, drop: float, by: str = "sample") -> Network:
    """Stochastic depth: each residual branch is dropped in training, from almost never (first) to `drop` (last).

    The linear decay rule of Huang et al. 2016, section 3: unit l of L is dropped with probability l / L * `drop`.
    """
    if not 0 <= drop < 1:
        raise UsageError(f"drop_path: expected a probability from 0 to below 1, received {drop}")
    if by not in ("sample", "batch"):
        raise UsageError(f"drop_path: by is 'sample' or 'batch', received {by!r}")
    units = [path for name, node in network.stages for path, n in walk(node, name) if _is_residual(n)]

    def change(path: str, node: Node) -> Node:
        if path not in units or not isinstance(node, Add):
            return node
        rate = drop * (units.index(path) + 1) / len(units)
        children = dict(node.children)
        children["branch"] = _append(children["branch"], "drop_path", DropPath(rate, by=by))  # pyright: ignore[reportArgumentType]
        return Add(tuple(children.items()))

    args = (drop,) if by == "sample" else (drop, by)
    return recorded(network, edit_stages(network, change), "drop_path", *args)


def _is_residual(node: Node) -> bool:
    return isinstance(node, Add) and {"branch", "shortcut"} <= dict(node.children).keys()


def _append(node: Node, name: str, leaf: Node) -> Seq:
    """`node` followed by `leaf`; an earlier child of that name is replaced."""
    children = dict(node.children) if isinstance(node, Seq) else {"body": node}
    return Seq(tuple({**children, name: leaf}.items()))
