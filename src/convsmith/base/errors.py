"""Errors that say what happened, what was expected, what was received and how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class ConvsmithError(Exception):
    """The base of the errors meant for users. The command line prints the message alone and exits with `exit_code`."""

    exit_code = 1

    def __str__(self) -> str:
        # KeyError would print the quoted repr of its message.
        return str(self.args[0]) if self.args else ""


class UsageError(ConvsmithError, ValueError):
    """A wrong value, option or combination of options."""

    exit_code = 2


class UnknownName(UsageError, KeyError):
    """A name that is in no table; the message lists the nearest ones."""


class WrongType(UsageError, TypeError):
    """A value whose type is not the one that the field declares."""


class MissingPath(UsageError, FileNotFoundError):
    """A path that does not exist."""


class BadFile(ConvsmithError, ValueError):
    """A file or folder that exists and cannot be used; the message begins with its path."""

    def __init__(self, path: str | Path, problem: str):
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = str(path), problem

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # Errors of loader processes are pickled, which by itself repeats the message as the only argument.
        return type(self), (self.path, self.problem)


class NotTrusted(ConvsmithError, PermissionError):
    """A file names code that the user has not given in this command; the message says how to give it."""

    exit_code = 2


class CheckFailed(ConvsmithError, ValueError):
    """A check failed, such as the comparison of an export's outputs with the network's."""


class MissingExtra(ConvsmithError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""

    def __init__(self, library: str, extra: str):
        super().__init__(
            f"this needs {library}, which is not installed; mend with: pip install -e '.[{extra}]' in the checkout"
        )
        self.library, self.extra = library, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.library, self.extra)


class ProcessFailed(ConvsmithError, RuntimeError):
    """One of several processes failed or stopped answering; `exit_code` is that of the error behind it."""

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message)
        self.exit_code = exit_code


class Told(ProcessFailed):
    """The reason why all processes end, raised in a process whose user has read it from another process already."""


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The `count` names most like `name`, the best first; names that begin with it count as near."""
    names = list(names)
    close = get_close_matches(name.lower(), names, count, cutoff=0.5)
    return (close + [n for n in names if n.startswith(name) and n not in close])[:count]


def unknown(kind: str, name: str, names: Iterable[str]) -> UnknownName:
    """The error for a `name` that is not among `names`; `kind` is the noun for what was looked for."""
    names, name = sorted(names), name[:200]
    close = nearest(name, names)
    if close:
        hint = f"nearest: {', '.join(close)}"
    elif len(names) <= 12:
        hint = f"known: {', '.join(names)}" if names else "there are none"
    else:
        hint = f"known: {', '.join(names[:8])}, ... ({len(names)} in all)"
    return UnknownName(f"unknown {kind} {name!r}; {hint}")


class NoChange(UserWarning):
    """A warning that an edit changed nothing."""
