"""`convsmith show NET`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convsmith.base.files import json_bytes, write_files
from convsmith.cli.arguments import Parser, add_output, print_json, say
from convsmith.cli.networks import add_network_options, as_json, field_size, field_words, opened, priced
from convsmith.cli.output import show, show_text
from convsmith.cli.pictures import check_folders, picture_file, write_picture
from convsmith.nets.cost import Cost, LayerCost, cost
from convsmith.nets.model import Model, tree_of
from convsmith.nets.views.drawing import diagram, draw
from convsmith.nets.views.stages import layer_bars, summarize, units
from convsmith.nets.zoo import NETWORKS, siblings
from convsmith.nets.zoo import network as zoo_network
from convsmith.report.architecture import Stage
from convsmith.report.text import count, short, size, table


def run(words: Sequence[str]) -> int:
    """Print a network's stages, units or layers with their cost."""
    values = _parser().read(words)
    check_folders([values.plot, values.draw, values.svg, Path(values.tree) if values.tree else None])
    network = opened(values.network, values)
    for option in ("units", "draw", "svg", "tree"):
        if getattr(values, option):
            tree_of(network, f"--{option} is not available")
    numbers = priced(values.network, network, values)
    _write_files(network, numbers, values)
    if values.json:
        print_json(_as_json(network, numbers))
        return 0
    show_text(_title(network, numbers))
    show()
    if network.tree and not values.layers:
        show_text(_stages((units if values.units else summarize)(network.tree, numbers)))
    else:
        show_text(_layers(numbers.layers))
    show()
    show_text(_totals(numbers))
    for line in _siblings(network):
        show(line)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "show", "A network's stages, parameters, multiply-accumulates (MACs), activations and receptive field."
    )
    parser.add_argument("network", help="name, run, file.py:function, torchvision:NAME or tree.json")
    add_network_options(parser)
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--units", action="store_true", help="every unit (inception module, residual block, layer)")
    rows.add_argument("--layers", action="store_true", help="every layer")
    for name, help in (
        ("plot", "bars: activation memory, parameters and MACs of each layer"),
        ("draw", "the tree as a diagram: layers, branches, gates; repeats drawn once"),
        ("svg", "the stages as blocks, as a notebook shows a network"),
    ):
        parser.add_argument(f"--{name}", type=picture_file, metavar="FILE.svg", help=help)
    parser.add_argument("--tree", metavar="FILE", help="write the tree as JSON, to be edited and named again")
    add_output(parser)
    return parser


def _write_files(network: Model, numbers: Cost, values: Any) -> None:
    note = f"convolution and linear layers, for one input of {_sizes(numbers.input)}"
    if numbers.auxiliary_params:
        note += "; without the auxiliary heads, which only training runs"
    if values.plot:
        from convsmith.report.layer_bars import layer_bars_svg

        write_picture(values.plot, lambda: layer_bars_svg(network.name, note, layer_bars(numbers)))
    if (tree := network.tree) is not None:
        write_picture(values.draw, lambda: diagram(tree))
        write_picture(values.svg, lambda: draw(tree))
        if values.tree:
            write_files({Path(values.tree): json_bytes(tree.to_json())})
            say(f"tree written to {values.tree}")


