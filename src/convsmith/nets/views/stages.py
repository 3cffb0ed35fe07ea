"""The stages, units and layers of a network as rows of tables and drawings."""

from convsmith.nets.cost import Cost, LayerCost, cost
from convsmith.nets.network import Network
from convsmith.nets.ops import OPERATORS
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Branching, Leaf, Node, Seq
from convsmith.nets.views.wording import TOLD, folded, node_words, part_words
from convsmith.report.architecture import Stage
from convsmith.report.layer_bars import LayerBar

_STAGE_WORDS, _UNIT_WORDS = 52, 90  # characters: a stage must fit into a picture's column, a unit into a line

Part = tuple[str, str, list[str]]  # the name of a row, its layers in words, the paths of its nodes


def summarize(network: Network, numbers: Cost | None = None) -> list[Stage]:
    """The stages and heads of a network, one row each; `numbers` is its cost, None if unknown."""
    parts = [(name, part_words(node, _STAGE_WORDS), [name]) for name, node in network.stages + network.heads]
    return _rows(network, numbers, parts)


def units(network: Network, numbers: Cost | None = None) -> list[Stage]:
    """The units of the stages, one row each: modules, and single layers with their norms and activations."""
    return _rows(network, numbers, [p for name, node in network.stages + network.heads for p in _units(name, node)])


def layer_bars(numbers: Cost) -> "list[LayerBar]":
    """The convolution and linear layers of the stages and the main head, for a picture."""
    from convsmith.report.layer_bars import LayerBar  # loads the plots, which a table does not need

    bars: list[LayerBar] = []
    for layer in numbers.layers:
        if layer.macs and not layer.auxiliary:
            stage, _, name = layer.name.partition(".")
            linear = layer.op in ("linear", "recurrent")
            bars.append(LayerBar(stage, name or stage, linear, 4 * layer.activations, layer.params, layer.macs))
    return bars


def _rows(network: Network, numbers: Cost | None, parts: list[Part]) -> list[Stage]:
    numbers = numbers or cost(network)
    shares = _shares(numbers)
    ends = {step.path: step.y for step in network.trace(Shape(numbers.input[0], numbers.input[1:])).steps}
    auxiliary = {name for name, _ in network.heads if name != MAIN}
    rows: list[Stage] = []
    for name, words, paths in parts:
        layers = [layer for path in paths for layer in shares.get(path, [])]
        end = ends[paths[-1]]
        rows.append(
            Stage(
                name=name,
                detail=words,
                channels=end.shape.channels,
                size=end.shape.spatial,
                params=sum(layer.params for layer in layers),
                macs=sum(layer.macs for layer in layers),
                layers=sum(OPERATORS[layer.op].weighted for layer in layers),
                activations=sum(layer.activations for layer in layers),
                receptive_field=end.field.size,
                auxiliary=name.partition(".")[0] in auxiliary,
            )
        )
    return rows


def _shares(numbers: Cost) -> dict[str, list[LayerCost]]:
    """The layers of each stage, and of each child of a stage, by its path."""
    shares: dict[str, list[LayerCost]] = {}
    for layer in numbers.layers:
        names = layer.name.split(".")
        for depth in range(1, min(2, len(names)) + 1):
            shares.setdefault(".".join(names[:depth]), []).append(layer)
    return shares


def _units(name: str, node: Node) -> list[Part]:
    """A row opens at each module, layer with weights and pool; norms and activations belong to the row before."""
    if not isinstance(node, Seq) or not any(_opens(child) for _, child in node.children):
        return [(name, part_words(node, _UNIT_WORDS), [name])]
    groups: list[list[tuple[str, Node]]] = []
    for child in node.children:
        first = len(groups) == 1 and not any(_opens(n) for _, n in groups[0])  # the nodes before the first layer
        if not groups or (_opens(child[1]) and not first):
            groups.append([])
        groups[-1].append(child)
    return [_unit(name, group) for group in groups]


def _opens(node: Node) -> bool:
    if isinstance(node, Leaf):
        return node.kind in TOLD
    return isinstance(node, Branching) and bool(node.children)


def _unit(stage: str, group: list[tuple[str, Node]]) -> Part:
    main = next((name for name, node in group if _opens(node)), group[0][0])
    nodes = [node for _, node in group]
    words = part_words(nodes[0], _UNIT_WORDS) if len(nodes) == 1 else folded([node_words(n) for n in nodes], "; ")
    if len(words) > _UNIT_WORDS:
        words = part_words(dict(group)[main], _UNIT_WORDS)
    return f"{stage}.{main}", words, [f"{stage}.{name}" for name, _ in group]
