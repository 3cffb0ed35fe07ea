"""The differences of two trees, node by node."""

import dataclasses as dc
from collections.abc import Mapping
from typing import Any

from convsmith.nets.network import Network
from convsmith.nets.tree import Branching, Leaf, Node, walk

Pair = tuple[Any, Any]
_NAMES = ("children", "stages", "heads")  # the fields that hold names of parts


@dc.dataclass(frozen=True)
class TreeDifference:
    """The differences of a second tree from a first one.

    `only_first` and `only_second` map the paths of nodes that the other tree lacks (the uppermost ones) to the number
    of layers in them. `changed` holds the fields that differ, by path and name; the path "" is the network itself. If a
    node has another kind (a layer became a sequence, say), its children are not compared.
    """

    only_first: dict[str, int]
    only_second: dict[str, int]
    changed: dict[str, dict[str, Pair]]

    def __bool__(self) -> bool:
        return bool(self.only_first or self.only_second or self.changed)


def difference(first: Network, second: Network) -> TreeDifference:
    """Compares paths, operators, their fields and the order of children; ignores the names and origins of networks."""
    differences = TreeDifference({}, {}, {})
    if whole := _fields_of(_whole(first), _whole(second)):
        differences.changed[""] = whole
    _compare(dict(first.stages + first.heads), dict(second.stages + second.heads), "", differences)
    return differences


def _compare(first: Mapping[str, Node], second: Mapping[str, Node], path: str, differences: TreeDifference) -> None:
    """Add the differences of the parts at `path` to `differences`, in order."""
    for name, node in first.items():
        inner = f"{path}.{name}" if path else name
        if name not in second:
            differences.only_first[inner] = _layers(node)
            continue
        if fields := _changed(node, second[name]):
            differences.changed[inner] = fields
        one, other = _children(node), _children(second[name])
        if node.op == second[name].op or one.keys() & other.keys():
            _compare(one, other, inner, differences)
    differences.only_second.update(
        {f"{path}.{name}" if path else name: _layers(node) for name, node in second.items() if name not in first}
    )


def _children(node: Node) -> dict[str, Node]:
    return dict(node.children) if isinstance(node, Branching) else {}


def _layers(node: Node) -> int:
    return sum(isinstance(inner, Leaf) for _, inner in walk(node))


def _whole(network: Network) -> dict[str, Any]:
    """The fields of a network outside its nodes."""
    return {
        "input": tuple(network.input),
        "inputs": tuple(map(str, network.inputs)),
        "input_name": network.input_name,
        "input_dtype": network.input_dtype,
        "init": network.init,
        "recompute": network.recompute,
        "stages": tuple(name for name, _ in network.stages),
        "heads": tuple(name for name, _ in network.heads),
    }


def _changed(one: Node, other: Node) -> dict[str, Pair]:
    """The fields that differ; for different operators, their names and the fields that both have."""
    kinds = {"op": (one.op, other.op)} if one.op != other.op else {}
    return kinds | _fields_of(_fields(one), _fields(other))


def _fields(node: Node) -> dict[str, Any]:
    if isinstance(node, Branching):
        return {"children": tuple(name for name, _ in node.children)}
    return {field.name: getattr(node, field.name) for field in dc.fields(node)}


def _fields_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    """The common fields that differ; of names of parts only the order of common ones, since paths show the rest."""
    differing: dict[str, Pair] = {}
    for name in one:
        if name not in other:
            continue
        values = one[name], other[name]
        if name in _NAMES:
            values = tuple(n for n in one[name] if n in other[name]), tuple(n for n in other[name] if n in one[name])
        if values[0] != values[1]:
            differing[name] = values
    return differing
