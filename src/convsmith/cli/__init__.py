"""The command: `convsmith VERB [SUBJECT] [--options]`. This file finds the verb; each verb is a file beside it.

Neither this file nor the top-level imports of a verb's file import torch, so that help, tables and errors of options
take no time.
"""

import atexit
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import NoReturn

from convsmith.base.errors import ConvsmithError, NoChange, ProcessFailed, Told, UnknownName, UsageError, unknown
from convsmith.base.processes import end_at_once, part
from convsmith.base.table import Table
from convsmith.cli import output  # not `import show`: the names of this package are verbs
from convsmith.cli.trust import TRUSTING, consent
from convsmith.report.text import clean
from convsmith.runs.seals import DamagedRecord, accepting
from convsmith.training.interrupt import stop_at_once

# Each verb with its line of help. The file of a verb has its name.
VERBS: Table[str] = Table(
    "verb",
    {
        "nets": "list the networks",
        "show": "a network's stages, layers, parameters, MACs and receptive field",
        "compare": "networks, or trained runs, side by side",
        "review": "a network against design guidelines, and what edits would save",
        "recipes": "list the recipes, or explain one",
        "data": "check a data set's files, or its statistics",
        "train": "train a network, by a recipe or on your own images",
        "finetune": "learn other images from trained weights",
        "runs": "list the runs with state, score and time",
        "eval": "accuracy, averages, calibration and confusion of runs",
        "predict": "what a run says about images",
        "export": "a run as ONNX, or its weights for torchvision or timm",
        "reproduce": "the figures of the lectures, computed",
        "bench": "how fast this machine runs a network, engine by engine",
        "doctor": "this machine and installation",
    },
)
# Verbs outside the library, with the package that brings each.
BROUGHT = {"reproduce": "convsmith_textbook"}
LONGEST = 4000  # characters of a message
SYNONYMS = {
    "val": "eval", "test": "eval", "evaluate": "eval", "validate": "eval",
    "summary": "show", "info": "show", "describe": "show",
    "models": "nets", "networks": "nets", "list": "nets", "zoo": "nets",
    "fit": "train", "resume": "train",
    "infer": "predict", "classify": "predict",
    "diff": "compare", "recipe": "recipes", "run": "runs", "ls": "runs", "dataset": "data", "env": "doctor",
    "transfer": "finetune", "probe": "finetune",
    "lectures": "reproduce", "figures": "reproduce",
    "benchmark": "bench", "speed": "bench",
    "lint": "review", "critique": "review",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 a check failed or a bad file, 2 wrong usage, 130 stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # torch's threads spin while they wait. On a busy machine they starve the thread that they wait for, so they spin
    # for a shorter time.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        with output.printing():
            return _run(words)
    except ConvsmithError as error:
        if not isinstance(error, Told) and (_prints_errors() or isinstance(error, ProcessFailed)):
            _complain(error)
        if isinstance(error, ProcessFailed):
            # torch would wait half a minute at exit for processes that have ended.
            atexit.register(end_at_once, error.exit_code)
        return error.exit_code
    except KeyboardInterrupt as stop:
        _complain(_line(stop) or "stopped")
        return 130
    except BrokenPipeError:
        return 0  # the reader of the output, such as `head`, has ended
    except OSError as error:
        # An OSError that no other function has explained: a full disk, a read-only folder.
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        _complain(f"{where}the system refused ({error.strerror or error}); mend: space, permissions or the path")
        return 1
    except MemoryError:
        _complain("this needs more memory than there is; mend with fewer or smaller images at once")
        return 1


def _run(words: list[str]) -> int:
    if len(words) > 1 and words[0] == "help":
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        output.show_text(menu())
        return 0
    if words[0] in ("-V", "--version"):
        from convsmith import __version__

        output.show(__version__)
        return 0
    if part().size > 1:
        # DistributedDataParallel warns in each process about a setting that is deliberate.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not part().leads:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - only the first of several processes prints
    while len(words) > 1 and words[0] in ("yolo", "classify") and words[1] in {*VERBS, *SYNONYMS}:
        words = words[1:]  # the form of Ultralytics: `yolo classify train ...`
    verb = SYNONYMS.get(words[0], words[0])
    if verb not in VERBS:
        _unknown_verb(words)
    if verb != words[0] and part().leads:
        output.say(f"({words[0]} is convsmith {verb})")
    if words[0] == "resume" and "--resume" not in words:
        words.insert(1, "--resume")
    # With several processes torchrun's SIGTERM must end also a process that waits in a call outside Python.
    with warnings.catch_warnings(), accepting(()), stop_at_once() if part().size == 1 else nullcontext():
        warnings.showwarning = partial(_show_warning, set[str]())
        warnings.simplefilter("always", NoChange)
        warnings.simplefilter("always", DamagedRecord)
        if verb not in TRUSTING:
            return _verb(verb)(words[1:])
        with consent(verb, words[1:]) as lines:
            for line in lines if part().leads else ():
                output.say(line)
            return _verb(verb)(words[1:])


def _verb(verb: str) -> Callable[[Sequence[str]], int]:
    """The function that runs a verb: `run` of its file, or the entry point of the package that brings the verb."""
    if verb not in BROUGHT:
        return import_module(f"convsmith.cli.{verb}").run
    brought = entry_points(group="convsmith.verbs", name=verb)
    if not brought:
        raise UsageError(
            f"{verb} comes with the package {BROUGHT[verb]}, which is not installed; install Convsmith anew"
        )
    return next(iter(brought)).load()


def _unknown_verb(words: list[str]) -> NoReturn:
    from convsmith.recipes.meant import verb_meant

    command = verb_meant(words[0], words[1:])
    if command is not None:
        raise UnknownName(f"unknown verb {words[0]!r}; try: {command}")
    raise unknown("verb", words[0], [*VERBS, *SYNONYMS])


def _prints_errors() -> bool:
    """Whether this process prints errors: the first process, or one that cannot read its rank."""
    try:
        return part().leads
    except ConvsmithError:
        return True


def _line(message: object) -> str:
    """A message on one line without control characters, which messages of libraries and names of files may contain."""
    text = " ".join(line.strip() for line in str(message).splitlines())
    if len(text) > LONGEST:  # a hostile file may hold a long text; the mend is at the end
        text = f"{text[: LONGEST - 300]} ... ({len(text) - LONGEST:,} characters left out) ... {text[-300:]}"
    return clean(text)


def _complain(message: object) -> None:
    output.say(f"convsmith: {_line(message)}")


def _show_warning(printed: set[str], message: Warning | str, *place: object) -> None:
    """Print each warning once, without its place in the source."""
    if not _prints_errors() or str(message) in printed:
        return
    printed.add(str(message))
    output.say(f"warning: {_line(message)}")


def menu() -> str:
    """The short menu."""
    lines = [f"  {verb:<9} {help}" for verb, help in VERBS.items()]
    return "\n".join(
        [
            "Convsmith: convolutional networks as data.",
            "",
            "usage: convsmith VERB [SUBJECT] [--options]     (convsmith VERB --help)",
            "",
            *lines,
            "",
            "begin with:",
            "  convsmith train                   LeNet-5 on handwritten digits, half a minute",
            "  convsmith train --data photos/    your own images, one folder for each class",
            "  convsmith show resnet50           what it is made of and what it costs",
        ]
    )
