"""Reading a verb's words: argparse with one-line errors, and the recipe's fields as options."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from convsmith.base.config import options as recipe_options
from convsmith.base.errors import UsageError, nearest
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND, set_fields


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and name the nearest option."""

    def __init__(self, verb: str, description: str):
        super().__init__(
            prog=f"convsmith {verb}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.verb = verb

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.verb}: {message}")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The values of the words; a word that is no option of the verb is an error."""
        values, rest = self.parse_known_args(list(words))
        for word in rest:
            self.unknown(word)
        return values

    def unknown(self, word: str) -> NoReturn:
        """Refuse an option (or one argument too many) with the nearest that there is."""
        if not word.startswith("-"):
            raise UsageError(f"{self.verb}: one argument too many: {word!r}")
        name = word.split("=")[0]
        known = [o for action in self._actions for o in action.option_strings if o.startswith("--")]
        close = nearest(name, known)
        hint = f"nearest: {', '.join(close)}" if close else "see --help"
        raise UsageError(f"{self.verb}: unknown option {name}; {hint}")


def add_short(parser: argparse.ArgumentParser, *names: str) -> None:
    """Give the parser these short options; they are None where not given, so that a recipe keeps its own."""
    for name in names:
        short = SHORTHAND[name]
        flag = "--" + name.replace("_", "-")
        help = short.help.replace("%", "%%")
        if short.form == "flag":
            parser.add_argument(flag, dest=name, action="store_const", const=True, help=help)
        elif short.form == "more":
            parser.add_argument(flag, dest=name, action="append", metavar=short.metavar, help=help)
        else:
            parser.add_argument(flag, dest=name, metavar=short.metavar, help=help)


def add_edit(parser: argparse.ArgumentParser) -> None:
    """`--edit` for the network of a run: edits that need no training."""
    help = "edit the trained network: fold_norm, low_rank=0.5, ...; repeatable"
    parser.add_argument("--edit", action="append", default=[], metavar="EDIT", help=help)


def add_output(parser: argparse.ArgumentParser) -> None:
    """`--json`, which every verb has."""
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def recipe_words(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split off the options that name a field of a recipe: `--optimiser.lr 0.1`, `--label_smoothing=0.1`."""
    fields = {path for path, *_ in recipe_options(Recipe())} - set(SHORTHAND)
    rest: list[str] = []
    found: list[tuple[str, str]] = []
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
        found.append((path, value))
    return rest, found


def edited(recipe: Recipe, values: argparse.Namespace, fields: Sequence[tuple[str, str]]) -> Recipe:
    """The recipe with what was given on the command line, short options and dotted ones in any order."""
    short = [(name, getattr(values, name, None)) for name in SHORTHAND]
    return set_fields(recipe, [*((name, value) for name, value in short if value is not None), *fields])


def all_fields() -> str:
    """Every field of a recipe as an option, for `--help-all`."""
    from convsmith.base.config import plain

    lines: list[str] = []
    for path, kind, value, help in recipe_options(Recipe()):
        shown = plain(value)
        default = ",".join(map(str, shown)) if isinstance(shown, list) else "none" if shown is None else shown
        lines.append(f"  --{path} ({kind}; {default})".ljust(58) + f" {help}")
    return "\n".join(["every field of a recipe is an option (type; default):", "", *lines])


def print_json(data: Any) -> None:
    """The result of a verb for programs."""
    json.dump(data, sys.stdout, allow_nan=False)
    print()


def say(text: str) -> None:
    """A line for people that is no result."""
    print(text, file=sys.stderr, flush=True)
