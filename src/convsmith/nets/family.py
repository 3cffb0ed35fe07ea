"""The records of the zoo: a family of networks, its variants, other projects' names for its weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convsmith.nets.network import Network

Numbers = dict[str, Any]
Scale = Callable[[Numbers, float], Numbers]


@dataclass(frozen=True)
class Renaming:
    """Rules that turn another project's keys into ours: (pattern, replacement); the first pattern that matches applies.

    A pattern matches a whole key. `<0>` in a replacement is the group's number plus one: our names count units from
    one, most projects count from zero.
    """

    source: str
    rules: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """A family: `build` makes a network from a few numbers and writes `name` into `Network.family`.

    `small_images` returns the form for images of about 32 pixels. `widen` and `deepen` return the numbers of a network
    that is `factor` times as wide or deep, rounded by the family's rule. `renamings` are other projects' names for the
    weights, or functions that return these names for a network. torchvision's names need no renaming.
    """

    name: str
    build: Callable[..., Network]
    small_images: Callable[[Network], Network] | None = None
    widen: Scale | None = None
    deepen: Scale | None = None
    renamings: tuple[Renaming | Callable[[Network], Renaming], ...] = ()


@dataclass(frozen=True)
class Row:
    """A network of the zoo: `family.build(**numbers)`, then `edits`; `note` says how it differs from its siblings."""

    family: Family
    year: int
    note: str
    numbers: Mapping[str, Any] = field(default_factory=lambda: {})
    edits: tuple[str, ...] = ()
