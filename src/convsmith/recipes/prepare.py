"""From a recipe to the objects of a run: data, network, engine. Says what it decided on the way."""

import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from torch import nn
from torchvision.models import get_model_weights

from convsmith.base.config import plain
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.base.files import cache_folder
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.examples import Examples, spread
from convsmith.data.loaders import evaluation_loader, training_loader
from convsmith.data.preprocess import Preprocess
from convsmith.data.sources import KNOWN
from convsmith.nets import edits
from convsmith.nets.network import Network
from convsmith.nets.pretrained import load_weights
from convsmith.nets.source import TORCHVISION, Foreign, open_network
from convsmith.nets.zoo import SMALL_IMAGES, edit, small_images
from convsmith.recipes.recipe import QUICK_IMAGES, Recipe
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.subject import make_module, network_record, open_subject
from convsmith.runs.weights import load_weights as read_weights
from convsmith.tasks.classify import Classify
from convsmith.training.engine import Engine, resolve
from convsmith.training.job import Job
from convsmith.training.schedule import Span

EVALUATION_BATCH = 256
# Networks made for at least this many pixels a side get the small-image stem for images of at most SMALL_SIDE.
LARGE_SIDE, SMALL_SIDE = 128, 64


@dataclass(frozen=True)
class Plan:
    """A recipe with everything opened and decided; `notes` are for the user to read."""

    recipe: Recipe
    dataset: Dataset
    network: Network | Foreign
    engine: Engine
    notes: tuple[str, ...]


def prepare(recipe: Recipe) -> Plan:
    """Open the data, fit the network to it, and choose how this machine runs it."""
    recipe = _resolved_paths(recipe)
    notes: list[str] = []
    if recipe.network.startswith(TORCHVISION) and recipe.data.channels is None:
        recipe = recipe.edit(data__channels=3)
    dataset = open_data(recipe.data)
    try:
        network = fit_network(recipe, dataset, notes)
    except UsageError as error:
        own = None if isinstance(error, UnknownName) else _own_size(recipe)
        if own is None:
            raise
        if recipe.data.size is not None:
            raise UsageError(f"{error}; another size is set with --size") from None
        notes.append(f"images are resized to {own}x{own} pixels, the smallest that {recipe.network} is made for")
        recipe = recipe.edit(data__size=own)
        dataset = open_data(recipe.data)
        network = fit_network(recipe, dataset, notes)
    if recipe.quick:
        dataset = _few(dataset)
    return Plan(recipe, dataset, network, resolve(recipe.engine), tuple(notes))


def fit_network(recipe: Recipe, dataset: Dataset, notes: list[str]) -> Network | Foreign:
    """The recipe's network for the data's classes, channels and size, with the recipe's edits."""
    size, channels = dataset.preprocess.size, dataset.preprocess.channels
    numbers = {"classes": len(dataset.card.classes), "channels": channels}
    network = open_network(recipe.network, **numbers, **({"size": size[0]} if ".py:" in recipe.network else {}))
    if isinstance(network, Foreign):
        if recipe.edits:
            raise UsageError(f"{recipe.network} is no tree, so it cannot be edited ({', '.join(recipe.edits)})")
        return network
    if network.classes != numbers["classes"]:
        network = edits.classes(network, numbers["classes"])
    if network.input.channels != channels:
        network = edits.channels(network, channels)
    made_for = max(network.input.spatial)
    small = recipe.stem == "small" or (recipe.stem == "auto" and made_for >= LARGE_SIDE and max(size) <= SMALL_SIDE)
    if small and (recipe.stem == "small" or network.family in SMALL_IMAGES):
        network = small_images(network)
        notes.append(f"{network.name} gets its stem for small images ({size[0]}x{size[1]}); --stem large keeps its own")
    if network.input.spatial != size:
        network = edits.size(network, *size)
    for text in recipe.edits:
        network = edit(network, text)
    return network if recipe.init is None else replace(network, init=recipe.init)


def make_model(plan: Plan, notes: list[str]) -> nn.Module:
    """The plan's network with its first weights: fresh ones, or those that the recipe starts from."""
    recipe = plan.recipe
    module = make_module(plan.network, recipe.seed)
    _check_outputs(plan, module)
    if recipe.weights:
        from_run = is_run(recipe.weights)
        weights = open_subject(recipe.weights).module.state_dict() if from_run else read_weights(recipe.weights)
        whose = load_weights(module, weights, recipe.weights, new_head=True)
        notes.append(f"starts from {recipe.weights} ({whose})")
    elif recipe.pretrained:
        weights = _torchvision_weights(plan.network)
        notes.append(
            f"starts from torchvision's weights ({load_weights(module, weights, 'torchvision', new_head=True)})"
        )
    return module


def make_job(plan: Plan) -> Job:
    """The loop's parts and rules."""
    recipe, data, device = plan.recipe, plan.dataset, plan.engine.device
    training = training_loader(
        data.train, data.preprocess, recipe.data, batch=recipe.batch, seed=recipe.seed, device=device
    )
    total = recipe.length.steps(training.steps)
    return Job(
        task=Classify(data.card.classes, recipe.label_smoothing),
        training=training,
        validation=evaluation_loader(data.val, data.preprocess, recipe.data, batch=EVALUATION_BATCH, device=device),
        preprocess=data.preprocess,
        augment=recipe.augment,
        optimiser=recipe.optimiser,
        schedule=recipe.schedule,
        early_stopping=recipe.early_stopping,
        engine=plan.engine,
        span=Span(training.steps, total),
        seed=recipe.seed,
        evaluate_every=recipe.evaluate_every,
        checkpoint_every=recipe.checkpoint_every,
        keep=recipe.keep,
        explosion=recipe.explosion,
    )


