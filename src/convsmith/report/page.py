"""The report of a run as one HTML file that needs nothing else: no network, no script, no font."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convsmith.report import sections
from convsmith.report.curves import curves_svg
from convsmith.report.reliability import Reliability, reliability_svg
from convsmith.report.sections import Mistake
from convsmith.report.style import CSS
from convsmith.report.svg import escape

__all__ = ["Mistake", "RunReport", "render_report"]

# A section's anchor, its name in the list of sections, and its HTML.
Card = tuple[str, str, str]
# Another number than the accuracy that says how good a run is: its name, its value, whether it is a share.
Score = tuple[str, float, bool]
_STATES = {
    "done": "good",
    "finished": "good",
    "running": "busy",
    "started": "busy",
    "stopped": "warn",
    "interrupted": "warn",
    "killed": "warn",
    "failed": "bad",
}


@dataclass(frozen=True)
class RunReport:
    """All that a page shows of a run; what is absent is left out of the page.

    `accuracy` and `interval` (95%) are shares of the `count` images of `split`, shown beside the `summary`, which need
    not repeat them. `network_svg` is what `stages_svg` draws and enters the page as it is; every other text is escaped.
    `score` stands in the accuracy's place where that is not the number that counts; `tables` follow the classes.
    `per_class` rows are (label, precision, recall, F1, images), `confusion` has true classes as rows.
    """

    title: str
    state: str
    summary: tuple[tuple[str, str], ...] = ()
    network_svg: str | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    split: str = "test"
    accuracy: float | None = None
    score: Score | None = None
    interval: tuple[float, float] | None = None
    count: int = 0
    confusion: Sequence[Sequence[int]] | None = None
    labels: Sequence[str] = ()
    per_class: Sequence[sections.PerClass] = ()
    tables: Sequence[sections.Values] = ()
    reliability: Reliability | None = None
    mistakes: tuple[Mistake, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def render_report(report: RunReport) -> str:
    """The page: the same report gives the same text, whenever and wherever it is made."""
    if report.score is None:
        hero = sections.hero(report.split, report.accuracy, report.interval, report.count)
    else:
        name, value, share = report.score
        hero = sections.score_hero(report.split, name, value, report.count, share)
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
    evaluated = any(part is not None for part in (report.accuracy, report.confusion))
    network = sections.picture("network", "Network", report.network_svg) if report.network_svg else ""
    curves = sections.picture("curves", "Training", curves_svg(report.metrics))
    confusion = ""
    if report.confusion is not None:
        confusion = sections.confusion(report.confusion, report.labels, report.split)
    return [
        ("network", "Network", network),
        ("curves", "Training", curves),
        ("confusion", "Confusion", confusion),
        ("classes", "Per class", sections.per_class(report.per_class)),
        *((t[0], t[1], sections.values_table(*t)) for t in report.tables),
        ("calibration", "Calibration", _calibration(report.reliability)),
        ("mistakes", "Mistakes", sections.mistakes(report.mistakes) if evaluated or report.mistakes else ""),
        ("recipe", "Recipe", sections.settings("recipe", "Recipe", report.recipe)),
        ("environment", "Environment", sections.settings("environment", "Environment", report.environment)),
    ]


def _calibration(reliability: Reliability | None) -> str:
    return sections.drawing("calibration", "Calibration", reliability_svg([reliability])) if reliability else ""
