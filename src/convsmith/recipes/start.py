"""The weights that a run starts from: torchvision's by their name, a file of others, or another run."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from convsmith.base.files import sha256
from convsmith.data.dataset import Dataset
from convsmith.data.preprocess import Preprocess
from convsmith.nets.network import Network
from convsmith.nets.pretrained import load_weights
from convsmith.nets.source import TORCHVISION, Foreign
from convsmith.runs.directory import is_run
from convsmith.runs.pretrained import for_channels
from convsmith.runs.published import fetch, find_published, is_entry
from convsmith.runs.subject import open_subject
from convsmith.runs.weights import load_weights as read_weights


@dataclass(frozen=True)
class Start:
    """Weights to start from: what they are called, their file with its SHA-256, and their preprocessing if known."""

    source: str
    file: Path
    sha256: str
    preprocess: Preprocess | None = None

    def to_json(self) -> dict[str, str]:
        """What the run's record keeps."""
        return {"source": self.source, "file": self.file.name, "sha256": self.sha256}


def open_start(weights: str, network: Network | Foreign) -> Start:
    """Where the weights that a recipe names lie: a run, an entry of torchvision's registry (fetched), else a file."""
    if is_run(weights):
        subject = open_subject(weights)
        file = subject.run.path / "checkpoints" / f"{subject.step:08d}" / "model.safetensors"
        return Start(weights, file, sha256(file), subject.preprocess)
    if is_entry(weights):
        published = find_published(_name(network), weights)
        file, digest = fetch(published)
        return Start(f"torchvision's {published.name}", file, digest, published.preprocess)
    file = Path(weights)
    read_weights(file)  # says what is wrong with it before anything else is done
    return Start(weights, file, sha256(file))


def load_start(module: nn.Module, start: Start) -> str:
    """Give the module its first weights, fitted to its classes and channels; says how they were read."""
    how = load_weights(module, read_weights(start.file), start.source, adapt=True)
    return f"starts from {start.source} ({how})"


def normalised_as(dataset: Dataset, start: Start, notes: list[str]) -> Dataset:
    """The data normalised and scaled as the weights are used to, where that is known."""
    own = dataset.preprocess
    known = for_channels(start.preprocess, own.channels) if start.preprocess else None
    if known is None:
        notes.append(f"{start.source} does not say how its images were normalised: these are by their own mean")
        return dataset
    numbers = " and ".join(", ".join(f"{value:.3g}" for value in values) for values in (known.mean, known.std))
    notes.append(f"images are normalised as those weights expect: mean and deviation {numbers}")
    record = replace(own, mean=known.mean, std=known.std, interpolation=known.interpolation)
    return replace(dataset, preprocess=record)


def _name(network: Network | Foreign) -> str:
    return network.name if isinstance(network, Network) else network.source.removeprefix(TORCHVISION)
