"""What names a network: a tree of ours (`Network`), or a module of others (`Foreign`), which only torch can read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from convsmith.base.errors import UsageError
from convsmith.nets.tree import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from convsmith.nets.cost import Cost
    from convsmith.nets.network import Network

TORCHVISION = "torchvision:"


class Model(Protocol):
    """A network as data, whatever it is made of."""

    @property
    def name(self) -> str:
        """A short name for tables."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from: a name of the zoo, `torchvision:NAME` or `file.py:function`."""
        ...

    @property
    def tree(self) -> "Network | None":
        """The tree, which can be edited, drawn and priced; None for a module of others."""
        ...

    @property
    def classes(self) -> int | None:
        """The number of its outputs; None where only the built module tells."""
        ...

    @property
    def stages(self) -> tuple[tuple[str, Node], ...]:
        """The stages in order; a module of others has none."""
        ...

    def make(self, seed: int) -> "nn.Module":
        """The module with weights that are a function of the seed; torch's global generator does not move."""
        ...

    def price(self, input: "Sequence[int] | None" = None) -> "Cost | None":
        """What it costs for an input (channels, *sizes); None for a module of others without an `input`."""
        ...

    def named(self, path: str) -> str:
        """How a recipe names it: `path`, where a tree lies, or a module's own source."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        ...


def no_tree(model: Model, so: str) -> str:
    """A sentence that says what a module of others is, and what follows: `it cannot be edited`."""
    file = model.source.rpartition(":")[0]
    origin = "torchvision" if model.source.startswith(TORCHVISION) else Path(file).name
    return f"{model.source} is not a convsmith network; it was imported from {origin}, so {so}"


def tree_of(model: Model, so: str) -> "Network":
    """The tree of a network; UsageError with `no_tree` for a module of others."""
    if model.tree is None:
        raise UsageError(no_tree(model, so))
    return model.tree
