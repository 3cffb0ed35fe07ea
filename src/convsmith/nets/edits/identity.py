"""The edit `identity_layers`: a deeper network that starts with the same outputs."""

from itertools import pairwise

from convsmith.base.errors import UsageError
from convsmith.nets.edits.record import edit_stages, is_residual, recorded, shapes
from convsmith.nets.network import Network
from convsmith.nets.ops import Act
from convsmith.nets.parts import padded_conv
from convsmith.nets.tree import Add, Branching, Keep, Node, Seq, walk

IDENTITY_LAYER = "identity"  # the first word of the names of added layers
_IDEMPOTENT = ("relu", "relu6")  # f(f(x)) = f(x), so that a second one changes nothing


def identity_layers(network: Network, count: int = 1) -> Network:
    """Each stage gets `count` more layers that can be the identity (He et al. 2016, section 1).

    A stage of residual units gets copies of its last unit, which is the identity if its branch gives 0. In a network
    without such units each stage gets 3x3 convolutions after its last ReLU. With weights (`convsmith finetune`, the
    experiment `identity`) the new layers start as the identity; in a newly built network they are drawn like others.
    """
    if count < 1:
        raise UsageError(f"identity_layers: expected at least 1 layer for each stage, received {count}")
    places = _units(network) or _activations(network)
    if not places:
        raise UsageError(
            f"identity_layers: {network.name} has neither residual units that keep the shape nor stages with a ReLU, "
            "after which a convolution can pass everything on; try another activation, such as --edit act=relu"
        )
    channels = {path: y.channels for path, (_, y) in shapes(network).items()}

    def change(path: str, node: Node) -> Node:
        if path not in places or not isinstance(node, Seq):
            return node
        at = [name for name, _ in node.children].index(places[path])
        child, follows = node.children[at][1], node.children[at + 1 : at + 2]
        if isinstance(child, Add):
            layer, act = child, follows[0][1] if follows and isinstance(follows[0][1], Act) else None
        else:
            layer, act = padded_conv(channels[f"{path}.{places[path]}"], 3, bias=True), child
        at += 1 if act is None or not isinstance(child, Add) else 2
        return Seq((*node.children[:at], *_added(node, layer, act, count), *node.children[at:]))

    return recorded(network, edit_stages(network, change), "identity_layers", count)


def _added(node: Branching, layer: Node, act: Node | None, count: int) -> list[tuple[str, Node]]:
    """The new children; their numbers continue those of an earlier edit."""
    have = sum(isinstance(child, type(layer)) and name.startswith(IDENTITY_LAYER) for name, child in node.children)
    added: list[tuple[str, Node]] = []
    for i in range(have + 1, have + count + 1):
        added.append((f"{IDENTITY_LAYER}{i}", layer))
        if act is not None:
            added.append((f"{IDENTITY_LAYER}_act{i}", act))
    return added


def _units(network: Network) -> dict[str, str]:
    """By sequence of residual units, the last with an identity shortcut before an idempotent activation or none."""
    last: dict[str, str] = {}
    for path, node in _sequences(network):
        for (name, child), (_, follows) in pairwise((*node.children, ("", Seq()))):
            plain = is_residual(child) and isinstance(child, Add) and dict(child.children)["shortcut"] == Seq()
            harmless = not isinstance(follows, Act) or follows.function in _IDEMPOTENT
            if plain and harmless and not any(isinstance(inner, Keep) for _, inner in walk(child)):
                last[path] = name
    return last


def _activations(network: Network) -> dict[str, str]:
    """By stage, the last ReLU among its children."""
    last: dict[str, str] = {}
    for path, node in network.stages:
        for name, child in node.children if isinstance(node, Seq) else ():
            if isinstance(child, Act) and child.function in _IDEMPOTENT:
                last[path] = name
    return last


def _sequences(network: Network) -> list[tuple[str, Seq]]:
    return [(path, n) for name, root in network.stages for path, n in walk(root, name) if isinstance(n, Seq)]
