"""The Python calls: `train`, `finetune`, `load` and what a `Run` can do."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from convsmith.base.errors import UsageError, unknown
from convsmith.base.user_code import give
from convsmith.data.examples import Examples
from convsmith.data.preprocess import Preprocess
from convsmith.data.views import read_views
from convsmith.deploy.bundle import BundleFile, export_bundle
from convsmith.deploy.engines.names import AUTO
from convsmith.deploy.exchange import WeightsFile, export_weights
from convsmith.deploy.formats import FORMATS
from convsmith.deploy.onnx import Export, export_onnx
from convsmith.deploy.predict import Picture, Prediction, Predictor, choose_runner, expand, predict
from convsmith.nets.build import BuiltNetwork
from convsmith.recipes.choose import choose
from convsmith.recipes.evaluate import Evaluated, Split, evaluate_run, own_split
from convsmith.recipes.finetune import FineTuning, Mode, finetuning_recipe, tuning_of
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.run import resume as resume_run
from convsmith.recipes.run import train as train_recipe
from convsmith.recipes.shorthand import set_fields
from convsmith.recipes.transfer import finetune as run_finetuning
from convsmith.report.curves import curves_svg
from convsmith.runs.code import trust
from convsmith.runs.directory import RunDirectory, open_run
from convsmith.runs.pretrained import Pretrained as PretrainedSubject
from convsmith.runs.pretrained import load_pretrained
from convsmith.runs.subject import Subject, open_subject
from convsmith.training.engine import resolve, using
from convsmith.training.options import EngineOptions

_RETRAIN = "convsmith train NETWORK --data PATH --pretrained"


@dataclass(frozen=True)
class Run:
    """A run on the disk: evaluate it, predict with it, export it, read its report."""

    directory: RunDirectory

    @property
    def path(self) -> Path:
        """Where the run lies."""
        return self.directory.path

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The log: one row for each epoch."""
        return self.directory.metrics()

    @property
    def result(self) -> dict[str, Any]:
        """The final numbers, as `train --json` prints them."""
        return self.directory.record("result")

    def subject(self) -> Subject:
        """The network with its weights, preprocessing and labels."""
        return open_subject(self.path)

    def evaluate(self, split: Split | None = None, data: str | None = None, views: str = "") -> Evaluated:
        """Accuracy and more on one of the run's own splits, or on other `data`; `views` as in `eval --views`."""
        return evaluate_run(self.path, split=split, source=data, views=views)

    def predict(
        self, pictures: Picture | Iterable[Picture], top: int = 5, device: str = "auto", views: str = "",
        engine: str = AUTO,
    ) -> list[Prediction]:  # fmt: skip
        """The most probable classes of images: a path, folder, pattern, Pillow image, array, or a list of these.

        With `views` (`"ten_crop"`) probabilities are the mean over several views of an image. `engine` as in
        `predict --engine`.
        """
        subject = self.subject()
        return _predicted(subject, pictures, top, device, views, engine, lambda: own_split(subject, "val")[1])

    def export(
        self, path: str | Path | None = None, to: Literal["onnx", "bundle", "torchvision", "timm"] = "onnx"
    ) -> Export | BundleFile | WeightsFile:
        """Write the network for another program, checked against its own outputs on validation images.

        "onnx" holds the network with its preprocessing, "bundle" all that this library needs; "torchvision" and "timm"
        the weights by their names, which their own network of the same architecture loads: .safetensors, or .pth and
        .pt by `path`.
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
        """The path of the run's report, a page that needs nothing else."""
        return self.path / "report.html"

    def _repr_html_(self) -> str:
        return f"<p><b>{self.path}</b>: {self.directory.status().state}</p>{curves_svg(self.metrics)}"