def records(plan: Plan) -> dict[str, Any]:
    """What a run directory keeps of a plan."""
    return {
        "recipe": {"recipe": plan.recipe.to_json(), "engine": asdict(plan.engine)},
        "network": network_record(plan.network),
        "data": {"card": plan.dataset.card.to_json(), "options": plain(plan.recipe.data)},
        "split": plan.dataset.split,
        "preprocess": plan.dataset.preprocess.to_json(),
        "env": environment(),
    }


def environment() -> dict[str, Any]:
    """Versions, machine and command, to know later what made a run."""
    return {
        "command": " ".join(sys.argv),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def stored_plan(path: str | Path, recipe: Recipe, network: Network | Foreign) -> Plan:
    """The plan of an existing run, its data opened again and compared with what the run was made with."""
    run = open_run(path)
    from_run = {"split": run.record("split"), "preprocess": run.record("preprocess")}
    dataset = reopen_data(run.path, recipe, run.record("data")["card"]["fingerprint"], **from_run)
    engine = Engine(**run.record("recipe")["engine"])
    return Plan(recipe, _few(dataset) if recipe.quick else dataset, network, engine, ())


def reopen_data(
    path: Path, recipe: Recipe, fingerprint: str, *, split: dict[str, Any], preprocess: dict[str, Any]
) -> Dataset:
    """A run's data as it was divided; another content than then is an error."""
    try:
        dataset = open_data(recipe.data, split=split, preprocess=Preprocess.from_json(preprocess))
    except MissingPath:
        raise
    except UsageError as error:
        raise BadFile(recipe.data.source, str(error)) from None
    if dataset.card.fingerprint != fingerprint:
        raise BadFile(
            recipe.data.source,
            f"the data has changed since the run {path} began (its fingerprint is {dataset.card.fingerprint[:12]}, was "
            f"{fingerprint[:12]}); put the old data back, or start a new run with: convsmith train {path} --out NEW",
        )
    return dataset


def _resolved_paths(recipe: Recipe) -> Recipe:
    """The recipe with its paths made absolute, so that a run can be resumed from another folder."""
    source, weights = Path(recipe.data.source), Path(recipe.weights) if recipe.weights else None
    if source.exists() and recipe.data.source not in KNOWN:
        recipe = recipe.edit(data__source=str(source.resolve()))
    if weights is not None and weights.exists():
        recipe = recipe.edit(weights=str(weights.resolve()))
    file, colon, function = recipe.network.rpartition(":")
    if colon and Path(file).is_file():
        recipe = recipe.edit(network=f"{Path(file).resolve()}:{function}")
    elif recipe.network.endswith(".json") and Path(recipe.network).is_file():
        recipe = recipe.edit(network=str(Path(recipe.network).resolve()))
    return recipe


def _own_size(recipe: Recipe) -> int | None:
    """The side of the images that the recipe's network is made for; a user's function takes what it is given."""
    if ".py:" in recipe.network:
        return None
    network = open_network(recipe.network)
    return max(network.input.spatial) if isinstance(network, Network) else None


def _few(dataset: Dataset) -> Dataset:
    def few(examples: Examples) -> Examples:
        return examples.subset(spread(len(examples), QUICK_IMAGES))

    test = None if dataset.test is None else few(dataset.test)
    return replace(dataset, train=few(dataset.train), val=few(dataset.val), test=test)


def _check_outputs(plan: Plan, module: nn.Module) -> None:
    """Run two blank images through a module that is no tree, to say early what does not fit; its state stays."""
    if isinstance(plan.network, Network):
        return
    preprocess, classes = plan.dataset.preprocess, len(plan.dataset.card.classes)
    sample = torch.zeros(2, preprocess.channels, *preprocess.size)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    for mode in ("evaluation", "training"):
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                outputs = module.train(mode == "training")(sample)
        except Exception as error:
            raise UsageError(
                f"{plan.recipe.network}: failed on images of shape {tuple(sample.shape)} in {mode}: "
                f"{type(error).__name__}: {error}"
            ) from error
        shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        if shape != (2, classes):
            raise UsageError(
                f"{plan.recipe.network}: expected outputs of shape (2, {classes}) for 2 images, "
                f"received {shape} in {mode}"
            )
    module.load_state_dict(state)


def _torchvision_weights(network: Network | Foreign) -> dict[str, Any]:
    """torchvision's best weights for a network, downloaded into the cache and checked by their hash."""
    name = network.name if isinstance(network, Network) else network.source.removeprefix(TORCHVISION)
    try:
        entries = list(get_model_weights(name))
    except ValueError:
        raise UsageError(f"torchvision has no weights for {name!r}; give a file with --weights") from None
    torch.hub.set_dir(str(cache_folder() / "torchvision"))
    try:
        return dict(entries[-1].get_state_dict(progress=False, check_hash=True))
    except OSError as error:
        raise UsageError(f"torchvision's weights for {name} could not be downloaded ({error})") from None
