"""`convsmith review NET`."""

from collections.abc import Sequence
from typing import Any

from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.networks import add_network_options, opened
from convsmith.cli.output import show, show_text
from convsmith.nets.cost import Cost, cost
from convsmith.nets.model import tree_of
from convsmith.nets.network import Network
from convsmith.nets.views.review import GUIDELINES, Finding, review
from convsmith.report.text import many, short, table


def run(words: Sequence[str]) -> int:
    """Measure a network against six design guidelines, with the savings of edits."""
    guidelines = "\n".join(f"  {number}  {name}" for number, name in GUIDELINES.items())
    parser = Parser("review", f"A network measured against design guidelines:\n\n{guidelines}")
    parser.add_argument("network", help="name, run, file.py:function or tree.json")
    add_network_options(parser)
    add_output(parser)
    values = parser.read(words)
    so = "it cannot be reviewed; expected a network of the zoo or a tree"
    network = tree_of(opened(values.network, values), so)
    findings, numbers = review(network), cost(network)
    if values.json:
        print_json(_as_json(network, numbers, findings))
        return 0
    show(f"{network.name}, input {'x'.join(map(str, numbers.input))}: {_summary(findings)}")
    if findings:
        show_text(f"\n{_table(findings, numbers)}\n")
        show("Each edit is priced alone, by rewriting the layer in the tree; savings do not add up, below 0 is a cost.")
    return 0


def _summary(findings: Sequence[Finding]) -> str:
    """The number of findings, in total and by guideline."""
    if not findings:
        return "no findings"
    counts = {number: sum(f.guideline == number for f in findings) for number in GUIDELINES}
    parts = ", ".join(f"{GUIDELINES[number]} {count}" for number, count in counts.items() if count)
    return f"{many(len(findings), 'finding')} ({parts})"


def _table(findings: Sequence[Finding], numbers: Cost) -> str:
    rows = [
        (
            f"{f.guideline} {GUIDELINES[f.guideline]}",
            f.path,
            f.what,
            f.edit,
            _saved(f.params_saved, numbers.params),
            _saved(f.macs_saved, numbers.macs),
        )
        for f in findings
    ]
    header = ("guideline", "where", "measured", "edit", "saves parameters", "saves MACs")
    return table(header, rows, align="<<<<>>")


def _saved(saved: int | None, total: int) -> str:
    """`36.7M (60%)`; `-` if no edit of one layer mends the finding."""
    if saved is None:
        return "-"
    return f"{short(saved)} ({saved / total:.0%})" if saved and total else "0"


def _as_json(network: Network, numbers: Cost, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "network": network.name,
        "input": list(numbers.input),
        "params": numbers.params,
        "macs": numbers.macs,
        "findings": [
            {
                "guideline": f.guideline,
                "name": GUIDELINES[f.guideline],
                "path": f.path,
                "measured": f.measured,
                "limit": f.limit,
                "what": f.what,
                "edit": f.edit,
                "params_saved": f.params_saved,
                "macs_saved": f.macs_saved,
            }
            for f in findings
        ],
    }
