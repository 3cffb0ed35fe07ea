"""`convsmith compare NET NET ...`."""

from collections.abc import Sequence

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.networks import add_network_options, as_json, field_size, opened, priced
from convsmith.report.text import count, short, size, table


def run(words: Sequence[str]) -> int:
    """Networks side by side, the first being what the others are measured against."""
    parser = Parser("compare", "Networks side by side; the options apply to each.")
    parser.add_argument("networks", nargs="+", help="names, as `show` takes them")
    add_network_options(parser)
    add_output(parser)
    values = parser.read(words)
    if len(values.networks) < 2:
        raise UsageError("compare: expected two networks or more; for a single one there is: convsmith show")
    nets = [opened(name, values) for name in values.networks]
    costs = [priced(name, net, values) for name, net in zip(values.networks, nets, strict=True)]
    if values.json:
        rows = [as_json(net, numbers) for net, numbers in zip(nets, costs, strict=True)]
        print_json([{key: value for key, value in row.items() if key != "layers"} for row in rows])
        return 0
    first = costs[0]
    cells = [
        (
            net.name,
            "x".join(map(str, c.input)),
            count(c.params),
            f"{c.params / first.params:.2f}x",
            short(c.macs),
            f"{c.macs / first.macs:.2f}x",
            size(c.activation_bytes),
            field_size(c) or "-",
            sum(layer.op in ("conv", "linear") for layer in c.layers),
        )
        for net, c in zip(nets, costs, strict=True)
    ]
    header = ("network", "input", "parameters", "", "MACs", "", "activations", "field", "layers")
    print(table(header, cells, align="<>>>>>>>>"))
    return 0
