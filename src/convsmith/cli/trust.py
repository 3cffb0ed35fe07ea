"""`--trust-code`: code that a run or a recipe's file names is run only with the user's consent."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from convsmith.base import user_code
from convsmith.base.errors import NotTrusted
from convsmith.base.user_code import TRUST
from convsmith.runs.code import named_code, trust

# The verbs that read a run or a recipe; the verbs that also take file.py:function as a network.
TRUSTING = ("show", "compare", "review", "train", "finetune", "eval", "predict", "export", "bench")
NAMING = ("show", "compare", "review", "train", "finetune", "bench")
HELP = "run the user's code that a run or recipe names; with a file: this one, for what a run calls by its SHA-256"


@contextmanager
def consent(verb: str, words: Sequence[str]) -> Generator[tuple[str, ...]]:
    """A context in which the code that the command's words name may run. Gives a line for each file of a record.

    A refusal names all code that the command's subjects would run, so that the user consents to nothing unseen.
    """
    rest, files = without_trust(words)
    subjects = [value for word in rest for value in (word, word.partition("=")[2]) if value]
    with user_code.command([verb, *words]):
        for text in (*(subjects if verb in NAMING else ()), *(files or ())):
            user_code.give(text)
        codes = [code for subject in subjects for code in trust(subject)] if files == [] else []
        try:
            yield tuple(f"runs {code.source} (SHA-256 {code.fingerprint}), as {TRUST} says" for code in codes)
        except NotTrusted as error:
            others = {
                code for subject in subjects for code in named_code(subject) if code.fingerprint not in str(error)
            }
            more = "; ".join(sorted(f"{code.source} (SHA-256 {code.fingerprint})" for code in others))
            raise NotTrusted(f"{error}. That would also run {more}" if more else str(error)) from None


def without_trust(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The other words, and the files that `--trust-code` names: empty for the bare option, None if it is absent."""
    rest: list[str] = []
    files: list[str] | None = None
    before = ""
    for word in words:
        name, equals, value = word.partition("=")
        if name == TRUST:
            files = [*(files or ()), *([value] if equals else [])]
        elif before == TRUST and user_code.split_source(word) is not None:
            files = [*(files or ()), word]
        else:
            rest.append(word)
        before = word
    return rest, files
