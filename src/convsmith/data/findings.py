"""Findings: what is wrong or odd about the layout or the files of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "refused",
    "broken",
    "not_an_image",
    "missing",
    "table",
    "leak",
    "contradiction",
    "duplicate",
    "empty_class",
    "left_out",
    "odd",
]
# The kinds that stop training, that `--on-bad skip` leaves out, and that give `data check` exit status 1.
STOPS = ("refused", "broken", "not_an_image", "missing", "table")
SKIPPED = ("broken", "not_an_image", "missing")
SPOILS = (*STOPS, "leak")


@dataclass(frozen=True)
class Finding:
    """A problem or an oddity of a file, a folder or a row."""

    file: str
    kind: Kind
    detail: str


def of_kinds(findings: Sequence[Finding], kinds: Sequence[str]) -> list[Finding]:
    """The findings of these kinds, in their order."""
    return [finding for finding in findings if finding.kind in kinds]
