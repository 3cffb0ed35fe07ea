"""From the name of a network to a `Model`: the zoo, `file.py:function`, `torchvision:NAME`, or a tree in JSON."""

import contextlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from convsmith.base import user_code
from convsmith.base.errors import BadFile, MissingPath, UsageError, WrongType, unknown
from convsmith.base.files import read_json
from convsmith.nets.cost import Cost
from convsmith.nets.model import TORCHVISION, Model
from convsmith.nets.network import Network
from convsmith.nets.zoo import NETWORKS, network

if TYPE_CHECKING:
    from torch import nn

# The arguments that a function may take, each with its largest value: a record from a file builds its module at once.
ARGUMENTS = {"classes": 100_000, "channels": 10_000, "size": 10_000}


@dataclass(frozen=True)
class Foreign:
    """An imported `torch.nn.Module`: its source and the arguments of its function.

    `fingerprint` is the SHA-256 of the user's file: a run compares it to detect a change of the file.
    """

    source: str
    arguments: dict[str, Any]
    fingerprint: str | None = None

    @staticmethod
    def from_json(data: Any) -> "Foreign":
        """The object that `to_json` wrote; raises UsageError for one that `to_json` never writes."""
        if not isinstance(data, dict) or set(cast("dict[str, Any]", data)) != {"source", "arguments", "fingerprint"}:
            raise WrongType(f"expected source, arguments and fingerprint of a module, received {data!r:.200}")
        fields = cast("dict[str, Any]", data)
        source, given, stated = fields["source"], fields["arguments"], fields["fingerprint"]
        if not isinstance(source, str) or not isinstance(given, dict):
            raise WrongType(f"expected a source and its arguments, received {source!r:.80} and {given!r:.80}")
        published = source.startswith(TORCHVISION)
        if not published and user_code.split_source(source) is None:
            raise UsageError(f"source: expected torchvision:NAME or file.py:function, received {source!r:.200}")
        if stated is not None and (published or not isinstance(stated, str)):
            raise WrongType(f"fingerprint: expected the SHA-256 of a file, received {stated!r:.80}")
        known = {"num_classes": ARGUMENTS["classes"]} if published else ARGUMENTS
        arguments = {name: _checked_argument(name, v, known) for name, v in cast("dict[str, Any]", given).items()}
        return Foreign(source, arguments, stated)

    @property
    def name(self) -> str:
        """The short name in tables."""
        return self.source.rpartition("/")[2]

    @property
    def tree(self) -> None:
        """None: only torch can read an imported module."""
        return None

    @property
    def classes(self) -> int | None:
        """The argument `classes`; None if it was not given."""
        return self.arguments.get("num_classes", self.arguments.get("classes"))

    @property
    def stages(self) -> tuple[()]:
        """Empty: the stages of an imported module are unknown."""
        return ()

    def make(self, seed: int) -> "nn.Module":
        """The module, its weights a function of the seed; torch's global generator keeps its state."""
        import torch

        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
            torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
            return make(self)

    def price(self, input: Sequence[int] | None = None) -> Cost | None:
        """The cost, measured by one run on an input (channels, *sizes); None if `input` is None."""
        if input is None:
            return None
        from convsmith.nets.modules.measure import measure_module

        return measure_module(make(self), input)

    def named(self, path: str) -> str:
        """The source, with the path of the user's file; `path` is ignored."""
        return found(self).source

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        return {"source": self.source, "arguments": self.arguments, "fingerprint": self.fingerprint}


def open_network(text: str, **numbers: Any) -> Model:
    """The network that `text` names, made with those of `numbers` (`classes`, `channels`, `size`) that it accepts.

    Raises `UnknownName` if no table has the name, `MissingPath` or `BadFile` for a file.
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
    return network(text, **_accepted_numbers(text, numbers))


def _accepted_numbers(name: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers that a network of the zoo accepts: an autoencoder has no `classes`."""
    known = inspect.signature(NETWORKS[name].family.build).parameters
    return {key: value for key, value in numbers.items() if key != "classes" or key in known}


def make(foreign: Foreign) -> Any:
    """The `torch.nn.Module` that a foreign network names."""
    if foreign.source.startswith(TORCHVISION):
        import torchvision.models as models  # pyright: ignore[reportMissingTypeStubs]

        name = foreign.source.removeprefix(TORCHVISION)
        names = models.list_models(module=models)
        if name not in names:
            raise unknown("torchvision network", name, names)
        return models.get_model(name, weights=None, **foreign.arguments)
    path, function = user_code.located(foreign.source, foreign.fingerprint, "a network")
    made = user_code.call(user_code.function_of(path, function, "a network"), foreign.arguments, path, function)
    if not _is_module(made):
        raise UsageError(f"{path}:{function} gave a {type(made).__name__}; expected a torch.nn.Module")
    return made


def found(foreign: Foreign) -> Foreign:
    """The network with the path of the user's file, if it has one; errors as in `user_code.located`."""
    if foreign.source.startswith(TORCHVISION):
        return foreign
    path, function = user_code.located(foreign.source, foreign.fingerprint, "a network")
    return replace(foreign, source=f"{path}:{function}")


def _from_file(path: Path, function: str, numbers: dict[str, Any]) -> Model:
    maker = user_code.function_of(path, function, "a network")
    arguments = user_code.taken(maker, numbers, f"{path}:{function}")
    torch = sys.modules.get("torch")
    # The user's function draws first weights; the caller's generator must keep its state.
    with torch.random.fork_rng(devices=[]) if torch else contextlib.nullcontext():
        made = user_code.call(maker, arguments, path, function)
    if isinstance(made, Network):
        return made
    if not _is_module(made):
        raise UsageError(f"{path}:{function} gave a {type(made).__name__}; expected a torch.nn.Module or a Network")
    return Foreign(f"{path.resolve()}:{function}", arguments, user_code.fingerprint(path))


def _is_module(made: object) -> bool:
    """Whether an object is a `torch.nn.Module`, without importing torch: no module exists before that import."""
    torch_nn = sys.modules.get("torch.nn")
    return torch_nn is not None and isinstance(made, torch_nn.Module)


def _checked_argument(name: str, value: Any, known: Mapping[str, int]) -> int:
    if name not in known:
        raise unknown("argument of a module", name, known)
    if type(value) is not int or not 1 <= value <= known[name]:
        raise UsageError(f"{name}: expected a whole number from 1 to {known[name]:,}, received {value!r:.80}")
    return value


def _from_json(path: Path) -> Network:
    if not path.exists():
        raise MissingPath(f"{path}: no such file")
    try:
        return Network.from_json(read_json(path))
    except UsageError as error:
        raise BadFile(path, str(error)) from None


def is_network_name(text: str) -> bool:
    """Whether `text` names a network: of the zoo, of torchvision, or in a user's file."""
    file, colon, _ = text.rpartition(":")
    return text in NETWORKS or text.startswith(TORCHVISION) or bool(colon and file.endswith(".py"))
