"""Translates the options and verbs of other programs into a Convsmith command. The tables are in `words.py`."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from convsmith.base.config import options as recipe_options
from convsmith.base.config import plain
from convsmith.base.errors import nearest
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.recipes.words import (
    FORMATS,
    NOT_NEEDED,
    OPTIONS,
    OTHER_FORMATS,
    OTHER_VERB,
    POLICIES,
    POLICY_WORDS,
    SHARES,
    STEPS,
    TRAINING,
    USES,
    USES_NOT_NEEDED,
    USUAL_STEPS,
    VERBS,
    Word,
)
from convsmith.runs.directory import is_run
from convsmith.runs.listing import list_runs
from convsmith.runs.trained import is_trained

# The suffixes of the weight files that other programs write into the folder of a run.
_WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".tar")
_NO = ("false", "no", "off", "0", "none")


@dataclass
class _Command:
    """The command under construction. `answers` hold the translation of each word that is not Convsmith's.

    `instead` replaces the whole command. `changed` says that a word was translated.
    """

    verb: str
    places: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    instead: str = ""
    run: str | None = None
    changed: bool = False

    def text(self) -> str:
        """The whole command, quoted for a shell."""
        if self.instead:
            return self.instead
        runs = [self.run] if self.run is not None else []
        augment = ["--augment", ",".join(dict.fromkeys((*USUAL_STEPS, *self.steps)))] if self.steps else []
        # A redirection stands last and is not quoted as a whole.
        redirect = [word for word in self.options if word.startswith("> ")]
        words = [*runs, *self.places, *(w for w in self.options if w not in redirect), *augment]
        return " ".join(["convsmith", self.verb, *map(shlex.quote, words), *redirect])


@dataclass(frozen=True)
class Meant:
    """A command, and the translation of each word of another program."""

    command: str
    answers: Mapping[str, str]


def meant(verb: str, words: Sequence[str], known: Mapping[str, bool]) -> Meant | None:
    """The command that the words of a verb mean; None if no word is another program's.

    `known` holds the verb's own options, and whether each takes a value.
    """
    made = _Command(verb)
    fields = field_forms() if verb in (*TRAINING, "reproduce") else {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word in ("-h", "--help") or (not word.startswith("-") and not _is_setting(word, verb, known)) or word == "-":
            made.places.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        values = [value] if equals else []
        own = _own(name, known, fields)
        if own is not None:
            _add_own(made, own, word, values, queue, known)
        else:
            _translate(made, word.partition("=")[0], values, queue)
    _put_in_place(made)
    return Meant(made.text(), made.answers) if made.changed else None


def _is_setting(word: str, verb: str, known: Mapping[str, bool]) -> bool:
    """Whether a word is an option in the form `key=value` of Ultralytics and Hydra."""
    name, equals, _ = word.partition("=")
    key = _key(name)
    if not equals or not re.fullmatch(r"[a-zA-Z_][\w.-]*", name) or Path(word).exists():
        return False
    return bool(_own(name, known, field_forms() if verb in TRAINING else {}) or _row(verb, key) or _reason(verb, key))


def _own(name: str, known: Mapping[str, bool], fields: Mapping[str, str]) -> str | None:
    """The option of Convsmith with this name, its words joined by `-` or `_`; None if there is none."""
    for option in (f"--{name}", f"--{name.replace('_', '-')}"):
        if option in known:
            return option
    path = name.replace("-", "_")
    return f"--{path}" if path in fields else None


def _add_own(
    made: _Command, own: str, word: str, values: list[str], queue: list[str], known: Mapping[str, bool]
) -> None:
    if not word.startswith("--") or (own != word.partition("=")[0] and "." not in own):
        made.changed = True
        made.answers[word.partition("=")[0]] = own
    if own == "--resume" and values and values[0].lower() in ("true", "1", "yes"):
        # A resumed run takes no other options.
        made.instead, made.changed = f"convsmith train --resume {shlex.quote(newest_run(False) or 'RUN')}", True
        return
    if not known.get(own, True):  # a flag
        if not values or values[0].lower() not in _NO:
            made.options.append(own)
        return
    made.options += [own, *(values or _taken(queue, 1))]


def _translate(made: _Command, typed: str, values: list[str], queue: list[str]) -> None:
    """Translate another program's option and add it to the command."""
    key = _key(typed.lstrip("-"))
    reason = _reason(made.verb, key)
    if reason:
        values = values or _taken(queue, 1)
        made.answers[typed], made.changed = f"not needed: {reason}", True
        return
    row = _row(made.verb, key)
    if row is None:
        made.options += [typed, *values]
        return
    made.changed = True
    values = (values or _taken(queue, row.values)) if row.values else values
    if not row.values and values and values[0].lower() in _NO:
        made.answers[typed] = "off by itself, leave it out"
        return
    _place(made, typed, key, row, values)


