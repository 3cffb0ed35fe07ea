"""What every network of the zoo costs, remembered in the cache for as long as the code that counts it is the same."""

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
    """A network's family, trainable numbers, MACs and input as it is by default."""

    family: str
    params: int
    macs: int
    input: tuple[int, ...]


def prices(names: Iterable[str]) -> dict[str, Price]:
    """The price of each network; those that are not remembered are counted on their trees."""
    code = _code()
    known = _remembered(code)
    found = {name: known[name] if name in known else _counted(name) for name in names}
    if not found.keys() <= known.keys():
        remember(MEMORY, _KEY, {"code": code, "networks": {name: asdict(row) for name, row in (known | found).items()}})
    return found


def _counted(name: str) -> Price:
    tree = network(name)
    numbers = cost(tree)
    return Price(tree.family, numbers.params, numbers.macs, tuple(numbers.input))


def _code() -> str:
    """A hash of every file that a price may depend on: what was counted by other code is never taken for its own."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.parent.glob("base/*.py")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root.parent).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _remembered(code: str) -> dict[str, Price]:
    found = recall(MEMORY, _KEY)
    try:
        if found["code"] != code:
            return {}
        return {name: config.read(Price, row, "price") for name, row in found["networks"].items()}
    except (ConvsmithError, KeyError, TypeError, AttributeError):
        return {}  # nothing was remembered, or what was is damaged
