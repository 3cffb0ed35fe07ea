"""The features that a frozen network computes of images: once, by the fastest engine, kept on the disk (the store)."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convsmith.base.errors import CheckFailed
from convsmith.data.augment import normalize
from convsmith.data.cache import decoders
from convsmith.data.examples import Examples
from convsmith.data.image_sets import StoredSplit
from convsmith.data.kept import Kept, open_kept
from convsmith.data.loaders import evaluation_loader
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.slots import FEATURE_BYTES, FEATURES
from convsmith.engines.choose import automatic
from convsmith.engines.inference import Inference
from convsmith.engines.measure import seconds
from convsmith.nets.model import Model
from convsmith.report.text import duration, many
from convsmith.training.engine import Engine, using
from convsmith.training.progress import make_progress

Say = Callable[[str], None]

BATCH = 16
# The key of the last layer's inputs in `Frozen.columns`; no stage has such a name.
LAST = "inputs of the last layer"
# The largest difference between the network's outputs and those of its last layer on the features, relative to the
# largest output.
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network whose features are wanted: its module in evaluation mode on the CPU, and the path of its last layer.

    `last` is None if the last layer is not linear: then the features are those of the stages alone. `preprocess` says
    how an image becomes the network's input.
    """

    network: Model
    module: nn.Module
    last: str | None
    preprocess: ImageInput
    engine: Engine

    @property
    def columns(self) -> dict[str, slice]:
        """The slice of a row that holds the features of each stage (the mean of its output), and the `LAST` inputs."""
        widths = {}
        if (tree := self.network.tree) is not None:
            traced = tree.trace().stages
            widths = {name: traced[name].shape.channels for name, _ in tree.stages}
        if self.last is not None:
            layer = self.module.get_submodule(self.last)
            widths[LAST] = int(layer.in_features)  # pyright: ignore[reportArgumentType]
        ends = np.cumsum([0, *widths.values()])
        return {name: slice(int(a), int(b)) for name, a, b in zip(widths, ends[:-1], ends[1:], strict=True)}

    def weights(self) -> str:
        """The SHA-256 of all weights before the last layer."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.module.state_dict().items()):
            if not key.startswith(f"{self.last}."):
                digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)};".encode())
                digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def features(
    frozen: Frozen, examples: Examples, options: DataOptions, *, quiet: bool = True, say: Say = lambda text: None
) -> np.ndarray:
    """The features of each example, float32 (N, width of `Frozen.columns`), read from the store or computed.

    `say` gets beforehand how many are computed and how long that takes. Raises CheckFailed if the last layer does
    not give the network's own outputs on the features.
    """
    width = max(part.stop for part in frozen.columns.values())
    out = np.empty((len(examples), width), np.float32)
    store = _open_store(frozen, examples, width, options, say)
    absent = [i for i in range(len(examples)) if not _read(store, examples, i, out)]
    if store is not None and (damage := store.damage()):
        say(f"features: {damage}")
    if not absent:
        return out
    if len(absent) < len(examples):
        say(f"features of {many(len(examples) - len(absent), 'image is', 'images are')} at hand")
    some = examples.subset(absent)
    with using(frozen.engine):
        for begin, rows in _computed(frozen, some, options, quiet, say):
            for place, row in enumerate(rows, begin):
                out[absent[place]] = row
                _write(store, examples, absent[place], row)
    return out


def missing(frozen: Frozen, examples: Examples, options: DataOptions) -> int:
    """How many of the examples have no features in the store."""
    width = max(part.stop for part in frozen.columns.values())
    out = np.empty((len(examples), width), np.float32)
    store = _open_store(frozen, examples, width, options, lambda text: None)
    return sum(not _read(store, examples, i, out) for i in range(len(examples)))


def _computed(
    frozen: Frozen, examples: Examples, options: DataOptions, quiet: bool, say: Say
) -> Iterator[tuple[int, np.ndarray]]:
    """The features of each batch, with the index of its first example."""
    record, engine = frozen.preprocess, replace(frozen.engine, precision="fp32")
    model = Inference(
        copy.deepcopy(frozen.module), frozen.network, (record.channels, *record.size), engine.channels_last,
        features_before=frozen.last or "",
    )  # fmt: skip
    loader = evaluation_loader(examples, record, options, batch=BATCH, device="cpu")
    batches = (normalize(batch.images, record) for batch in loader.epoch(0))
    first = next(batches)
    _check(frozen, model, first)
    with torch.no_grad():
        given = model.given()
        given(first[:1])  # the first call sets up what later ones use
        each = seconds(lambda: given(first)) / len(first)
    say(
        f"{many(len(examples), 'image goes', 'images go')} through {frozen.network.name} once to compute its features: "
        f"about {duration(each * len(examples))} ({1 / each:,.0f} images/s, measured)"
    )
    compute = automatic(model, engine, BATCH, len(examples), lambda: first, say)
    progress, done = make_progress(len(examples), quiet, unit="image"), 0
    try:
        for images in [first]:
            yield done, compute(images).numpy()
            done += len(images)
        for images in batches:
            yield done, compute(images).numpy()
            done += len(images)
            progress.update(done, lambda: "features")
    finally:
        progress.close()


def _check(frozen: Frozen, model: Inference, images: Tensor) -> None:
    """Compare the last layer's outputs on the features with the network's own. Raises CheckFailed if they differ."""
    if frozen.last is None:
        return
    layer = frozen.module.get_submodule(frozen.last)
    with torch.no_grad():
        own = frozen.module(images)
        outputs = layer(model.given()(images)[:, frozen.columns[LAST]])
    if own.shape != outputs.shape or (own - outputs).abs().max() > TOLERANCE * own.abs().max().clamp(min=1e-6):
        raise CheckFailed(
            f"{frozen.network.name}: its outputs are not those of its last linear layer ({frozen.last}), so the layer "
            "cannot be learned on features computed once; take --classifier linear"
        )


def _open_store(frozen: Frozen, examples: Examples, width: int, options: DataOptions, say: Say) -> Kept | None:
    """The store of these features; None if the images are not stored on the disk, or the store cannot be opened."""
    images = examples.images
    if options.cache == "off" or not images.stores():
        return None
    record = frozen.preprocess.to_json()
    network = frozen.network.to_json() if frozen.network.tree else frozen.network.source
    shared = {
        "shape": [1, 1, width * FEATURE_BYTES],
        "weights": frozen.weights(),
        # The header is short, so that these go in by their hash.
        "network": hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest(),
        "preprocess": hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest(),
        "decoder": decoders(),
        "torch": torch.__version__,
    }

    def about(stored: StoredSplit) -> dict[str, Any]:
        origin = {"source": stored.source, "split": stored.split, "count": stored.count}
        return {**origin, "fingerprint": stored.fingerprint, **shared}

    store, problem = open_kept(images, about, FEATURES)
    if problem:
        say(f"features are {problem}")
    return store


def _read(store: Kept | None, examples: Examples, i: int, out: np.ndarray) -> bool:
    if store is None:
        return False
    row = np.empty(store.shape, np.uint8)
    if not store.read(examples.images, i, row):
        return False
    out[i] = row.reshape(-1).view(np.float32)
    return True


def _write(store: Kept | None, examples: Examples, i: int, row: np.ndarray) -> None:
    if store is not None:
        store.write(examples.images, i, np.ascontiguousarray(row).view(np.uint8).reshape(store.shape))
