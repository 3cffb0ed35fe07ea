"""Progress on stderr: a live bar on a terminal, a plain line every few seconds elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TextIO

PLAIN_SECONDS, BAR_SECONDS = 5.0, 0.2


class Progress(Protocol):
    """What the loop tells while it runs."""

    def update(self, step: int, text: Callable[[], str]) -> None:
        """Step `step` is done; `text` is asked for only where it is shown."""
        ...

    def line(self, text: str) -> None:
        """Something that stays to be read, such as an epoch's numbers."""
        ...

    def close(self) -> None:
        """The loop is over."""
        ...


class Silent:
    """Says nothing."""

    def update(self, step: int, text: Callable[[], str]) -> None: ...

    def line(self, text: str) -> None: ...

    def close(self) -> None: ...


class Plain:
    """Lines, at most one every few seconds besides those that are to stay."""

    def __init__(self, total: int, stream: TextIO, unit: str = "step"):
        self.total, self.stream, self.unit = total, stream, unit
        self.last = time.monotonic()

    def update(self, step: int, text: Callable[[], str]) -> None:
        if time.monotonic() - self.last >= PLAIN_SECONDS:
            self.line(f"{self.unit} {step}/{self.total}  {text()}")

    def line(self, text: str) -> None:
        self.last = time.monotonic()
        with suppress(OSError):  # that nobody reads it any more is no reason to stop
            print(text, file=self.stream, flush=True)

    def close(self) -> None: ...


class Bar:
    """A live bar with the time left."""

    def __init__(self, total: int, stream: TextIO, unit: str = "step"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit}s"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self.bar = RichProgress(*columns, console=Console(file=stream), transient=True)
        self.task: Any = self.bar.add_task("", total=total)
        self.last = 0.0
        self.bar.start()

    def update(self, step: int, text: Callable[[], str]) -> None:
        shown = time.monotonic() - self.last >= BAR_SECONDS
        self.bar.update(self.task, completed=step, description=text() if shown else None)
        self.last = time.monotonic() if shown else self.last

    def line(self, text: str) -> None:
        self.bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self.bar.stop()


def make_progress(total: int, quiet: bool = False, stream: TextIO | None = None, unit: str = "step") -> Progress:
    """The kind of progress that suits the stream (stderr by default), counted in `unit`."""
    if quiet:
        return Silent()
    target: TextIO = sys.stderr if stream is None else stream
    return Bar(total, target, unit) if target.isatty() else Plain(total, target, unit)