def _place(made: _Command, typed: str, key: str, row: Word, values: list[str]) -> None:
    if made.verb in TRAINING and (key in STEPS or key in POLICY_WORDS):
        steps = _written(row, values)
        made.steps.append(steps)
        made.answers[typed] = f"--augment {shlex.quote(','.join((*USUAL_STEPS, steps)))}"
    elif made.verb in TRAINING and key in OTHER_VERB:
        data = next(
            (made.options[i + 1] for i, w in enumerate(made.options[:-1]) if w == "--data"),
            made.places[0] if made.places else "photos/",
        )
        made.instead = row.here.format(data=shlex.quote(data))
        made.answers[typed] = "done by another verb"
    elif row.here == "RUN":
        made.run = values[0] if values else "RUN"
        made.answers[typed] = "said by its place: the run comes first"
    elif row.here == "IMAGE":
        made.places += values or ["IMAGE"]
        made.answers[typed] = "said by its place: images come after the run"
    else:
        text = _written(row, values)
        made.answers[typed] = no_format(values[0]) if row.here == "--to {}" and _is_odd_format(values) else text
        before, arrow, after = text.partition(" > ")
        made.options += [*shlex.split(before), *([f"> {shlex.quote(after)}"] if arrow else [])]


def _written(row: Word, values: Sequence[str]) -> str:
    """The translation of a word with the values that were typed, or with its example."""
    typed = list(values) or shlex.split(row.example)
    if row.here == "--data.split SHARES":
        return f"--data.split {_shares(typed[0])}"
    if row.here.startswith("GPUS "):
        count = int(typed[0]) if typed[0].isdecimal() else 1
        none = f"--device {row.here.removeprefix('GPUS ')}"
        return {0: none, 1: "--device cuda"}.get(count, f"--device cuda --nproc {count}")
    if row.here == "POLICY":
        name = re.split(r"[-_]m?\d", typed[0])[0].lower()
        return POLICIES.get(name, "randaugment")
    if row.here.startswith("--to "):
        return row.here.format(format_meant(typed[0])) if typed else row.here
    text = row.here.format(*map(shlex.quote, typed)) if typed else row.here
    # A number may have its unit already: `3ep` must not become `3epep`.
    text = re.sub(r"(\d)(ep|%|st)ep\b", r"\1\2", text)
    return re.sub(r"(\d)(s|sec|min|m|h)h$", r"\1\2", text)


def _shares(value: str) -> str:
    """The shares of train, val and test (`80/20/0`) for a validation share such as `0.2` or `20`."""
    try:
        share = float(value.rstrip("%"))
    except ValueError:
        return "80/20/0"
    share = share * 100 if share < 1 else share
    return f"{100 - share:g}/{share:g}/0" if 0 < share < 100 else "80/20/0"


def _put_in_place(made: _Command) -> None:
    """Turn `RUN/best.pt` into RUN, the second word of `export` into `--to`, and put the run of `predict` first."""
    if made.verb not in USES and made.verb not in ("show", "compare", "finetune"):
        return
    for number, place in enumerate(made.places):
        run = run_around(place)
        if run is not None and (number == 0 or made.verb == "eval"):
            made.places[number], made.changed = run, True
    if made.verb == "export" and len(made.places) == 2:
        _put_format(made)
    if made.verb == "predict" and made.run is None and made.places and not is_trained(made.places[0]):
        _find_run(made)


