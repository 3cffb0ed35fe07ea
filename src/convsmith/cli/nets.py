"""`convsmith nets [PATTERN]`."""

from collections.abc import Sequence

from convsmith.base.errors import unknown
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.output import show, show_text
from convsmith.nets.prices import Price, prices
from convsmith.nets.zoo import EDITS, NETWORKS, edit_usage
from convsmith.report.text import count, short, table


def run(words: Sequence[str]) -> int:
    """List the networks, or those whose name matches."""
    parser = Parser("nets", "List the networks: parameters and multiply-accumulates (MACs) for their own input.")
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern in quotes, such as 'resnet*'")
    parser.add_argument("--edits", action="store_true", help="list the edits that vary a network instead")
    add_output(parser)
    values = parser.read(words)
    if values.edits:
        return _list_edits(values.pattern, values.json)
    names = NETWORKS.matching(values.pattern) or NETWORKS.matching(f"*{values.pattern}*")
    if not names:
        raise unknown("network", values.pattern, NETWORKS)
    counted = prices(names)
    rows = [_row(name, counted[name]) for name in names]
    if values.json:
        print_json([{k: v for k, v in row.items() if k != "note"} for row in rows])
        return 0
    header = ("name", "year", "parameters", "MACs", "input", "what it is")
    cells = [
        (r["name"], r["year"], count(r["params"]), short(r["macs"]), "x".join(map(str, r["input"])), r["note"])
        for r in rows
    ]
    show_text(table(header, cells, align="<>>>><"))
    return 0


def _list_edits(pattern: str, as_json: bool) -> int:
    """Print the edits whose name matches, with their arguments and effects."""
    names = EDITS.matching(pattern) or EDITS.matching(f"*{pattern}*")
    if not names:
        raise unknown("edit", pattern, EDITS)
    rows = [{"edit": edit_usage(name), "does": (EDITS[name].__doc__ or "").splitlines()[0]} for name in names]
    if as_json:
        print_json(rows)
        return 0
    show_text(table(("edit", "what it gives"), [(row["edit"], row["does"]) for row in rows], align="<<"))
    show()
    show("on any verb that takes a network: --edit se=16 --edit drop_path=0.2; in Python: cs.edit(tree, 'se=16')")
    return 0


def _row(name: str, price: Price) -> dict:
    row = NETWORKS[name]
    return {
        "name": name,
        "family": price.family,
        "year": row.year,
        "params": price.params,
        "macs": price.macs,
        "input": list(price.input),
        "note": row.note,
    }