def _sizes(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _title(network: Model, numbers: Cost) -> str:
    note = f": {NETWORKS[network.name].note}" if network.name in NETWORKS else ""
    edits = f"\nedits: {', '.join(network.tree.edits)}" if network.tree and network.tree.edits else ""
    others = "".join(f", {other}" for other in network.tree.inputs) if network.tree else ""
    return f"{network.name}{note}{edits}\ninput {_sizes(numbers.input)}{others}"


def _stages(stages: Sequence[Stage]) -> str:
    rows = [
        (
            f"{s.name} (training only)" if s.auxiliary else s.name,
            s.detail,
            _sizes((s.channels, *s.size)),
            s.layers,
            count(s.params),
            short(s.macs),
            size(4 * s.activations),
            field_words(s.receptive_field),
        )
        for s in stages
    ]
    header = ("stage", "made of", "output", "layers", "parameters", "MACs", "activations", "field")
    return table(header, rows, align="<<>>>>>>")


def _layers(layers: Sequence[LayerCost]) -> str:
    rows = [
        (
            f"{x.name} (training only)" if x.auxiliary else x.name,
            x.op,
            _sizes(x.output),
            count(x.params),
            short(x.macs),
            size(4 * x.activations) if x.activations else "-",
            field_words(x.receptive_field),
        )
        for x in layers
    ]
    header = ("layer", "operator", "output", "parameters", "MACs", "activations", "field")
    return table(header, rows, align="<<>>>>>")


def _totals(numbers: Cost) -> str:
    rows = [
        ("parameters", count(numbers.params), size(4 * numbers.params) + " as 32-bit floats"),
        ("MACs", count(numbers.macs), "multiply-accumulates of convolution and linear layers, for one input"),
        ("FLOPs", count(numbers.flops), "2 x MACs"),
        ("activations", size(numbers.activation_bytes), "outputs of convolution and linear layers, 32-bit, one image"),
    ]
    if numbers.receptive_field:
        gated = "; gates see the whole image" if numbers.gated else ""
        rows.append(
            ("receptive field", field_words(numbers.receptive_field), f"pixels that the last features see{gated}")
        )
    if numbers.auxiliary_params:
        what = f"parameters more and {short(numbers.auxiliary_macs)} MACs, only in training"
        rows.append(("auxiliary heads", count(numbers.auxiliary_params), what))
    return "\n".join(f"{name:<16}{value:>16}  {what}" for name, value, what in rows)


def _differences(network: Model) -> list[dict[str, Any]]:
    """The siblings of a network of the zoo and the differences of their cost; none for an edited network."""
    name = network.name
    if name not in NETWORKS or network != zoo_network(name):
        return []
    own = cost(zoo_network(name))
    rows: list[dict[str, Any]] = []
    for other in siblings(name):
        numbers = cost(zoo_network(other))
        rows.append(
            {
                "network": other,
                "more_params": numbers.params - own.params,
                "more_macs": numbers.macs - own.macs,
                "note": NETWORKS[other].note,
            }
        )
    return rows


def _siblings(network: Model) -> list[str]:
    rows = [
        (row["network"], _signed(row["more_params"], count), _signed(row["more_macs"], short), row["note"])
        for row in _differences(network)
    ]
    if not rows:
        return []
    lines = table(("siblings", "parameters", "MACs", "what they are"), rows, align="<>><").splitlines()
    return ["", *lines]


def _signed(difference: int, words: Any) -> str:
    return "same" if difference == 0 else f"{'+' if difference > 0 else '-'}{words(abs(difference))}"


def _as_json(network: Model, numbers: Cost) -> dict[str, Any]:
    tree = network.tree
    return {
        **as_json(network, numbers),
        "stages": [_stage_json(row) for row in summarize(tree, numbers)] if tree else [],
        "units": [_stage_json(row) for row in units(tree, numbers)] if tree else [],
        "layers": [_layer_json(layer) for layer in numbers.layers],
        "siblings": _differences(network),
    }


def _stage_json(row: Stage) -> dict[str, Any]:
    return {
        "name": row.name,
        "made_of": row.detail,
        "output": [row.channels, *row.size],
        "layers": row.layers,
        "params": row.params,
        "macs": row.macs,
        "activation_bytes": 4 * row.activations,
        "receptive_field": field_size(row.receptive_field),
        "auxiliary": row.auxiliary,
    }


def _layer_json(layer: LayerCost) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op,
        "output": list(layer.output),
        "params": layer.params,
        "macs": layer.macs,
        "activation_bytes": 4 * layer.activations,
        "receptive_field": field_size(layer.receptive_field),
        "auxiliary": layer.auxiliary,
    }
