"""The Python calls: `train`, `finetune`, `load`, and the methods of `Run`."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal, cast

from convsmith.base.errors import UnknownName, UsageError, unknown
from convsmith.base.user_code import give
from convsmith.data.examples import Examples
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.data.views import read_views
from convsmith.deploy.bundle import BundleFile, export_bundle
from convsmith.deploy.exchange import WeightsFile, export_weights
from convsmith.deploy.formats import FORMATS
from convsmith.deploy.given import pictures_of
from convsmith.deploy.onnx import Export, export_onnx
from convsmith.deploy.predict import Prediction, Predictor, choose_runner, predict
from convsmith.engines.names import AUTO
from convsmith.nets.modules.build import BuiltNetwork
from convsmith.recipes.choose import choose
from convsmith.recipes.finetune import FineTuning, Mode, asks_steps, finetuning_recipe, tuning_of
from convsmith.recipes.meant import python_meant
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import set_fields
from convsmith.report.curves import curves_svg
from convsmith.report.text import clean, once
from convsmith.runs.code import trust
from convsmith.runs.directory import RunDirectory, open_run
from convsmith.runs.pretrained import Pretrained as PretrainedSubject
from convsmith.runs.pretrained import load_pretrained
from convsmith.runs.records import result_of
from convsmith.runs.subject import Subject, open_subject
from convsmith.training.engine import resolve, using
from convsmith.training.options import EngineOptions
from convsmith.work.evaluate import Evaluated, Split, evaluate_run, own_split
from convsmith.work.first_start import first_start
from convsmith.work.limit import read_limit
from convsmith.work.run import resume as resume_run
from convsmith.work.run import train as train_recipe
from convsmith.work.transfer import finetune as run_finetuning

_RETRAIN = "convsmith train NETWORK --data PATH --pretrained"


@dataclass(frozen=True)
class Run:
    """A run on the disk: evaluate it, predict with it, export it, read its report."""

    directory: RunDirectory

    @property
    def path(self) -> Path:
        """The directory of the run."""
        return self.directory.path

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The log: one row for each epoch."""
        return self.directory.metrics()

    @property
    def result(self) -> dict[str, Any]:
        """The final numbers, as `train --json` prints them."""
        return result_of(self.directory)

    def subject(self) -> Subject:
        """The network with its weights, preprocessing and labels."""
        return open_subject(self.path)

    def evaluate(self, split: Split | None = None, data: str | None = None, views: str = "") -> Evaluated:
        """Accuracy and more on one of the run's own splits, or on other `data`; `views` as in `eval --views`."""
        return evaluate_run(self.path, split=split, source=data, views=views)

    def predict(
        self, pictures: Any, top: int = 5, device: str = "auto", views: str = "",
        engine: str = AUTO, max_megapixels: int | None = None,
    ) -> list[Prediction]:  # fmt: skip
        """The most probable classes of images: a path, folder, pattern, bytes, open file, Pillow image, array, tensor.

        A list, tuple, generator or stack of these is many images. Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4),
        tensors (C, H, W); both hold whole numbers from 0 to 255 or floating-point numbers from 0 to 1.
        With `views` (`"ten_crop"`) probabilities are the mean over several views of an image. `engine` as in
        `predict --engine`. Pictures of up to `max_megapixels` million pixels are read if reading takes at most
        512 MB and 5 s.
        """
        subject = self.subject()
        return _predicted(
            subject, pictures, top, device, views, engine, max_megapixels, lambda: own_split(subject, "val")[1]
        )

    def export(
        self, path: str | Path | None = None, to: Literal["onnx", "bundle", "torchvision", "timm"] = "onnx"
    ) -> Export | BundleFile | WeightsFile:
        """Write the network for another program, checked against its own outputs on validation images.

        "onnx" holds the network with its preprocessing, "bundle" everything that Convsmith needs. "torchvision" and
        "timm" hold the weights under the names of that library, whose network of the same architecture loads them; the
        ending of `path` chooses .safetensors, .pth or .pt.
        """
        if to not in FORMATS:
            raise unknown("export format", to, FORMATS)
        subject = self.subject()
        _, examples = own_split(subject, "val")
        file = Path(path) if path else self.path / "export" / FORMATS[to]
        if to == "onnx":
            return export_onnx(subject, examples, file)
        if to == "bundle":
            return export_bundle(subject, examples, file)
        return export_weights(subject, examples, to, file)

    def report(self) -> Path:
        """The path of the run's report, a single HTML file."""
        return self.path / "report.html"

    def _repr_html_(self) -> str:
        name = escape(clean(str(self.path)))
        return f"<p><b>{name}</b>: {self.directory.status().state}</p>{curves_svg(self.metrics)}"


