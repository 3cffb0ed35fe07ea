"""Writes `docs/zoo.md`, the table of all networks: `python docs/zoo_table.py`."""

import ast
import json
from pathlib import Path

from convsmith.nets.cost import cost
from convsmith.nets.zoo import NETWORKS, network

ROOT = Path(__file__).resolve().parents[1]
GOLDEN, PAGE = ROOT / "tests/nets/golden", ROOT / "docs/zoo.md"

# Networks that are counted and compared layer by layer, their outputs only by siblings that the same function builds.
LARGE = ("regnet_y_128gf", "convnext_large", "convnext_small")

HEAD = """# The zoo

<!-- written by docs/zoo_table.py -->

{count} networks of {families} families. Parameters and multiply-accumulates (MACs) are those of the stages and the main
head for the input shown; auxiliary heads, which only training runs, are counted apart. Tests compare every number with
the source named, and the outputs with those of torchvision or timm, given the same weights, where the column says so.

| network | year | parameters | MACs | input | source of the numbers | outputs equal |
|---|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    golden = {name: row for file in sorted(GOLDEN.glob("*.json")) for name, row in json.loads(file.read_text()).items()}
    families = {row.family.name for row in NETWORKS.values()}
    return HEAD.format(count=len(NETWORKS), families=len(families)) + "".join(
        _row(name, golden[name][2], _peers()) for name in NETWORKS
    )


def _row(name: str, source: str, peers: dict[str, str]) -> str:
    numbers = cost(network(name))
    extra = f" + {numbers.auxiliary_params:,} auxiliary" if numbers.auxiliary_params else ""
    peer = peers.get(name, "torchvision" if source.startswith("torchvision") else "")
    peer = "as its siblings" if name in LARGE else peer
    shape = "x".join(map(str, numbers.input))
    cells = (f"`{name}`", NETWORKS[name].year, f"{numbers.params:,}{extra}", f"{numbers.macs:,}", shape, source, peer)
    return "| " + " | ".join(map(str, cells)) + " |\n"


def _peers() -> dict[str, str]:
    """What `test_timm_equal.py` compares: the dictionary is read, not run, so that timm need not be there."""
    tree = ast.parse((ROOT / "tests/nets/test_timm_equal.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "PEERS":
            return {name: f"timm's {theirs}" for name, (theirs, *_) in ast.literal_eval(node.value).items()}
    raise SystemExit("tests/nets/test_timm_equal.py has no PEERS")


if __name__ == "__main__":
    PAGE.write_text(page())
