"""Operators and parts of a tree in a few words, as tables and drawings name them."""

from collections.abc import Sequence

from convsmith.nets.tree import Add, Branching, Cat, Gate, Leaf, Node, Seq, walk
from convsmith.nets.views.folding import fold

LAYERS = ("conv", "linear")  # the kinds that have weights or codes
TOLD = (*LAYERS, "pool")  # the kinds that the words of a stage mention


def convolutions(node: Node) -> list[Leaf]:
    """The convolutions in a part, in order."""
    return [leaf for _, leaf in walk(node) if isinstance(leaf, Leaf) and leaf.kind == "conv"]


def body(node: Add) -> list[Node]:
    """The branches of a sum without its shortcuts: identities, projections, padded shortcuts."""
    branches = [child for _, child in node.children]
    heavy = [branch for branch in branches if not light(branch)]
    return heavy or branches[:1]


def light(branch: Node) -> bool:
    """Whether a branch is a shortcut: no layer with weights but at most one convolution, of kernel 1."""
    if isinstance(branch, Leaf) and branch.kind != "conv":
        return True
    layers = [node for _, node in walk(branch) if isinstance(node, Leaf) and node.kind in LAYERS]
    return not layers or (len(layers) == 1 and layers[0].pointwise)


def node_words(node: Node, widths: bool = True) -> str:
    """The layers of a part: `1x1 64; 3x3 64; 1x1 256`, branches separated by `|`, repeats as `[...] x 3`.

    Without `widths`: `1x1; 3x3; 1x1`, and for branches their number and kernels.
    """
    if isinstance(node, Leaf):
        return node.words(widths) if node.kind in TOLD else ""
    if isinstance(node, Add):
        return " + ".join(text for branch in body(node) if (text := node_words(branch, widths)))
    if isinstance(node, Cat):
        if widths:
            return folded([node_words(child) for _, child in node.children], " | ")
        kernels = {leaf.words(widths) for leaf in convolutions(node)}
        return f"{len(node.children)} branches of {', '.join(sorted(kernels))}"
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


def folded(texts: Sequence[str], comma: str) -> str:
    """The texts that are not empty, joined by `comma`; repeats are folded, except two single layers."""
    words = [text for text in texts if text]
    parts: list[str] = []
    for start, period, count in fold(words):
        once = comma.join(words[start : start + period])
        unit = period == 1 and once.startswith("[") and once.endswith("]")
        if count == 1 or (count == 2 and period == 1 and not unit):
            parts += [once] * count
        else:
            parts.append(f"{once if unit else f'[{once}]'} x {count}")
    return comma.join(parts)


def part_words(node: Node, limit: int) -> str:
    """A stage or unit in at most about `limit` characters: with widths if they fit, else only with kernels."""
    words = node_words(node)
    if len(words) <= limit:
        return words or ", ".join(dict.fromkeys(n.op.replace("_", " ") for _, n in walk(node) if isinstance(n, Leaf)))
    kinds = node_words(node, widths=False)
    if len(kinds) <= limit:
        return kinds
    units = sum(isinstance(child, Branching) for _, child in node.children) if isinstance(node, Seq) else 1
    convs = len(convolutions(node))
    return f"{units} units, {convs} convolutions" if units > 1 else f"{convs} convolutions"
