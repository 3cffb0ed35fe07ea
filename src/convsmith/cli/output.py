"""What the command prints: results on standard output, notes on standard error.

Every line of every verb goes through here, so that a name from a file (a class, a folder, a run) reaches no terminal
and no spreadsheet as it is: control characters are made visible. `--json` has names exactly, escaped by JSON.
"""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO

from convsmith.base.errors import ConvsmithError
from convsmith.report.text import clean

# Characters with which a spreadsheet begins a formula, also in their wide form.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def show(text: object = "", *, flush: bool = False) -> None:
    """Print one line of a result; what would end the line is made visible. `flush` hands it on at once."""
    _write(clean(str(text)) + "\n")
    if flush:
        flush_output()


def show_text(text: str) -> None:
    """Print lines that are made already, such as a table; names in them have been cleaned where the lines were made."""
    for line in text.split("\n"):
        show(line)


def print_json(data: Any) -> None:
    """Print the result of a verb for programs."""
    _write(json.dumps(data, allow_nan=False) + "\n")


def print_csv(rows: Iterable[Sequence[object]]) -> None:
    """Print rows for a spreadsheet, each as soon as it is there."""
    writer = csv.writer(_Lines())
    for row in rows:
        writer.writerow([cell(value) if isinstance(value, str) else value for value in row])


def cell(text: str) -> str:
    """Text as a cell of CSV: control characters visible, and a quote before what a spreadsheet takes for a formula."""
    safe = clean(text)
    return f"'{safe}" if text.startswith((*_FORMULA, "\t", "\r", "\n")) else safe


def say(text: str) -> None:
    """Print a note for people, one line on standard error; that nobody can read it is no reason to stop."""
    if sys.stderr is None:
        return
    try:
        print(clean(text), file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


@contextmanager
def printing() -> Iterator[None]:
    """Streams that take every character, and whose end is looked at.

    A console of another encoding gets escapes for what it lacks. Where a reader such as `head` has gone, the rest is
    dropped without a word; where a full disk takes no more, that is an error.
    """
    closed = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]  # by the shell: `>&-`
    for name in closed:
        setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - closed below
    texts = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    before = [(stream, stream.errors) for stream in texts]
    for stream, _ in before:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except SystemExit:  # argparse has printed the help
        flush_output()
        raise
    except BaseException:
        with suppress(ConvsmithError, BrokenPipeError):
            flush_output()
        raise
    else:
        flush_output()
    finally:
        for stream, errors in before:
            with suppress(OSError, ValueError):  # what could not be flushed before, and a stream that was closed
                stream.reconfigure(errors=errors)
        for name in closed:
            getattr(sys, name).close()
            setattr(sys, name, None)


def flush_output() -> None:
    """Write out what standard output still holds, as an error of ours where that fails."""
    _guarded(sys.stdout.flush)


class _Lines:
    """Standard output as `csv` writes to it, whichever stream that is by then."""

    def write(self, text: str) -> None:
        _write(text)


def _write(text: str) -> None:
    _guarded(lambda: sys.stdout.write(text))


def _guarded(act: Callable[[], object]) -> None:
    try:
        act()
    except BrokenPipeError:
        _drop(sys.stdout)
        raise
    except OSError as error:
        _drop(sys.stdout)
        raise ConvsmithError(
            f"standard output could not be written ({error.strerror or error}); mend: free space where it goes to"
        ) from None


def _drop(stream: TextIO) -> None:
    """Send what the stream still holds, and all that follows, nowhere: Python would complain of it at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
