"""The report of a run as one HTML file that needs nothing else: no network, no script, no font."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convsmith.base.result import Confusion, Pictures, Plot, Reliability, Result, Scatter
from convsmith.report import sections
from convsmith.report.curves import curves_svg
from convsmith.report.picture_grid import PictureRow, pictures_svg
from convsmith.report.reliability import reliability_svg
from convsmith.report.scatter import scatter_svg
from convsmith.report.sections import Mistake
from convsmith.report.style import CSS
from convsmith.report.svg import escape

__all__ = ["Mistake", "RunReport", "render_report"]

# A section's anchor, its name in the list of sections, and its HTML.
Card = tuple[str, str, str]
_STATES = {
    "done": "good",
    "finished": "good",
    "running": "busy",
    "started": "busy",
    "paused": "warn",
    "stopped": "warn",
    "interrupted": "warn",
    "killed": "warn",
    "failed": "bad",
}


@dataclass(frozen=True)
class RunReport:
    """All that a page shows of a run; what is absent is left out of the page.

    `result` is that of `split`; its score stands beside the `summary`, which need not repeat it. `network_svg` is what
    `stages_svg` draws and enters the page as it is; every other text is escaped. `mistakes` are None if the task has no
    wrong answers to show.
    """

    title: str
    state: str
    summary: tuple[tuple[str, str], ...] = ()
    network_svg: str | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    split: str = "test"
    result: Result | None = None
    mistakes: tuple[Mistake, ...] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def render_report(report: RunReport) -> str:
    """The page: the same report gives the same text, whenever and wherever it is made."""
    result = report.result
    hero = sections.no_hero() if result is None else sections.hero(report.split, result.numbers, result.count)
    lead = hero + sections.tiles(report.summary)
    top = f'{sections.notes_box(report.notes)}<div class="lead">{lead}</div>'
    return render_page(report.title, report.state, top, _cards(report))


def render_page(title: str, state: str, top: str, cards: Sequence[Card]) -> str:
    """A page of sections below `top`; those that are not empty are linked by their names."""
    title = escape(title, 200)
    links = "".join(f'<li><a href="#{ident}">{name}</a></li>' for ident, name, card in cards if card)
    badge = f'<span class="state {_STATES.get(state.lower(), "muted")}">{escape(state, 40)}</span>'
    body = [
        f'<header><div class="top"><h1>{title}</h1>{badge}</div>',
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>',
        f"<main>{top}",
        *(card for _, _, card in cards),
        "</main><footer>Written by Convsmith. This page is complete in itself and loads nothing.</footer>",
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f'<meta name="color-scheme" content="light dark"><title>{title}</title><style>{CSS}</style>'
    )
    inside = f'<div class="page">{"".join(body)}</div>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{inside}</body></html>\n'


def _cards(report: RunReport) -> list[Card]:
    """Each section; an empty one has no text."""
    network = sections.picture("network", "Network", report.network_svg) if report.network_svg else ""
    curves = sections.picture("curves", "Training", curves_svg(report.metrics))
    result = report.result
    plots = () if result is None else result.plots
    numbers = () if result is None else result.numbers
    mistakes = "" if report.mistakes is None else sections.mistakes(report.mistakes)
    return [
        ("network", "Network", network),
        ("curves", "Training", curves),
        ("numbers", "Numbers", sections.numbers(numbers)),
        *((t.name, escape(t.title), sections.result_table(t)) for t in (() if result is None else result.tables)),
        *(_drawn(plot, number, report.split) for number, plot in enumerate(plots, 1)),
        ("mistakes", "Mistakes", mistakes),
        ("recipe", "Recipe", sections.settings("recipe", "Recipe", report.recipe)),
        ("environment", "Environment", sections.settings("environment", "Environment", report.environment)),
    ]


def _drawn(plot: Plot, number: int, split: str) -> Card:
    """A plot of a result by its type; `number` tells plots of one type apart."""
    return _DRAWN[type(plot)](plot, number, split)


def _confusion(plot: Confusion, number: int, split: str) -> Card:
    return "confusion", "Confusion", sections.confusion(plot.matrix, plot.labels, split)


def _calibration(plot: Reliability, number: int, split: str) -> Card:
    return "calibration", "Calibration", sections.drawing("calibration", "Calibration", reliability_svg([plot]))


def _scatter(plot: Scatter, number: int, split: str) -> Card:
    x, y = plot.axes
    drawn = scatter_svg(plot.title, plot.points, np.asarray(plot.classes), plot.labels, x=x, y=y)
    return f"plot{number}", escape(plot.title), sections.drawing(f"plot{number}", plot.title, drawn)


def _pictures(plot: Pictures, number: int, split: str) -> Card:
    drawn = pictures_svg(plot.title, [PictureRow(name, images) for name, images in plot.rows])
    return f"plot{number}", escape(plot.title), sections.picture(f"plot{number}", plot.title, drawn)


_DRAWN: dict[type, Callable[[Any, int, str], Card]] = {
    Confusion: _confusion,
    Reliability: _calibration,
    Scatter: _scatter,
    Pictures: _pictures,
}
