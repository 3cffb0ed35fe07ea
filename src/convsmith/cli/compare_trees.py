"""The differences of the networks of runs, layer by layer, for `convsmith compare RUN RUN`."""

from collections.abc import Sequence
from typing import Any, cast

from convsmith.nets.model import Model, no_tree
from convsmith.nets.views.difference import Pair, TreeDifference, difference
from convsmith.report.text import clean

# Limits of the list: missing paths in a line, paths with the same change in a line, lines of changes.
_LACKING, _ALIKE, _LINES = 8, 3, 12
_WORDS = {"op": "operator", "children": "order", "stages": "order of stages", "heads": "order of heads"}


def trees_text(names: Sequence[str], networks: Sequence[Model]) -> str:
    """The differences of the other networks from the first; empty if there are none."""
    first, *others = networks
    parts: list[str] = []
    for name, network in zip(names[1:], others, strict=True):
        if first.tree and network.tree:
            parts.append(_difference(names[0], name, difference(first.tree, network.tree)))
        elif network != first:
            run, module = (names[0], first) if network.tree else (name, network)
            parts.append(clean(f"{run}: {no_tree(module, 'its layers cannot be compared')}"))
    return "\n\n".join(part for part in parts if part)


def trees_as_json(paths: Sequence[str], networks: Sequence[Model]) -> list[dict[str, Any]]:
    """All differences of each other network from the first; None if one of the two is not a tree."""
    first, *others = networks
    return [
        {"run": path, **vars(difference(first.tree, network.tree))}
        if first.tree and network.tree
        else {"run": path, "only_first": None, "only_second": None, "changed": None}
        for path, network in zip(paths[1:], others, strict=True)
    ]


def _difference(first: str, second: str, trees: TreeDifference) -> str:
    if not trees:
        return ""
    lines = [f"the tree of {second} against that of {first}"]
    for name, paths in ((first, trees.only_first), (second, trees.only_second)):
        if paths:
            lines.append(f"only in {name}: {_listed([_subtree(*item) for item in paths.items()], _LACKING)}")
    alike: dict[str, list[str]] = {}
    for path, fields in trees.changed.items():
        alike.setdefault(_change(fields), []).append(path or "network")
    lines += [f"{_listed(paths, _ALIKE)}: {change}" for change, paths in list(alike.items())[:_LINES]]
    if len(alike) > _LINES:
        lines.append(f"and {len(alike) - _LINES} more changes")
    return "\n".join(map(clean, lines))


def _subtree(path: str, layers: int) -> str:
    return path if layers <= 1 else f"{path} ({layers} layers)"


def _change(fields: dict[str, Pair]) -> str:
    """`channels 16, 32; stride 1, 2`"""
    changes = [f"{_WORDS.get(name, name)} {_value(one)}, {_value(other)}" for name, (one, other) in fields.items()]
    return "; ".join(changes)


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        items = [_value(item) for item in cast("tuple[Any, ...]", value)]
        return "x".join(items) if items and all(item.isdigit() for item in items) else f"({_listed(items, _LACKING)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(items: Sequence[str], limit: int) -> str:
    """The first `limit` items, and the number of the rest."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")
