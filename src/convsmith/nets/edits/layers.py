"""Edits that add or replace layers: dropout, DropConnect, normalization, pooling, activation."""

from dataclasses import replace

from convsmith.base.errors import UsageError, unknown
from convsmith.nets.edits.record import edit_all, edit_stages, is_residual, recorded, shapes
from convsmith.nets.network import Network
from convsmith.nets.ops import (
    ACTIVATIONS,
    Act,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dropout,
    FractionalMaxPool,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Pad,
    StochasticPool,
)
from convsmith.nets.shape import Shape
from convsmith.nets.sizes import per_axis
from convsmith.nets.tree import MAIN, Add, Branching, Gate, Node, Seq, rewrite, seq, walk

_NORMS = (BatchNorm, GroupNorm, LayerNorm)


def dropout(network: Network, drop: float, place: str = "head", form: str = "inverted") -> Network:
    """Dropout with probability `drop` (the lectures' keep probability is 1 - drop).

    `place` "head": changes the existing dropout, or inserts one before the last linear layer. "branch": inserts one
    before the last convolution of each residual branch (Zagoruyko and Komodakis 2016, section 2.4). The "inverted" form
    scales the kept values in training, the "plain" form all values in evaluation (Srivastava et al. 2014, section 10).
    """
    if not 0 <= drop < 1:
        raise UsageError(f"dropout: expected a probability from 0 to below 1, received {drop}")
    if place not in ("head", "branch"):
        raise UsageError(f"dropout: place is 'head' or 'branch', received {place!r}")
    if form not in ("inverted", "plain"):
        raise UsageError(f"dropout: form is 'inverted' or 'plain', received {form!r}")
    leaf = Dropout(drop, form)
    after = _drop_in_head(network, leaf) if place == "head" else _drop_in_branches(network, leaf)
    given = (drop, place, form) if form == "plain" else (drop, place) if place == "branch" else (drop,)
    return recorded(network, after, "dropout", *given)


def _drop_in_head(network: Network, leaf: Dropout) -> Network:
    heads = dict(network.heads)
    inside = list(walk(heads[MAIN], MAIN))
    has = any(isinstance(node, Dropout) for _, node in inside)
    last = [path for path, node in inside if isinstance(node, Linear | Conv)][-1:]

    def change(path: str, node: Node) -> Node:
        if isinstance(node, Dropout):
            return leaf
        if not has and isinstance(node, Seq):
            return _inserted(node, path, last, "dropout", leaf)
        return node

    heads[MAIN] = rewrite(heads[MAIN], change, MAIN)
    return replace(network, heads=tuple(heads.items()))


def _drop_in_branches(network: Network, leaf: Dropout) -> Network:
    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Add) or not is_residual(node):
            return node
        children = dict(node.children)
        branch = children["branch"]
        convs = [p for p, inner in walk(branch, "branch") if isinstance(inner, Conv) and ".se." not in p]
        if len(convs) < 2 or not isinstance(branch, Seq):
            return node
        children["branch"] = rewrite(
            branch,
            lambda p, inner: _inserted(inner, p, convs[-1:], "dropout", leaf) if isinstance(inner, Seq) else inner,
            "branch",
        )
        return Add(tuple(children.items()))

    return edit_stages(network, change)


def _inserted(node: Seq, path: str, places: list[str], name: str, leaf: Node) -> Seq:
    """`node` with `leaf` before the children that `places` names; a child that is called `name` is replaced."""
    children: list[tuple[str, Node]] = []
    for child_name, child in node.children:
        if f"{path}.{child_name}" in places:
            children = [(n, c) for n, c in children if n != name]
            children.append((name, leaf))
        children.append((child_name, child))
    return Seq(tuple(children))


def dropconnect(network: Network, drop: float) -> Network:
    """DropConnect on the fully connected layers of the main head except the last, or on the only one.

    Training drops weights, not values (Wan et al. 2013).
    """
    if not 0 <= drop < 1:
        raise UsageError(f"dropconnect: expected a probability from 0 to below 1, received {drop}")
    heads = dict(network.heads)
    layers = [path for path, node in walk(heads[MAIN], MAIN) if isinstance(node, Linear)]
    chosen = layers[:-1] or layers

    def change(path: str, node: Node) -> Node:
        return replace(node, dropconnect=drop) if path in chosen and isinstance(node, Linear) else node

    heads[MAIN] = rewrite(heads[MAIN], change, MAIN)
    return recorded(network, replace(network, heads=tuple(heads.items())), "dropconnect", drop)


