"""Functions of a user's own Python file, named `file.py:function`, and the consent without which none is run.

The text of a command or of a Python call is the user's; the text of a file is not. A file is run where the user named
it in this process (`give`), by its content: whatever else names it must mean the very bytes that were given.
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
    """What the user gave in this process: files by SHA-256 and function, and the command that a refusal repeats."""

    files: dict[tuple[str, str], Path]
    command: str | None = None


_given = _Given({})


def split_source(text: str) -> tuple[Path, str] | None:
    """The file and the function that `file.py:function` names; None where it does not name any."""
    file, colon, function = text.rpartition(":")
    return (Path(file), function) if colon and file.endswith(".py") else None


def is_fingerprint(value: object) -> bool:
    """Whether `value` is a SHA-256 in hexadecimal, as `fingerprint` gives it."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEXADECIMAL


def is_installed(path: Path) -> bool:
    """Whether a file belongs to Python or to a package: what its functions do, they do with anyone's arguments."""
    resolved, paths = path.resolve(), sysconfig.get_paths()
    places = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places.append(Path(__file__).parents[1])  # ours, where it is installed by a link
    return bool(_INSTALLED.search(str(resolved))) or any(resolved.is_relative_to(place.resolve()) for place in places)


def give(text: str) -> None:
    """The user names `file.py:function`: its content, as it is now, may be run. Other text gives nothing."""
    own = split_source(text)
    if own is not None and own[0].is_file():
        path, function = own
        _given.files[(fingerprint(path), function)] = path.resolve()


@contextmanager
def command(words: list[str]) -> Generator[None]:
    """Within it what is given counts for this command alone, which a refusal says how to type again."""
    global _given
    before, _given = _given, _Given(dict(_given.files), shlex.join(["convsmith", *words]))
    try:
        yield
    finally:
        _given = before


def located(source: str, stated: object, what: str) -> tuple[Path, str]:
    """The file, with its function, that a record means: the one that the user gave, wherever it lies.

    `stated` is the record's SHA-256. Raises NotTrusted where the user gave no such file; `what` is what it is to make.
    """
    own = split_source(source)
    if own is None or not own[1].isidentifier():
        raise UsageError(f"{what}: expected file.py:function, received {source!r:.200}")
    path, function = own
    if not is_fingerprint(stated):
        raise NotTrusted(
            f"{source} makes {what}, says a file that does not say its SHA-256 ({stated!r:.40}); code without it is "
            "never run: make the run again from the file"
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
    """The function called `name` of a file, which is run for it; `what` says what it is to make, for errors.

    Raises NotTrusted, before anything of it is run, where the user has not given the file in this process.
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
        raise BadFile(path, "is no Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for the names in their annotations
    sys.path.insert(0, str(path.resolve().parent))
    try:
        # The very bytes whose hash was given: the loader would read again, and take a compiled file beside it.
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
    """Those of `values` that the function takes; UsageError where it needs others. `name` is for errors."""
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
    """What the function gives; whatever goes wrong in it is BadFile."""
    try:
        return function(**arguments)
    except ConvsmithError:
        raise
    except Exception as error:
        raise BadFile(path, f"{name} failed: {type(error).__name__}: {error}") from error


def fingerprint(path: Path) -> str:
    """The SHA-256 of a user's file, so that a run can tell whether it is still the same."""
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
    # With the option given already, the subjects of the command do not name this file.
    given = _given.command is not None and TRUST in _given.command
    return NotTrusted(
        f"{own} is to make {what}, says a file, and what a file names is not run unasked (SHA-256 {digest}); "
        f"read it, and where you trust it: {_mend(shlex.quote(own) if given else '')}"
    )


def _mend(value: str) -> str:
    """The same command with consent; a Python call has an argument for it."""
    if _given.command is None:
        return f"trust_code={value!r}" if value else "trust_code=True"
    return f"{_given.command} {TRUST} {value}".rstrip()


def _refuse_installed(path: Path, what: str) -> None:
    if is_installed(path):
        raise NotTrusted(
            f"{path}: is a file of Python or of an installed package, which makes no {what.removeprefix('a ')}; write "
            "a file of your own that imports it"
        )
