"""The numbers of a run told to a program that draws them, beside the log, which stays what counts."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from convsmith.base.errors import MissingExtra, UsageError
from convsmith.runs.directory import RunDirectory


class Tracker(Protocol):
    """What hears of a run's log."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A line that was just written to the log."""
        ...

    def close(self) -> None:
        """No more lines come."""
        ...


class Untracked:
    """Hears nothing."""

    def row(self, row: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class Guarded:
    """A tracker whose first failure is said once and is its end: no run stops because of it."""

    def __init__(self, make: Callable[[], Tracker], name: str, warn: Callable[[str], None]):
        self.name, self.warn = name, warn
        self.inner: Tracker | None = None
        self._try(lambda: setattr(self, "inner", make()))

    def row(self, row: Mapping[str, Any]) -> None:
        """A line for the tracker, while it works."""
        if (inner := self.inner) is not None:
            self._try(lambda: inner.row(row))

    def close(self) -> None:
        """The end, for a tracker that still works."""
        if (inner := self.inner) is not None:
            self._try(inner.close)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            broken, self.inner = self.inner, None
            with suppress(Exception):
                if broken is not None:
                    broken.close()
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.warn(f"{self.name} gets nothing more ({reason:.300}); the run goes on, all is in metrics.jsonl")


def check_track(name: str | None) -> None:
    """UsageError where the library of a tracker is not installed."""
    if name is not None and find_spec(name) is None:
        raise UsageError(f"track {name}: {MissingExtra(name, name)}; or leave --track out")


def open_tracker(name: str | None, run: RunDirectory, job: Any, about: Any, say: Callable[[str], None]) -> Tracker:
    """The tracker called `name` of a run that begins or goes on; `about` is the record that says what the run does."""
    if name is None:
        return Untracked()

    def warn(text: str) -> None:
        say(f"warning: {text}")
        with suppress(Exception):
            run.log(f"warning: {text}")

    return Guarded(lambda: import_module(f"convsmith.training.{name}").open_board(run, job, about), name, warn)
