"""Edits of inputs and outputs: classes, heads, stages, channels, image size."""

from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.nets.edits.record import edit_stages, recorded
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, ConvTranspose, Linear, Rbf
from convsmith.nets.parts import pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Keep, Node, Seq, rewrite, seq, walk
from convsmith.report.text import many


def classes(network: Network, count: int) -> Network:
    """The network with `count` outputs: the last linear layer or convolution of every head gets another width."""
    if count < 1:
        raise UsageError(f"classes: expected at least 1, received {count}")
    heads = tuple((name, _with_outputs(network, name, head, count)) for name, head in network.heads)
    return recorded(network, replace(network, heads=heads), "classes", count)


def _with_outputs(network: Network, name: str, head: Node, count: int) -> Node:
    last = [path for path, node in walk(head, name) if isinstance(node, Linear | Conv | ConvTranspose | Rbf)]
    if not last and name == MAIN:
        raise UsageError(
            f"{network.name}: the head has no linear layer or convolution to give {many(count, 'class', 'classes')}"
        )

    def change(path: str, node: Node) -> Node:
        return (
            replace(node, channels=count)
            if path == last[-1] and isinstance(node, Linear | Conv | ConvTranspose | Rbf)
            else node
        )

    return rewrite(head, change, name) if last else head


def main_head(network: Network) -> Network:
    """The network without auxiliary heads and their kept values: for small images or for deployment."""
    heads = tuple((name, head) for name, head in network.heads if name == MAIN)
    return recorded(network, _without_unused(network, replace(network, heads=heads)), "main_head")


def cut(network: Network, stage: str) -> Network:
    """The network up to the end of `stage`, then global average pooling and one linear layer.

    The later stages and all heads are removed.
    """
    names = [name for name, _ in network.stages]
    if stage not in names:
        raise UsageError(f"cut: {network.name} has no stage {stage!r}; its stages are {', '.join(names)}")
    spatial = network.trace().stages[stage].shape.spatial
    head = pooled_head(network.classes) if spatial else seq(linear=Linear(network.classes))
    shorter = replace(network, stages=network.stages[: names.index(stage) + 1], heads=((MAIN, head),))
    return recorded(network, _without_unused(network, shorter), "cut", stage)


def _used(network: Network) -> set[str]:
    """The names of the kept values that some part reads."""
    parts = network.stages + network.heads
    return {read for name, root in parts for _, node in walk(root, name) for read in node.reads}


def _without_unused(before: Network, network: Network) -> Network:
    """Removes each `keep` that only removed parts read; a `keep` that no part of `before` read stays for callers."""
    unused = _used(before) - _used(network)

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Seq):
            return node
        kept = tuple((n, c) for n, c in node.children if not isinstance(c, Keep) or c.name not in unused)
        return node if kept == node.children else Seq(kept)

    return edit_stages(network, change)


def channels(network: Network, count: int) -> Network:
    """The network for images of `count` channels; the first layers adapt to it."""
    if count < 1:
        raise UsageError(f"channels: expected at least 1, received {count}")
    return recorded(network, replace(network, input=Shape(count, network.input.spatial)), "channels", count)


def size(network: Network, height: int, width: int | None = None) -> Network:
    """The network for images of `height` by `width` (`height` along every axis if `width` is None)."""
    axes = len(network.input.spatial)
    if width is not None and axes != 2:
        raise UsageError(f"size: {network.name} takes inputs with {axes} spatial axes; give one size")
    shape = Shape(network.input.channels, (height,) * axes if width is None else (height, width))
    if not shape.spatial:
        raise UsageError(f"size: {network.name} takes vectors, which have no size")
    if min(shape.spatial) < 1:
        raise UsageError(f"size: expected at least 1, received {min(shape.spatial)}")
    _check_fits(network, shape)
    check_map(network, shape)
    args = shape.spatial if axes == 2 else (height,)
    return recorded(network, replace(network, input=shape), "size", *args)


def check_map(network: Network, shape: Shape) -> None:
    """Raise UsageError if an autoencoder would not give maps of the new size: its decoder has a fixed output size."""
    gave, gives = (network.trace(x).stages[MAIN].shape.spatial for x in (network.input, shape))
    if gave == network.input.spatial and gives != shape.spatial:
        before, after = ("x".join(map(str, sizes)) for sizes in (gives, shape.spatial))
        raise UsageError(
            f"size: {network.name} gives maps of the size of its input, and would give {before} for {after}; "
            f"make it for that size by its number: network({network.name!r}, size={shape.spatial[0]})"
        )


_LARGEST = 4096  # the largest size to try in the search for one that works


def _check_fits(network: Network, shape: Shape) -> None:
    """Raise UsageError if the network cannot take a size; the error names the smallest larger size that works."""
    try:
        network.trace(shape)
    except UsageError as error:
        works = _smallest(network, max(shape.spatial))
        raise UsageError(f"{error}" + (f"; the size {works} works" if works else "")) from None


def _smallest(network: Network, side: int) -> int | None:
    """The smallest size above `side` that the network takes, by doubling, then bisection; None if there is none."""

    def fits(size: int) -> bool:
        try:
            network.trace(Shape(network.input.channels, (size,) * len(network.input.spatial)))
        except UsageError:
            return False
        return True

    low, high = side, 2 * side
    while not fits(high):
        low, high = high, 2 * high
        if low > _LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
