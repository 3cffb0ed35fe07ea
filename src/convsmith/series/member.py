"""A member of a series: one run, its group, and the run that it starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe


@dataclass(frozen=True)
class Member:
    """One run of a series, in the folder `name`.

    Members of one `group` are averaged; an empty group means its name. `after` names the member that is trained before
    and whose run gives the first weights. `about` goes into the summary: the seed, the fold. `panel` is the member's
    panel or line in the picture, `place` its position on the horizontal axis of a picture of lines.
    """

    name: str
    recipe: Recipe
    group: str = ""
    after: str | None = None
    panel: str = ""
    place: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> str:
        """The name of its row in the table of groups."""
        return self.group or self.name


def groups(members: Sequence[Member]) -> dict[str, list[Member]]:
    """The members of each row of the table, in their order."""
    rows: dict[str, list[Member]] = {}
    for member in members:
        rows.setdefault(member.row, []).append(member)
    return rows


def seeded(members: Sequence[Member], seeds: int) -> tuple[Member, ...]:
    """Every member with `seeds` seeds, from its own upwards; ordered by seed, then by member."""
    return tuple(
        replace(
            member,
            name=_with_seed(member.name, member, more),
            recipe=replace(member.recipe, name=member.name, seed=member.recipe.seed + more),
            group=member.row,
            after=member.after and _with_seed(member.after, member, more),
            about={**member.about, "seed": member.recipe.seed + more},
        )
        for more in range(seeds)
        for member in members
    )


def ordered(members: Sequence[Member]) -> list[Member]:
    """The members in their order, but each behind its `after`; UsageError if no such order exists."""
    left, placed = list(members), {}
    if not left:
        raise UsageError("series: expected at least one member, received none")
    names = [member.name for member in left]
    for name in names:
        if name in ("", "..") or Path(name).name != name or names.count(name) > 1:
            raise UsageError(f"series: expected a name of its own for each member's folder, received {name!r}")
    while left:
        ready = next((member for member in left if member.after is None or member.after in placed), None)
        if ready is None:
            raise UsageError(
                f"series: {left[0].name} is after {left[0].after!r}, which "
                + ("waits for it in a circle" if left[0].after in names else "is not a member")
            )
        left.remove(ready)
        placed[ready.name] = ready
    return list(placed.values())


def _with_seed(name: str, member: Member, more: int) -> str:
    return f"{name}-seed{member.recipe.seed + more}"
