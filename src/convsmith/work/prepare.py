"""Turns a recipe into the objects of a run: data, network, engine. Notes say what was decided."""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import PIL
import torch
from torch import nn

from convsmith.base import user_code
from convsmith.base.calls import parse_call
from convsmith.base.config import plain, read
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.base.processes import command, launch
from convsmith.data.advice import mirror_note
from convsmith.data.augment import normalize
from convsmith.data.cache import cache_note
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.examples import Examples, spread
from convsmith.data.loaders import decode_all, evaluation_loader, training_loader
from convsmith.data.shapes import losses, shapes_of
from convsmith.data.sources.opening import KNOWN, describe
from convsmith.data.suit import suit_augments
from convsmith.nets import edits
from convsmith.nets.model import Model, tree_of
from convsmith.nets.modules.whitening import whiten
from convsmith.nets.network import Network
from convsmith.nets.source import TORCHVISION, open_network
from convsmith.nets.tree import MAIN
from convsmith.nets.zoo import edit, suit_images
from convsmith.recipes.builtin import RECIPES, never_run
from convsmith.recipes.recipe import QUICK_IMAGES, Recipe, quickened
from convsmith.runs.code import TREE_FILE
from convsmith.runs.directory import RunDirectory, open_run
from convsmith.runs.network import network_record
from convsmith.runs.publishers import is_entry
from convsmith.runs.records import card_of, preprocess_of, reading, recipe_of, split_of
from convsmith.runs.trained import is_trained, trained_network
from convsmith.runs.weight_files import file_and_part
from convsmith.tasks.names import TASKS, gives_image, lacking, rebuilds, suited_task
from convsmith.tasks.options import is_weights_file
from convsmith.training.distributed import ALONE, World
from convsmith.training.engine import Engine, resolve
from convsmith.training.job import Job
from convsmith.training.schedule import Span
from convsmith.work.checked_engine import checked_engine
from convsmith.work.compiling import compiled_where_it_can_be
from convsmith.work.learned import Learned, check_learned, learn, learned_of
from convsmith.work.resize import check_resize
from convsmith.work.start import CARRIED, Start, load_start, normalized_as, open_start, renew
from convsmith.work.work import training_flops

EVALUATION_BATCH = 256
RENEWED = 1_000_003  # added to the seed for parts that get new random weights
WHITENING_IMAGES = 5000  # as in Jordan 2024


@dataclass(frozen=True)
class Plan:
    """A recipe with its data, network, engine and task. `notes` are lines for the user.

    `whole` is the network of the weights to start from, if the plan's network was cut out of it or made deeper; else
    None. `spent` is the time to choose what learns, in seconds. `said` counts the lines that `announced` has said.
    """

    recipe: Recipe
    dataset: Dataset
    network: Model
    engine: Engine
    notes: tuple[str, ...]
    start: Start | None = None
    whole: Network | None = None
    spent: float = 0.0
    said: int = 0
    learned: Learned = field(kw_only=True)


def announced(plan: Plan, say: Callable[[str], None]) -> Plan:
    """Say the lines on the data and the notes that were not said yet; returns the plan with the new count `said`."""
    card = plan.dataset.card
    lines = (f"data {card.name}: {describe(card)}", *plan.notes)
    for line in lines[plan.said :]:
        say(line)
    return replace(plan, said=len(lines))


