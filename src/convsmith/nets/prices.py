"""What every network of the zoo costs, remembered in the cache for as long as the code that counts it is the same."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from convsmith.base import config
from convsmith.base.errors import ConvsmithError
from convsmith.base.files import cache_folder, read_json, write_text
from convsmith.nets.cost import cost
from convsmith.nets.zoo import network


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
        _remember(code, known | found)
    return found


def prices_file() -> Path:
    """Where prices are remembered."""
    return cache_folder() / "prices.json"


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
    try:
        data = read_json(prices_file())
        if not isinstance(data, dict) or cast("dict[str, Any]", data).get("code") != code:
            return {}
        rows = cast("dict[str, Any]", data["prices"])
        return {name: config.read(Price, row, "price") for name, row in rows.items()}
    except (OSError, ConvsmithError, KeyError, AttributeError):
        return {}


def _remember(code: str, found: dict[str, Price]) -> None:
    # A cache that cannot be written costs a second, not an error.
    with suppress(OSError):
        path = prices_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"code": code, "prices": {name: asdict(row) for name, row in found.items()}}))
