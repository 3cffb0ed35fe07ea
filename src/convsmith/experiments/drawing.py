"""The picture of an experiment and what its page tells, from what its runs found. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from convsmith.experiments.experiment import Experiment, Findings, Measurement
from convsmith.report.courses import CourseLine, Panel, courses_svg
from convsmith.report.dots import DotRow, dots_svg
from convsmith.report.experiment_page import ExperimentReport, Table
from convsmith.report.lines import Point, Series, lines_svg
from convsmith.series.folder import experiment_name
from convsmith.series.member import Member, groups
from convsmith.series.page import Story, dots, write_found
from convsmith.series.results import Trained, course

# The validation images' and the test images' split of each metric; of a loss only training's is drawn.
_SHOWN = {"error": ("val", "test"), "loss": ("train", None)}


def story_of(name: str, experiment: Experiment, members: tuple[Member, ...]) -> Story:
    """What an experiment's folder is called and its page tells."""
    checks = experiment.checks
    return Story(
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
    """The same three files of a measurement; gives the summary."""
    told = {**_head(name, measurement), **found.data, "checks": found.checks}
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
    write_found(folder, told, page)
    return told


def picture(experiment: Experiment, members: Sequence[Member], runs: Sequence[Trained]) -> str:
    """The experiment's picture as SVG; of errors where there are any, else the runs' own score as dots."""
    if experiment.metric == "error" and not _values("val", "error", runs):
        return dots(experiment.title, members, runs)
    share, what = experiment.metric == "error", "error" if experiment.metric == "error" else "training loss"
    if experiment.picture == "courses":
        return courses_svg(_panels(experiment, members, runs), what=experiment.metric, share=share)
    if experiment.picture == "dots":
        return dots_svg(experiment.title, _rows(experiment, members, runs), what=what, share=share)
    lines = _series(experiment, runs)
    what = f"validation accuracy against {experiment.against}" if experiment.against else what
    what = f"validation {what}" if share and not experiment.against else what
    return lines_svg(experiment.title, lines, what=what, axis=experiment.axis, share=share)


def _head(name: str, experiment: Experiment | Measurement) -> dict[str, str]:
    return {
        "experiment": name,
        "title": experiment.title,
        "question": experiment.question,
        "source": experiment.source,
    }


def _panels(experiment: Experiment, members: Sequence[Member], runs: Sequence[Trained]) -> list[Panel]:
    panels: dict[str, list[CourseLine]] = {}
    for group, those in groups(members).items():
        of, metric = _of(those, runs), experiment.metric
        line = CourseLine(group, course(of, _of_row("train", metric)), course(of, _of_row("val", metric)))
        panels.setdefault(those[0].panel or experiment.title, []).append(line)
    return [Panel(title, lines) for title, lines in panels.items()]


def _rows(experiment: Experiment, members: Sequence[Member], runs: Sequence[Trained]) -> list[DotRow]:
    val, test = _SHOWN[experiment.metric]
    metric = experiment.metric
    return [
        DotRow(group, _values(val, metric, _of(those, runs)), _values(test, metric, _of(those, runs)) if test else [])
        for group, those in groups(members).items()
    ]


def _series(experiment: Experiment, runs: Sequence[Trained]) -> list[Series]:
    """The members' points by panel, a point over all seeds; one without panel belongs to all."""
    split, _ = _SHOWN[experiment.metric]
    found: dict[str, list[Point]] = {trained.member.panel: [] for trained in runs if trained.member.panel}
    seeds: dict[str, list[Trained]] = {}
    for trained in runs:
        seeds.setdefault(trained.member.recipe.name, []).append(trained)
    for those in seeds.values():
        member, values = those[0].member, _values(split, experiment.metric, those)
        if member.place is None or not values:
            continue
        if experiment.against:
            # Seed by seed: those of one seed have the same images.
            others = _values(split, experiment.metric, seeds.get(experiment.against, []))
            values = [other - value for value, other in zip(values, others, strict=False)]
        point = Point(member.place, sum(values) / len(values), min(values), max(values))
        for points in [found[member.panel]] if member.panel else found.values():
            points.append(point)
    return [Series(name, points) for name, points in found.items()]


def _of(members: Sequence[Member], runs: Sequence[Trained]) -> list[Trained]:
    return [trained for trained in runs if trained.member in members]


def _values(split: str, metric: str, runs: Sequence[Trained]) -> list[float]:
    read = _of_numbers(metric)
    return [value for trained in runs if (value := read(trained.numbers.get(split, {}))) is not None]


def _of_row(split: str, metric: str) -> Callable[[Mapping[str, Any]], float | None]:
    """What reads a logged row's error or loss on `train` or `val`."""
    return _of_numbers(metric, f"{split}_")


def _of_numbers(metric: str, prefix: str = "") -> Callable[[Mapping[str, Any]], float | None]:
    if metric == "loss":
        return lambda numbers: numbers.get(f"{prefix}loss")
    return lambda numbers: None if (share := numbers.get(f"{prefix}accuracy")) is None else 1 - share
