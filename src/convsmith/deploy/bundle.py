"""A run as one safetensors file: weights, and in the metadata the network, preprocessing and classes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from convsmith.base.errors import BadFile, CheckFailed, UsageError
from convsmith.base.files import make_folder, writing
from convsmith.data.examples import Examples
from convsmith.deploy.onnx import real_images
from convsmith.nets.model import tree_of
from convsmith.runs.network import network_record
from convsmith.runs.subject import Subject, open_subject
from convsmith.runs.weights import save_bundle

IMAGES = 7


@dataclass(frozen=True)
class BundleFile:
    """A bundle that was read again: on `images` images it gives the run's outputs, bit for bit."""

    path: str
    bytes: int
    tensors: int
    images: int

    def to_json(self) -> dict[str, Any]:
        """What `export --json` prints."""
        return asdict(self)


def export_bundle(subject: Subject, examples: Examples, path: Path) -> BundleFile:
    """Write all that predicting and fine-tuning need; plain safetensors reads the weights.

    The file is read again and compared on real images; `CheckFailed` where the outputs differ, which leaves no file.
    """
    if path.suffix != ".safetensors":
        raise UsageError(f"{path}: expected a file name that ends in .safetensors")
    tree_of(subject.network, "no bundle can hold it, since a bundle names no code; use the run, or export --to onnx")
    state = subject.module.state_dict()
    images = real_images(examples, subject.preprocess, IMAGES)
    kept = path.with_name(f".{path.stem}.{os.getpid()}.safetensors")
    try:
        with _named(path):
            make_folder(path.parent)
            save_bundle(kept, state, _metadata(subject))
        again = open_subject(kept)
        with torch.no_grad():
            if not torch.equal(again.module(images), subject.module(images)):
                raise CheckFailed(f"{path}: not written, since the network gives other outputs when it is read again")
        with writing(path):
            kept.replace(path)
    finally:
        with suppress(OSError):
            kept.unlink()
    return BundleFile(str(path), path.stat().st_size, len(state), len(images))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What cannot be written is called by the name that was asked for, not by that of the file beside it."""
    try:
        yield
    except BadFile as error:
        raise BadFile(path, error.problem) from error


def _metadata(subject: Subject) -> dict[str, Any]:
    return {
        "network": network_record(subject.network),
        "preprocess": subject.preprocess.to_json(),
        "card": subject.card.to_json(),
        "temperature": subject.temperature,
        "channels_last": subject.channels_last,
        "run": subject.run.path.name,
        "step": subject.step,
    }