@dataclass(frozen=True)
class Pretrained:
    """A network with published weights or those of a file: predicts, and gives its module, labels and preprocessing."""

    subject: PretrainedSubject

    @property
    def module(self) -> BuiltNetwork:
        """The network, a `torch.nn.Module` in evaluation mode."""
        return self.subject.module

    @property
    def preprocess(self) -> ImageInput | None:
        """The preprocessing of an image: `convsmith.data.preprocess.load(image, record)` applies it."""
        return self.subject.preprocess

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of the outputs; None if the last layer is new."""
        return self.subject.labels

    def predict(
        self, pictures: Any, top: int = 5, device: str = "auto", views: str = "",
        engine: str = AUTO, max_megapixels: int | None = None,
    ) -> list[Prediction]:  # fmt: skip
        """The most probable classes of images, as `Run.predict`."""
        if self.labels is None:
            raise UsageError(f"the last layer is new (the weights are for other classes); train it first: {_RETRAIN}")
        if self.preprocess is None:
            raise UsageError("an image has 1 or 3 channels; call the module on tensors of your own")
        # The checks above make sure that there are labels and preprocessing.
        return _predicted(cast(Predictor, self.subject), pictures, top, device, views, engine, max_megapixels)


def pretrained(
    name: str, classes: int | None = None, channels: int | None = None, weights: str | Path = "DEFAULT"
) -> Pretrained:
    """The network `name` with published weights, or with those of a file.

    `pretrained("resnet50").predict("photo.jpg")`. `weights` names published weights (`DEFAULT`, the best; or
    torchvision's `IMAGENET1K_V1`, ...), which are read from this machine or fetched once into the cache, and checked;
    or a `.safetensors`, `.pt` or `.pth` file with the names of torchvision, timm or Convsmith. Other `classes` give a
    new last layer, other `channels` adapted first filters.
    """
    return Pretrained(load_pretrained(name, classes=classes, channels=channels, weights=weights))


def train(
    subject: str | Recipe | None = None, *, out: str | Path | None = None, quiet: bool = False,
    within: str | None = None, trust_code: bool | str = False, **options: Any,
) -> Run:  # fmt: skip
    """Train by a recipe, a network, data or a run, as `convsmith train` does: `train("digits", epochs=3)`.

    `options` are the command's short options (`data`, `epochs`, `batch`, `lr`, ...) and any field of a recipe, its dots
    written as double underscores: `optimizer__weight_decay=0`. `within="10min"` limits the time of the call.
    `trust_code` as in `load`, for a run's or file's recipe.
    """
    _check_options("train", options)
    _consent(trust_code, subject, options.get("network"), options.get("task"))
    source, given = options.pop("data", None), [(name.replace("__", "."), value) for name, value in options.items()]
    if isinstance(subject, Recipe):
        recipe = set_fields(subject, given if source is None else [("data", source), *given])
    else:
        recipe = set_fields(choose(subject, source), given)
    tuning = None if isinstance(subject, Recipe) else tuning_of(subject, recipe, given)
    limit = None if within is None else read_limit(within, sizes="size" not in options)
    say = _say(quiet)
    if tuning is None and not isinstance(subject, Recipe):
        found = first_start(subject, source, given, limit, say)
        recipe, tuning, limit = (recipe, None, limit) if found is None else found
    how: Any = {"out": Path(out) if out else None, "quiet": quiet, "say": say, "limit": limit}
    if tuning is not None:
        outcome, _ = run_finetuning(recipe, tuning, **how)
    else:
        outcome = train_recipe(recipe, **how)
    return Run(outcome.run)


def finetune(
    start: str | Path,
    *,
    data: str | Path,
    mode: Mode | None = None,
    at: str | None = None,
    unfreeze: int | None = None,
    decay: float | None = None,
    classifier: Literal["linear", "logistic"] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    within: str | None = None,
    trust_code: bool | str = False,
    **options: Any,
) -> Run:
    """Learn the images of `data` from trained weights, as `convsmith finetune` does: `finetune(run, data="photos/")`.

    `start` is a run, or a network with `weights=` or `pretrained=True`. Without a `mode` ("probe", "partial", "full")
    the images decide which layers learn. `options` and `trust_code` are those of `train`.
    """
    _check_options("finetune", options)
    _consent(trust_code, start, options.get("network"), options.get("task"))
    given = [(name.replace("__", "."), value) for name, value in options.items()]
    tuning = FineTuning(mode, at, unfreeze, decay, classifier, asks_steps(given))
    weights = options.get("weights") or ("DEFAULT" if options.get("pretrained") else None)
    recipe = finetuning_recipe(str(start), str(data), tuning, weights and str(weights))
    recipe = set_fields(recipe, given)
    limit = None if within is None else read_limit(within, sizes="size" not in options)
    how: Any = {"out": Path(out) if out else None, "quiet": quiet, "say": _say(quiet), "limit": limit}
    outcome, _ = run_finetuning(recipe, tuning, **how)
    return Run(outcome.run)


def resume(
    path: str | Path, *, data: str | Path | None = None, quiet: bool = False, allow_other_machine: bool = False,
    trust_code: bool | str = False,
) -> Run:  # fmt: skip
    """Continue an interrupted run in place; `data` is where its data is now. `trust_code` as in `load`."""
    _consent(trust_code, path)
    source = None if data is None else str(data)
    return Run(resume_run(path, data=source, quiet=quiet, allow_other_machine=allow_other_machine, say=_say(quiet)).run)


def load(path: str | Path, *, trust_code: bool | str = False) -> Run:
    """The run at `path`.

    Code that a file names is not run: a run whose network or task is the user's own file raises `NotTrusted` when the
    code is needed, unless `trust_code` is True or names the file: `trust_code="my_net.py:make"`.
    """
    _consent(trust_code, path)
    return Run(open_run(path))


def _check_options(call: str, options: Mapping[str, Any]) -> None:
    """Raise UnknownName for all names that are not options, with their translations."""
    problem = python_meant(options)
    if problem is not None:
        raise UnknownName(f"{call}: {problem}")


def _say(quiet: bool) -> Callable[[str], None]:
    """What was decided is said on stderr, as progress is."""
    return once(lambda text: None if quiet else print(clean(text), file=sys.stderr))


def _predicted(
    subject: Predictor, pictures: Any, top: int, device: str, views: str, name: str,
    max_megapixels: int | None, validation: Callable[[], Examples] | None = None,
) -> list[Prediction]:  # fmt: skip
    allowed = DataOptions(max_megapixels=max_megapixels).max_megapixels
    most = None if allowed is None else allowed * 1_000_000
    files = pictures_of(pictures)
    engine = resolve(EngineOptions(device=device))
    with using(engine):
        looks = read_views(views)
        runner = choose_runner(name, subject, files, engine, looks, validation, most=most)
        return list(predict(subject, files, engine, top, looks, runner=runner, most=most))


def _consent(trust_code: bool | str, subject: str | Path | Recipe | None, *named: object) -> None:
    """Trust the code that the call or its `Recipe` names; any other code needs `trust_code`."""
    own = (subject.network, subject.task) if isinstance(subject, Recipe) else (subject,)
    for text in (*own, *named, trust_code):
        if isinstance(text, str):
            give(text)
    if trust_code is True and isinstance(subject, str | Path):
        trust(subject)