def _put_format(made: _Command) -> None:
    """Turn `export RUN onnx` into `export RUN --to onnx`, also for an unknown format."""
    name = made.places[1]
    if _is_odd_format([name]) and name.lower().lstrip(".") not in OTHER_FORMATS:
        return
    if _is_odd_format([name]):
        made.answers[name] = no_format(name)
    made.options[:0] = ["--to", format_meant(name)]
    made.places.pop()
    made.changed = True


def _is_odd_format(values: Sequence[str]) -> bool:
    return bool(values) and values[0].lower().lstrip(".") not in FORMATS


def format_meant(name: str) -> str:
    """The format of `export` for another name of it; onnx for an unknown name."""
    return FORMATS.get(name.lower().lstrip("."), "onnx")


def no_format(name: str) -> str:
    """The answer to the name of a format that `export` does not write."""
    instead = OTHER_FORMATS.get(name.lower().lstrip("."))
    known = ", ".join(dict.fromkeys(FORMATS.values()))
    return f"there is no format {name}; there are {known}" + (f" ({instead})" if instead else "")


def _find_run(made: _Command) -> None:
    """Set the run of `predict photo.png`: the run that a later word names, else the newest."""
    later = next((place for place in made.places[1:] if is_trained(place)), None)
    if later is not None:
        made.places.remove(later)
        made.run, made.changed = later, True
    elif Path(made.places[0]).exists() or Path(made.places[0]).suffix or any(set(made.places[0]) & set("*?")):
        made.run, made.changed = newest_run(finished=True) or "RUN", True


def run_around(path: str) -> str | None:
    """The run around a path to a weight file, which need not exist: RUN for `RUN/best.pt`; None for a run or bundle."""
    place = Path(path)
    if place.suffix not in _WEIGHTS or is_trained(place):
        return None
    return next((str(parent) for parent in place.parents if is_run(parent)), None)


def newest_run(finished: bool) -> str | None:
    """The newest finished (or unfinished) run in `runs/` or the working folder; None if there is none."""
    runs = [run for folder in (Path("runs"), Path()) if folder.is_dir() for run in list_runs(folder)]
    known = [run for run in runs if run.state != "unreadable" and (run.state == "finished") == finished]
    return str(max(known, key=lambda run: run.created).path) if known else None


def misplaced(verb: str, words: Sequence[str], known: Mapping[str, bool]) -> Meant | None:
    """The command with a run put first, if every option is Convsmith's and the first word is not a run; else None."""
    translation = meant(verb, words, known) if verb in USES else None
    return translation if translation and not translation.answers else None


def python_meant(options: Mapping[str, object]) -> str | None:
    """The message for keyword arguments that are not options, with their translation; None if all are options.

    A name with `__` is left out: the recipe reports it.
    """
    fields = [path for path, *_ in recipe_options(Recipe())]
    odd = [name for name in options if name not in (*SHORTHAND, *fields) and "__" not in name and "." not in name]
    if not odd:
        return None
    answers = [_keyword(name, options[name], fields) for name in odd]
    known = [answer for answer in answers if answer]
    hint = f"here: {', '.join(known)}" if known else f"known: {', '.join(SHORTHAND)}, and fields such as optimizer__lr"
    return f"unknown option{'s' if len(odd) > 1 else ''} {', '.join(odd)}; {hint}"


