"""Wherever a network is named: in the zoo, a user's `file.py:function`, `torchvision:NAME`, or a tree in JSON."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convsmith.base import user_code
from convsmith.base.errors import BadFile, MissingPath, UsageError, unknown
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
    if (own := user_code.split_source(text)) is not None:
        return _from_file(*own, numbers)
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
    return user_code.function_of(Path(file), function, "a network")(**foreign.arguments)


def check_unchanged(foreign: Foreign) -> None:
    """Refuse a user's file that is no longer the one a run was made with."""
    if foreign.fingerprint is None:
        return
    user_code.check_unchanged(Path(foreign.source.rpartition(":")[0]), foreign.fingerprint, "network")


def _from_file(path: Path, function: str, numbers: dict[str, Any]) -> Network | Foreign:
    maker = user_code.function_of(path, function, "a network")
    arguments = user_code.taken(maker, numbers, f"{path}:{function}")
    torch = sys.modules.get("torch")
    # What the user's function draws for first weights must not move the caller's generator.
    with torch.random.fork_rng(devices=[]) if torch else contextlib.nullcontext():
        made = user_code.call(maker, arguments, path, function)
    if isinstance(made, Network):
        return made
    torch_module = sys.modules.get("torch.nn")
    if torch_module is None or not isinstance(made, torch_module.Module):
        raise UsageError(f"{path}:{function} gave a {type(made).__name__}; expected a torch.nn.Module or a Network")
    return Foreign(f"{path.resolve()}:{function}", arguments, user_code.fingerprint(path))


def _from_json(path: Path) -> Network:
    if not path.exists():
        raise MissingPath(f"{path}: no such file")
    try:
        return Network.from_json(read_json(path))
    except UsageError as error:
        raise BadFile(path, str(error)) from None


def is_network_name(text: str) -> bool:
    """Whether `text` is how a network is named: in the zoo, torchvision's, or a user's file."""
    file, colon, _ = text.rpartition(":")
    return text in NETWORKS or text.startswith(TORCHVISION) or bool(colon and file.endswith(".py"))
