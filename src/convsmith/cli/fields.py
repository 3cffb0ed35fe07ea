"""The fields of a recipe as options: `--optimizer.lr 0.1` on every verb that trains."""

import argparse
import dataclasses as dc
import re
from collections.abc import Sequence
from typing import Any

from convsmith.base.config import kind_of, members, plain, type_name
from convsmith.base.config import options as recipe_options
from convsmith.base.errors import UsageError
from convsmith.base.record import hints, ranges
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND, set_fields


def recipe_words(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split off the options that name a field of a recipe: `--optimizer.lr 0.1`, `--label_smoothing=0.1`."""
    fields = {path for path, *_ in recipe_options(Recipe())} - set(SHORTHAND)
    rest: list[str] = []
    settings: list[tuple[str, str]] = []
    iterator = iter(words)
    for word in iterator:
        name, equals, value = word.removeprefix("--").partition("=")
        path = name.replace("-", "_")
        if not word.startswith("--") or (path not in fields and "." not in path):
            rest.append(word)
            continue
        if not equals:
            value = next(iterator, None)
            if value is None or (value.startswith("--") and not re.match(r"-?\d", value)):
                raise UsageError(f"--{name} needs a value")
        settings.append((path, value))
    return rest, settings


def given(values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> list[tuple[str, Any]]:
    """The options on the command line with their values, short and dotted."""
    short = [(name, getattr(values, name, None)) for name in SHORTHAND]
    return [*((name, value) for name, value in short if value is not None), *fields]


def edited(recipe: Recipe, values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> Recipe:
    """The recipe with the options of the command line."""
    return set_fields(recipe, given(values, fields))


def all_fields() -> str:
    """Every field of a recipe as an option, and the fields of its records, for `--help-all`."""
    lines = ["every field of a recipe is an option (type and range; default):", ""]
    lines += [_line(f"--{path}", *row) for path, *row in recipe_options(Recipe())]
    lines += ["", "the records in them, written as crop(4) or crop(padding=4):"]
    for path, record in members(Recipe):
        lines += ["", f"{kind_of(record)}, in --{path}: {(record.__doc__ or '').partition(chr(10))[0]}"]
        kinds, limits = hints(record), ranges(record)
        for field in dc.fields(record):
            default = "needed" if field.default is dc.MISSING else field.default
            kind = type_name(kinds[field.name], limits.get(field.name))
            lines.append(_line(field.name, kind, default, field.metadata.get("help", "")))
    return "\n".join(lines)


def _line(name: str, kind: str, value: Any, help: str) -> str:
    default = plain(value)
    default = ",".join(map(str, default)) if isinstance(default, list) else "none" if default is None else default
    return f"  {name} ({kind}; {default})".ljust(58) + f" {help}"