def _keyword(name: str, value: object, fields: Sequence[str]) -> str | None:
    """The translation of a keyword argument: `batch=8`; None if it is unknown."""
    key = _key(name)
    reason = NOT_NEEDED.get(key)
    if reason:
        return f"no {name} ({reason})"
    if key in STEPS or key in POLICY_WORDS:
        row = _row("train", key)
        return f"augment={','.join((*USUAL_STEPS, _written(row, [str(value)])))!r}" if row else None
    if key in OTHER_VERB:
        return f"cs.finetune(...) for {name}" if "finetune" in OTHER_VERB[key].here else f"run.evaluate() for {name}"
    row = _row("train", key)
    if row is None:
        ends = [path for path in fields if path.rpartition(".")[2] == key] or nearest(key, [*SHORTHAND, *fields], 1)
        return f"{ends[0].replace('.', '__')}={value!r}" if ends else None
    words = shlex.split(_written(row, list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]))
    pairs = zip(words[::2], words[1::2], strict=False)
    settings = {option.lstrip("-").replace("-", "_").replace(".", "__"): text for option, text in pairs}
    if len(words) == 1:
        settings = {words[0].lstrip("-").replace("-", "_"): "True"}
    return ", ".join(f"{option}={_literal(text, value)}" for option, text in settings.items())


def _literal(text: str, value: object) -> str:
    """The value as a Python literal: that of `value` if the text is the same, else the text."""
    return repr(value) if str(value) == text else text if text == "True" else repr(text)


def verb_meant(word: str, rest: Sequence[str]) -> str | None:
    """The command for another program's verb; None if the verb is unknown."""
    row = VERBS.get(word.lower().lstrip("-"))
    if row is None:
        return None
    subject = next((one for one in rest if not one.startswith("-")), row.example)
    return row.here.format(shlex.quote(subject) if subject in rest else subject)


def field_forms() -> dict[str, str]:
    """Every dotted option of a recipe with the form of its value."""
    short = {row.path: name for name, row in SHORTHAND.items() if row.form == "value"}
    forms: dict[str, str] = {}
    for path, kind, value, _ in recipe_options(Recipe()):
        example = plain(value)
        form = kind if len(kind) < 60 and "list" not in kind else f"such as {example}" if example else "VALUE"
        forms[path] = form if path not in short else (SHORTHAND[short[path]].metavar or form)
    return forms


def peer_words(verb: str, fields: Mapping[str, str]) -> dict[str, str]:
    """The words of other programs that an option of the verb answers, with that option and the form of its value."""
    if verb not in TRAINING:
        rows = USES.get(verb, {})
        return {word: _written(row, []) for word, row in rows.items() if row.here.startswith("--")}
    short = {name: row.path for name, row in SHORTHAND.items()}
    answers = {word: f"--augment {_written(row, [])}" for word, row in STEPS.items()}
    for word, row in (*OPTIONS.items(), *((word, Word("--data.split SHARES", "0.2")) for word in SHARES)):
        option, _, value = row.here.removeprefix("--").partition(" ")
        path = short.get(option, option)
        # The same text as for the option itself, so that it is listed once.
        known = value == "{}" and path in fields and option == path
        answers[word] = f"--{path} {fields[path]}" if known else _written(row, [])
    return answers


def last_words(name: str, fields: Mapping[str, str]) -> list[str]:
    """The dotted options that end in a name: `momentum` is `optimizer.momentum`."""
    key = _key(name)
    return [path for path in fields if path.rpartition(".")[2] == key and path != key]


def _row(verb: str, key: str) -> Word | None:
    if verb in USES:
        return USES[verb].get(key)
    if verb not in TRAINING:
        return None
    if key in SHARES:
        return Word("--data.split SHARES", "0.2")
    if key in POLICY_WORDS:
        return Word("POLICY", "randaugment")
    return OTHER_VERB.get(key) or STEPS.get(key) or OPTIONS.get(key)


def _reason(verb: str, key: str) -> str | None:
    if verb in USES_NOT_NEEDED:
        return USES_NOT_NEEDED[verb].get(key)
    return NOT_NEEDED.get(key) if verb in TRAINING else None


def _key(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("-", "_").lower()


def _taken(queue: list[str], count: int) -> list[str]:
    """The next words that are values, taken from the queue."""
    return list(_values(queue, count))


def _values(queue: list[str], count: int) -> Iterator[str]:
    while count and queue and (not queue[0].startswith("-") or re.fullmatch(r"-(\d.*)?", queue[0])):
        count -= 1
        yield queue.pop(0)
