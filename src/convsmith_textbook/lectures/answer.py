"""The computed figures of an entry beside the printed ones, as text and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convsmith.report.text import count
from convsmith_textbook.lectures.entry import Entry, Figure, Value, equal, prints_as


@dataclass(frozen=True)
class Answer:
    """One figure and its computed value; `shown` is the value that explains its mistake, if it has one."""

    figure: Figure
    ours: Value
    shown: Value = None

    @property
    def right(self) -> bool:
        """Whether the computed value is correct."""
        return equal(self.figure.correct, self.ours)

    @property
    def verdict(self) -> str:
        """The comparison of the computed and the printed figure."""
        if not self.right:
            return f"WRONG, expected {text(self.figure.correct)}"
        if self.figure.printed is None:
            return "not printed"
        return "same" if prints_as(self.figure.printed, self.ours) else "differs"

    @property
    def proof(self) -> str:
        """The computed value that reproduces the printed one; empty if there is none."""
        name = self.figure.mistake
        return f"{name} = {text(self.shown)}, printed as {text(self.figure.printed)}" if name else ""

    def to_json(self) -> dict[str, Any]:
        """The figure with its values; whole numbers as numbers."""
        figure = self.figure
        return {
            "figure": figure.name,
            "printed": figure.printed,
            "ours": self.ours,
            "verdict": self.verdict,
            "why": figure.why or None,
            "mistake": {figure.mistake: self.shown} if figure.mistake else None,
        }


def answers(entry: Entry) -> list[Answer]:
    """The computed figures of an entry."""
    values: Mapping[str, Value] = entry.given(entry.compute)
    return [Answer(f, values[f.name], values.get(f.mistake)) for f in entry.figures]


def reasons(found: Sequence[Answer]) -> list[str]:
    """The reasons why printed and correct figures differ, each once, with its figures below it."""
    groups: dict[str, list[Answer]] = {}
    for answer in found:
        if answer.figure.why:
            groups.setdefault(answer.figure.why, []).append(answer)
    lines: list[str] = []
    for why, members in groups.items():
        lines += [f"{why}:", *(f"  {answer.proof or answer.figure.name}" for answer in members)]
    return lines


def text(value: Value) -> str:
    """A value on one line: `25,557,032`, `0.739`, `[0 3 8 4] [9 19 25 10]`."""
    if isinstance(value, tuple):
        nested = value and isinstance(value[0], tuple)
        inside = " ".join(text(v) for v in value)
        return inside if nested and not isinstance(value[0][0], tuple) else f"[{inside}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
