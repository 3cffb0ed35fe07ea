"""What a trained network says about images: files, folders, patterns."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn

from convsmith.base.errors import BadFile, ConvsmithError, MissingPath, UsageError
from convsmith.data.examples import Examples
from convsmith.data.formats import EXTENSIONS, is_image_name
from convsmith.data.images import blamed
from convsmith.data.preprocess import UNFIT, ImageInput, decode, load, to_size
from convsmith.data.sources.tree import kinds_of, left_out_line, read_tree
from convsmith.data.views import View
from convsmith.deploy.onnx import real_images
from convsmith.engines.choose import CHECKED, automatic, named
from convsmith.engines.inference import Inference
from convsmith.engines.names import AUTO, check_engine
from convsmith.engines.runner import Runner
from convsmith.engines.start import plain
from convsmith.nets.model import Model
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN
from convsmith.report.text import many
from convsmith.training.engine import Engine
from convsmith.training.viewer import Viewer, make_viewer

_ADDRESS = re.compile(r"[a-z][a-z0-9+.]+://", re.IGNORECASE)
BATCH = 64
THRESHOLD = 0.5
Picture = str | Path | bytes | Image.Image | np.ndarray


@dataclass(frozen=True)
class Guess:
    """A class and how probable the network holds it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, the best first; `error` says why there are none.

    Where an image may have several labels, `labels` are all that are at least as probable as the threshold.
    """

    file: str
    top: tuple[Guess, ...]
    error: str | None = None
    labels: tuple[Guess, ...] | None = None

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
        if self.labels is not None:
            data["labels"] = [vars(guess) for guess in self.labels]
        return data if self.error is None else data | {"error": self.error}


class Predictor(Protocol):
    """What predicts: a run's subject, or a published network."""

    @property
    def module(self) -> nn.Module: ...
    @property
    def network(self) -> Model: ...
    @property
    def preprocess(self) -> ImageInput: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def temperature(self) -> float: ...
    @property
    def multilabel(self) -> bool: ...


def predict(
    subject: Predictor, pictures: Iterable[Picture], engine: Engine, top: int = 5, views: Sequence[View] = (),
    threshold: float | None = None, runner: Runner | None = None, most: int | None = None,
) -> Iterator[Prediction]:  # fmt: skip
    """Predictions in order, batch by batch; a picture that cannot be read has its error instead of classes.

    Probabilities are those of the outputs divided by the subject's temperature, their mean over `views` where there are
    some; classes are ranked by the outputs. A `threshold` (0.5) is for several labels an image. `runner` computes the
    outputs (`choose_runner`); without one the network runs as it is. Pictures of up to `most` pixels are decoded
    whatever that takes.
    """
    _check_names_classes(subject)
    if threshold is not None and not subject.multilabel:
        raise UsageError("threshold: is for several labels for each image, and this network chooses one")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"threshold: expected a probability from 0 to 1, received {threshold}")
    least = THRESHOLD if threshold is None else threshold
    if views:
        look = _through(subject, replace(engine, channels_last=subject.channels_last), views, most)
    else:
        look = _plainly(subject, runner or plain(inference_of(subject), engine, BATCH), most)
    for number, group in enumerate(_batches(pictures, look.batch)):
        loaded = [_loaded(picture, look.load) for picture in group]
        arrays = [array for array in loaded if not isinstance(array, str)]
        rows = iter(look.outputs(arrays, number)) if arrays else iter(())
        for picture, array in zip(group, loaded, strict=True):
            name = _called(picture)
            if isinstance(array, str):
                yield Prediction(name, (), array)
            else:
                guesses = _guesses(next(rows), look.temperature, subject.labels, subject.multilabel)
                several = tuple(g for g in guesses if g.probability >= least) if subject.multilabel else None
                yield Prediction(name, guesses[:top], labels=several)


def _check_names_classes(subject: Predictor) -> None:
    """UsageError for a network whose output is an image: it names no classes."""
    tree, record = subject.network.tree, subject.preprocess
    if tree is None:
        return
    output = tree.trace(Shape(record.channels, record.size)).stages[MAIN].shape
    if output.spatial:
        raise UsageError(
            f"{tree.name} gives images of shape {output} and names no classes, so there is nothing to predict; "
            "convsmith eval measures it, and its run's report.html shows what it gives"
        )


def choose_runner(
    name: str, subject: Predictor, pictures: Sequence[Picture], engine: Engine, views: Sequence[View] = (),
    validation: Callable[[], Examples] | None = None, say: Callable[[str], None] = lambda text: None,
    most: int | None = None,
) -> Runner | None:  # fmt: skip
    """What computes the outputs for these pictures, by the engine called `name` or by what suits their number.

    Engines are compared with the network as it is on images of `validation`, or, if these cannot be read, on the
    pictures themselves. None: the network runs as it is, as it does through views.
    """
    if name != AUTO:
        check_engine(name, engine.device)
    if views and name != AUTO:
        raise UsageError(f"engine {name}: views are seen by the network as it is; leave --engine or --views out")
    batch = min(len(pictures), BATCH)
    if views or not pictures:
        return None

    @cache
    def images() -> torch.Tensor:
        return _samples(subject, pictures, validation, say, most)

    model = inference_of(subject)
    if name == AUTO:
        return automatic(model, engine, batch, len(pictures), images, say)
    return named(name, model, engine, batch, images, say)


