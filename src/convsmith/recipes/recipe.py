"""`Recipe`: all settings of a run, as one frozen, typed record that goes to JSON and back."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from convsmith.base import config
from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile, UsageError
from convsmith.base.files import read_json
from convsmith.base.record import Record, option
from convsmith.data.augmentations import MIXING, Augment
from convsmith.data.options import DataOptions
from convsmith.data.sources.names import SETS
from convsmith.data.views import View, check_views
from convsmith.nets.zoo import NETWORKS
from convsmith.tasks.names import TASKS
from convsmith.tasks.options import Loss, is_weights_file
from convsmith.training.options import EarlyStopping, EngineOptions, Optimizer, Progressive, Schedule

SCHEMA = 2  # 1 spelled `optimizer` and `color_jitter` the British way
_KEYS_OF_SCHEMA_1 = {"optimiser": "optimizer"}
_STEPS_OF_SCHEMA_1 = {"colour_jitter": "color_jitter"}
QUICK_IMAGES = 256
QUICK_STEPS = 4


def _check_length(length: Duration) -> None:
    if length.unit == "%":
        raise UsageError(f"length: expected epochs or steps such as 90ep, received {length}")


@dataclass(frozen=True, kw_only=True)
class Recipe(Record, called=""):
    """A run as data. Durations are `90ep`, `2000steps` or `10%`; lists are `crop(4),flip`."""

    name: str = option("custom", "what the run is called")
    network: str = option("lenet5", "name, file.py:function, torchvision:NAME, tree.json or a run")
    edits: tuple[str, ...] = option((), "changes to the network: drop_path=0.2")
    stem: Literal["auto", "small", "large"] = option("auto", "first layers for small images; auto: by the image size")
    init: str | None = option(None, "rule of initialization; none: the network's own")
    whiten: str | None = option(None, "convolution whose first filters whiten the training images: whiten.conv")
    weights: str | None = option(None, "file, run or published entry (DEFAULT, IMAGENET1K_V1) to start from")
    renew: str | None = option(None, "parts of the network, by a regular expression, that do not take those weights")
    start_head: bool = option(False, "the last layer starts as a logistic regression on the features of those weights")
    data: DataOptions = option(DataOptions, "")
    augment: tuple[Augment, ...] = option((), "changes to training images: crop(4),flip")
    resize: Progressive | None = option(None, "training images that grow: progressive(0.7, 1.0, '0%', '60%', 32)")
    solver: Literal["steps", "logistic"] = option(
        "steps", "how weights are found; logistic: regression for the last layer on features computed once, rest as is"
    )
    batch: int = option(128, "images in a step", least=1, log=True)
    length: Duration = option(Duration(10, "ep"), "how long to train", above=0, check=_check_length)
    seed: int = option(0, "seed of initialization, order, augmentation and dropout", least=0)
    label_smoothing: float = option(0.0, "share of the target spread over all classes", least=0, below=1)
    task: str | None = option(
        None, f"{', '.join(TASKS)}, or a task of your own, file.py:function; none: by the labels of the data"
    )
    loss: Loss = option(Loss, "")
    optimizer: Optimizer = option(Optimizer, "")
    schedule: Schedule = option(Schedule, "")
    early_stopping: EarlyStopping = option(EarlyStopping, "")
    engine: EngineOptions = option(EngineOptions, "")
    evaluate_every: Duration = option(Duration(1, "ep"), "how often to evaluate", above=0)
    checkpoint_every: Duration = option(Duration(1, "ep"), "how often to write a checkpoint", above=0)
    keep: int = option(2, "checkpoints kept besides the best", least=1)
    select: Literal["last", "best"] = option("last", "which weights are tested and used: by time or by validation")
    views: tuple[View, ...] = option(
        (), "evaluate the end through views as well: translate(1),mirror or ten_crop", check=check_views
    )
    track: Literal["tensorboard"] | None = option(None, "tensorboard: write the log's numbers for it as well")
    explosion: float = option(
        3.0, "stop where the mean loss of the last steps is above this many times the start; 0: never", least=0
    )
    quick: bool = option(False, "shrink to seconds: a few images, a few steps")

    @property
    def by_steps(self) -> bool:
        """Whether the solver takes steps of training: their time can be measured, and several processes share them."""
        return self.solver == "steps"

    def check(self) -> None:
        """Raise UsageError for settings that the loss or the solver cannot use."""
        if self.loss.kind == "hinge":
            self._check_whole_labels()
        if self.solver == "logistic":
            self._check_logistic()

    def _check_logistic(self) -> None:
        """Raise UsageError for settings that a regression on features of unchanged images cannot use."""
        odd = [] if self.loss.kind in (None, "cross_entropy") else ["loss.kind"]
        odd += [name for name in ("augment", "label_smoothing") if getattr(self, name)]
        if odd:
            raise UsageError(
                f"solver logistic: cannot use {', '.join(odd)}; leave that out (--augment '', --label_smoothing 0) "
                "or train with --solver steps"
            )

    def _check_whole_labels(self) -> None:
        spreading = ["label_smoothing"] if self.label_smoothing else []
        spreading += [config.kind_of(type(step)) for step in self.augment if isinstance(step, MIXING)]
        if spreading:
            raise UsageError(
                "loss.kind hinge: expected one class for each image, received shares of several by "
                f"{', '.join(spreading)}; leave that out (--label_smoothing 0, another --augment) or take another loss"
            )

    def edit(self, **values: Any) -> "Recipe":
        """A copy with fields set by name; dots are double underscores: `recipe.edit(optimizer__lr=0.1)`."""
        return config.edit_all(self, [(path.replace("__", "."), value) for path, value in values.items()])

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON data."""
        return {"schema": SCHEMA, **config.plain(self)}


