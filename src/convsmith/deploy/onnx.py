"""ONNX files that carry their preprocessing and were compared with the network they came from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convsmith.base.errors import CheckFailed, MissingExtra, UsageError
from convsmith.base.files import json_bytes, write_files
from convsmith.data.augment import normalize
from convsmith.data.examples import Examples, spread
from convsmith.data.loaders import decode_all
from convsmith.data.preprocess import ImageInput
from convsmith.engines.graph import INPUT, OPSET, onnx_program
from convsmith.engines.silent import import_silent
from convsmith.nets.network import Network
from convsmith.nets.ops import Embedding
from convsmith.nets.tree import walk
from convsmith.report.text import many
from convsmith.runs.subject import Subject

# Relative to the largest output: fp32 convolutions summed in another order differ by some 1e-6.
TOLERANCE = 1e-4
BATCHES = (1, 2, 7)
METADATA_KEY = "convsmith"


@dataclass(frozen=True)
class Comparison:
    """ONNX Runtime's outputs against ours at one batch size: the largest difference over the largest output."""

    batch: int
    images: int
    difference: float
    same_class: int


@dataclass(frozen=True)
class Export:
    """A file with the comparisons that it passed or failed."""

    path: str
    bytes: int
    opset: int
    tolerance: float
    comparisons: tuple[Comparison, ...]

    @property
    def ok(self) -> bool:
        """Whether every difference is within the tolerance and every class the same."""
        return all(c.difference <= self.tolerance and c.same_class == c.images for c in self.comparisons)

    def to_json(self) -> dict[str, Any]:
        """What `export --json` prints."""
        return asdict(self) | {"ok": self.ok}


def export_onnx(subject: Subject, examples: Examples, path: Path, tolerance: float = TOLERANCE) -> Export:
    """Write the network as ONNX with a free batch size, run it on real images, and say how far it is from ours.

    Input `images`: float32 (N, C, H, W), normalized as the metadata's preprocessing record says; output `logits`.
    A tree's further inputs follow under their names; for the comparison these are drawn at random.
    A calibrated run's logits are not divided: the metadata has its temperature, 1 where it has none.
    Raises `CheckFailed` above `tolerance`, and then leaves no file.
    """
    onnx, runtime = _libraries()
    if path.suffix != ".onnx":
        raise UsageError(f"{path}: expected a file name that ends in .onnx")
    program = onnx_program(subject.module, subject.input)
    for key, value in _metadata(subject).items():
        program.model.metadata_props[key] = value
    data = program.model_proto.SerializeToString()
    onnx.checker.check_model(data, full_check=True)
    inputs = _inputs(subject, real_images(examples, subject.preprocess, max(BATCHES)).numpy())
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    comparisons = tuple(_compare(subject, session, inputs, batch) for batch in BATCHES)
    export = Export(str(path), len(data), OPSET, tolerance, comparisons)
    if not export.ok:
        worst = max(comparisons, key=lambda c: c.difference)
        raise CheckFailed(
            f"{path}: not written, since ONNX Runtime's outputs differ from the network's by {worst.difference:.2e} at "
            f"batch {worst.batch} (tolerance {tolerance:.0e}), {worst.same_class} of "
            f"{many(worst.images, 'class', 'classes')} the same"
        )
    write_files({path: data, path.with_name(path.name + ".report.json"): json_bytes(export.to_json())})
    return export


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx

        onnxruntime = import_silent("onnxruntime")
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "deploy") from None
    return onnx, onnxruntime


def _metadata(subject: Subject) -> dict[str, str]:
    """What a user of the file needs: how to prepare an image, what the outputs mean, where it comes from."""
    name = subject.network.name
    record = {
        "preprocess": subject.preprocess.to_json(),
        "labels": list(subject.labels),
        "multilabel": subject.multilabel,
        "network": subject.network.to_json() if subject.network.tree else {"name": name},
        "run": subject.run.path.name,
        "step": subject.step,
        "temperature": subject.temperature,
    }
    return {METADATA_KEY: json.dumps(record)}


def real_images(examples: Examples, preprocess: ImageInput, count: int) -> Tensor:
    """At most `count` images from all over the examples, normalized as in training and evaluation: (N, C, H, W)."""
    some = examples.subset(spread(len(examples), count))
    return normalize(decode_all(some, preprocess, 1), preprocess)


def _inputs(subject: Subject, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the graph takes, by name; tokens are drawn from those that every embedding of the tree knows."""
    tree = subject.network
    if not isinstance(tree, Network) or not tree.inputs:
        return {INPUT: images}
    nodes = [node for name, root in tree.stages + tree.heads for _, node in walk(root, name)]
    tokens = min((node.vocabulary for node in nodes if isinstance(node, Embedding)), default=2)
    random = np.random.default_rng(0)
    inputs = {tree.input_name: images}
    for other in tree.inputs:
        shape = (len(images), *other.shape)
        whole = other.dtype == "int64"
        inputs[other.name] = random.integers(0, tokens, shape) if whole else random.standard_normal(shape, np.float32)
    return inputs


def _compare(subject: Subject, session: Any, inputs: dict[str, np.ndarray], batch: int) -> Comparison:
    chosen = {name: np.resize(rows, (batch, *rows.shape[1:])) for name, rows in inputs.items()}
    try:
        (theirs,) = session.run(None, chosen)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise CheckFailed(
            f"{subject.network.name}: the exported network does not run on {many(batch, 'image')} ({reason}). "
            "A module that asks len(images) fixes the number of images; images.shape[0] leaves it free"
        ) from None
    tensors = {name: torch.from_numpy(rows) for name, rows in chosen.items()}
    with torch.no_grad():
        ours = subject.module(tensors if len(tensors) > 1 else next(iter(tensors.values()))).numpy()
    difference = float(np.abs(ours - theirs).max() / max(float(np.abs(ours).max()), 1e-12))
    same = (ours.argmax(1) == theirs.argmax(1)).reshape(batch, -1).all(1)  # of a map at every position
    return Comparison(batch, batch, difference, int(same.sum()))
