"""`convsmith recipes [show] [NAME|PATTERN]`."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from typing import Any

from convsmith.base.calls import format_call
from convsmith.base.config import kind_of, options
from convsmith.base.durations import Duration
from convsmith.base.errors import unknown
from convsmith.base.record import ranges
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.output import show_text
from convsmith.recipes.builtin import RECIPES, BuiltIn
from convsmith.recipes.recipe import Recipe
from convsmith.report.text import table

RUN = "+"


def run(words: Sequence[str]) -> int:
    """List the recipes, all or those whose name matches, or explain one."""
    parser = Parser("recipes", "List the recipes, or explain one field by field.")
    parser.add_argument("name", nargs="?", help="recipe to explain, or a pattern in quotes, such as '*cifar100*'")
    add_output(parser)
    show = list(words[:1]) == ["show"]
    values = parser.read(words[1:] if show else words)
    if values.name in RECIPES or (show and values.name):
        return _explain(RECIPES[values.name], values.json)
    names = _matching(values.name or "*")
    if values.json:
        print_json([_as_json(RECIPES[name]) for name in names])
        return 0
    show_text(_listing([RECIPES[name] for name in names]))
    return 0


def _matching(pattern: str) -> list[str]:
    names = RECIPES.matching(pattern) or RECIPES.matching(f"*{pattern}*")
    if not names:
        raise unknown("recipe", pattern, RECIPES)
    return names


def _listing(entries: Sequence[BuiltIn]) -> str:
    """The table of recipes, with the name of each group above its rows."""
    rows = [
        ("  " + entry().name, entry().network, str(entry().length), RUN if entry.was_run else "", entry.title)
        for entry in entries
    ]
    head, rule, *lines = table(("  recipe", "network", "length", "", "what it is"), rows, align="<<><<").split("\n")
    parts = [head, rule]
    group = ""
    for entry, line in zip(entries, lines, strict=True):
        parts += [entry.group] if entry.group != group else []
        parts.append(line)
        group = entry.group
    count = (
        f"{len(entries)} of {len(RECIPES)} recipes; " if len(entries) < len(RECIPES) else f"{len(RECIPES)} recipes; "
    )
    parts.append(
        f"\n{count}{RUN} has a result of ours, the others were never run by us. "
        "convsmith recipes NAME explains one, with what its source reports"
    )
    return "\n".join(parts)


def _as_json(entry: BuiltIn) -> dict[str, Any]:
    return {
        "name": entry().name,
        "group": entry.group,
        "run_by_us": entry.was_run,
        "recipe": entry().to_json(),
        "sources": dict(entry.sources),
        "about": entry.about,
    }


def _explain(entry: BuiltIn, as_json: bool) -> int:
    if as_json:
        print_json(entry().to_json())
        return 0
    show_text(f"{entry().name}\n\n{entry.about}\n")
    usual: list[tuple[str, ...]] = []
    own: list[tuple[str, ...]] = []
    limits = ranges(Recipe)
    for path, _, default, help in options(Recipe()):
        help += f" ({limits[path]})" if str(limits.get(path, "")) else ""
        value = reduce(getattr, path.split("."), entry())
        source = entry.source(path)
        if value != default or source:
            own.append((path, _text(value), source, help))
        else:
            usual.append((path, _text(value), help))
    show_text(table(("field", "value", "source", "what it is"), own, align="<<<<"))
    show_text("\nas in every recipe that does not say otherwise:\n")
    show_text(table(("field", "value", "what it is"), usual, align="<<<"))
    show_text("\nEach field is an option: --field VALUE. Where no source stands, the value is our choice.")
    return 0


def _text(value: Any) -> str:
    """A value in the form of its option; for a record, the fields that differ from the defaults."""
    if isinstance(value, tuple):
        return ",".join(map(_text, value)) or "none"
    if is_dataclass(value) and not isinstance(value, Duration):
        changed = {f.name: v for f in fields(value) if (v := getattr(value, f.name)) != f.default}
        named = {name: str(v) if isinstance(v, Duration) else v for name, v in changed.items()}
        return format_call(kind_of(type(value)), (), named)
    return "none" if value is None else str(value)