def recipe_from_json(data: Any, where: str = "recipe") -> Recipe:
    """The recipe of JSON data; UsageError for unknown keys (with the nearest name) and wrong types."""
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a JSON object, received {type(data).__name__}")
    fields = dict(data)
    schema = fields.pop("schema", None)
    if isinstance(schema, bool) or schema not in range(1, SCHEMA + 1):
        raise UsageError(f"{where}: schema is {schema!r}; this version of convsmith reads 1 to {SCHEMA}")
    return config.read(Recipe, _of_schema_1(fields) if schema == 1 else fields, where)


def _of_schema_1(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a recipe of schema 1 with the words of schema 2."""
    renamed = {_KEYS_OF_SCHEMA_1.get(key, key): value for key, value in fields.items()}
    if isinstance(renamed.get("augment"), list):
        renamed["augment"] = [_step_of_schema_1(step) for step in renamed["augment"]]
    return renamed


def _step_of_schema_1(step: Any) -> Any:
    if not isinstance(step, dict):
        return step
    if step.get("kind") == "crop" and step.get("mode") == "zero":  # in schema 1 this mode padded with the mean color
        return step | {"mode": "mean"}
    kind = step.get("kind")
    new = _STEPS_OF_SCHEMA_1.get(kind) if isinstance(kind, str) else None
    return step | {"kind": new} if new else step


def recipe_from_file(path: Path) -> Recipe:
    """The recipe in a JSON file; its paths are relative to that file."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadFile(path, "expected a recipe as a JSON object")
    recipe = recipe_from_json(data, str(path))
    return replace(
        recipe,
        network=_relative(recipe.network, path.parent),
        weights=_relative(recipe.weights, path.parent) if recipe.weights else None,
        task=_relative(recipe.task, path.parent) if recipe.task else None,
        loss=_with_weights_beside(recipe.loss, path.parent),
        data=replace(recipe.data, source=_relative(recipe.data.source, path.parent)),
    )


def _with_weights_beside(loss: Loss, folder: Path) -> Loss:
    file = loss.class_weights
    return replace(loss, class_weights=_relative(file, folder)) if file and is_weights_file(file) else loss


def _relative(text: str, folder: Path) -> str:
    """A path in a file, relative to the working folder; known names and texts that are no path there stay."""
    if text in SETS or text in NETWORKS:
        return text
    file, colon, function = text.partition(":")
    stated = folder / file
    return f"{stated}{colon}{function}" if not Path(file).is_absolute() and stated.exists() else text


def quickened(recipe: Recipe) -> Recipe:
    """The recipe with a few steps on a few images and one evaluation, which takes seconds."""
    return replace(
        recipe,
        quick=True,
        batch=min(recipe.batch, 32),
        length=Duration(QUICK_STEPS, "steps"),
        early_stopping=replace(recipe.early_stopping, patience=None),
        explosion=0.0,  # a schedule squeezed into a few steps may jump; only NaN and inf stop it
        data=replace(recipe.data, workers=0),
    )
