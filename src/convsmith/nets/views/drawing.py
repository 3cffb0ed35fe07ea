"""A network as a picture: its stages as blocks, or its whole tree with repeats folded."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.sizes import Axes, across
from convsmith.nets.tree import MAIN, Add, Branching, Cat, Gate, Keep, Leaf, Node, Seq, Unpool, Use, walk
from convsmith.nets.views.folding import fold
from convsmith.nets.views.stages import summarize
from convsmith.nets.views.wording import convolutions, light
from convsmith.report.architecture import stages_svg
from convsmith.report.diagram import Box, Chain, Fork, Item, Panel, Repeat, diagram_svg
from convsmith.report.text import short

_ALIKE = 3  # this many or more equal branches are drawn once


def draw(network: Network) -> str:
    """The stages and the main head as SVG: their sizes, their layers, their shares of the cost."""
    stages = [stage for stage in summarize(network) if not stage.auxiliary]
    # Without this, `x 3` could break between two lines.
    return stages_svg([replace(stage, detail=stage.detail.replace("] x ", "] ×")) for stage in stages])


def diagram(network: Network) -> str:
    """The tree of a network as SVG: layers, branches side by side, gates, kept values; repeats are drawn once."""
    numbers, ends = cost(network), network.trace().stages
    panels: list[Panel] = []
    for name, node in network.stages + network.heads:
        aside = name in dict(network.heads) and name != MAIN
        title = f"{name} (training only)" if aside else name
        panels.append(Panel(title, _sizes(tuple(ends[name].shape)), Chain(tuple(_items([node]))), aside))
    costs = f"{short(numbers.params)} parameters, {short(numbers.macs)} MACs"
    others = "".join(f", {other.name} {_sizes(tuple(other.shape))}" for other in network.inputs)
    return diagram_svg(network.name, f"input {_sizes(numbers.input)}{others}: {costs}", panels)


def _sizes(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))


def _items(nodes: Sequence[Node]) -> list[Item]:
    items: list[Item] = []
    _extend(items, nodes)
    return items


def _extend(items: list[Item], nodes: Sequence[Node]) -> None:
    """Append the drawing of consecutive nodes to `items`."""
    for group, count, note in _repeats(nodes):
        if count > 1:
            repeated: list[Item] = []
            for node in group:
                _append(repeated, node)
            items.append(Repeat(count, Chain(tuple(repeated)), note))
        else:
            for node in group:
                _append(items, node)


def _append(items: list[Item], node: Node) -> None:
    if isinstance(node, Seq):
        _extend(items, [child for _, child in node.children])
    elif isinstance(node, Add | Cat | Gate):
        items.append(_fork(node))
    elif isinstance(node, Keep):
        items.append(Box(f"keep {node.name}", kind="wire"))
    elif isinstance(node, Use):
        items.append(Box(f"use {node.name}", kind="wire", source=True))
    elif isinstance(node, Unpool):
        items.append(Box(f"unpool {across(node.kernel, '×')}", f"to the maxima of {node.name}", "wire"))
    elif isinstance(node, Leaf):
        _append_leaf(items, node)


def _append_leaf(items: list[Item], leaf: Leaf) -> None:
    last, word = items[-1] if items else None, leaf.label()
    if leaf.rides and isinstance(last, Box) and last.kind != "wire":
        if last.kind == "other":
            items[-1] = replace(last, text=f"{last.text}, {word}")
        else:
            items[-1] = replace(last, note=f"{last.note}, {word}" if last.note else word)
    else:
        kind = leaf.kind if leaf.kind in ("conv", "linear", "pool") else "other"
        items.append(Box(word, kind=kind))


def _fork(node: Branching) -> Fork:
    if isinstance(node, Gate):
        return Fork("×", (Chain(), Chain(tuple(_items([child for _, child in node.children])))), straight=0)
    children = [child for _, child in node.children]
    if isinstance(node, Add):
        heavy = [child for child in children if not light(child)]
        ordered = heavy + [child for child in children if light(child)]
        straight = 0 if len(heavy) == 1 else None
        return Fork("+", tuple(Chain(tuple(_items([child]))) for child in ordered), straight)
    branches: list[Chain] = []
    kept: dict[str, int] = {}  # shared by all branches: branches with different kept values are not alike
    for start, period, count in fold([_form(child, False, kept) for child in children]):
        if period == 1 and count >= _ALIKE:
            branches.append(Chain((Repeat(count, Chain(tuple(_items([children[start]]))), "side by side"),)))
        else:
            branches += [Chain(tuple(_items([child]))) for child in children[start : start + period * count]]
    return Fork("concat", tuple(branches), straight=0 if len(branches) == 1 else None)


def _repeats(nodes: Sequence[Node]) -> list[tuple[Sequence[Node], int, str]]:
    """Consecutive nodes with repeats folded: (nodes, number of repeats, how the repeats differ)."""
    atoms = _atoms(nodes)
    exact = [_forms(atom) for atom in atoms]
    folded: list[tuple[Sequence[Node], int, str]] = []
    for start, period, count in fold([_forms(atom, loose=True) for atom in atoms]):
        repeats = [slice(i, i + period) for i in range(start, start + period * count, period)]
        if count > 1 and all(exact[repeat] == exact[repeats[1]] for repeat in repeats[2:]):
            folded += _folded([_joined(atoms[repeat]) for repeat in repeats])
        else:
            for s, p, c in fold(exact[start : start + period * count]):
                folded += _folded([_joined(atoms[start + s + i * p : start + s + (i + 1) * p]) for i in range(c)])
    return folded


def _folded(repeats: Sequence[Sequence[Node]]) -> list[tuple[Sequence[Node], int, str]]:
    """The second repeat drawn for all, since the first may have a stride or shortcut; two single layers stay two."""
    single = len(repeats) == 2 and all(isinstance(node, Leaf) for node in repeats[0])
    if len(repeats) == 1 or single:
        return [(nodes, 1, "") for nodes in repeats]
    return [(repeats[1], len(repeats), _difference(repeats))]


def _atoms(nodes: Sequence[Node]) -> list[Sequence[Node]]:
    """Each node together with the operators that ride on it."""
    atoms: list[list[Node]] = []
    for node in nodes:
        if not (atoms and isinstance(node, Leaf) and node.rides):
            atoms.append([])
        atoms[-1].append(node)
    return [*atoms]


def _joined(atoms: Sequence[Sequence[Node]]) -> Sequence[Node]:
    return [node for atom in atoms for node in atom]


def _forms(nodes: Sequence[Node], loose: bool = False) -> Hashable:
    """A key of nodes, equal for nodes drawn alike: without names, dropping probabilities and selected channels.

    Kept values are numbered in order of appearance. `loose` ignores what only the first unit of a stage has: strides
    and shortcuts.
    """
    kept: dict[str, int] = {}
    return tuple(_form(node, loose, kept) for node in nodes)


def _form(node: Node, loose: bool, kept: dict[str, int]) -> Hashable:
    if isinstance(node, Keep | Use | Unpool):
        return (node.op, kept.setdefault(node.name, len(kept)))
    if isinstance(node, Leaf):
        return node.alike(loose)
    if isinstance(node, Branching):
        children = [c for _, c in node.children if not (isinstance(c, Leaf) and c.alike(loose) is None)]
        if loose and isinstance(node, Add) and not all(map(light, children)):
            children = [child for child in children if not light(child)]
        return (node.op, *(_form(child, loose, kept) for child in children))
    return node


def _difference(repeats: Sequence[Sequence[Node]]) -> str:
    """The difference of repeats, as text: `first: stride 2, 1×1 shortcut`, or that each has its own kept values."""
    first, typical = repeats[0], repeats[1]
    differences: list[str] = []
    if _strides(first) != _strides(typical):
        differences.append(f"stride {_strides(first)}")
    if _shortcuts(first) != _shortcuts(typical):
        differences.append(_shortcuts(first))
    if differences:
        return f"first: {', '.join(differences)}"
    return "each with its own kept values" if len({_kept(nodes) for nodes in repeats}) > 1 else ""


def _kept(nodes: Sequence[Node]) -> tuple[str, ...]:
    return tuple(n.name for node in nodes for _, n in walk(node) if isinstance(n, Keep | Use | Unpool))


def _strides(nodes: Sequence[Node]) -> str:
    """The largest stride of a convolution."""
    strides: list[Axes] = [getattr(conv, "stride", 1) for node in nodes for conv in convolutions(node)]
    largest = max((s if isinstance(s, tuple) else (s, s) for s in strides), default=(1, 1))
    return str(largest[0]) if len(set(largest)) == 1 else across(largest, "×")


def _shortcuts(nodes: Sequence[Node]) -> str:
    """The kind of the shortcuts of sums: `1×1 shortcut`, `padded shortcut`, `identity`."""
    sums = [n for node in nodes for _, n in walk(node) if isinstance(n, Add)]
    shortcuts = [child for s in sums for _, child in s.children if light(child)]
    if any(map(convolutions, shortcuts)):
        return "1×1 shortcut"
    padded = any(node.op == "pad_channels" for shortcut in shortcuts for _, node in walk(shortcut))
    return "padded shortcut" if padded else "identity"
