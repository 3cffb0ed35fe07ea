"""The network and the image shape of a run or a bundle, from its records. Quick to import: no torch, no NumPy."""

import json
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.base.files import open_regular
from convsmith.nets.model import Model, no_tree
from convsmith.nets.network import Network
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.network import network_from_record, network_of
from convsmith.runs.sealed import unseal

BUNDLE_FORMAT = 1
BUNDLE_KEY = "convsmith"  # of the metadata in the safetensors header
# The limits of a safetensors header. The zoo's largest network has 7,226 tensors; optimizers keep two for each.
LONGEST_HEADER, MOST_TENSORS = 10_000_000, 30_000


def is_bundle(path: str | Path) -> bool:
    """Whether `path` is a bundle, by the metadata in its header. The bundle may be damaged."""
    path = Path(path)
    return path.suffix == ".safetensors" and path.is_file() and BUNDLE_KEY in _metadata(path)


def is_trained(path: str | Path) -> bool:
    """Whether a run or a bundle is at `path`."""
    return is_run(path) or is_bundle(path)


def trained_network(path: str | Path) -> Model:
    """The network of a run or of a bundle."""
    return network_of(open_run(path)) if is_run(path) else bundle_network(Path(path), bundle_fields(path))


def trained_shape(path: str | Path) -> tuple[int, int, int]:
    """The channels, height and width of the images that the network of a run or a bundle takes."""
    from convsmith.data.preprocess import ImageInput  # with NumPy and Pillow
    from convsmith.runs.bundle import open_bundle

    record = ImageInput.from_json(open_run(path).record("preprocess")) if is_run(path) else open_bundle(path).preprocess
    return (record.channels, *record.size)


def bundle_fields(path: str | Path) -> dict[str, Any]:
    """The fields of the bundle at `path`, verified by their hash. Raises MissingPath or BadFile."""
    path = Path(path)
    if not path.exists():
        raise MissingPath(f"{path}: no such file; expected a bundle")
    text = _metadata(path).get(BUNDLE_KEY)
    if text is None:
        raise BadFile(path, "holds weights but no description of their network; give it as --weights, with a network")
    return unsealed(path, text)


def bundle_network(path: Path, fields: dict[str, Any]) -> Network:
    """The network that the fields of a bundle describe: a tree, since a bundle names no code."""
    if "network" not in fields:
        raise BadFile(path, "the bundle does not say its network; export it again")
    try:
        network = network_from_record(fields["network"])
    except UsageError as error:
        raise BadFile(path, f"{error}; export the bundle again") from None
    if network.tree is None:
        so = "it is not opened: the code that a bundle names is never run; ask for the run's directory instead"
        raise BadFile(path, no_tree(network, so))
    return network.tree


def unsealed(path: Path, text: str) -> dict[str, Any]:
    """The fields in a bundle's metadata, verified by their hash. Raises BadFile."""
    try:
        fields = unseal(text)
    except ValueError as error:
        raise BadFile(path, f"the bundle's metadata is damaged: {error}; fetch or export it again") from None
    if fields.get("format") != BUNDLE_FORMAT:
        raise BadFile(
            path,
            f"is a bundle of format {fields.get('format')!r:.40}, this Convsmith reads format {BUNDLE_FORMAT}; "
            "update Convsmith or export the bundle again",
        )
    return fields


def _metadata(path: Path) -> dict[str, str]:
    """The metadata in the header of a safetensors file; empty for other files."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= LONGEST_HEADER else {}
        found = header.get("__metadata__") if isinstance(header, dict) else None
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
