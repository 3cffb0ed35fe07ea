"""Reading a verb's words: argparse with one-line errors. The fields of a recipe as options are in fields.py."""

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
    from convsmith.recipes.meant import Meant  # which reads a recipe's fields, that most commands do not need


class _Accept(argparse.Action):
    """The action of `--accept-edited`: the named records are read although they were edited."""

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
        # Every verb has the option, since nearly every verb takes a run; errors of edited records name it.
        self.add_argument(OPTION, action=_Accept, metavar="RECORD,...", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        found = self._meant()
        raise UsageError(f"{self.verb}: {message}{_try(found)}")

    def read(self, words: Sequence[str], typed: Sequence[str] | None = None) -> argparse.Namespace:
        """The values of the words; a word that is not an option of the verb is an error.

        `typed` is the whole command where some of its words have been read already.
        """
        self.words = list(words if typed is None else typed)
        settings = [word for word in words if "=" in word and not word.startswith("-")]
        found = self._meant() if settings else None
        if found and found.answers.keys() & {word.partition("=")[0] for word in settings}:
            odd = next((said for said in found.answers.values() if said.startswith("there is no ")), "")
            raise UsageError(f"{self.verb}: {odd or 'options begin with --'}{_try(found)}")
        values, rest = self.parse_known_args(without_trust(words)[0] if self.verb in TRUSTING else list(words))
        for word in rest:
            self.unknown(word)
        if self.verb in USES:
            from convsmith.recipes.meant import misplaced

            found = misplaced(self.verb, self.words, self._known())
            if found is not None:
                raise UsageError(f"{self.verb}: a run comes first, and is named by its directory{_try(found)}")
        return values

    def unknown(self, word: str) -> NoReturn:
        """Refuse an unknown option or a surplus argument: with its translation, else with the nearest options."""
        found = self._meant()
        if not word.startswith("-"):
            said = found.answers.get(word) if found else None
            raise UsageError(f"{self.verb}: {said or f'one argument too many: {word!r}'}{_try(found)}")
        name = word.split("=")[0]
        answer = found.answers.get(name) if found else None
        if answer is None:
            hint = self._nearest(name)
        else:
            hint = answer if " " in answer and not answer.startswith("-") else f"here it is {answer}"
        raise UsageError(f"{self.verb}: unknown option {name}; {hint}{_try(found)}")

    def _known(self) -> dict[str, bool]:
        """The verb's options and whether each takes a value."""
        return {o: a.nargs != 0 for a in self._actions for o in a.option_strings if o.startswith("--")}

    def _meant(self) -> "Meant | None":
        from convsmith.recipes.meant import meant

        return meant(self.verb, self.words, self._known())

    def _nearest(self, name: str) -> str:
        """The options most like a name, by their whole names, the last parts and the words of other programs."""
        from convsmith.recipes import meant

        fields: dict[str, str] = meant.field_forms() if self.verb in (*TRAINING, "reproduce") else {}
        same = meant.last_words(name.lstrip("-"), fields)
        if same:
            return "here it is " + " or ".join(f"--{path} {fields[path]}" for path in same)
        plain = {option.lstrip("-").replace("-", "_"): option for option in self._known()}
        ends = {path.rpartition(".")[2]: f"--{path} {fields[path]}" for path in fields if "." in path}
        names = {**ends, **{path: f"--{path} {fields[path]}" for path in fields}, **plain}
        key, peers = name.lstrip("-").replace("-", "_").lower(), meant.peer_words(self.verb, fields)
        # There are so many words of other programs that any word is somewhat like one of them.
        close = [*nearest(key, names), *get_close_matches(key, peers, cutoff=0.75)]
        close.sort(key=lambda one: SequenceMatcher(None, one, key).ratio(), reverse=True)
        said: dict[str, str] = {}
        for text in (table[one] for one in close for table in (names, peers) if one in table):
            said.setdefault(text.partition(" ")[0], text)  # each option once, in the form of the nearest word
        return f"nearest: {', '.join([*said.values()][:3])}" if said else "see --help"


def _try(found: "Meant | None") -> str:
    return f"; try: {found.command}" if found else ""


def add_short(parser: argparse.ArgumentParser, *names: str) -> None:
    """Give the parser these short options; they are None where not given, so that a recipe keeps its own."""
    for name in names:
        short = SHORTHAND[name]
        flag = "--" + name.replace("_", "-")
        # The help of --on-bad names the largest size; a screen has no room for both.
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
    """`--edit` for the network of a run: edits that need no training."""
    help = "edit the trained network: fold_norm, low_rank=0.5, ...; repeatable"
    parser.add_argument("--edit", action="append", default=[], metavar="EDIT", help=help)


def add_views(parser: argparse.ArgumentParser) -> None:
    """`--views`: several views of an image, whose probabilities are averaged."""
    help = "the mean over several views of an image: mirror, ten_crop, 'translate(1),mirror', ... (docs/eval.md)"
    parser.add_argument("--views", default="", metavar="VIEWS", help=help)


def add_output(parser: Parser) -> None:
    """Add `--json`, which every verb has, and `--trust-code`, which trust.py reads."""
    if parser.verb in TRUSTING:
        parser.add_argument(TRUST, nargs="?", metavar="FILE.py:FUNCTION", help=HELP)
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
