"""The weights that a run starts from: published weights by name, a file, or another run."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from convsmith.base.calls import parse_call
from convsmith.base.errors import UsageError, unknown
from convsmith.base.files import sha256
from convsmith.data.dataset import Dataset
from convsmith.data.preprocess import ImageInput
from convsmith.nets.model import Model
from convsmith.nets.modules.build import BuiltNetwork, build
from convsmith.nets.network import Network
from convsmith.nets.source import TORCHVISION
from convsmith.nets.weights.carry import carry, kept_of_cut
from convsmith.nets.weights.pretrained import load_weights
from convsmith.report.text import many
from convsmith.runs.pretrained import for_channels
from convsmith.runs.published import fetch
from convsmith.runs.publishers import find_published, is_entry, recognized
from convsmith.runs.subject import open_subject
from convsmith.runs.trained import is_trained
from convsmith.runs.weight_files import file_and_part, open_weights

# Edits that trained weights are carried through. The weights belong to the network before these edits.
CARRIED = ("cut", "identity_layers")


@dataclass(frozen=True)
class Start:
    """Weights to start from: their name, their file with its SHA-256, and their preprocessing, None if not known.

    `labels` are the classes of the run that the weights come from; None for other weights. `part` names the set of
    weights in a file that holds several.
    """

    source: str
    file: Path
    sha256: str
    preprocess: ImageInput | None = None
    labels: tuple[str, ...] | None = None
    part: str | None = None

    def to_json(self) -> dict[str, str]:
        """The run's record of the weights."""
        return {"source": self.source, "file": self.file.name, "sha256": self.sha256}


def open_start(weights: str, network: Model) -> Start:
    """The path of the weights that a recipe names: a run, published weights (found or downloaded), or a file."""
    if is_trained(weights):
        subject = open_subject(weights)
        return Start(weights, subject.weights, sha256(subject.weights), subject.preprocess, subject.labels)
    if is_entry(weights):
        published = find_published(network.source.removeprefix(TORCHVISION), weights)
        file, digest = fetch(published)
        return Start(published.source, file, digest, published.preprocess)
    open_weights(weights)  # raises the error of a bad file early
    file, part = file_and_part(weights)
    digest = sha256(file)
    known = recognized(network.source.removeprefix(TORCHVISION), digest)
    return Start(weights, file, digest, known.preprocess if known else None, part=part)


def load_start(module: nn.Module, start: Start, labels: tuple[str, ...], whole: Network | None = None) -> str:
    """Load the first weights into the module, fitted to its classes and channels; returns a line on how they were read.

    The last layer of a run with other classes than `labels` is not loaded, even if the counts are equal. `whole` is
    the network of the weights, if the module's network was cut out of it or made deeper; else None.
    """
    other = start.labels is not None and start.labels != labels
    target = module if whole is None else build(whole, seed=0)
    opened = open_weights(f"{start.file}:{start.part}" if start.part else start.file)
    how = load_weights(target, opened.tensors, start.source, adapt=True, new_last=other)
    how = ", ".join([how, *opened.notes])
    if whole is not None and isinstance(module, BuiltNetwork):
        module.load_state_dict(_carried(whole, module.tree, target.state_dict()), strict=False)
    return f"starts from {start.source} ({how})"


def _carried(whole: Network, tree: Network, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `whole` carried through the edits that made `tree`; the new head of a cut has none."""
    texts = tree.edits[len(whole.edits) :]
    if any(parse_call(text).name == "cut" for text in texts):
        return kept_of_cut(tree, state)
    for text in texts:
        whole, state = carry(whole, state, text)
    return state


def renew(module: nn.Module, pattern: str, fresh: nn.Module) -> str:
    """Copy the weights of `fresh` into the parts whose names match `pattern`; returns a line with their number."""
    state = fresh.state_dict()
    try:
        keys = [key for key in state if re.search(pattern, key)]
    except re.error as error:
        raise UsageError(f"renew: {pattern!r} is not a regular expression ({error})") from None
    if not keys:
        layers = dict.fromkeys(key.rpartition(".")[0] for key in state)
        raise unknown("part of the network in renew:", pattern, layers)
    module.load_state_dict({key: state[key] for key in keys}, strict=False)
    return f"{len(keys)} of its {many(len(state), 'tensor')} are drawn anew ({pattern})"


def normalized_as(dataset: Dataset, start: Start, notes: list[str]) -> Dataset:
    """The data with the normalization and scaling of the weights, if they are known."""
    own = dataset.preprocess
    known = for_channels(start.preprocess, own.channels) if start.preprocess else None
    if known is None:
        notes.append(f"{start.source} does not say how its images were normalized: these are by their own mean")
        return dataset
    numbers = " and ".join(", ".join(f"{value:.3g}" for value in values) for values in (known.mean, known.std))
    notes.append(f"images are normalized as those weights expect: mean and deviation {numbers}")
    record = replace(own, mean=known.mean, std=known.std, interpolation=known.interpolation)
    return replace(dataset, preprocess=record)