@dataclass(frozen=True)
class Pretrained:
    """A network with weights of others: predict with it, take its module, read what it is."""

    subject: PretrainedSubject

    @property
    def module(self) -> BuiltNetwork:
        """The network, a `torch.nn.Module` in evaluation mode."""
        return self.subject.module

    @property
    def preprocess(self) -> Preprocess | None:
        """How an image becomes its input: `convsmith.data.preprocess.load(image, record)`."""
        return self.subject.preprocess

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of the outputs; None where the last layer is new."""
        return self.subject.labels

    def predict(
        self, pictures: Picture | Iterable[Picture], top: int = 5, device: str = "auto", views: str = "",
        engine: str = AUTO,
    ) -> list[Prediction]:  # fmt: skip
        """The most probable classes of images, as `Run.predict`."""
        if self.labels is None:
            raise UsageError(f"the last layer is new (the weights are for other classes); train it first: {_RETRAIN}")
        if self.preprocess is None:
            raise UsageError("an image has 1 or 3 channels; call the module on tensors of your own")
        # Labels and preprocessing, which the subject need not have, are there.
        return _predicted(cast(Predictor, self.subject), pictures, top, device, views, engine)


def pretrained(
    name: str, classes: int | None = None, channels: int | None = None, weights: str | Path = "DEFAULT"
) -> Pretrained:
    """The network called `name` with torchvision's published weights, or with those of a file.

    `pretrained("resnet50").predict("photo.jpg")`. `weights` is one of torchvision's entries (`DEFAULT` is its best,
    `IMAGENET1K_V1`, ...), fetched once into the cache and checked, or a `.safetensors`, `.pt` or `.pth` file by
    torchvision's, timm's or our names. Other `classes` give a new last layer, other `channels` adapted first filters.
    """
    return Pretrained(load_pretrained(name, classes=classes, channels=channels, weights=weights))


def train(
    subject: str | Recipe | None = None, *, out: str | Path | None = None, quiet: bool = False,
    trust_code: bool | str = False, **options: Any,
) -> Run:  # fmt: skip
    """Train by a recipe, a network, data or a run, as `convsmith train` does: `train("digits", epochs=3)`.

    `options` are the command's short options (`data`, `epochs`, `batch`, `lr`, ...) and any field of a recipe, its dots
    written as double underscores: `optimiser__weight_decay=0`. `trust_code` as in `load`, for a run's or file's recipe.
    """
    _consent(trust_code, subject, options.get("network"), options.get("task"))
    recipe = subject if isinstance(subject, Recipe) else choose(subject, options.pop("data", None))
    recipe = set_fields(recipe, [(name.replace("__", "."), value) for name, value in options.items()])
    tuning = None if isinstance(subject, Recipe) else tuning_of(subject, recipe)
    how: Any = {"out": Path(out) if out else None, "quiet": quiet, "say": _say(quiet)}
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
    trust_code: bool | str = False,
    **options: Any,
) -> Run:
    """Learn the images of `data` from trained weights, as `convsmith finetune` does: `finetune(run, data="photos/")`.

    `start` is a run, or a network with `weights=` or `pretrained=True`. Without a `mode` ("probe", "partial", "full")
    the images choose what learns. `options` and `trust_code` are those of `train`.
    """
    _consent(trust_code, start, options.get("network"), options.get("task"))
    tuning = FineTuning(mode, at, unfreeze, decay, classifier)
    weights = options.get("weights") or ("DEFAULT" if options.get("pretrained") else None)
    recipe = finetuning_recipe(str(start), str(data), tuning, weights and str(weights))
    recipe = set_fields(recipe, [(name.replace("__", "."), value) for name, value in options.items()])
    outcome, _ = run_finetuning(recipe, tuning, out=Path(out) if out else None, quiet=quiet, say=_say(quiet))
    return Run(outcome.run)


def resume(path: str | Path, *, quiet: bool = False, allow_drift: bool = False, trust_code: bool | str = False) -> Run:
    """Continue an interrupted run in place; `trust_code` as in `load`."""
    _consent(trust_code, path)
    return Run(resume_run(path, quiet=quiet, allow_drift=allow_drift, say=_say(quiet)).run)


def load(path: str | Path, *, trust_code: bool | str = False) -> Run:
    """The run at `path`.

    Files name no code that is run: a run whose network or task is a user's own file raises `NotTrusted` when that is
    needed, unless `trust_code` is true, or names the file once more: `trust_code="my_net.py:make"`.
    """
    _consent(trust_code, path)
    return Run(open_run(path))


def _say(quiet: bool) -> Callable[[str], None]:
    """What was decided is said on stderr, as progress is."""
    return lambda text: None if quiet else print(text, file=sys.stderr)


def _predicted(
    subject: Predictor, pictures: Picture | Iterable[Picture], top: int, device: str, views: str, name: str,
    validation: Callable[[], Examples] | None = None,
) -> list[Prediction]:  # fmt: skip
    single = isinstance(pictures, str | Path) or not isinstance(pictures, Iterable) or hasattr(pictures, "shape")
    items: list[Any] = [pictures] if single else list(pictures)  # type: ignore[arg-type]
    files: list[Picture] = []
    for item in items:
        files += expand([str(item)]) if isinstance(item, str | Path) else [item]
    engine = resolve(EngineOptions(device=device))
    with using(engine):
        looks = read_views(views)
        runner = choose_runner(name, subject, files, engine, looks, validation)
        return list(predict(subject, files, engine, top, looks, runner=runner))


def _consent(trust_code: bool | str, subject: str | Path | Recipe | None, *named: object) -> None:
    """What a call names in its own words, or by a `Recipe` of its own, is the user's; all else needs `trust_code`."""
    own = (subject.network, subject.task) if isinstance(subject, Recipe) else (subject,)
    for text in (*own, *named, trust_code):
        if isinstance(text, str):
            give(text)
    if trust_code is True and isinstance(subject, str | Path):
        trust(subject)
