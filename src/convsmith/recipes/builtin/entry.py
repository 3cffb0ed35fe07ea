"""`BuiltIn`: a recipe of the table with what its reader must know, and the text that tells it."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from convsmith.recipes.recipe import Recipe

NEVER_RUN = "Never run by us to its end."


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A recipe and what is known of it; calling it gives the recipe.

    `title` is its one line, without a full stop; `paper` where it comes from; `figure` what was reported there;
    `differs` where it deviates from that; `result` what our runs gave, with time, hardware and number of runs (None:
    never run by us); `sources` the fields, separated by blanks, that come from each place; `needs` what the command
    must be given.
    """

    recipe: Recipe
    group: str
    title: str
    paper: str = ""
    figure: str = ""
    differs: tuple[str, ...] = ()
    result: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""

    def __call__(self) -> Recipe:
        return self.recipe

    @property
    def was_run(self) -> bool:
        """Whether we ran it to its end."""
        return self.result is not None

    @property
    def command(self) -> str:
        """What starts it."""
        return " ".join(["convsmith train", self.recipe.name, *([self.needs] if self.needs else [])])

    @cached_property
    def about(self) -> str:
        """What a docstring would say: its line, the paper and its figure, the command, deviations, our result."""
        parts = [self.title + ".", self.command]
        if self.paper:
            parts.append(f"Source: {self.paper}. Reported: {self.figure}.")
        if self.differs:
            parts.append(f"Unlike there, {'; '.join(self.differs)}.")
        parts.append(self.result or NEVER_RUN)
        return "\n\n".join(textwrap.fill(part, 118, break_on_hyphens=False, break_long_words=False) for part in parts)

    def source(self, path: str) -> str:
        """Where a field's value comes from; an empty text where that is our own choice or the default."""
        return next((place for place, fields in self.sources.items() if path in fields.split()), "")
