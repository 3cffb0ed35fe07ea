"""The short options: names for the most common fields of a recipe, the same on every verb."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from convsmith.base.config import edit, edit_all
from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.base.table import Table

if TYPE_CHECKING:
    from convsmith.recipes.recipe import Recipe  # imported late: most verbs need no recipe


@dataclass(frozen=True)
class Short:
    """A short option: the field of the recipe that it sets, and how. A flag sets it to `constant`, if given."""

    path: str
    metavar: str
    help: str
    form: Literal["value", "flag", "more", "epochs"] = "value"
    constant: str | None = None


SHORTHAND: Table[Short] = Table(
    "option",
    {
        "network": Short("network", "NET", "name, file.py:function, torchvision:NAME or tree.json"),
        "data": Short("data.source", "NAME|PATH", "known data set, or a path whose kind is recognized"),
        "epochs": Short("length", "N", "passes over the training images", "epochs"),
        "batch": Short("batch", "N", "images in a step"),
        "lr": Short("optimizer.lr", "RATE", "peak learning rate"),
        "size": Short("data.size", "N|HxW", "pixels that the network gets: the side of a square, or 32x128"),
        "seed": Short("seed", "N", "seed of everything random"),
        "device": Short("engine.device", "NAME", "auto, cpu, cuda or cuda:N"),
        "precision": Short("engine.precision", "NAME", "auto, fp32, bf16 or fp16"),
        "workers": Short("data.workers", "N", "processes that read images"),
        "weights": Short("weights", "FILE|RUN|NAME", "start from these weights; NAME: published, IMAGENET1K_V1"),
        "pretrained": Short("weights", "", "start from the best published weights", "flag", "DEFAULT"),
        "edit": Short("edits", "EDIT", "change the network: drop_path=0.2 (may be repeated)", "more"),
        "stem": Short("stem", "KIND", "first layers: auto, small or large"),
        "max_megapixels": Short("data.max_megapixels", "N", "read images of up to N million pixels (512 MB, 5 s)"),
        "on_bad": Short(
            "data.on_bad", "error|skip", "what to do with an image that is broken, or larger than --max-megapixels"
        ),
        "autotune": Short("engine.autotune", "", "find this machine's fastest engine by a short trial", "flag"),
        "deterministic": Short("engine.deterministic", "", "only algorithms with the same bits every time", "flag"),
        "quick": Short("quick", "", "shrink to seconds: a few images, a few steps", "flag"),
    },
)


def epochs(value: Any) -> Duration:
    """The duration that `--epochs` names."""
    try:
        count = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"epochs: expected a number, received {value!r}") from None
    if not 0 < count < float("inf"):
        raise UsageError(f"epochs: expected a number above 0, received {value}")
    return Duration(count, "ep")


def set_short(recipe: "Recipe", name: str, value: Any) -> "Recipe":
    """The recipe with a short option set; text is converted to the type of the field."""
    short = SHORTHAND[name]
    if short.form == "epochs":
        return replace(recipe, length=epochs(value))
    if short.form == "more":
        texts = (value,) if isinstance(value, str) else tuple(value)
        return replace(recipe, edits=recipe.edits + texts)
    if short.constant is not None:
        return edit(recipe, short.path, short.constant) if value else recipe
    return edit(recipe, short.path, value)


def set_fields(recipe: "Recipe", values: Sequence[tuple[str, Any]]) -> "Recipe":
    """The recipe with short options, and then any dotted fields, set."""
    given = dict(values)
    if given.get("weights") and given.get("pretrained"):
        raise UsageError("weights and pretrained both choose the weights to start from; give one")
    for name, value in values:
        if name in SHORTHAND:
            recipe = set_short(recipe, name, value)
    return edit_all(recipe, [(name, value) for name, value in values if name not in SHORTHAND])
