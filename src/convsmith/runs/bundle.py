"""What a bundle says of its weights: all that is needed to use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convsmith.base.config import read_value
from convsmith.base.errors import BadFile, UsageError
from convsmith.data.card import Card
from convsmith.data.preprocess import ImageInput
from convsmith.nets.network import Network
from convsmith.runs.fit import TEMPERATURES, check_fit
from convsmith.runs.trained import bundle_fields, bundle_network

_KINDS: dict[str, Any] = {"temperature": float, "channels_last": bool, "run": str, "step": int}


@dataclass(frozen=True)
class Bundle:
    """A trained network without its weights: how it sees images, its classes, and the run and step that it is of."""

    network: Network
    preprocess: ImageInput
    card: Card
    temperature: float
    channels_last: bool
    run: str
    step: int


def open_bundle(path: str | Path) -> Bundle:
    """What the bundle at `path` says; MissingPath or BadFile."""
    return read_bundle(Path(path), bundle_fields(path))


def read_bundle(path: Path, fields: Mapping[str, Any]) -> Bundle:
    """What the fields of a bundle's metadata mean."""
    network = bundle_network(path, dict(fields))
    absent = [name for name in ("preprocess", "card", *_KINDS) if name not in fields]
    if absent:
        raise BadFile(path, f"the bundle does not say its {absent[0]}; export it again")
    try:
        found = {name: read_value(kind, fields[name], name) for name, kind in _KINDS.items()}
        if not TEMPERATURES[0] <= found["temperature"] <= TEMPERATURES[1]:
            raise UsageError(
                f"temperature: expected from {TEMPERATURES[0]:g} to {TEMPERATURES[1]:g}, "
                f"received {found['temperature']:g}"
            )
        if not 0 <= found["step"] < 2**53:
            raise UsageError(f"step: expected 0 or more, received {found['step']!r:.40}")
        preprocess, card = ImageInput.from_json(fields["preprocess"]), Card.from_json(fields["card"])
        check_fit(network, preprocess, card)
    except UsageError as error:
        raise BadFile(path, f"{error}; export the bundle again") from None
    return Bundle(network=network, preprocess=preprocess, card=card, **found)
