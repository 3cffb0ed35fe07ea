"""The topics of the lectures, row by row, with the command or test that shows each: writes docs/coverage.md.

    python -m convsmith_textbook.lectures.coverage docs/coverage.md

The rows are lines of `coverage.tsv`. The entries of `convsmith reproduce` are added by their `rows`.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from convsmith.base.files import write_text
from convsmith.nets.zoo import NETWORKS
from convsmith_textbook.lectures.entries import ENTRIES

ROWS = Path(__file__).with_name("coverage.tsv")
SECTIONS = {
    "1": "Architectures",
    "2": "Building blocks",
    "3": "Training",
    "4": "Data and augmentation",
    "5": "Regularization",
    "6": "Search",
    "7": "Transfer",
    "8": "Other tasks",
    "9": "Analysis and pictures",
    "10": "Printed numbers",
    "11": "Errors of the slides",
}
REMARK = "remark"  # as evidence: the row is a sentence, so that nothing can be run


@dataclass(frozen=True)
class Covered:
    """One row: its topic, the evidence, and what is missing."""

    row: str
    title: str
    shown: tuple[str, ...]
    missing: str

    @property
    def state(self) -> str:
        """yes, partly, not yet, or remark."""
        if self.shown == (REMARK,):
            return REMARK
        if not self.shown:
            return "not yet"
        return "partly" if self.missing else "yes"


def covered() -> list[Covered]:
    """All rows in order."""
    lines = ROWS.read_text(encoding="utf-8").splitlines()[1:]
    return [_covered(*line.split("\t")) for line in lines]


def _covered(row: str, title: str, evidence: str = "", missing: str = "") -> Covered:
    parts = [part.strip() for part in evidence.split("|") if part.strip()]
    absent = [part[4:] for part in parts if part.startswith("net ") and part[4:] not in NETWORKS]
    shown = [re.sub("^net ", "convsmith show ", part) for part in parts if part.removeprefix("net ") not in absent]
    shown += [f"convsmith reproduce {name}" for name, entry in ENTRIES.items() if row in entry.rows.split()]
    lacking = "; ".join(part for part in (", ".join(absent), missing) if part)
    return Covered(row, title, tuple(dict.fromkeys(shown)), lacking)


def page() -> str:
    """docs/coverage.md."""
    rows = covered()
    counts = {state: sum(r.state == state for r in rows) for state in ("yes", "partly", "not yet", REMARK)}
    parts = [
        "# What the lectures ask for",
        "Each row of the five lectures with the command or test that shows it. Written by\n"
        "`python -m convsmith_textbook.lectures.coverage docs/coverage.md`; a test compares it and runs the commands.",
        f"Of {len(rows)} rows {counts['yes']} are shown, {counts['partly']} partly, {counts['not yet']} not yet; "
        f"{counts[REMARK]} are remarks with nothing to run.",
    ]
    for number, section in SECTIONS.items():
        inside = [r for r in rows if r.row.split(".")[0] == number]
        lines = [f"| {r.row} | {r.title} | {r.state} | {_shown(r)} | {r.missing} |" for r in inside]
        head = ["| row | what | shown | by | missing |", "|---|---|---|---|---|"]
        parts += [f"## {number} {section}", "\n".join([*head, *lines])]
    return "\n\n".join(parts) + "\n"


def _shown(row: Covered) -> str:
    return "" if row.state == REMARK else ", ".join(f"`{part}`" for part in row.shown)


if __name__ == "__main__":
    write_text(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/coverage.md"), page())
