"""Reads the words of a verb: argparse with one-line errors. `fields.py` reads the fields of a recipe."""

import argparse
from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from convsmith.base.config import edit
from convsmith.base.errors import UsageError, nearest, unknown
from convsmith.base.user_code import TRUST
from convsmith.cli.output import print_json as print_json
from convsmith.cli.output import say as say
from convsmith.cli.trust import HELP, TRUSTING, without_trust
from convsmith.data.options import DataOptions
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.recipes.words import TRAINING, USES
from convsmith.runs.directory import SEALED
from convsmith.runs.seals import OPTION, accept

if TYPE_CHECKING:
    from convsmith.recipes.meant import Meant  # imported late: most commands need no recipe


class _Accept(argparse.Action):
    """The action of `--accept-edited`: allows the named records to be edited."""

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
        self.words: Sequence[str] = ()
        # Every verb has the option, since nearly every verb reads runs, and the error of an edited record names it.
        self.add_argument(OPTION, action=_Accept, metavar="RECORD,...", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        translation = self._meant()
        raise UsageError(f"{self.verb}: {message}{_try(translation)}")

    def read(self, words: Sequence[str], typed: Sequence[str] | None = None) -> argparse.Namespace:
        """The values of the words; a word that is not an option of the verb is an error.

        `typed` are the words of the whole command, if some of them have been read already.
        """
        self.words = list(words if typed is None else typed)
        settings = [word for word in words if "=" in word and not word.startswith("-")]
        translation = self._meant() if settings else None
        if translation and translation.answers.keys() & {word.partition("=")[0] for word in settings}:
            odd = next((answer for answer in translation.answers.values() if answer.startswith("there is no ")), "")
            raise UsageError(f"{self.verb}: {odd or 'options begin with --'}{_try(translation)}")
        values, rest = self.parse_known_args(without_trust(words)[0] if self.verb in TRUSTING else list(words))
        for word in rest:
            self.unknown(word)
        if self.verb in USES:
            from convsmith.recipes.meant import misplaced

            translation = misplaced(self.verb, self.words, self._known())
            if translation is not None:
                raise UsageError(f"{self.verb}: a run comes first, and is named by its directory{_try(translation)}")
        return values

    def unknown(self, word: str) -> NoReturn:
        """Refuse an unknown option or a surplus argument: with its translation, else with the nearest options."""
        translation = self._meant()
        if not word.startswith("-"):
            problem = translation.answers.get(word) if translation else None
            raise UsageError(f"{self.verb}: {problem or f'one argument too many: {word!r}'}{_try(translation)}")
        name = word.split("=")[0]
        answer = translation.answers.get(name) if translation else None
        if answer is None:
            hint = self._nearest(name)
        else:
            hint = answer if " " in answer and not answer.startswith("-") else f"here it is {answer}"
        raise UsageError(f"{self.verb}: unknown option {name}; {hint}{_try(translation)}")

    def _known(self) -> dict[str, bool]:
        """The verb's options and whether each takes a value."""
        return {o: a.nargs != 0 for a in self._actions for o in a.option_strings if o.startswith("--")}

    def _meant(self) -> "Meant | None":
        from convsmith.recipes.meant import meant

        return meant(self.verb, self.words, self._known())

    def _nearest(self, name: str) -> str:
        """The options most similar to a name: by whole names, last parts and the words of other programs."""
        from convsmith.recipes import meant

        fields: dict[str, str] = meant.field_forms() if self.verb in (*TRAINING, "reproduce") else {}
        same = meant.last_words(name.lstrip("-"), fields)
        if same:
            return "here it is " + " or ".join(f"--{path} {fields[path]}" for path in same)
        plain = {option.lstrip("-").replace("-", "_"): option for option in self._known()}
        ends = {path.rpartition(".")[2]: f"--{path} {fields[path]}" for path in fields if "." in path}
        names = {**ends, **{path: f"--{path} {fields[path]}" for path in fields}, **plain}
        key, peers = name.lstrip("-").replace("-", "_").lower(), meant.peer_words(self.verb, fields)
        # A high cutoff: there are so many words of other programs that any name resembles one.
        close = [*nearest(key, names), *get_close_matches(key, peers, cutoff=0.75)]
        close.sort(key=lambda one: SequenceMatcher(None, one, key).ratio(), reverse=True)
        hints: dict[str, str] = {}
        for text in (table[one] for one in close for table in (names, peers) if one in table):
            hints.setdefault(text.partition(" ")[0], text)  # each option once, by the word nearest to the name
        return f"nearest: {', '.join([*hints.values()][:3])}" if hints else "see --help"


def _try(translation: "Meant | None") -> str:
    return f"; try: {translation.command}" if translation else ""


def add_short(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add short options to the parser; their default None leaves the value of the recipe."""
    for name in names:
        short = SHORTHAND[name]
        flag = "--" + name.replace("_", "-")
        # The help of --on-bad names --max-megapixels; this saves a line.
        hidden = name == "max_megapixels" and "on_bad" in names
        help = argparse.SUPPRESS if hidden else short.help.replace("%", "%%")
        if short.form == "flag":
            parser.add_argument(flag, dest=name, action="store_const", const=True, help=help)
        elif short.form == "more":
            parser.add_argument(flag, dest=name, action="append", metavar=short.metavar, help=help)
        else:
            parser.add_argument(flag, dest=name, metavar=short.metavar, help=help)


def megapixels(value: str | None) -> int | None:
    """The value of `--max-megapixels` for a verb without a recipe."""
    return edit(DataOptions(), "max_megapixels", value).max_megapixels


def add_edit(parser: argparse.ArgumentParser) -> None:
    """Add `--edit` for the network of a run: edits that need no training."""
    help = "edit the trained network: fold_norm, low_rank=0.5, ...; repeatable"
    parser.add_argument("--edit", action="append", default=[], metavar="EDIT", help=help)


def add_views(parser: argparse.ArgumentParser) -> None:
    """Add `--views`: several views of an image, whose probabilities are averaged."""
    help = "the mean over several views of an image: mirror, ten_crop, 'translate(1),mirror', ... (docs/eval.md)"
    parser.add_argument("--views", default="", metavar="VIEWS", help=help)


def add_output(parser: Parser) -> None:
    """Add `--json`, which every verb has, and `--trust-code`, which trust.py reads."""
    if parser.verb in TRUSTING:
        parser.add_argument(TRUST, nargs="?", metavar="FILE.py:FUNCTION", help=HELP)
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
