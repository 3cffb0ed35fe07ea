"""Edits of residual branches: no shortcuts, stochastic depth, gates."""

from convsmith.base.errors import UsageError
from convsmith.nets.edits.record import appended, edit_stages, is_residual, recorded, shapes
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, Conv, DropPath
from convsmith.nets.parts import squeeze_excite
from convsmith.nets.tree import Add, Branching, Gate, Node, Seq, walk


def plain(network: Network) -> Network:
    """The network without shortcuts: each sum of a `branch` and a `shortcut` becomes the branch (He et al. 2016).

    A branch without a shortcut loses its stochastic depth.
    """

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Add) or not is_residual(node):
            return node
        branch = dict(node.children)["branch"]
        if not isinstance(branch, Seq):
            return branch
        return Seq(tuple((name, child) for name, child in branch.children if not isinstance(child, DropPath)))

    return recorded(network, edit_stages(network, change), "plain")


def drop_path(network: Network, drop: float, by: str = "sample") -> Network:
    """Stochastic depth: training drops each residual branch, the first almost never, the last with probability `drop`.

    The linear decay rule of Huang et al. 2016, section 3: unit l of L is dropped with probability l / L * `drop`.
    Existing stochastic depth is replaced. A network of cells drops each operation except the identity, by the number of
    the cell (Zoph et al. 2018, appendix; there the probability also grows during training).
    """
    if not 0 <= drop < 1:
        raise UsageError(f"drop_path: expected a probability from 0 to below 1, received {drop}")
    if by not in ("sample", "batch"):
        raise UsageError(f"drop_path: by is 'sample' or 'batch', received {by!r}")
    branches = _branches(network)
    units = list(dict.fromkeys(branches.values()))
    rates = {unit: drop * number / len(units) for number, unit in enumerate(units, 1)}

    def change(path: str, node: Node) -> Node:
        if path not in branches:
            return node
        return appended(node, "drop_path", DropPath(rates[branches[path]], by=by))  # pyright: ignore[reportArgumentType]

    args = (drop,) if by == "sample" else (drop, by)
    return recorded(network, edit_stages(network, change), "drop_path", *args)


def _branches(network: Network) -> dict[str, str]:
    """The branches that stochastic depth drops, each with its unit: a residual sum or a cell."""
    branches = {f"{path}.branch": path for path in _units(network)}
    for name, stage in network.stages:
        for path, node in walk(stage, name):
            if isinstance(node, Add) and [child for child, _ in node.children] == ["left", "right"]:
                paths = [f"{path}.{child}" for child, operation in node.children if isinstance(operation, Seq)]
                branches |= dict.fromkeys(paths, path.rpartition(".")[0])
    return branches


def _units(network: Network) -> list[str]:
    """The paths of the residual sums, in the order of execution."""
    return [path for name, node in network.stages for path, n in walk(node, name) if is_residual(n)]


def se(network: Network, ratio: int = 16) -> Network:
    """Squeeze and excitation: each residual branch ends with a gate of 1/`ratio` of its channels (Hu et al. 2018).

    In a network without residual sums a gate follows each activation of a convolution (or of a sum of
    convolutions). Units that have a gate keep it.
    """
    if ratio < 1:
        raise UsageError(f"se: expected a ratio of at least 1, received {ratio}")
    channels = {path: y.channels for path, (_, y) in shapes(network).items()}
    units = _units(network)

    def with_branch(path: str, node: Node) -> Node:
        if path not in units or not isinstance(node, Add):
            return node
        children = dict(node.children)
        if any(isinstance(inner, Gate) for _, inner in walk(children["branch"])):
            return node
        width = channels[path]
        children["branch"] = _before_drop_path(children["branch"], squeeze_excite(width, max(1, width // ratio)))
        return Add(tuple(children.items()))

    def with_gates(path: str, node: Node) -> Node:
        if not isinstance(node, Seq) or any(isinstance(child, Gate) for _, child in node.children):
            return node
        children: list[tuple[str, Node]] = []
        convolved = False
        for name, child in node.children:
            children.append((name, child))
            convolved |= isinstance(child, Conv) or (isinstance(child, Add) and _has_conv(child))
            if convolved and isinstance(child, Act):
                width = channels[f"{path}.{name}"]
                children.append((name.replace("act", "se", 1), squeeze_excite(width, max(1, width // ratio))))
                convolved = False
        return Seq(tuple(children))

    return recorded(network, edit_stages(network, with_branch if units else with_gates), "se", ratio)


def _has_conv(node: Node) -> bool:
    return any(isinstance(inner, Conv) for _, inner in walk(node))


def _before_drop_path(branch: Node, gate: Gate) -> Seq:
    """`branch` followed by `gate`, which comes before the branch's stochastic depth."""
    last = branch.children[-1:] if isinstance(branch, Branching) else ()
    if isinstance(branch, Seq) and last and isinstance(last[0][1], DropPath):
        return Seq((*branch.children[:-1], ("se", gate), *last))
    return appended(branch, "se", gate)
