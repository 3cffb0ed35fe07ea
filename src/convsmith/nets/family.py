"""What the zoo knows about a family of networks and about each of its variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convsmith.nets.network import Network

Numbers = dict[str, Any]
Scale = Callable[[Numbers, float], Numbers]


@dataclass(frozen=True)
class Renaming:
    """How another project's keys become ours: patterns of whole keys with their replacements, the first that fits.

    `<0>` in a replacement stands for the group's number plus one: units count from one in our names, from zero in most.
    """

    source: str
    rules: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """A family: `build` makes a network of it from a few numbers and writes `name` into `Network.family`.

    `small_images` gives its form for images of about 32 pixels. `widen` and `deepen` give the numbers of a network that
    is that many times as wide or deep: the rounding is the family's. `renamings` are other projects' names for its
    weights, or functions that give them for a network; torchvision's are found without one.
    """

    name: str
    build: Callable[..., Network]
    small_images: Callable[[Network], Network] | None = None
    widen: Scale | None = None
    deepen: Scale | None = None
    renamings: tuple[Renaming | Callable[[Network], Renaming], ...] = ()


@dataclass(frozen=True)
class Row:
    """A network of the zoo: `family.build(**numbers)`, then `edits`; `note` says what tells it from its siblings."""

    family: Family
    year: int
    note: str
    numbers: Mapping[str, Any] = field(default_factory=lambda: {})
    edits: tuple[str, ...] = ()