def prepare(recipe: Recipe) -> Plan:
    """Open the data, fit the network to it, and choose how this machine runs it."""
    recipe = _resolved_paths(quickened(recipe) if recipe.quick else recipe)
    notes = [note for note in [never_run(recipe)] if note and not recipe.quick]
    if gives_image(recipe.task) and recipe.name not in RECIPES:
        notes.append(f"{recipe.network} learns the task {recipe.task}: {TASKS[str(recipe.task)].help}")
    if recipe.network.startswith(TORCHVISION) and recipe.data.channels is None:
        recipe = recipe.edit(data__channels=3)
    dataset = open_data(recipe.data)
    notes += dataset.left_out
    check_learned(recipe, dataset.card, notes)
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
    if recipe.renew is not None and recipe.weights is None:
        raise UsageError(f"renew: {recipe.renew!r} is left out of weights to start from, and there are none; --weights")
    start = open_start(recipe.weights, network) if recipe.weights else None
    if start is not None:
        dataset = normalized_as(dataset, start, notes)
    if recipe.quick:
        dataset = _few(dataset)
        notes.append(f"quick: {recipe.length} on at most {QUICK_IMAGES} images of each split; eval counts all of them")
    notes += losses(shapes_of(dataset.train), dataset.preprocess)
    if note := mirror_note(dataset.card, recipe.augment):
        notes.append(note)
    if note := cache_note(dataset.train, dataset.preprocess, recipe.data.cache):
        notes.append(note)
    augment = suit_augments(
        recipe.augment, dataset.train, dataset.preprocess, workers=recipe.data.workers, cache=recipe.data.cache
    )
    recipe = replace(recipe, augment=augment)
    engine = resolve(recipe.engine, training_flops(recipe, dataset, network))
    if network.tree is None:
        engine = checked_engine(recipe, dataset, network, engine, notes)
    engine = compiled_where_it_can_be(engine, recipe, network, dataset.preprocess, notes)
    learned = learn(recipe, dataset, notes)
    whole = whole_network(recipe, dataset)
    if recipe.resize is not None:
        notes.append(check_resize(recipe.resize, network, dataset.preprocess, recipe.seed))
    return Plan(recipe, dataset, network, engine, tuple(notes), start, whole, learned=learned)


def fit_network(recipe: Recipe, dataset: Dataset, notes: list[str]) -> Model:
    """The recipe's network for the data's classes, channels and size, with the recipe's edits."""
    size, channels = dataset.preprocess.size, dataset.preprocess.channels
    numbers = {"classes": len(dataset.card.classes), "channels": channels}
    network = trained_network(recipe.network) if is_trained(recipe.network) else None
    if network is None or network.tree is None:
        name = recipe.network if network is None else network.named(recipe.network)
        network = open_network(name, **numbers, **({"size": _for_function(size)} if ".py:" in name else {}))
    image = gives_image(recipe.task)
    if network.tree is None and not recipe.edits and not image:
        return network
    so = f"it cannot be edited ({', '.join(recipe.edits)})" if recipe.edits else f"it cannot learn {recipe.task}"
    network = tree_of(network, so)
    if recipe.task is None:
        _check_classifies(network)
    if not image and network.classes != numbers["classes"]:
        network = edits.classes(network, numbers["classes"])
    if network.input.channels != channels:
        network = edits.channels(network, channels)
    published = recipe.weights is not None and is_entry(recipe.weights)
    # Published weights need the network's own first layers, also for small images.
    network = suit_images(network, size, "large" if recipe.stem == "auto" and published else recipe.stem)
    if "small_images" in network.edits and not is_trained(recipe.network):
        notes.append(f"{network.name} gets its stem for small images ({size[0]}x{size[1]}); --stem large keeps its own")
    for text in recipe.edits:
        network = edit(network, text)
    if image:
        _check_rebuilds(network, str(recipe.task))
    return network if recipe.init is None else replace(network, init=recipe.init)


def _check_rebuilds(network: Network, task: str) -> None:
    """Raise UsageError if the network cannot learn a task with images as outputs."""
    missing = lacking(network, task)
    if missing or not rebuilds(network):
        given = f"it gives {network.trace().stages[MAIN].shape} for an input of {network.input}"
        what = f"it has no {' and no '.join(missing)}" if missing else given
        raise UsageError(
            f"{network.name} cannot learn the task {task}: {what}; take a network such as autoencoder_mnist or "
            "vae_mnist, or leave --task out"
        )


def _check_classifies(network: Network) -> None:
    """Raise UsageError if the network gives an image but the task has classes; it names a task that fits."""
    if rebuilds(network):
        task = suited_task(network)
        mend = (
            f"take --task {task}" if task else "take another network, or a task of your own (--task file.py:function)"
        )
        raise UsageError(f"{network.name} gives an image of its input's shape, and no classes; {mend}")


def _for_function(size: tuple[int, int]) -> int | tuple[int, int]:
    """The size for a user's function: the side of a square, else (height, width)."""
    return size[0] if size[0] == size[1] else size


