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

    `metric`, the error or the training loss, is drawn as `courses` over the epochs (a panel for each member, training
    thin, validation bold), as `dots` (a row for each group, a dot for each run) or as `lines` over the members' places
    on `axis`; with `against` the lines show the accuracy minus that of the member of this name. `suit` adapts the
    members to the user's data and network, with the stages to cut at by name; `checks` gives lines of text on the runs.
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
    """A question that is answered by measuring networks with random weights, in seconds and without training.

    `measure` gives the findings for a number of seeds; with `quick` it measures less of everything.
    """

    title: str
    question: str
    source: str
    measure: Callable[[int, bool], "Findings"]
    seeds: int


@dataclass(frozen=True)
class Findings:
    """The result of a measurement: a table of texts, the same as data, lines of text, and a picture as SVG."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    data: dict[str, Any]
    checks: list[str]
    picture: str


def default_folder(name: str, quick: bool) -> Path:
    """The default folder of an experiment; a quick one has its own, since its runs do not answer the question."""
    return Path("runs") / f"experiment-{name}{'-quick' if quick else ''}"


def chosen(experiment: Experiment, change: Callable[[Recipe], Recipe], cuts: Sequence[str] = ()) -> tuple[Member, ...]:
    """The experiment's members with every recipe changed, then adapted to the data and network by `suit`."""
    members = experiment.members()
    if experiment.suit is None:
        return changed(members, change)
    members = tuple(replace(member, recipe=change(member.recipe)) for member in members)
    return changed(experiment.suit(members, cuts), lambda recipe: recipe)


def changed(members: tuple[Member, ...], change: Callable[[Recipe], Recipe]) -> tuple[Member, ...]:
    """The members with every recipe changed; UsageError if two of them become the same."""
    results = tuple(replace(member, recipe=change(member.recipe)) for member in members)
    seen: dict[tuple[Recipe, str | None], Member] = {}
    for before, member in zip(members, results, strict=True):
        key = (replace(member.recipe, name=""), member.after)
        if key in seen:
            raise UsageError(
                f"with these options {seen[key].name} and {before.name} are the same run, so that nothing is compared; "
                "leave out the options that set what the members vary"
            )
        seen[key] = member
    return results
