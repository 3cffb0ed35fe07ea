"""The costs of the networks of the zoo, kept in the cache until the code that counts them changes."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from convsmith.base import config
from convsmith.base.errors import ConvsmithError
from convsmith.base.remembered import recall, remember
from convsmith.nets.cost import cost
from convsmith.nets.zoo import network

# The file in the cache folder. One value, so that prices of older code do not pile up.
MEMORY = "prices.json"
_KEY = "prices"


@dataclass(frozen=True)
class Price:
    """A network's family, parameters, MACs and default input."""

    family: str
    params: int
    macs: int
    input: tuple[int, ...]


def prices(names: Iterable[str]) -> dict[str, Price]:
    """The price of each network, from the cache or else counted on its tree."""
    code = _code()
    known = _remembered(code)
    priced = {name: known[name] if name in known else _counted(name) for name in names}
    if not priced.keys() <= known.keys():
        remember(
            MEMORY, _KEY, {"code": code, "networks": {name: asdict(row) for name, row in (known | priced).items()}}
        )
    return priced


def _counted(name: str) -> Price:
    tree = network(name)
    numbers = cost(tree)
    return Price(tree.family, numbers.params, numbers.macs, tuple(numbers.input))


def _code() -> str:
    """A hash of every file that a price may depend on, so that prices of other code are never used."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.parent.glob("base/*.py")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root.parent).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _remembered(code: str) -> dict[str, Price]:
    record = recall(MEMORY, _KEY)
    try:
        if record["code"] != code:
            return {}
        return {name: config.read(Price, row, "price") for name, row in record["networks"].items()}
    except (ConvsmithError, KeyError, TypeError, AttributeError):
        return {}  # the cache is empty or damaged
