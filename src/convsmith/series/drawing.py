"""The picture and the page of an experiment, from the numbers of its runs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from convsmith.report.experiment_page import ExperimentReport, Table
from convsmith.report.groups import CourseLine, Panel, Point, courses_svg, lines_svg
from convsmith.report.groups import Series as Line
from convsmith.series.experiment import Experiment, Findings, Measurement
from convsmith.series.folder import experiment_name
from convsmith.series.member import Member, seeded
from convsmith.series.page import Series, dots, write_found
from convsmith.series.results import Trained, course


def series_of(name: str, experiment: Experiment, members: tuple[Member, ...], seeds: int) -> Series:
    """The series of every member with `seeds` seeds, with the name of its folder and the texts of its page."""
    checks = experiment.checks
    return Series(
        seeded(members, seeds),
        name=experiment_name(name),
        title=f"{name}: {experiment.title}",
        question=experiment.question,
        source=experiment.source,
        of=members,
        head=_head(name, experiment),
        errors=True,
        draw=partial(picture, experiment),
        more=lambda runs: {"checks": checks(runs)} if checks else {},
    )


def write_findings(folder: Path, name: str, measurement: Measurement, found: Findings) -> dict[str, Any]:
    """Write summary, picture and page of a measurement; returns the summary."""
    summary = {**_head(name, measurement), **found.data, "checks": found.checks}
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
    write_found(folder, summary, page)
    return summary


def picture(experiment: Experiment, runs: Sequence[Trained]) -> str:
    """The experiment's picture as SVG; dots of the score if the runs of a user's task have no accuracy."""
    errors = experiment.metric == "error"
    if experiment.picture == "dots" or (errors and not _errors(runs)):
        return dots(experiment.title, runs, errors)
    if experiment.picture == "courses":
        return courses_svg(_panels(experiment, runs), what=experiment.metric, share=errors)
    what = f"validation accuracy against {experiment.against}" if experiment.against else "validation error"
    return lines_svg(experiment.title, _lines(experiment, runs), what=what, axis=experiment.axis, share=True)


def _head(name: str, experiment: Experiment | Measurement) -> dict[str, str]:
    return {
        "experiment": name,
        "title": experiment.title,
        "question": experiment.question,
        "source": experiment.source,
    }


def _panels(experiment: Experiment, runs: Sequence[Trained]) -> list[Panel]:
    panels: dict[str, list[CourseLine]] = {}
    for group, members in _by(runs, lambda member: member.row).items():
        train, val = (course(members, partial(_logged, split, experiment.metric)) for split in ("train", "val"))
        panels.setdefault(members[0].member.panel or experiment.title, []).append(CourseLine(group, train, val))
    return [Panel(title, lines) for title, lines in panels.items()]


def _lines(experiment: Experiment, runs: Sequence[Trained]) -> list[Line]:
    """The members' points by panel, each over all seeds; a member without a panel is in all of them."""
    panels: dict[str, list[Point]] = {trained.member.panel: [] for trained in runs if trained.member.panel}
    seeds = _by(runs, lambda member: member.recipe.name)
    for same_seeds in seeds.values():
        member, values = same_seeds[0].member, _errors(same_seeds)
        if member.place is None or not values:
            continue
        if experiment.against:
            # Seed by seed: runs with the same seed have the same images.
            baseline = _errors(seeds.get(experiment.against, []))
            values = [other - value for value, other in zip(values, baseline, strict=False)]
        point = Point(member.place, sum(values) / len(values), min(values), max(values))
        for points in [panels[member.panel]] if member.panel else panels.values():
            points.append(point)
    return [Line(name, points) for name, points in panels.items()]


def _by(runs: Sequence[Trained], what: Callable[[Member], str]) -> dict[str, list[Trained]]:
    groups: dict[str, list[Trained]] = {}
    for trained in runs:
        groups.setdefault(what(trained.member), []).append(trained)
    return groups


def _errors(runs: Sequence[Trained]) -> list[float]:
    """The validation errors of the runs that have an accuracy."""
    accuracies = [trained.numbers.get("val", {}).get("accuracy") for trained in runs]
    return [1 - share for share in accuracies if share is not None]


def _logged(split: str, metric: str, row: Mapping[str, Any]) -> float | None:
    """A logged row's error or loss on `train` or `val`."""
    if metric == "loss":
        return row.get(f"{split}_loss")
    return None if (share := row.get(f"{split}_accuracy")) is None else 1 - share
