"""Functions of a user's own Python file, named `file.py:function`."""

import hashlib
import inspect
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, ConvsmithError, MissingPath, UsageError, unknown


def split_source(text: str) -> tuple[Path, str] | None:
    """The file and the function that `file.py:function` names; None where it does not name any."""
    file, colon, function = text.rpartition(":")
    return (Path(file), function) if colon and file.endswith(".py") else None


def function_of(path: Path, name: str, what: str) -> Callable[..., Any]:
    """The function called `name` of a file, which is run for it; `what` says what it is to make, for errors."""
    if not path.exists():
        raise MissingPath(f"{path}: no such file; {what} of your own is given as file.py:function")
    spec = spec_from_file_location(f"convsmith_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadFile(path, "is no Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for the names in their annotations
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
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
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_unchanged(path: Path, stated: str, what: str) -> None:
    """Refuse a user's file that is gone, or is no longer the one that a run was made with."""
    if not path.exists():
        raise MissingPath(f"{path}: the file that made this run's {what} is gone; put it back to use the run")
    if fingerprint(path) != stated:
        raise BadFile(path, "has changed since the run was made with it; put that version back to use the run")
