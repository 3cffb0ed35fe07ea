"""Where two trees differ, node by node. No torch here."""

import dataclasses as dc
from collections.abc import Mapping
from typing import Any

from convsmith.nets.network import Network
from convsmith.nets.tree import Branching, Leaf, Node, walk

Pair = tuple[Any, Any]
_NAMES = ("children", "stages", "heads")  # the fields that are names of parts


@dc.dataclass(frozen=True)
class TreeDifference:
    """What tells a second tree from a first one.

    `only_first` and `only_second` are the paths of nodes that the other has not, each the uppermost of its kind, with
    the number of layers in them. `changed` are fields that differ, by path and name; the path "" is the network's own.
    Of a node that became quite another (a layer a sequence, say) that alone is told, and not what is inside.
    """

    only_first: dict[str, int]
    only_second: dict[str, int]
    changed: dict[str, dict[str, Pair]]

    def __bool__(self) -> bool:
        return bool(self.only_first or self.only_second or self.changed)


def difference(first: Network, second: Network) -> TreeDifference:
    """Paths, operators, their fields and the order of children; the names and what the networks were made from not."""
    found = TreeDifference({}, {}, {})
    if whole := _fields_of(_whole(first), _whole(second)):
        found.changed[""] = whole
    _compare(dict(first.stages + first.heads), dict(second.stages + second.heads), "", found)
    return found


def _compare(first: Mapping[str, Node], second: Mapping[str, Node], path: str, found: TreeDifference) -> None:
    """Note the differences of the parts at `path`, in their order."""
    for name, node in first.items():
        inner = f"{path}.{name}" if path else name
        if name not in second:
            found.only_first[inner] = _layers(node)
            continue
        if fields := _changed(node, second[name]):
            found.changed[inner] = fields
        one, other = _children(node), _children(second[name])
        if node.op == second[name].op or one.keys() & other.keys():
            _compare(one, other, inner, found)
    found.only_second.update(
        {f"{path}.{name}" if path else name: _layers(node) for name, node in second.items() if name not in first}
    )


def _children(node: Node) -> dict[str, Node]:
    return dict(node.children) if isinstance(node, Branching) else {}


def _layers(node: Node) -> int:
    return sum(isinstance(inner, Leaf) for _, inner in walk(node))


def _whole(network: Network) -> dict[str, Any]:
    """What the nodes do not say."""
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
    """The fields that differ; of another operator its name and the fields that both have."""
    kinds = {"op": (one.op, other.op)} if one.op != other.op else {}
    return kinds | _fields_of(_fields(one), _fields(other))


def _fields(node: Node) -> dict[str, Any]:
    if isinstance(node, Branching):
        return {"children": tuple(name for name, _ in node.children)}
    return {field.name: getattr(node, field.name) for field in dc.fields(node)}


def _fields_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    """Those of both that differ; of names only the order of the common ones, since the rest have their own paths."""
    found: dict[str, Pair] = {}
    for name in one:
        if name not in other:
            continue
        values = one[name], other[name]
        if name in _NAMES:
            values = tuple(n for n in one[name] if n in other[name]), tuple(n for n in other[name] if n in one[name])
        if values[0] != values[1]:
            found[name] = values
    return found
