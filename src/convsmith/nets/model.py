"""`Model`: a convsmith network (`Network`, a tree) or an imported torch module (`Foreign`)."""

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
    """A network as data: a `Network` or a `Foreign`."""

    @property
    def name(self) -> str:
        """The short name in tables."""
        ...

    @property
    def source(self) -> str:
        """The origin: a name of the zoo, `torchvision:NAME` or `file.py:function`."""
        ...

    @property
    def tree(self) -> "Network | None":
        """The tree, which can be edited, drawn and priced; None for an imported module."""
        ...

    @property
    def classes(self) -> int | None:
        """The number of outputs; None if only the built module can tell."""
        ...

    @property
    def stages(self) -> tuple[tuple[str, Node], ...]:
        """The stages in order; empty for an imported module."""
        ...

    def make(self, seed: int) -> "nn.Module":
        """The module, its weights a function of the seed; torch's global generator keeps its state."""
        ...

    def price(self, input: "Sequence[int] | None" = None) -> "Cost | None":
        """The cost for an input (channels, *sizes); None for an imported module if `input` is None."""
        ...

    def named(self, path: str) -> str:
        """The name in a recipe: `path` for a tree, which is the path of its file; `source` for an imported module."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        ...


def no_tree(model: Model, so: str) -> str:
    """The message for an imported module; `so` is the consequence, such as `it cannot be edited`."""
    file = model.source.rpartition(":")[0]
    origin = "torchvision" if model.source.startswith(TORCHVISION) else Path(file).name
    return f"{model.source} is not a convsmith network; it was imported from {origin}, so {so}"


def tree_of(model: Model, so: str) -> "Network":
    """The tree of a network; raises UsageError with `no_tree` for an imported module."""
    if model.tree is None:
        raise UsageError(no_tree(model, so))
    return model.tree
