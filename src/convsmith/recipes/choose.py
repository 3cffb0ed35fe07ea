"""Chooses the recipe for a subject: the name of a recipe, network or data set, a recipe's file or a run."""

import re
from dataclasses import replace
from pathlib import Path

from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile, MissingPath, UsageError, unknown
from convsmith.base.files import read_json
from convsmith.data.advice import may_flip
from convsmith.data.augmentations import MIRRORS, Crop, Flip
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import KNOWN, open_path
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.source import is_network_name, open_network
from convsmith.nets.zoo import NETWORKS, network
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe, recipe_from_file, recipe_from_json
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.records import reading, recipe_of
from convsmith.runs.trained import is_bundle
from convsmith.tasks.names import suited_task
from convsmith.training.options import EngineOptions, Optimizer, Schedule

SMALL_SIDE, MANY_IMAGES = 64, 10_000
OWN_IMAGES = "photos"  # the recipe for a user's own images
# The recipe for a known data set if the command names only a network, or nothing.
FOR_DATA = {
    "digits": "digits",
    "mnist": "lenet5-mnist",
    "fashion_mnist": "lenet5-mnist",
    "cifar10": "resnet20-cifar10-fast",
    "cifar100": "resnet20-cifar10-fast",
}


def choose(subject: str | None, source: str | None) -> Recipe:
    """The recipe for `subject` (None: the default for the data) on the data `source` (None: the recipe's own)."""
    if subject is None:
        return for_data(source) if source else RECIPES["digits"]()
    if subject in RECIPES:
        recipe = _with_source(RECIPES[subject](), source)
        # A recipe for a known data set is not changed for other data.
        return unmirrored(recipe) if subject == OWN_IMAGES else recipe
    if is_run(subject):
        return _with_source(run_recipe(subject), source)
    if is_network_name(subject):
        return for_network(subject, source or "digits")
    if is_bundle(subject):
        raise UsageError(
            f"{subject} is a bundle, which holds no recipe; to learn other images from its weights: "
            f"convsmith finetune {subject} --data {source or 'PATH'}"
        )
    path = Path(subject)
    if path.suffix == ".json" and path.is_file():
        return _from_json_file(path, source)
    if subject in KNOWN or path.exists():
        if source is not None:
            raise unknown("recipe or network", subject, [*RECIPES, *NETWORKS])
        return for_data(subject)
    if path.suffix or "/" in subject:
        raise MissingPath(f"{subject}: no such file or folder; a recipe, a network, images or a run can be named here")
    raise unknown("recipe, network or data set", subject, [*RECIPES, *NETWORKS, *KNOWN])


def for_data(source: str) -> Recipe:
    """The default recipe for a data set: by its name, else by its images."""
    if source in FOR_DATA:
        return _with_source(RECIPES[FOR_DATA[source]](), source)
    return unmirrored(_with_source(_by_images(Path(source)), source))


def chosen_data(source: str) -> DataOptions:
    """The data options of the default recipe for a data set; `data stats` uses them too."""
    return for_data(source).data


def unmirrored(recipe: Recipe) -> Recipe:
    """The recipe without flips if the data, by its name, has classes that a mirror changes (digits)."""
    if may_flip(data_name(recipe.data.source)):
        return recipe
    return replace(recipe, augment=tuple(step for step in recipe.augment if not isinstance(step, MIRRORS)))


def data_name(source: str) -> str:
    """The name of the data `source`: a known name, else the name of the file or folder."""
    path = Path(source)
    if source in KNOWN or not path.exists():
        return source
    return path.stem if path.is_file() else path.resolve().name


def for_network(name: str, source: str) -> Recipe:
    """The default recipe for the data with another network, without values that were tuned for its own network.

    The learning rate suits networks with normalization; networks without it get a tenth. A network that gives an image
    gets its task and the optimization of that task's built-in recipe.
    """
    recipe = for_data(source)
    if name == recipe.network:
        return recipe
    tree = open_network(name) if name in NETWORKS or name.endswith(".json") else None
    if isinstance(tree, Network) and (task := suited_task(tree)) is not None:
        return _rebuilding(name, tree, task, recipe)
    normalized = not is_tree_without_normalization(name)
    return replace(
        recipe,
        name=_joined_name(name, source),
        network=name,
        init=None,
        engine=EngineOptions(),
        optimizer=Optimizer(lr=0.05 if normalized else 0.005, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(10, "%")),
    )


def _joined_name(network: str, source: str) -> str:
    short = re.sub(r"[^A-Za-z0-9_]+", "-", Path(network).name.removesuffix(":make")).strip("-")
    return f"{short}-{Path(source).name if Path(source).exists() else source}"


def _rebuilding(name: str, tree: Network, task: str, of_data: Recipe) -> Recipe:
    """The built-in recipe of the task with another network or other data, at the network's own image size."""
    named = [recipe for make in RECIPES.values() if (recipe := make()).task == task]
    recipe = next((recipe for recipe in named if recipe.network == name), named[0])
    source = of_data.data.source
    if (recipe.network, recipe.data.source) == (name, source):
        return recipe
    rate = recipe.optimizer.lr * (0.1 if is_tree_without_normalization(name) else 1)
    return replace(
        recipe,
        name=_joined_name(name, source),
        network=name,
        data=replace(of_data.data, size=max(tree.input.spatial)),
        length=recipe.length if recipe.data.source == source else of_data.length,
        optimizer=replace(recipe.optimizer, lr=rate),
    )


def is_tree_without_normalization(name: str) -> bool:
    """Whether `name` is a network of the zoo that has no batch normalization."""
    return name in NETWORKS and not any(layer.op == "batch_norm" for layer in cost(network(name)).layers)


def run_recipe(path: str | Path) -> Recipe:
    """The recipe of a run."""
    run = open_run(path)
    with reading(run.path / "recipe.json"):
        return recipe_from_json(recipe_of(run)["recipe"])


def _by_images(path: Path) -> Recipe:
    """The recipe by the number of images: small data sets diverge at the learning rates for large ones."""
    photos = RECIPES[OWN_IMAGES]()
    if not path.exists():
        return photos  # opening the data raises the error later
    try:
        card = open_path(path).card
    except BadFile:
        return photos  # opening it again, with all options, raises the error if there is one
    if card.size is None or max(card.size) > SMALL_SIDE:
        return photos
    many = sum(card.counts.values()) >= MANY_IMAGES
    if card.channels == 1:
        return RECIPES["lenet5-mnist" if many else "digits"]()
    if many:
        return RECIPES["resnet20-cifar10-fast"]()
    return replace(photos, data=replace(photos.data, size=None), augment=(Crop(4), Flip()))


def _with_source(recipe: Recipe, source: str | None) -> Recipe:
    return recipe if source is None else replace(recipe, data=replace(recipe.data, source=source))


def _from_json_file(path: Path, source: str | None) -> Recipe:
    """The recipe in a JSON file, or the recipe for the network that `show --tree` wrote there."""
    data = read_json(path)
    if isinstance(data, dict) and "stages" in data:
        return for_network(str(path), source or "digits")
    if isinstance(data, dict) and "recipe" in data:
        raise BadFile(path, "is a run's record; name the run's directory instead")
    return _with_source(recipe_from_file(path), source)
