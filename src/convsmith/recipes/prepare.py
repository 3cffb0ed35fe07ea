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

from convsmith.base.config import plain
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.examples import Examples, spread
from convsmith.data.loaders import evaluation_loader, training_loader
from convsmith.data.preprocess import Preprocess
from convsmith.data.sources.opening import KNOWN
from convsmith.data.suit import suit_augments
from convsmith.nets import edits
from convsmith.nets.network import Network
from convsmith.nets.source import TORCHVISION, Foreign, open_network
from convsmith.nets.tree import MAIN
from convsmith.nets.zoo import edit, suit_images
from convsmith.recipes.recipe import QUICK_IMAGES, Recipe, quickened
from convsmith.recipes.start import Start, load_start, normalised_as, open_start
from convsmith.runs.directory import open_run
from convsmith.runs.network import network_record
from convsmith.runs.subject import make_module
from convsmith.tasks.classify import Classify
from convsmith.tasks.losses import class_weights
from convsmith.training.engine import Engine, resolve
from convsmith.training.job import Job
from convsmith.training.schedule import Span

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Plan:
    """A recipe with everything opened and decided; `notes` are for the user to read."""

    recipe: Recipe
    dataset: Dataset
    network: Network | Foreign
    engine: Engine
    notes: tuple[str, ...]
    start: Start | None = None


def prepare(recipe: Recipe) -> Plan:
    """Open the data, fit the network to it, and choose how this machine runs it."""
    recipe = _resolved_paths(quickened(recipe) if recipe.quick else recipe)
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
    start = open_start(recipe.weights, network) if recipe.weights else None
    if start is not None:
        dataset = normalised_as(dataset, start, notes)
    if recipe.quick:
        dataset = _few(dataset)
        notes.append(f"quick: {recipe.length} on at most {QUICK_IMAGES} images of each split; eval counts all of them")
    augment = suit_augments(recipe.augment, dataset.train, dataset.preprocess, workers=recipe.data.workers)
    recipe = replace(recipe, augment=augment)
    engine = resolve(recipe.engine)
    if isinstance(network, Foreign):
        engine = checked_engine(recipe, dataset, network, engine, notes)
    return Plan(recipe, dataset, network, engine, tuple(notes), start)


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
    network = suit_images(network, size, recipe.stem)
    if "small_images" in network.edits:
        notes.append(f"{network.name} gets its stem for small images ({size[0]}x{size[1]}); --stem large keeps its own")
    for text in recipe.edits:
        network = edit(network, text)
    return network if recipe.init is None else replace(network, init=recipe.init)


def make_model(plan: Plan, notes: list[str]) -> nn.Module:
    """The plan's network with its first weights: fresh ones, or those that the recipe starts from."""
    module = make_module(plan.network, plan.recipe.seed)
    if plan.start is not None:
        notes.append(load_start(module, plan.start))
    return module


def make_job(plan: Plan) -> Job:
    """The loop's parts and rules."""
    recipe, data, device = plan.recipe, plan.dataset, plan.engine.device
    training = training_loader(
        data.train, data.preprocess, recipe.data, batch=recipe.batch, seed=recipe.seed, device=device
    )
    total = recipe.length.steps(training.steps)
    return Job(
        task=make_task(recipe, data),
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
        auxiliary=auxiliary_heads(plan.network) if recipe.loss.auxiliary else (),
        auxiliary_weight=recipe.loss.auxiliary,
    )


def make_task(recipe: Recipe, data: Dataset) -> Classify:
    """What is learned, with the classes' weights by the counts of the training images."""
    classes, options = data.card.classes, recipe.loss
    weights: tuple[float, ...] = ()
    if options.class_weights is not None:
        counts = np.bincount(data.train.labels, minlength=len(classes)).tolist()
        weights = class_weights(options.class_weights, counts, options.beta)
    return Classify(classes, recipe.label_smoothing, options=options, class_weights=weights)


def auxiliary_heads(network: Network | Foreign) -> tuple[str, ...]:
    """The heads that answer the main head's question elsewhere in the network: those with an output of its shape."""
    if isinstance(network, Foreign) or len(network.heads) == 1:
        return ()
    ends = network.trace().stages
    return tuple(name for name, _ in network.heads if name != MAIN and ends[name].shape == ends[MAIN].shape)


def records(plan: Plan) -> dict[str, Any]:
    """What a run directory keeps of a plan."""
    return {
        "recipe": {"recipe": plan.recipe.to_json(), "engine": asdict(plan.engine), **_start_record(plan)},
        "network": network_record(plan.network),
        "data": {"card": plan.dataset.card.to_json(), "options": plain(plan.recipe.data)},
        "split": plan.dataset.split,
        "preprocess": plan.dataset.preprocess.to_json(),
        "env": environment(),
    }


def _start_record(plan: Plan) -> dict[str, Any]:
    return {} if plan.start is None else {"start": plan.start.to_json()}


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
        raise MissingPath(
            f"{recipe.data.source}: the data of the run {path} is not there any more; put it back, or say where it is "
            "with --data (eval, export)"
        ) from None
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
    if recipe.data.group and Path(recipe.data.group).is_file():
        recipe = recipe.edit(data__group=str(Path(recipe.data.group).resolve()))
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


def checked_engine(recipe: Recipe, dataset: Dataset, network: Foreign, engine: Engine, notes: list[str]) -> Engine:
    """The engine that a module that is no tree runs on, tried on blank images to say early what does not fit.

    A module that calls `view` on images cannot have them channels last: it then gets the usual layout.
    """
    module = engine.place(make_module(network, recipe.seed))
    problem = _trial(module, dataset, engine)
    if problem is not None and engine.channels_last:
        plain_engine = replace(engine, channels_last=False)
        if _trial(plain_engine.place(make_module(network, recipe.seed)), dataset, plain_engine) is None:
            notes.append(f"{recipe.network} does not take images channels last; they keep the usual layout")
            return plain_engine
    if problem is not None:
        raise UsageError(f"{recipe.network}: {problem}")
    return engine


def _trial(module: nn.Module, dataset: Dataset, engine: Engine) -> str | None:
    """What is wrong with a module's outputs for two blank images, in evaluation and in training."""
    shape = (2, dataset.preprocess.channels, *dataset.preprocess.size)
    sample = torch.zeros(shape, device=engine.device).contiguous(memory_format=engine.memory_format)
    classes = len(dataset.card.classes)
    for mode in ("evaluation", "training"):
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                outputs = module.train(mode == "training")(sample)
        except Exception as error:
            return f"failed on images of shape {shape} in {mode}: {type(error).__name__}: {error}"
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        if found != (2, classes):
            return f"expected outputs of shape (2, {classes}) for 2 images, received {found} in {mode}"
    return None
