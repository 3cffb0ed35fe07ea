"""A network with weights of others and all that is needed to use it, as a run's `Subject` is."""

from dataclasses import dataclass, replace
from pathlib import Path

from convsmith.base.errors import UsageError
from convsmith.base.files import sha256
from convsmith.data.preprocess import ImageInput
from convsmith.nets import edits
from convsmith.nets.modules.build import BuiltNetwork, build
from convsmith.nets.network import Network
from convsmith.nets.weights.pretrained import NEW_LAYER, load_weights
from convsmith.nets.zoo import network
from convsmith.runs.published import read_published
from convsmith.runs.publishers import BEST, Published, find_published, is_entry
from convsmith.runs.weight_files import file_and_part, open_weights

# Mean and deviation of ImageNet's training images, which most published weights expect.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MARGIN, _LARGE = 256 / 224, 128


@dataclass(frozen=True)
class Pretrained:
    """A network with weights of others. `module` is in evaluation mode, on the processor.

    `source` says which weights, `sha256` is that of their file and `note` says how they were read. `preprocess` is None
    for images of neither 1 nor 3 channels, `labels` are None if the last layer is new.
    """

    module: BuiltNetwork
    preprocess: ImageInput | None
    labels: tuple[str, ...] | None
    source: str
    sha256: str
    note: str

    @property
    def network(self) -> Network:
        """The tree of the network."""
        return self.module.tree

    @property
    def multilabel(self) -> bool:
        """Published classifiers say which one of the classes an image shows."""
        return False

    @property
    def channels_last(self) -> bool:
        """The memory layout of its images; a tree takes either."""
        return False

    @property
    def temperature(self) -> float:
        """What outputs are divided by for probabilities: published weights come without a calibration."""
        return 1.0


def load_pretrained(
    name: str, *, classes: int | None = None, channels: int | None = None, weights: str | Path = BEST
) -> Pretrained:
    """The network of the zoo called `name` with published weights, or those of a file.

    `weights` is the name of published ones (`DEFAULT`, `IMAGENET1K_V1`) or a `.safetensors`, `.pt` or `.pth` file by
    torchvision's, timm's or our names, or others that its family knows. Other `classes` give a new last layer, other
    `channels` summed or spread first filters. A file holds no preprocessing: that of the published weights which it
    holds stands in, of the best ones for the network, else ImageNet's mean and deviation.
    """
    entry = str(weights) if isinstance(weights, str) and is_entry(weights) else None
    tree = network(name)
    if len(tree.input.spatial) != 2:
        raise UsageError(f"pretrained: {name} takes {tree.input}, which is not an image")
    published = find_published(name, entry) if entry else _usual(name)
    if entry and published:
        tensors, digest = read_published(published)
        source, notes = published.name, ()
    else:
        found, source = open_weights(weights), str(weights)
        tensors, notes, digest = found.tensors, found.notes, sha256(file_and_part(weights)[0])
    preprocess = published.preprocess if published else _imagenet(tree)
    tree = _fitted(tree, classes, channels, preprocess.size)
    module = build(tree, seed=0)
    how = load_weights(module, tensors, source, adapt=classes is not None or channels is not None)
    note = ", ".join([how, *notes])
    return Pretrained(
        module=module.eval(),
        preprocess=for_channels(preprocess, tree.input.channels),
        labels=None if NEW_LAYER in note else _labels(tree.classes, published),
        source=source,
        sha256=digest,
        note=note,
    )


def for_channels(preprocess: ImageInput, channels: int) -> ImageInput | None:
    """The record for other channels, gray with the colors' mean statistics; None for neither 1 nor 3 channels."""
    if channels == preprocess.channels:
        return preprocess
    if channels not in (1, 3):
        return None
    mean, std = (sum(values) / len(values) for values in (preprocess.mean, preprocess.std))
    return replace(preprocess, mode="L" if channels == 1 else "RGB", mean=(mean,) * channels, std=(std,) * channels)


def _usual(name: str) -> Published | None:
    """The best published weights of a network; None if there are none."""
    try:
        return find_published(name)
    except UsageError:
        return None


def _imagenet(tree: Network) -> ImageInput:
    height, width = tree.input.spatial
    resize = round(max(height, width) * _MARGIN) if max(height, width) >= _LARGE else None
    return ImageInput(resize=resize, size=(height, width), mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _fitted(tree: Network, classes: int | None, channels: int | None, size: tuple[int, int]) -> Network:
    if classes not in (None, tree.classes):
        tree = edits.classes(tree, classes)
    if channels not in (None, tree.input.channels):
        tree = edits.channels(tree, channels)
    return tree if tree.input.spatial == size else edits.size(tree, *size)


def _labels(classes: int, published: Published | None) -> tuple[str, ...]:
    """The published names of the classes, else their numbers."""
    if published is not None and len(published.labels) == classes:
        return published.labels
    return tuple(str(number) for number in range(classes))
