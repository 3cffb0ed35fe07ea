"""`convsmith nets [PATTERN]`."""

from collections.abc import Sequence

from convsmith.base.errors import unknown
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.nets.cost import cost
from convsmith.nets.zoo import NETWORKS, network
from convsmith.report.text import count, short, table


def run(words: Sequence[str]) -> int:
    """List the networks, all or those whose name matches."""
    parser = Parser("nets", "List the networks: parameters and multiply-accumulates (MACs) for their own input.")
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern in quotes, such as 'resnet*'")
    add_output(parser)
    values = parser.read(words)
    names = NETWORKS.matching(values.pattern) or NETWORKS.matching(f"*{values.pattern}*")
    if not names:
        raise unknown("network", values.pattern, NETWORKS)
    rows = [_row(name) for name in names]
    if values.json:
        print_json([{k: v for k, v in row.items() if k != "note"} for row in rows])
        return 0
    header = ("name", "year", "parameters", "MACs", "input", "what it is")
    cells = [
        (r["name"], r["year"], count(r["params"]), short(r["macs"]), "x".join(map(str, r["input"])), r["note"])
        for r in rows
    ]
    print(table(header, cells, align="<>>>><"))
    return 0


def _row(name: str) -> dict:
    tree, row = network(name), NETWORKS[name]
    numbers = cost(tree)
    return {
        "name": name,
        "family": tree.family,
        "year": row.year,
        "params": numbers.params,
        "macs": numbers.macs,
        "input": list(numbers.input),
        "note": row.note,
    }
