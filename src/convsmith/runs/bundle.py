"""What a bundle says of its weights: all that is needed to use them. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, UsageError
from convsmith.data.card import Card
from convsmith.data.preprocess import Preprocess
from convsmith.nets.network import Network
from convsmith.runs.trained import bundle_fields, bundle_network


@dataclass(frozen=True)
class Bundle:
    """A trained network without its weights: how it sees images, its classes, and the run and step that it is of."""

    network: Network
    preprocess: Preprocess
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
    try:
        return Bundle(
            network=bundle_network(path, dict(fields)),
            preprocess=Preprocess.from_json(fields["preprocess"]),
            card=Card.from_json(fields["card"]),
            temperature=float(fields["temperature"]),
            channels_last=bool(fields["channels_last"]),
            run=str(fields["run"]),
            step=int(fields["step"]),
        )
    except KeyError as error:
        raise BadFile(path, f"the bundle does not say its {error.args[0]}; export it again") from None
    except (UsageError, TypeError, ValueError) as error:
        raise BadFile(path, f"{error}; export the bundle again") from None
