"""An experiment: a question, and the runs whose comparison answers it. Data alone, no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe
from convsmith.series.member import Member


@dataclass(frozen=True)
class Experiment:
    """A question with its source, and the `members` that are trained to answer it, each with every seed.

    `metric` is what the picture shows: errors, or the training loss. It is drawn as `courses` over the epochs (a panel
    for each, training thin, validation bold), as `dots` (a row for each group, a dot for each run) or as `lines` over
    the members' places, which `axis` names; with `against` it is the accuracy above that of the member so called.
    `suit` makes the members what the data and network that a user chose need, with cuts by name where they have such;
    `checks` are findings on the runs that are no table: lines of text.
    """

    title: str
    question: str
    source: str
    members: Callable[[], tuple[Member, ...]]
    picture: Literal["courses", "dots", "lines"]
    metric: Literal["error", "loss"] = "error"
    axis: str = ""
    seeds: int = 1
    against: str = ""
    suit: Callable[[tuple[Member, ...], Sequence[str]], tuple[Member, ...]] | None = None
    checks: Callable[[Sequence[Any]], list[str]] | None = None


@dataclass(frozen=True)
class Measurement:
    """A question that is answered by measuring networks as they are drawn, in seconds and without training.

    `measure` gives the findings for a number of seeds; `quick` makes do with less of everything.
    """

    title: str
    question: str
    source: str
    measure: Callable[[int, bool], "Findings"]
    seeds: int


@dataclass(frozen=True)
class Findings:
    """What a measurement found: a table of texts, the same as data, lines of text, and a picture as SVG."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    data: dict[str, Any]
    checks: list[str]
    picture: str


def default_folder(name: str, quick: bool) -> Path:
    """Where an experiment lies if nothing is said: a quick one apart, since its runs say nothing about the question."""
    return Path("runs") / f"experiment-{name}{'-quick' if quick else ''}"


def chosen(experiment: Experiment, change: Callable[[Recipe], Recipe], cuts: Sequence[str] = ()) -> tuple[Member, ...]:
    """The experiment's members with every recipe changed, and what the data and network then need."""
    members = experiment.members()
    if experiment.suit is None:
        return changed(members, change)
    members = tuple(replace(member, recipe=change(member.recipe)) for member in members)
    return changed(experiment.suit(members, cuts), lambda recipe: recipe)


def changed(members: tuple[Member, ...], change: Callable[[Recipe], Recipe]) -> tuple[Member, ...]:
    """The members with every recipe changed; UsageError where that makes two of them the same."""
    found = tuple(replace(member, recipe=change(member.recipe)) for member in members)
    seen: dict[tuple[Recipe, str | None], Member] = {}
    for before, member in zip(members, found, strict=True):
        key = (replace(member.recipe, name=""), member.after)
        if key in seen:
            raise UsageError(
                f"with these options {seen[key].name} and {before.name} are the same run, so that nothing is compared; "
                "leave out what the members differ in"
            )
        seen[key] = member
    return found
