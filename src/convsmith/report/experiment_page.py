"""The report of several runs: their question, picture and tables as one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convsmith.report import sections
from convsmith.report.page import render_page
from convsmith.report.svg import escape


@dataclass(frozen=True)
class Table:
    """Column names and rows; the first column names the row."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class ExperimentReport:
    """All that the page shows; `picture` is an SVG (or empty) and enters it as it is, every other text is escaped."""

    title: str
    question: str
    source: str
    state: str
    summary: tuple[tuple[str, str], ...]
    picture: str
    groups: Table
    runs: Table | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def render_experiment(report: ExperimentReport) -> str:
    """The page: the same report gives the same text."""
    asked = f'<section class="card" aria-label="Question"><p>{escape(report.question, 400)}</p>'
    asked += f'<p class="muted">After: {escape(report.source, 400)}</p></section>' if report.source else "</section>"
    asked += "".join(f'<section class="card"><p>{escape(note, 400)}</p></section>' for note in report.notes)
    drawn = sections.picture("picture", "Picture", report.picture)
    groups = sections.values_table("groups", "Groups", report.groups.header, report.groups.rows)
    parts = [*([("picture", "Picture", drawn)] if report.picture else []), ("groups", "Groups", groups)]
    if report.runs is not None:
        table = sections.values_table("runs", "Runs", report.runs.header, report.runs.rows)
        parts.append(("runs", "Runs", table))
    if report.settings:
        parts.append(("recipes", "Recipes", sections.settings("recipes", "Recipes", report.settings)))
    return render_page(
        report.title,
        report.state,
        asked + sections.tiles(report.summary),
        parts,
    )