def norm(network: Network, kind: str, groups: int = 32) -> Network:
    """Another normalization everywhere: "batch", "group", "layer" or "none".

    "group" takes `groups` groups, or the largest number below that divides the channels (Wu and He 2018 use 32). A
    network without normalization gets one after each convolution that an activation follows. With "none" the layer
    before each removed normalization gets a bias in place of the shift.
    """
    if kind not in ("batch", "group", "layer", "none"):
        raise unknown("normalization", kind, ("batch", "group", "layer", "none"))
    if groups < 1:
        raise UsageError(f"norm: expected at least 1 group, received {groups}")
    sizes = shapes(network)

    def made(shape: Shape) -> Node:
        if kind == "group":
            return GroupNorm(next(n for n in range(min(groups, shape.channels), 0, -1) if shape.channels % n == 0))
        return LayerNorm() if kind == "layer" else BatchNorm()

    def exchanged(path: str, node: Node) -> Node:
        if kind == "none" and isinstance(node, Seq):
            return _without_norms(node)
        same = isinstance(node, {"batch": BatchNorm, "group": GroupNorm, "layer": LayerNorm}.get(kind, ()))
        return made(sizes[path][0]) if isinstance(node, _NORMS) and kind != "none" and not same else node

    def added(path: str, node: Node) -> Node:
        if not isinstance(node, Seq) or kind == "none":
            return node
        children: list[tuple[str, Node]] = []
        for i, (name, child) in enumerate(node.children):
            children.append((name, child))
            follows = node.children[i + 1][1] if i + 1 < len(node.children) else None
            if isinstance(child, Conv) and isinstance(follows, Act):
                children.append((_free(node, name.replace("conv", "norm", 1)), made(sizes[f"{path}.{name}"][1])))
        return Seq(tuple(children))

    has = any(isinstance(step.node, _NORMS) for step in network.trace().steps)
    after = edit_all(network, exchanged) if has else edit_stages(network, added)
    return recorded(network, after, "norm", *((kind,) if groups == 32 else (kind, groups)))


def _free(node: Branching, name: str) -> str:
    """`name`, or the first `name_2`, `name_3`, ... that no child of `node` has."""
    taken = dict(node.children)
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _without_norms(node: Seq) -> Seq:
    children: list[tuple[str, Node]] = []
    for name, child in node.children:
        if not isinstance(child, _NORMS):
            children.append((name, child))
        elif children and isinstance(children[-1][1], Conv | ConvTranspose | Linear):
            before, layer = children[-1]
            children[-1] = (before, replace(layer, bias=True))
    return Seq(tuple(children))


def pool(network: Network, kind: str) -> Network:
    """Another kind for every pooling over windows: "max", "average", "stochastic" or "fractional".

    The windows stay. Fractional pooling is the exception: it divides each side by the square root of two, so that
    features are larger. Pooling over the whole image stays.
    """
    makers = {"max": _max, "average": _average, "stochastic": _stochastic, "fractional": _fractional}
    if kind not in makers:
        raise unknown("pooling", kind, makers)
    sizes = shapes(network)

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, MaxPool | AvgPool) or max(per_axis(node.kernel, sizes[path][0])) == 1:
            return node
        return makers[kind](node, *sizes[path])

    return recorded(network, edit_stages(network, change), "pool", kind)


def _max(node: MaxPool | AvgPool, x: Shape, y: Shape) -> Node:
    return node if isinstance(node, MaxPool) else MaxPool(node.kernel, node.stride, node.padding, node.ceil)


def _average(node: MaxPool | AvgPool, x: Shape, y: Shape) -> Node:
    return node if isinstance(node, AvgPool) else AvgPool(node.kernel, node.stride, node.padding, node.ceil)


def _stochastic(node: MaxPool | AvgPool, x: Shape, y: Shape) -> Node:
    """Stochastic pooling after zero padding, which replaces padding and incomplete windows: zeros are never picked."""
    kernel, stride, before = (per_axis(value, x) for value in (node.kernel, node.stride, node.padding))
    reach = [(n - 1) * s + k for n, s, k in zip(y.spatial, stride, kernel, strict=True)]
    after = tuple(r - b - n for r, b, n in zip(reach, before, x.spatial, strict=True))
    pooling = StochasticPool(node.kernel, node.stride)
    return seq(pad=Pad(before, after), pool=pooling) if any(before) or max(after) > 0 else pooling


def _fractional(node: MaxPool | AvgPool, x: Shape, y: Shape) -> Node:
    return FractionalMaxPool() if x.spatial != y.spatial else node


def act(network: Network, function: str) -> Network:
    """Another activation function everywhere but in gates: `act=silu`."""
    ACTIVATIONS[function]
    gated = {path for name, root in network.stages for path, node in walk(root, name) if isinstance(node, Gate)}

    def change(path: str, node: Node) -> Node:
        inside = any(path.startswith(f"{gate}.") for gate in gated)
        return Act(function) if isinstance(node, Act) and not inside else node

    return recorded(network, edit_all(network, change), "act", function)
