"""What a trained network says about images: files, folders, patterns."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith.data.images import EXTENSIONS
from convsmith.data.preprocess import Preprocess, load
from convsmith.training.engine import Engine

BATCH = 64
Picture = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Guess:
    """A class and how probable the network holds it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, the best first; `error` says why there are none."""

    file: str
    top: tuple[Guess, ...]
    error: str | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        if not self.top:
            raise UsageError(f"{self.file} has no prediction: {self.error}")
        return self.top[0].label

    @property
    def probability(self) -> float:
        """How probable the most probable class is."""
        return self.top[0].probability if self.top else 0.0

    def to_json(self) -> dict[str, Any]:
        """What `predict --json` prints."""
        data: dict[str, Any] = {"file": self.file, "top": [vars(guess) for guess in self.top]}
        return data if self.error is None else data | {"error": self.error}


class Predictor(Protocol):
    """What predicts: a run's subject, or a published network."""

    @property
    def module(self) -> nn.Module: ...
    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def temperature(self) -> float: ...


def predict(subject: Predictor, pictures: Iterable[Picture], engine: Engine, top: int = 5) -> Iterator[Prediction]:
    """Predictions in order, batch by batch; a picture that cannot be read has its error instead of classes.

    Probabilities are those of the outputs divided by the subject's temperature; classes are ranked by the outputs.
    """
    engine = replace(engine, channels_last=subject.channels_last)
    module = engine.place(subject.module)
    for group in _batches(pictures):
        loaded = [_load(picture, subject) for picture in group]
        arrays = [array for array in loaded if not isinstance(array, str)]
        rows = iter(_outputs(module, arrays, engine)) if arrays else iter(())
        for picture, array in zip(group, loaded, strict=True):
            name = str(picture) if isinstance(picture, str | Path) else "image"
            if isinstance(array, str):
                yield Prediction(name, (), array)
            else:
                yield Prediction(name, _top(next(rows), subject, top))


def expand(names: Sequence[str]) -> list[Path]:
    """The image files that names stand for: files as given, folders searched through, patterns such as `a/*.png`."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower().removeprefix(".") in EXTENSIONS and p.is_file()
            )
            if not inside:
                raise BadFile(path, f"holds no images ({', '.join(EXTENSIONS)})")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            matches = sorted(Path(p) for p in glob.glob(name, recursive=True))
            if not matches:
                raise MissingPath(f"{name}: no such file, folder or match; give images to look at")
            found += [p for p in matches if p.is_file()]
    return found


def _batches(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, ...]]:
    iterator = iter(pictures)
    while group := tuple(islice(iterator, BATCH)):
        yield group


def _load(picture: Picture, subject: Predictor) -> np.ndarray | str:
    """The network's input (C, H, W), or what is wrong with the picture."""
    try:
        return load(picture, subject.preprocess)
    except (BadFile, MissingPath) as error:
        return str(error)


def _outputs(module: torch.nn.Module, arrays: list[np.ndarray], engine: Engine) -> list[torch.Tensor]:
    inputs = torch.from_numpy(np.stack(arrays)).to(engine.device).contiguous(memory_format=engine.memory_format)
    with torch.no_grad():
        return list(module(inputs).float().cpu())


def _top(outputs: torch.Tensor, subject: Predictor, count: int) -> tuple[Guess, ...]:
    probabilities = (outputs / subject.temperature).softmax(dim=0)
    best = outputs.topk(min(count, len(subject.labels))).indices
    return tuple(
        Guess(subject.labels[int(i)], p) for i, p in zip(best.tolist(), probabilities[best].tolist(), strict=True)
    )
