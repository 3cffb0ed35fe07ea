"""Edits that merge layers for inference: a normalization into its convolution, parallel convolutions into one.

These edit trees only; `nets/weights/carry.py` computes the weights.
"""

from dataclasses import replace

from convsmith.nets.edits.record import edit_all, recorded
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, ConvTranspose, Linear
from convsmith.nets.tree import Add, Node, Seq


def fold_norm(network: Network) -> Network:
    """Each batch normalization right behind a convolution or linear layer becomes part of its weights and bias."""

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Seq):
            return node
        children: list[tuple[str, Node]] = []
        for name, child in node.children:
            last = children[-1][1] if children else None
            if isinstance(child, BatchNorm) and isinstance(last, Conv | ConvTranspose | Linear):
                children[-1] = (children[-1][0], replace(last, bias=True))
            else:
                children.append((name, child))
        return Seq(tuple(children))

    return recorded(network, edit_all(network, change), "fold_norm")


def reparameterise(network: Network) -> Network:
    """Each sum of parallel convolutions (normalized or not) and normalized identities becomes one convolution.

    RepVGG's form for inference (Ding et al. 2021, section 3.3). The branches must share stride and groups, and their
    kernels their center.
    """

    def change(path: str, node: Node) -> Node:
        return merged(node) or node if isinstance(node, Add) else node

    return recorded(network, edit_all(network, change), "reparameterise")


def merged(node: Add) -> Conv | None:
    """The convolution equal to a sum of parallel ones; None if a single one cannot compute it."""
    parts = [branch_parts(child) for _, child in node.children]
    convs = [part[0] for part in parts if part is not None and part[0] is not None]
    if None in parts or len(parts) < 2 or not convs:
        return None
    largest = max(convs, key=lambda conv: conv.kernel if isinstance(conv.kernel, int) else 0)
    for conv in convs:
        sizes = (conv.kernel, conv.padding, largest.kernel, largest.padding)
        if not all(isinstance(size, int) for size in sizes) or conv.dilation != 1:
            return None
        kernel, padding, most, sides = sizes
        if (conv.stride, conv.groups, conv.channels) != (largest.stride, largest.groups, largest.channels):
            return None
        if kernel % 2 == 0 or most // 2 - sides != kernel // 2 - padding:  # pyright: ignore[reportOperatorIssue]
            return None
    if len(convs) < len(parts) and (largest.stride != 1 or 2 * largest.padding + 1 != largest.kernel):  # pyright: ignore[reportOperatorIssue]
        return None
    return replace(largest, bias=True)


def branch_parts(node: Node) -> tuple[Conv | None, BatchNorm | None] | None:
    """A branch as its convolution and normalization, either of which may be None; None if it holds more."""
    if isinstance(node, Conv):
        return node, None
    if isinstance(node, BatchNorm):
        return None, node
    if not isinstance(node, Seq):
        return None
    match [child for _, child in node.children]:
        case []:
            return None, None
        case [Conv() as conv]:
            return conv, None
        case [BatchNorm() as norm]:
            return None, norm
        case [Conv() as conv, BatchNorm() as norm]:
            return conv, norm
        case _:
            return None