def whole_network(recipe: Recipe, dataset: Dataset) -> Network | None:
    """The network before the edits that carry the starting weights along (`CARRIED`); None without such edits."""
    carried = [i for i, text in enumerate(recipe.edits) if parse_call(text).name in CARRIED]
    if not carried:
        return None
    return fit_network(replace(recipe, edits=recipe.edits[: carried[0]]), dataset, []).tree


def make_model(plan: Plan, notes: list[str]) -> nn.Module:
    """The plan's network with its first weights: fresh ones, or those that the recipe starts from."""
    module = plan.network.make(plan.recipe.seed)
    if plan.start is not None:
        notes.append(load_start(module, plan.start, plan.dataset.card.classes, plan.whole))
        if plan.recipe.renew is not None:
            # Another seed than the run's: the weights to start from may come from the same seed.
            notes.append(renew(module, plan.recipe.renew, plan.network.make(plan.recipe.seed + RENEWED)))
    elif plan.recipe.whiten is not None:
        whiten(module, plan.recipe.whiten, _first_images(plan.dataset))
    return module


def _first_images(data: Dataset) -> torch.Tensor:
    """Training images (N, C, H, W) as evaluation sees them, spread over the split."""
    few = data.train.subset(spread(len(data.train), WHITENING_IMAGES))
    return normalize(decode_all(few, data.preprocess, workers=1), data.preprocess)


def make_job(plan: Plan, world: World = ALONE) -> Job:
    """The job of the training loop in this process."""
    recipe, data = plan.recipe, plan.dataset
    if plan.learned.task.whole_batch and (recipe.optimizer.accumulate > 1 or world.part.size > 1):
        raise UsageError(
            "the loss of this task joins the images of a batch, which cannot be split: leave out "
            "--optimizer.accumulate, and train in one process"
        )
    where: Any = {"device": plan.engine.device, "part": world.part}
    training = training_loader(data.train, data.preprocess, recipe.data, batch=recipe.batch, seed=recipe.seed, **where)
    total = recipe.length.steps(training.steps)
    return Job(
        task=plan.learned.task,
        classes=len(data.card.classes),
        training=training,
        validation=evaluation_loader(data.val, data.preprocess, recipe.data, batch=EVALUATION_BATCH, **where),
        preprocess=data.preprocess,
        augment=recipe.augment,
        optimizer=recipe.optimizer,
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
        resize=recipe.resize,
        world=world,
    )


def auxiliary_heads(network: Model) -> tuple[str, ...]:
    """The heads whose outputs have the shape of the main head's outputs."""
    tree = network.tree
    if tree is None or len(tree.heads) == 1:
        return ()
    ends = tree.trace().stages
    return tuple(name for name, _ in tree.heads if name != MAIN and ends[name].shape == ends[MAIN].shape)


def records(plan: Plan) -> dict[str, Any]:
    """The records that a run directory keeps of a plan."""
    return {
        "recipe": {
            "recipe": plan.recipe.to_json(),
            "engine": asdict(plan.engine),
            **_start_record(plan),
            **_code_record(plan),
            **plan.learned.to_json(plan.dataset.card.classes),
        },
        "network": network_record(plan.network),
        "data": {"card": plan.dataset.card.to_json(), "options": plain(plan.recipe.data)},
        "split": plan.dataset.split,
        "preprocess": plan.dataset.preprocess.to_json(),
        "env": environment(),
    }


def _start_record(plan: Plan) -> dict[str, Any]:
    return {} if plan.start is None else {"start": plan.start.to_json()}


def _code_record(plan: Plan) -> dict[str, Any]:
    """The SHA-256 of the user's file that made a tree. For a module it is in the network's record."""
    own = user_code.split_source(plan.recipe.network)
    return {TREE_FILE: user_code.fingerprint(own[0])} if own and plan.network.tree else {}


