"""The network of a run, as its record states it."""

from collections.abc import Mapping
from typing import Any

from convsmith.base.errors import BadFile, UsageError, WrongType
from convsmith.nets.model import Model
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign
from convsmith.runs.directory import RunDirectory


def network_record(network: Model) -> dict[str, Any]:
    """What `network.json` holds."""
    return {"kind": "tree" if network.tree else "module", **network.to_json()}


def network_of(run: RunDirectory) -> Model:
    """The network that a run was made with."""
    try:
        return network_from_record(run.record("network"))
    except UsageError as error:
        raise BadFile(run.path / "network.json", str(error)) from None


def network_from_record(record: Mapping[str, Any]) -> Model:
    """The network that `network_record` wrote; UsageError for other data."""
    if not isinstance(record, dict) or record.get("kind") not in ("tree", "module"):
        raise WrongType(f"expected a network of kind 'tree' or 'module', received {record!r:.80}")
    fields = {name: value for name, value in record.items() if name != "kind"}
    return Network.from_json(fields) if record["kind"] == "tree" else Foreign.from_json(fields)
