"""Operators and parts of a tree in a few words, as tables and drawings name them."""

from collections.abc import Sequence
from dataclasses import fields

from convsmith.nets.folding import fold
from convsmith.nets.ops import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    AvgPoolSame,
    Conv,
    ConvTranspose,
    Linear,
    MaxPool,
    Rbf,
)
from convsmith.nets.sizes import Axes
from convsmith.nets.tree import Add, Branching, Cat, Gate, Leaf, Node, Seq, walk

WEIGHTED = (Conv, ConvTranspose, Linear, Rbf)
POOLS = (MaxPool, AvgPool, AvgPoolSame, AdaptiveAvgPool, AdaptiveMaxPool)


def across(value: Axes) -> str:
    """A size given once or per axis: `3x3`, `1x7`, `5-wide` along a single axis."""
    if isinstance(value, int):
        return f"{value}x{value}"
    return f"{value[0]}-wide" if len(value) == 1 else "x".join(map(str, value))


def leaf_words(leaf: Leaf) -> str:
    """An operator as the lectures' tables write it: `3x3 64`, `dw 3x3 96`, `3x3 128 C=32`, `max pool 3x3`."""
    if isinstance(leaf, Conv | ConvTranspose):
        return _conv(leaf)
    if isinstance(leaf, Linear | Rbf):
        return f"{leaf.op} {leaf.channels}"
    if isinstance(leaf, AdaptiveAvgPool | AdaptiveMaxPool):
        kind = "" if isinstance(leaf, AdaptiveAvgPool) else "max "
        return f"global {kind}pool" if leaf.size in (1, (1, 1)) else f"{kind}pool to {across(leaf.size)}"
    if isinstance(leaf, MaxPool | AvgPool | AvgPoolSame):
        return f"{'max' if isinstance(leaf, MaxPool) else 'average'} pool {across(leaf.kernel)}"
    return leaf.op.replace("_", " ")


def depthwise(leaf: Conv | ConvTranspose) -> bool:
    """Whether each channel has a filter of its own."""
    return leaf.groups > 1 and leaf.channels % leaf.groups == 0 and leaf.channels // leaf.groups <= 2


def _conv(leaf: Conv | ConvTranspose) -> str:
    transposed = "up " if isinstance(leaf, ConvTranspose) else ""
    dilated = f" dilated {leaf.dilation}" if leaf.dilation not in (1, (1, 1)) else ""
    text = f"{transposed}{across(leaf.kernel)} {leaf.channels}{dilated}"
    if depthwise(leaf):
        return f"dw {text}"
    return f"{text} C={leaf.groups}" if leaf.groups > 1 else text


def body(node: Add) -> list[Node]:
    """The branches of a sum that tell what it is made of: without identities, projections and padded shortcuts."""
    branches = [child for _, child in node.children]
    heavy = [branch for branch in branches if not light(branch)]
    return heavy or branches[:1]


def light(branch: Node) -> bool:
    """Whether a branch is a shortcut: no layer with weights but at most one convolution, of kernel 1."""
    if isinstance(branch, Leaf) and not isinstance(branch, Conv):
        return True
    leaves = [node for _, node in walk(branch) if isinstance(node, Leaf)]
    convs = [leaf for leaf in leaves if isinstance(leaf, WEIGHTED)]
    return not convs or (len(convs) == 1 and isinstance(convs[0], Conv) and convs[0].kernel in (1, (1, 1)))


def node_words(node: Node, widths: bool = True) -> str:
    """What a part is made of: `1x1 64; 3x3 64; 1x1 256`, branches parted by `|`, repeats as `[...] x 3`.

    Without `widths` it is `1x1; 3x3; 1x1`, and of branches their number and kernels.
    """
    if isinstance(node, Leaf):
        if not isinstance(node, (*WEIGHTED, *POOLS)):
            return ""
        return leaf_words(node) if widths else _kernel(node)
    if isinstance(node, Add):
        return " + ".join(text for branch in body(node) if (text := node_words(branch, widths)))
    if isinstance(node, Cat):
        if widths:
            return folded([node_words(child) for _, child in node.children], " | ")
        kernels = sorted({_kernel(leaf) for _, leaf in walk(node) if isinstance(leaf, Conv)})
        return f"{len(node.children)} branches of {', '.join(kernels)}"
    if isinstance(node, Gate):
        return "gate"
    if isinstance(node, Seq):
        return folded([_bracketed(child, widths) for _, child in node.children], "; ")
    return ""


def _bracketed(child: Node, widths: bool) -> str:
    words = node_words(child, widths)
    several = "; " in words or " | " in words or " branches of " in words
    bracketed = words.startswith("[") and words.endswith("]")
    return f"[{words}]" if isinstance(child, Branching) and several and not bracketed else words


def _kernel(leaf: Leaf) -> str:
    """A layer without its width."""
    if isinstance(leaf, Conv | ConvTranspose):
        return f"dw {across(leaf.kernel)}" if depthwise(leaf) else across(leaf.kernel)
    return leaf.op if isinstance(leaf, WEIGHTED) else leaf_words(leaf)


def folded(texts: Sequence[str], comma: str) -> str:
    """The texts that are not empty, one after the other; repeats are written once, but for two single layers."""
    told = [text for text in texts if text]
    parts: list[str] = []
    for start, period, count in fold(told):
        once = comma.join(told[start : start + period])
        unit = period == 1 and once.startswith("[") and once.endswith("]")
        if count == 1 or (count == 2 and period == 1 and not unit):
            parts += [once] * count
        else:
            parts.append(f"{once if unit else f'[{once}]'} x {count}")
    return comma.join(parts)


def part_words(node: Node, limit: int) -> str:
    """A stage or unit in at most about `limit` characters: with widths where these fit, else only with kernels."""
    words = node_words(node)
    if len(words) <= limit:
        return words or ", ".join(dict.fromkeys(n.op.replace("_", " ") for _, n in walk(node) if isinstance(n, Leaf)))
    kinds = node_words(node, widths=False)
    if len(kinds) <= limit:
        return kinds
    units = sum(isinstance(child, Branching) for _, child in node.children) if isinstance(node, Seq) else 1
    convs = sum(isinstance(n, Conv) for _, n in walk(node))
    return f"{units} units, {convs} convolutions" if units > 1 else f"{convs} convolutions"


def options(leaf: Leaf) -> str:
    """An operator's fields that differ from their defaults: `size 5, alpha 0.001`."""
    defaults = {f.name: f.default for f in fields(leaf)}
    given = {name: getattr(leaf, name) for name in defaults}
    return ", ".join(f"{name} {value}" for name, value in given.items() if value != defaults[name])
