"""The network of a run, as its record states it. No torch here."""

from collections.abc import Mapping
from typing import Any

from convsmith.base.errors import BadFile, UsageError
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign
from convsmith.runs.directory import RunDirectory


def network_record(network: Network | Foreign) -> dict[str, Any]:
    """What `network.json` holds."""
    kind = "tree" if isinstance(network, Network) else "module"
    return {"kind": kind, **network.to_json()}


def network_of(run: RunDirectory) -> Network | Foreign:
    """The network that a run was made with."""
    try:
        return network_from_record(run.record("network"))
    except (UsageError, TypeError) as error:
        raise BadFile(run.path / "network.json", str(error)) from None


def network_from_record(record: Mapping[str, Any]) -> Network | Foreign:
    """The network that `network_record` wrote; UsageError or TypeError where the record is none."""
    fields = dict(record)
    kind = fields.pop("kind", None)
    return Network.from_json(fields) if kind == "tree" else Foreign(**fields)
