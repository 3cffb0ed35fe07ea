"""The files of a series beside its runs: summary, picture and page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convsmith.base.files import json_bytes, write_files
from convsmith.report.experiment_page import ExperimentReport, Table, render_experiment
from convsmith.report.groups import DotRow, dots_svg
from convsmith.report.results import full_name
from convsmith.report.sections import dotted
from convsmith.report.text import duration
from convsmith.series.folder import PICTURE, REPORT, SUMMARY
from convsmith.series.member import Member
from convsmith.series.results import Trained, columns, group_rows, run_rows, summary


@dataclass(frozen=True)
class Series:
    """The runs of one folder, and the texts of their summary and page.

    `name` is the name in `series.json`. `of` are the members before seeds and folds multiplied them; empty: `members`.
    The summary begins with `head` and ends with the result of `more`; its `checks` are lines of the page. `draw` makes
    the picture (None: dots of the scores); with `errors` accuracies are shown as errors.
    """

    members: tuple[Member, ...]
    name: str = "a series of runs"
    title: str = "Several runs"
    question: str = ""
    source: str = ""
    of: tuple[Member, ...] = ()
    head: Mapping[str, Any] = field(default_factory=dict)
    errors: bool = False
    draw: Callable[[Sequence[Trained]], str] | None = None
    more: Callable[[Sequence[Trained]], Mapping[str, Any]] = lambda runs: {}


def write_results(folder: Path, series: Series, runs: Sequence[Trained]) -> dict[str, Any]:
    """Write `summary.json`, `picture.svg` and `report.html`; returns the summary."""
    data = {**series.head, **summary(series.members, runs), **series.more(runs)}
    drawn = dots(series.title, runs, series.errors) if series.draw is None else series.draw(runs)
    write_found(folder, data, _page(series, data, drawn))
    return data


def write_found(folder: Path, found: Mapping[str, Any], page: ExperimentReport) -> None:
    """Write the three files of a summary and its page, all or none."""
    files = {SUMMARY: json_bytes(found), PICTURE: page.picture.encode(), REPORT: render_experiment(page).encode()}
    write_files({folder / name: data for name, data in files.items()})


def dots(title: str, runs: Sequence[Trained], errors: bool) -> str:
    """A row for each group, a dot for each run: its score on validation and test images; empty without a score."""
    score = next((column for column in columns([one.numbers for one in runs], errors) if column.split != "train"), None)
    if score is None:
        return ""
    rows: dict[str, dict[str, list[float]]] = {one.member.row: {"val": [], "test": []} for one in runs}
    for trained in runs:
        for split, values in rows[trained.member.row].items():
            if (value := trained.numbers.get(split, {}).get(score.name)) is not None:
                values.append(score.shown(value))
    if not any(values for row in rows.values() for values in row.values()):
        return ""
    what = "error" if score.rest else full_name(score.name).lower()
    drawn = [DotRow(group, row["val"], row["test"]) for group, row in rows.items()]
    return dots_svg(title, drawn, what=what, share=score.is_share)


def _page(series: Series, found: Mapping[str, Any], drawn: str) -> ExperimentReport:
    shown = columns(found["runs"], series.errors)
    (header, *group_cells), (names, *run_cells) = group_rows(found, shown, intervals=True), run_rows(found, shown)
    runs = [
        (*cells, str(run["epochs"]), duration(run["seconds"]))
        for cells, run in zip(run_cells, found["runs"], strict=True)
    ]
    total = sum(run["seconds"] for run in found["runs"])
    return ExperimentReport(
        title=series.title,
        question=series.question,
        source=series.source,
        state="quick" if series.members[0].recipe.quick else "finished",
        summary=(
            ("Runs", str(len(runs))),
            ("Groups", str(len(found["groups"]))),
            ("Time of the runs", duration(total)),
        ),
        picture=drawn,
        groups=Table(header, group_cells),
        runs=Table((*names, "epochs", "time"), runs),
        settings=_settings(series.of or series.members),
        notes=tuple(found.get("checks", ())),
    )


def _settings(members: Sequence[Member]) -> dict[str, dict[str, str]]:
    """The recipes' fields by dotted names: first the fields that are the same in all, then each member's own."""
    flat = {member.name: dict(dotted(replace(member.recipe, name=member.name).to_json())) for member in members}
    fields = dict.fromkeys(name for recipe in flat.values() for name in recipe)
    same = [name for name in fields if len({recipe.get(name) for recipe in flat.values()}) == 1]
    common = {name: next(iter(flat.values()))[name] for name in same}
    own = {
        member: {name: value for name, value in recipe.items() if name not in common} for member, recipe in flat.items()
    }
    return {"all members": common, **own}