def inference_of(subject: Predictor) -> Inference:
    """The network of a run, or of published weights, as engines take it."""
    record = subject.preprocess
    return Inference(
        module=subject.module,
        network=subject.network,
        shape=(record.channels, *record.size),
        channels_last=subject.channels_last,
        temperature=subject.temperature,
        multilabel=subject.multilabel,
    )


def _samples(
    subject: Predictor,
    pictures: Sequence[Picture],
    validation: Callable[[], Examples] | None,
    say: Callable[[str], None],
    most: int | None,
) -> torch.Tensor:
    """Real images to check engines on, as inputs of the network."""
    if validation is not None:
        try:
            return real_images(validation(), subject.preprocess, CHECKED)
        except ConvsmithError as error:
            say(f"the validation images cannot be read ({error}); engines are checked on the pictures themselves")
    loaded = (_loaded(picture, lambda one: load(one, subject.preprocess, most=most)) for picture in pictures)
    arrays = list(islice((array for array in loaded if not isinstance(array, str)), CHECKED))
    if not arrays:
        raise UsageError(
            f"{pictures[0]}: of {many(len(pictures), 'picture')} none can be read, so no engine can be checked"
        )
    return torch.from_numpy(np.stack(arrays))


def expand(names: Sequence[str], say: Callable[[str], None] = lambda text: None) -> list[Path]:
    """The image files that names stand for: a file itself, the images in a folder, the matches of `a/*.png`.

    A folder is searched as training does; `say` gets what is left out. A name that is not a file is refused when its
    turn comes.
    """
    found: list[Path] = []
    for name in names:
        if _ADDRESS.match(name):
            raise UsageError(
                f"{name}: is an address, and nothing is fetched that was not asked for; download it first, and name "
                "the file"
            )
        path = Path(name)
        if path.is_dir():
            found += _inside(path, say)
        elif os.path.lexists(path):
            found.append(path)
        else:
            matches = sorted(Path(p) for p in glob.glob(name, recursive=True))
            if not matches:
                raise MissingPath(f"{name}: no such file, folder or match; give images to look at")
            found += [p for p in matches if not p.is_dir()]
    return found


def _inside(folder: Path, say: Callable[[str], None]) -> list[Path]:
    tree = read_tree(folder)
    others = tree.all_others()
    named = [*tree.all_images(), *filter(is_image_name, tree.all_gone())]
    if not named:
        none = f"; it holds {kinds_of(others)}" if others else ""
        raise BadFile(folder, f"holds no images ({', '.join(EXTENSIONS)}){none}")
    if others:
        say(f"{folder}: {left_out_line(others, len(named))}")
    return sorted(folder / name for name in named)


@dataclass(frozen=True)
class _Look:
    """How pictures become outputs, `batch` at a time: `outputs` gets what `load` made of each, and the batch's number.

    The outputs divided by `temperature` are what probabilities are made of.
    """

    load: Callable[[Picture], Any]
    outputs: Callable[[list[Any], int], torch.Tensor]
    batch: int
    temperature: float


def _plainly(subject: Predictor, runner: Runner, most: int | None) -> _Look:
    """Each picture as the preprocessing has it."""

    def outputs(arrays: list[np.ndarray], number: int) -> torch.Tensor:
        return runner(torch.from_numpy(np.stack(arrays)))

    return _Look(
        lambda picture: load(picture, subject.preprocess, most=most), outputs, runner.batch, subject.temperature
    )


def _through(subject: Predictor, engine: Engine, views: Sequence[View], most: int | None) -> _Look:
    """Each picture through views, whose probabilities are averaged: outputs are then their logarithms."""
    if subject.multilabel:
        raise UsageError("views: are for one label for each image, which this run does not have")
    viewer: Viewer = make_viewer(
        subject.module, subject.network, views, subject.preprocess, engine, temperature=subject.temperature
    )

    def load_scales(picture: Picture) -> list[np.ndarray]:
        pixels = decode(picture, subject.preprocess, most=most)
        with blamed(_called(picture), UNFIT):
            return [to_size(pixels, record).transpose(2, 0, 1) for record in viewer.records]

    def outputs(arrays: list[list[np.ndarray]], number: int) -> torch.Tensor:
        scaled = [torch.from_numpy(np.stack(of_scale)).to(engine.device) for of_scale in zip(*arrays, strict=True)]
        return viewer.outputs(scaled, number).cpu()

    return _Look(load_scales, outputs, viewer.batch(BATCH), 1.0)


def _batches(pictures: Iterable[Picture], count: int) -> Iterator[tuple[Picture, ...]]:
    iterator = iter(pictures)
    while group := tuple(islice(iterator, count)):
        yield group


def _called(picture: Picture) -> str:
    return str(picture) if isinstance(picture, str | Path) else "image"


def _loaded(picture: Picture, load: Callable[[Picture], Any]) -> Any:
    """What the network's input is made of, or as text what is wrong with the picture."""
    try:
        return load(picture)
    except (BadFile, MissingPath) as error:
        return str(error)


def _guesses(outputs: torch.Tensor, temperature: float, labels: Sequence[str], several: bool) -> tuple[Guess, ...]:
    """Every class with its probability, the best first; of several labels each is probable by itself."""
    scaled = outputs / temperature
    probabilities = scaled.sigmoid() if several else scaled.softmax(dim=0)
    best = outputs.topk(len(labels)).indices
    return tuple(Guess(labels[int(i)], p) for i, p in zip(best.tolist(), probabilities[best].tolist(), strict=True))
