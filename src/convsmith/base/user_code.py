"""Functions of a user's own Python file, named `file.py:function`, and the user's consent to run them.

A command or a Python call gives consent; a record or a recipe's file does not. A Python file is run only if the user
named it in this process (`give`). Consent holds for the content: a record that names the file must state its SHA-256.
"""

import hashlib
import inspect
import re
import shlex
import sys
import sysconfig
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, ConvsmithError, MissingPath, NotTrusted, UsageError, unknown

TRUST = "--trust-code"
_LARGEST = 10_000_000  # bytes of a source file
_HEXADECIMAL = frozenset("0123456789abcdef")
_INSTALLED = re.compile(r"/lib(64)?/python3[.\d]*/|/(site|dist)-packages/")


@dataclass(frozen=True)
class _Given:
    """The consent in this process: paths by SHA-256 and function, and the command for the message of a refusal."""

    files: dict[tuple[str, str], Path]
    command: str | None = None


_given = _Given({})


def split_source(text: str) -> tuple[Path, str] | None:
    """The path and the function in `file.py:function`; None for other texts."""
    file, colon, function = text.rpartition(":")
    return (Path(file), function) if colon and file.endswith(".py") else None


def is_fingerprint(value: object) -> bool:
    """Whether `value` is a SHA-256 in hexadecimal, as `fingerprint` gives it."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEXADECIMAL


def is_installed(path: Path) -> bool:
    """Whether a file belongs to Python or to an installed package, whose functions a record must not call."""
    resolved, paths = path.resolve(), sysconfig.get_paths()
    places = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places.append(Path(__file__).parents[1])  # Convsmith itself, which may be installed in editable mode
    return bool(_INSTALLED.search(str(resolved))) or any(resolved.is_relative_to(place.resolve()) for place in places)


def give(text: str) -> None:
    """Record the user's consent to `file.py:function` with the file's present content. Other texts do nothing."""
    own = split_source(text)
    if own is not None and own[0].is_file():
        path, function = own
        _given.files[(fingerprint(path), function)] = path.resolve()


@contextmanager
def command(words: list[str]) -> Generator[None]:
    """Within it consent holds for this command alone, and a refusal repeats the command with `--trust-code`."""
    global _given
    before, _given = _given, _Given(dict(_given.files), shlex.join(["convsmith", *words]))
    try:
        yield
    finally:
        _given = before


def located(source: str, stated: object, what: str) -> tuple[Path, str]:
    """The path and the function that a record names, taken from the file that the user gave, wherever it lies.

    `stated` is the record's SHA-256; `what` is the object that the function makes, for errors. Raises NotTrusted if the
    user gave no file with this SHA-256, MissingPath or BadFile if the record's file is gone or has changed.
    """
    own = split_source(source)
    if own is None or not own[1].isidentifier():
        raise UsageError(f"{what}: expected file.py:function, received {source!r:.200}")
    path, function = own
    if not is_fingerprint(stated):
        raise NotTrusted(
            f"the record of {what} names {source} without a valid SHA-256 ({stated!r:.40}), and such code "
            "is never run; make the run again from the file"
        )
    if (str(stated), function) in _given.files:
        return _given.files[(str(stated), function)], function
    if not path.exists():
        raise MissingPath(
            f"{path}: the file that makes {what} is gone (SHA-256 {stated}); put it back, or say where it is now: "
            f"{_mend(f'PATH.py:{function}')}"
        )
    _refuse_installed(path, what)
    now = fingerprint(path)
    if now != stated:
        raise BadFile(
            path,
            f"has changed since the run was made with it (SHA-256 {now}, was {stated}); "
            "put that version back to use the run",
        )
    raise _refusal(path, function, now, what)


def function_of(path: Path, name: str, what: str) -> Callable[..., Any]:
    """The function `name` of a Python file, after running the file; `what` is the object that it makes, for errors.

    Raises NotTrusted, before any code is run, if the user has not given the file in this process.
    """
    if not path.exists():
        raise MissingPath(f"{path}: no such file; {what} of your own is given as file.py:function")
    _refuse_installed(path, what)
    source = _read(path)
    digest = hashlib.sha256(source).hexdigest()
    if (digest, name) not in _given.files:
        raise _refusal(path, name, digest, what)
    spec = spec_from_file_location(f"convsmith_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadFile(path, "is not a Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for the names in their annotations
    sys.path.insert(0, str(path.resolve().parent))
    try:
        # Run the bytes whose hash was compared: the import system would read the file again, or a .pyc beside it.
        exec(compile(source, str(path), "exec"), vars(module))
    except Exception as error:
        raise BadFile(path, f"could not be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    if name not in functions:
        raise unknown(f"function in {path}:", name, functions)
    return getattr(module, name)


def taken(function: Callable[..., Any], values: dict[str, Any], name: str) -> dict[str, Any]:
    """The entries of `values` that the function takes. Raises UsageError if it needs others; `name` is for errors."""
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    arguments = {k: v for k, v in values.items() if k in parameters or open_ended}
    absent = [
        k
        for k, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and k not in arguments
    ]
    if absent:
        known = ", ".join(values) or "nothing"
        raise UsageError(f"{name} needs {', '.join(absent)}, and only {known} can be given; set defaults")
    return arguments


def call(function: Callable[..., Any], arguments: dict[str, Any], path: Path, name: str) -> Any:
    """The return value of the function. Raises BadFile if the function fails."""
    try:
        return function(**arguments)
    except ConvsmithError:
        raise
    except Exception as error:
        raise BadFile(path, f"{name} failed: {type(error).__name__}: {error}") from error


def fingerprint(path: Path) -> str:
    """The SHA-256 of a user's file, by which a run notices that the file has changed. Raises BadFile."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise BadFile(path, f"expected a Python file of at most {_LARGEST:,} bytes")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror or error})") from error


def _refusal(path: Path, function: str, digest: str, what: str) -> NotTrusted:
    own = f"{path}:{function}"
    # If the command has the option already, it does not cover this file, so the mend names the file.
    given = _given.command is not None and TRUST in _given.command
    return NotTrusted(
        f"{own} makes {what}, and its code is not run without your consent (SHA-256 {digest}); "
        f"read it, and if you trust it: {_mend(shlex.quote(own) if given else '')}"
    )


def _mend(value: str) -> str:
    """The command with `--trust-code` added; in Python the argument `trust_code`."""
    if _given.command is None:
        return f"trust_code={value!r}" if value else "trust_code=True"
    return f"{_given.command} {TRUST} {value}".rstrip()


def _refuse_installed(path: Path, what: str) -> None:
    if is_installed(path):
        raise NotTrusted(
            f"{path}: is a file of Python or of an installed package, which makes no {what.removeprefix('a ')}; write "
            "a file of your own that imports it"
        )