def environment() -> dict[str, Any]:
    """The versions, the machine and the command of this process."""
    return {
        "command": command(),
        **({} if launch() is None else {"launch": launch()}),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        # `library.__version__` would import the library, which takes seconds.
        "torchvision": version("torchvision"),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def stored_plan(path: str | Path, recipe: Recipe, network: Model) -> Plan:
    """The plan of an existing run. Its data is opened again; UsageError if it has changed."""
    run = open_run(path)
    dataset = reopen_data(run, recipe)
    with reading(run.path / "recipe.json"):
        engine = read(Engine, recipe_of(run)["engine"], "engine")
    dataset = _few(dataset) if recipe.quick else dataset
    return Plan(recipe, dataset, network, engine, (), learned=learned_of(run, recipe, dataset))


def with_start(plan: Plan) -> Plan:
    """A stored plan with the weights to start from, for a run without a checkpoint."""
    recipe = plan.recipe
    start = open_start(recipe.weights, plan.network) if recipe.weights else None
    return replace(plan, start=start, whole=whole_network(recipe, plan.dataset))


def reopen_data(run: RunDirectory, recipe: Recipe) -> Dataset:
    """A run's data with its split; an error if the content has changed."""
    path, card = run.path, card_of(run)
    fingerprint = card.fingerprint
    split, preprocess = split_of(run), preprocess_of(run)
    try:
        dataset = open_data(recipe.data, split=split, preprocess=preprocess)
    except MissingPath:
        raise MissingPath(
            f"{recipe.data.source}: the data of the run {path} is not there any more; put it back, or say where it is "
            f"now: convsmith train --resume {quote(str(path))} --data NEW; eval and export take --data NEW too"
        ) from None
    except UsageError as error:
        raise BadFile(recipe.data.source, str(error)) from None
    if dataset.card.fingerprint != fingerprint:
        raise BadFile(
            recipe.data.source,
            f"the data has changed since the run {path} began (its fingerprint is {dataset.card.fingerprint[:12]}, was "
            f"{fingerprint[:12]}); put the old data back, or start a new run with: convsmith train {path} --out NEW",
        )
    if (len(dataset.card.classes), dataset.card.multilabel) != (len(card.classes), card.multilabel):
        raise BadFile(
            path / "data.json", f"its card has other classes than {recipe.data.source}, whose data is the same"
        )
    return dataset


def _resolved_paths(recipe: Recipe) -> Recipe:
    """The recipe with its paths made absolute, so that a run can be resumed from another folder."""
    source, weights = Path(recipe.data.source), Path(recipe.weights) if recipe.weights else None
    if source.exists() and recipe.data.source not in KNOWN:
        recipe = recipe.edit(data__source=str(source.resolve()))
    if weights is not None:
        file, part = file_and_part(weights)
        if file.exists():
            recipe = recipe.edit(weights=f"{file.resolve()}:{part}" if part else str(file.resolve()))
    if recipe.data.group and Path(recipe.data.group).is_file():
        recipe = recipe.edit(data__group=str(Path(recipe.data.group).resolve()))
    file = recipe.loss.class_weights
    if file and is_weights_file(file) and Path(file).is_file():
        recipe = recipe.edit(loss__class_weights=str(Path(file).resolve()))
    file, colon, function = (recipe.task or "").rpartition(":")
    if colon and Path(file).is_file():
        recipe = recipe.edit(task=f"{Path(file).resolve()}:{function}")
    file, colon, function = recipe.network.rpartition(":")
    if colon and Path(file).is_file():
        recipe = recipe.edit(network=f"{Path(file).resolve()}:{function}")
    elif is_trained(recipe.network) or (recipe.network.endswith(".json") and Path(recipe.network).is_file()):
        recipe = recipe.edit(network=str(Path(recipe.network).resolve()))
    return recipe


def _own_size(recipe: Recipe) -> int | None:
    """The side of the images that the recipe's network is made for; None for a user's function, which takes any."""
    if ".py:" in recipe.network or is_trained(recipe.network):
        return None
    tree = open_network(recipe.network).tree
    return max(tree.input.spatial) if tree else None


def _few(dataset: Dataset) -> Dataset:
    def few(examples: Examples) -> Examples:
        return examples.subset(spread(len(examples), QUICK_IMAGES))

    test = None if dataset.test is None else few(dataset.test)
    return replace(dataset, train=few(dataset.train), val=few(dataset.val), test=test)
