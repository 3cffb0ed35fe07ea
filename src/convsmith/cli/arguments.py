"""Reading a verb's words: argparse with one-line errors. The fields of a recipe as options are in fields.py."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from convsmith.base.errors import UsageError, nearest, unknown
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.runs.directory import SEALED
from convsmith.runs.seals import OPTION, accept


class _Accept(argparse.Action):
    """Take these records of runs as they are, although they were edited."""

    def __call__(self, parser: argparse.ArgumentParser, values: Any, text: Any, option: str | None = None) -> None:
        names = [name.removesuffix(".json") for name in str(text).split(",")]
        for name in names:
            if name not in SEALED:
                raise unknown(f"record for {OPTION}", name, SEALED)
        accept(names)


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
        # On every verb: nearly all of them take a run. Its errors name it.
        self.add_argument(OPTION, action=_Accept, metavar="RECORD,...", help=argparse.SUPPRESS)

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


def add_views(parser: argparse.ArgumentParser) -> None:
    """`--views`: several views of an image, whose probabilities are averaged."""
    help = "the mean over several views of an image: mirror, ten_crop, 'translate(1),mirror', ... (docs/eval.md)"
    parser.add_argument("--views", default="", metavar="VIEWS", help=help)


def add_output(parser: argparse.ArgumentParser) -> None:
    """`--json`, which every verb has."""
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def print_json(data: Any) -> None:
    """The result of a verb for programs."""
    json.dump(data, sys.stdout, allow_nan=False)
    print()


def say(text: str) -> None:
    """A line for people that is no result."""
    print(text, file=sys.stderr, flush=True)
