"""The walk along a tree in the order of execution, with the shape and receptive field at every edge."""

from dataclasses import dataclass, replace
from functools import lru_cache

from convsmith.base.errors import UsageError, unknown
from convsmith.nets.ops import MaxPool
from convsmith.nets.shape import Field, Shape, Signal, Window
from convsmith.nets.tree import Add, Branching, Cat, Gate, Keep, Leaf, Node, Seq, Unpool, Use


@dataclass(frozen=True, slots=True)
class Step:
    """One executed node: its path, its input `x` and its output `y`."""

    path: str
    node: Node
    x: Signal
    y: Signal


def trace(node: Node, shape: Shape, kept: dict[str, Signal] | None = None, path: str = "") -> list[Step]:
    """Every node of the tree in the order in which it finishes, so the last step is the tree itself.

    `kept` holds the values that `keep` has stored so far; the walk adds to it. An error names the path of its node.
    """
    steps: list[Step] = []
    _follow(node, Signal(shape, Field.point(len(shape.spatial))), {} if kept is None else kept, path, steps)
    return steps


def follow(node: Node, x: Signal, kept: dict[str, Signal], path: str) -> list[Step]:
    """`trace` from a signal that another part of the network gives."""
    steps: list[Step] = []
    _follow(node, x, kept, path, steps)
    return steps


def _follow(node: Node, x: Signal, kept: dict[str, Signal], path: str, steps: list[Step]) -> Signal:
    if isinstance(node, Leaf):
        y = _leaf_output(node, x, path)
        if node.reads:
            y = _reading_output(node, x, y, kept, path)
    elif isinstance(node, Keep):
        y = kept[node.name] = x
    elif isinstance(node, Use):
        y = _kept(node.name, kept, path)
    elif isinstance(node, Unpool):
        y = _unpool_output(node, x, _kept(node.name, kept, path), path)
    elif isinstance(node, Seq | Gate):
        y = x
        for name, child in node.children:
            y = _follow(child, y, kept, _join(path, name), steps)
        if isinstance(node, Gate):
            y = _gate_output(x, y, path)
    elif isinstance(node, Add | Cat):
        branches = [_follow(child, x, kept, _join(path, name), steps) for name, child in node.children]
        y = _merge(node, branches, path)
    else:
        raise TypeError(f"{path}: {node!r} is not a node of a tree")
    steps.append(Step(path, node, x, y))
    return y


def _kept(name: str, kept: dict[str, Signal], path: str) -> Signal:
    if name not in kept:
        raise unknown(f"kept value at {path}:", name, kept)
    return kept[name]


def _reading_output(leaf: Leaf, x: Signal, y: Signal, kept: dict[str, Signal], path: str) -> Signal:
    """The output of a leaf that also reads kept values; raises UsageError if one has the wrong shape."""
    field = y.field
    for name, shape in zip(leaf.reads, leaf.wants(x.shape), strict=True):
        value = _kept(name, kept, path)
        if value.shape != shape:
            raise UsageError(f"{path}: {leaf.op} of {x.shape} needs {name!r} of {shape}, which is {value.shape}")
        if value.field.of == field.of and value.field.whole and not field.whole:
            field = replace(field, gated=True)
    return Signal(y.shape, field)


def _unpool_output(node: Unpool, x: Signal, source: Signal, path: str) -> Signal:
    pooled = MaxPool(node.kernel, node.stride, node.padding).output(source.shape)
    if pooled != x.shape:
        raise UsageError(f"{path}: unpooling to {node.name!r}, which pools to {pooled}, receives {x.shape}")
    windows = (Window(node.kernel, 1, node.padding, up=node.stride),) * len(x.shape.spatial)
    return Signal(source.shape, x.field.slide(windows))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _leaf_output(leaf: Leaf, x: Signal, path: str) -> Signal:
    try:
        shape, windows = _sizes(leaf, x.shape)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    field = x.field if windows is None else x.field.slide(windows)
    return Signal(shape, replace(field, whole=True) if leaf.whole else field)


@lru_cache(maxsize=4096)
def _sizes(leaf: Leaf, x: Shape) -> tuple[Shape, tuple[Window, ...] | None]:
    """The output shape and the windows of a leaf; cached, since a deep network has hundreds of equal leaves."""
    return leaf.output(x), leaf.windows(x)


def _gate_output(x: Signal, y: Signal, path: str) -> Signal:
    fits = y.shape.channels in (1, x.shape.channels) and all(
        b in (1, a) for a, b in zip(x.shape.spatial, y.shape.spatial, strict=False)
    )
    if not fits or len(x.shape.spatial) != len(y.shape.spatial):
        raise UsageError(f"{path}: a gate of {y.shape} cannot scale an input of {x.shape}")
    if not y.field.whole or x.field.of != y.field.of:
        return Signal(x.shape, _joined(x.field, y.field, path))
    return Signal(x.shape, replace(x.field, gated=True))


def _joined(field: Field, other: Field, path: str) -> Field:
    try:
        return field.join(other)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _merge(node: Branching, branches: list[Signal], path: str) -> Signal:
    if not branches:
        raise UsageError(f"{path}: {node.op} has no children")
    shapes = [b.shape for b in branches]
    alike = {s.spatial if isinstance(node, Cat) else s for s in shapes}
    if len(alike) > 1:
        what = "spatial size" if isinstance(node, Cat) else "shape"
        raise UsageError(f"{path}: {node.op} needs branches of one {what}, received {', '.join(map(str, shapes))}")
    field = branches[0].field
    for branch in branches[1:]:
        field = _joined(field, branch.field, path)
    channels = sum(s.channels for s in shapes) if isinstance(node, Cat) else shapes[0].channels
    return Signal(Shape(channels, shapes[0].spatial), field)
