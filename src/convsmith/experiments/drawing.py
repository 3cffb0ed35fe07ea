"""The picture and the page of an experiment, from what its runs found. No torch here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.files import json_bytes, write_files
from convsmith.experiments.experiment import Experiment, Findings, Measurement, Member, groups
from convsmith.experiments.results import NUMBERS, Trained, course, of_row, run_numbers, summary
from convsmith.report.experiment_page import ExperimentReport, Table, render_experiment
from convsmith.report.groups import CourseLine, DotRow, Panel, Point, Series, courses_svg, dots_svg, lines_svg
from convsmith.report.sections import dotted
from convsmith.report.text import duration, percent

SUMMARY, PICTURE, REPORT = "summary.json", "picture.svg", "report.html"
# The validation images' and the test images' number of each metric; of a loss only training has one in the table.
_SHOWN = {"error": ("val_error", "test_error"), "loss": ("train_loss", None)}


def write_results(
    folder: Path, name: str, experiment: Experiment, members: tuple[Member, ...], runs: Sequence[Trained]
) -> dict[str, Any]:
    """Write `summary.json`, `picture.svg` and `report.html`; gives the summary."""
    found = {
        "experiment": name,
        "title": experiment.title,
        "question": experiment.question,
        "source": experiment.source,
        **summary(members, runs),
        **({"checks": experiment.checks(runs)} if experiment.checks else {}),
    }
    drawn = picture(experiment, members, runs)
    _write(folder, found, drawn, _page(name, experiment, members, found, drawn))
    return found


def write_findings(folder: Path, name: str, measurement: Measurement, found: Findings) -> dict[str, Any]:
    """The same three files of a measurement; gives the summary."""
    told = {
        "experiment": name,
        "title": measurement.title,
        "question": measurement.question,
        "source": measurement.source,
        **found.data,
        "checks": found.checks,
    }
    page = ExperimentReport(
        title=f"{name}: {measurement.title}",
        question=measurement.question,
        source=measurement.source,
        state="finished",
        summary=(("Settings", str(len(found.rows))),),
        picture=found.picture,
        groups=Table(found.header, found.rows),
        notes=tuple(found.checks),
    )
    _write(folder, told, found.picture, page)
    return told


def _write(folder: Path, summary: dict[str, Any], picture: str, page: ExperimentReport) -> None:
    report = render_experiment(page)
    files = {SUMMARY: json_bytes(summary), PICTURE: picture.encode(), REPORT: report.encode()}
    write_files({folder / name: data for name, data in files.items()})


def picture(experiment: Experiment, members: tuple[Member, ...], runs: Sequence[Trained]) -> str:
    """The experiment's picture as SVG."""
    share, what = experiment.metric == "error", "error" if experiment.metric == "error" else "training loss"
    if experiment.picture == "courses":
        return courses_svg(_panels(experiment, members, runs), what=experiment.metric, share=share)
    if experiment.picture == "dots":
        return dots_svg(experiment.title, _rows(experiment, members, runs), what=what, share=share)
    lines = _series(experiment, members, runs)
    what = f"validation accuracy against {experiment.against}" if experiment.against else what
    what = f"validation {what}" if share and not experiment.against else what
    return lines_svg(experiment.title, lines, what=what, axis=experiment.axis, share=share)


def group_rows(found: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The table of groups as texts: header and rows, each number as its mean and standard deviation."""
    header = ("group", "n", *NUMBERS.values())
    rows = [(g["group"], str(g["n"]), *(_spread_text(key, g[key]) for key in NUMBERS)) for g in found["groups"]]
    return header, rows


def _panels(experiment: Experiment, members: tuple[Member, ...], runs: Sequence[Trained]) -> list[Panel]:
    panels: dict[str, list[CourseLine]] = {}
    for group, those in groups(members).items():
        of_group = _of(those, runs)
        line = CourseLine(
            group,
            course(of_group, of_row("train", experiment.metric)),
            course(of_group, of_row("val", experiment.metric)),
        )
        panels.setdefault(those[0].series or experiment.title, []).append(line)
    return [Panel(title, lines) for title, lines in panels.items()]


def _rows(experiment: Experiment, members: tuple[Member, ...], runs: Sequence[Trained]) -> list[DotRow]:
    val, test = _SHOWN[experiment.metric]
    return [
        DotRow(group, _values(val, _of(those, runs)), _values(test, _of(those, runs)) if test else [])
        for group, those in groups(members).items()
    ]


def _series(experiment: Experiment, members: tuple[Member, ...], runs: Sequence[Trained]) -> list[Series]:
    """The members' points by series; one without series belongs to all."""
    key, _ = _SHOWN[experiment.metric]
    found: dict[str, list[Point]] = {member.series: [] for member in members if member.series}
    for member in members:
        values = _values(key, _of([member], runs))
        if member.place is None or not values:
            continue
        if experiment.against:
            # Seed by seed: those of one seed have the same images.
            others = _values(key, [trained for trained in runs if trained.member.name == experiment.against])
            values = [other - value for value, other in zip(values, others, strict=False)]
        point = Point(member.place, sum(values) / len(values), min(values), max(values))
        for points in [found[member.series]] if member.series else found.values():
            points.append(point)
    return [Series(name, points) for name, points in found.items()]


def _of(members: Sequence[Member], runs: Sequence[Trained]) -> list[Trained]:
    names = {member.name for member in members}
    return [trained for trained in runs if trained.member.name in names]


def _values(key: str, runs: Sequence[Trained]) -> list[float]:
    return [value for trained in runs if (value := run_numbers(trained)[key]) is not None]


def _page(
    name: str, experiment: Experiment, members: tuple[Member, ...], found: dict[str, Any], drawn: str
) -> ExperimentReport:
    header, rows = group_rows(found)
    runs = [
        (r["run"], str(r["seed"]), *(_text(key, r[key]) for key in NUMBERS), str(r["epochs"]), duration(r["seconds"]))
        for r in found["runs"]
    ]
    total = sum(run["seconds"] for run in found["runs"])
    return ExperimentReport(
        title=f"{name}: {experiment.title}",
        question=experiment.question,
        source=experiment.source,
        state="quick" if members[0].recipe.quick else "finished",
        summary=(("Runs", str(len(runs))), ("Groups", str(len(rows))), ("Time of the runs", duration(total))),
        picture=drawn,
        groups=Table(header, rows),
        runs=Table(("run", "seed", *NUMBERS.values(), "epochs", "time"), runs),
        settings=_settings(members),
        notes=tuple(found.get("checks", ())),
    )


def _settings(members: tuple[Member, ...]) -> dict[str, dict[str, str]]:
    """The recipes' fields by their dotted names: first those that are the same in all, then what each differs in."""
    flat = {member.name: dict(dotted(replace(member.recipe, name=member.name).to_json())) for member in members}
    fields = dict.fromkeys(name for recipe in flat.values() for name in recipe)
    same = [name for name in fields if len({recipe.get(name) for recipe in flat.values()}) == 1]
    common = {name: next(iter(flat.values()))[name] for name in same}
    own = {
        member: {name: value for name, value in recipe.items() if name not in common} for member, recipe in flat.items()
    }
    return {"all members": common, **own}


def _spread_text(key: str, spread: dict[str, float | None] | None) -> str:
    """`12.3% ± 0.4%`"""
    if spread is None:
        return "-"
    mean, deviation = _text(key, spread["mean"]), spread["deviation"]
    return mean if deviation is None else f"{mean} ± {_text(key, deviation)}"


def _text(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return percent(value) if key.endswith("error") else f"{value:.4f}"
