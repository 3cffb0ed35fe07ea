"""Wherever a network is named: in the zoo, a user's `file.py:function`, `torchvision:NAME`, or a tree in JSON."""

import contextlib
import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, ConvsmithError, MissingPath, UsageError, unknown
from convsmith.base.files import read_json
from convsmith.nets.network import Network
from convsmith.nets.zoo import NETWORKS, network

TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Foreign:
    """A `torch.nn.Module` that is not a tree: where it comes from and what it is made with.

    `fingerprint` is the SHA-256 of the user's file, so that a run can tell whether it is still the same.
    """

    source: str
    arguments: dict[str, Any]
    fingerprint: str | None = None

    @property
    def name(self) -> str:
        """A short name for tables."""
        return self.source.rpartition("/")[2]

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        return {"source": self.source, "arguments": self.arguments, "fingerprint": self.fingerprint}


def open_network(text: str, **numbers: Any) -> Network | Foreign:
    """What `text` names, made with those of `numbers` (`classes`, `channels`, `size`) that it takes.

    Raises `UnknownName` for a name that is in no table, `MissingPath` and `BadFile` for files.
    """
    if text.startswith(TORCHVISION):
        classes = {"num_classes": numbers["classes"]} if "classes" in numbers else {}
        return Foreign(text, classes)
    file, colon, function = text.rpartition(":")
    if colon and file.endswith(".py"):
        return _from_file(file, function, numbers)
    if text.endswith(".json"):
        return _from_json(Path(text))
    if text.endswith(".py"):
        raise UsageError(f"{text}: say which function makes the network: {text}:make")
    return network(text, **numbers)


def make(foreign: Foreign) -> Any:
    """The `torch.nn.Module` that a foreign network names."""
    if foreign.source.startswith(TORCHVISION):
        import torchvision.models as models  # pyright: ignore[reportMissingTypeStubs]

        name = foreign.source.removeprefix(TORCHVISION)
        names = models.list_models(module=models)
        if name not in names:
            raise unknown("torchvision network", name, names)
        return models.get_model(name, weights=None, **foreign.arguments)
    file, _, function = foreign.source.rpartition(":")
    return _function(file, function)(**foreign.arguments)


def check_unchanged(foreign: Foreign) -> None:
    """Refuse a user's file that is no longer the one a run was made with."""
    if foreign.fingerprint is None:
        return
    path = Path(foreign.source.rpartition(":")[0])
    if not path.exists():
        raise MissingPath(f"{path}: the file that made this run's network is gone; put it back to use the run")
    if _fingerprint(path) != foreign.fingerprint:
        raise BadFile(path, "has changed since the run was made with it; put that version back to use the run")


def _from_file(file: str, function: str, numbers: dict[str, Any]) -> Network | Foreign:
    path = Path(file)
    maker = _function(file, function)
    taken = inspect.signature(maker).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
    arguments = {k: v for k, v in numbers.items() if k in taken or open_ended}
    absent = [
        k
        for k, p in taken.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and k not in arguments
    ]
    if absent:
        known = ", ".join(numbers) or "nothing"
        raise UsageError(f"{file}:{function} needs {', '.join(absent)}, and only {known} can be given; set defaults")
    torch = sys.modules.get("torch")
    # What the user's function draws for first weights must not move the caller's generator.
    with torch.random.fork_rng(devices=[]) if torch else contextlib.nullcontext():
        try:
            made = maker(**arguments)
        except ConvsmithError:
            raise
        except Exception as error:
            raise BadFile(path, f"{function} failed: {type(error).__name__}: {error}") from error
    if isinstance(made, Network):
        return made
    torch_module = sys.modules.get("torch.nn")
    if torch_module is None or not isinstance(made, torch_module.Module):
        raise UsageError(f"{file}:{function} gave a {type(made).__name__}; expected a torch.nn.Module or a Network")
    return Foreign(f"{path.resolve()}:{function}", arguments, _fingerprint(path))


def _function(file: str, name: str) -> Callable[..., Any]:
    path = Path(file)
    if not path.exists():
        raise MissingPath(f"{file}: no such file; a network of your own is given as file.py:function")
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
        raise unknown(f"function in {file}:", name, functions)
    return getattr(module, name)


def _from_json(path: Path) -> Network:
    if not path.exists():
        raise MissingPath(f"{path}: no such file")
    try:
        return Network.from_json(read_json(path))
    except UsageError as error:
        raise BadFile(path, str(error)) from None


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_network_name(text: str) -> bool:
    """Whether `text` is how a network is named: in the zoo, torchvision's, or a user's file."""
    file, colon, _ = text.rpartition(":")
    return text in NETWORKS or text.startswith(TORCHVISION) or bool(colon and file.endswith(".py"))
