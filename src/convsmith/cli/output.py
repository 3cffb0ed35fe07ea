"""Prints the results of the command on standard output and its notes on standard error.

Every verb prints through these functions. They escape control characters in names from files (a class, a folder, a
run), so that no name controls a terminal or a spreadsheet. `--json` has the exact names, escaped by JSON.
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

# The characters that begin a formula in a spreadsheet, also in their full-width form.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def show(text: object = "", *, flush: bool = False) -> None:
    """Print one line of a result, with control characters and line ends escaped. `flush` writes it at once."""
    _write(clean(str(text)) + "\n")
    if flush:
        flush_output()


def show_text(text: str) -> None:
    """Print finished lines, such as those of a table. A line end in a name must be escaped before."""
    for line in text.split("\n"):
        show(line)


def print_json(data: Any) -> None:
    """Print the result of a verb as JSON."""
    _write(json.dumps(data, allow_nan=False) + "\n")


def print_csv(rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV, each as soon as `rows` yields it."""
    writer = csv.writer(_Lines())
    for row in rows:
        writer.writerow([cell(value) if isinstance(value, str) else value for value in row])


def cell(text: str) -> str:
    """Text as a cell of CSV: control characters are escaped, and a formula gets a `'` before it."""
    safe = clean(text)
    return f"'{safe}" if text.startswith((*_FORMULA, "\t", "\r", "\n")) else safe


def say(text: str) -> None:
    """Print a note, one line on standard error. If standard error is closed, the note is dropped."""
    if sys.stderr is None:
        return
    try:
        print(clean(text), file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


@contextmanager
def printing() -> Iterator[None]:
    """A context in which both streams accept every character and errors of writing are handled.

    A console gets escapes for characters that its encoding lacks. If a reader such as `head` has closed the pipe, the
    rest is dropped silently; a full disk is an error.
    """
    closed = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]  # the shell closed it: `>&-`
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
            with suppress(OSError, ValueError):  # a stream that was closed or cannot be flushed
                stream.reconfigure(errors=errors)
        for name in closed:
            getattr(sys, name).close()
            setattr(sys, name, None)


def flush_output() -> None:
    """Flush standard output; ConvsmithError if that fails."""
    _guarded(sys.stdout.flush)


class _Lines:
    """A file for `csv` that writes to the current standard output."""

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
    """Redirect the stream and its buffer to the null device; else Python reports an error at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
