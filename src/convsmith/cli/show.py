"""`convsmith show NET`."""

from collections.abc import Sequence
from pathlib import Path

from convsmith.base.errors import UsageError
from convsmith.base.files import write_json, write_text
from convsmith.cli.arguments import Parser, add_output, print_json, say
from convsmith.cli.networks import add_network_options, as_json, field_size, opened, priced
from convsmith.nets.cost import Cost
from convsmith.nets.drawing import draw
from convsmith.nets.network import Network
from convsmith.nets.stages import summarise
from convsmith.nets.zoo import NETWORKS, siblings
from convsmith.report.text import count, short, size, table


def run(words: Sequence[str]) -> int:
    """A network's stages or layers with what they cost."""
    parser = Parser(
        "show", "A network's stages, parameters, multiply-accumulates (MACs), activations and receptive field."
    )
    parser.add_argument("network", help="name, run, file.py:function, torchvision:NAME or tree.json")
    add_network_options(parser)
    parser.add_argument("--layers", action="store_true", help="every layer instead of every stage")
    parser.add_argument("--svg", metavar="FILE", help="draw the stages into an SVG file")
    parser.add_argument("--tree", metavar="FILE", help="write the tree as JSON, to be edited and named again")
    add_output(parser)
    values = parser.read(words)
    network = opened(values.network, values)
    numbers = priced(values.network, network, values)
    for option in ("svg", "tree"):
        if getattr(values, option) and not isinstance(network, Network):
            raise UsageError(f"{values.network} is no tree, so --{option} cannot be had")
    if isinstance(network, Network):
        if values.svg:
            write_text(Path(values.svg), draw(network))
            say(f"drawn into {values.svg}")
        if values.tree:
            write_json(Path(values.tree), network.to_json())
            say(f"tree written to {values.tree}")
    if values.json:
        print_json(as_json(network, numbers))
        return 0
    print(_title(network.name, network, numbers))
    print()
    print(_stages(network) if isinstance(network, Network) and not values.layers else _layers(numbers))
    print()
    print(_totals(numbers))
    if isinstance(network, Network):
        _print_siblings(network)
    return 0


def _title(name: str, network: object, numbers: Cost) -> str:
    note = f": {NETWORKS[name].note}" if name in NETWORKS else ""
    edits = f"\nedits: {', '.join(network.edits)}" if isinstance(network, Network) and network.edits else ""
    return f"{name}{note}{edits}\ninput {'x'.join(map(str, numbers.input))}"


def _stages(network: Network) -> str:
    rows = [
        (s.name, s.detail, "x".join(map(str, (s.channels, *s.size))), s.layers, count(s.params), short(s.macs))
        for s in summarise(network)
    ]
    return table(("stage", "made of", "output", "layers", "parameters", "MACs"), rows, align="<<>>>>")


def _layers(numbers: Cost) -> str:
    rows = [(x.name, x.op, "x".join(map(str, x.output)), count(x.params), short(x.macs)) for x in numbers.layers]
    return table(("layer", "operator", "output", "parameters", "MACs"), rows, align="<<>>>")


def _totals(numbers: Cost) -> str:
    field = field_size(numbers)
    rows = [
        ("parameters", count(numbers.params), size(4 * numbers.params) + " as 32-bit floats"),
        ("MACs", count(numbers.macs), "multiply-accumulates of convolution and linear layers, for one image"),
        ("FLOPs", count(numbers.flops), "2 x MACs"),
        ("activations", size(numbers.activation_bytes), "outputs of convolution and linear layers, 32-bit, one image"),
    ]
    if field is not None:
        gated = "; gates see the whole image" if numbers.gated else ""
        rows.append(("receptive field", str(field), f"pixels that the last features see{gated}"))
    return "\n".join(f"{name:<16}{value:>16}  {what}" for name, value, what in rows)


def _print_siblings(network: Network) -> None:
    others = siblings(network.name) if network.name in NETWORKS else []
    if others:
        print("\nsiblings")
        for other in others:
            print(f"  {other:<18} {NETWORKS[other].note}")
