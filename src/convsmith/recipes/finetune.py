"""Fine-tuning: the recipe for trained weights and other images. Imports torch only for torchvision's registry."""

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile, NoChange, UsageError, unknown
from convsmith.base.record import Record, option
from convsmith.data.fit import size_word
from convsmith.data.options import DataOptions, split_shares
from convsmith.data.sources.opening import KNOWN, open_path, open_source
from convsmith.nets.cost import cost
from convsmith.nets.model import Model, no_tree
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, Linear, Rbf
from convsmith.nets.source import TORCHVISION, is_network_name, open_network
from convsmith.nets.tree import MAIN, Leaf, walk
from convsmith.nets.zoo import NETWORKS, edit
from convsmith.recipes.choose import OWN_IMAGES, data_name, for_data, for_network, run_recipe, unmirrored
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.report.text import many
from convsmith.runs.bundle import open_bundle
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.network import network_of
from convsmith.runs.records import preprocess_of
from convsmith.runs.trained import is_trained, trained_network
from convsmith.training.options import EngineOptions, Optimizer, Rule, Schedule

Mode = Literal["probe", "partial", "full"]

# The last half of the stages gets a tenth of the rate, the first half a hundredth: the features of earlier layers are
# more general (Yosinski et al. 2014).
TOP, MIDDLE = 0.1, 0.01
EPOCHS, LEAST_STEPS, BATCH, RATE = 10, 300, 32, 0.02
NORMS = ("batch_norm", "group_norm", "layer_norm")
ONE_STEP = Duration(1, "steps")
# The fields that matter only for training by steps, and the prefixes of such fields.
STEPS = ("length", "augment", "resize", "batch", "label_smoothing", "views")
STEPS_UNDER = ("optimizer.", "schedule.", "early_stopping.", "loss.")


@dataclass(frozen=True)
class FineTuning(Record, called=""):
    """The parts of a network that learn. An option of one mode chooses that mode; with mode None the data choose.

    probe: only a new last layer, on the features of the stage `at`; partial: also the last `unfreeze` stages; full: all
    layers. `decay` is the ratio of the rates of neighboring stages, in place of a tenth and a hundredth. `by_steps`:
    options for training by steps were given, which a regression does not use.
    """

    mode: Mode | None = option(None, "what learns: probe, partial or full")
    at: str | None = option(None, "stage whose features the new last layer gets")
    unfreeze: int | None = option(None, "last stages that learn", least=1, mend="--mode probe unfreezes no stage")
    decay: float | None = option(None, "ratio of the rates of neighboring stages", above=0, most=1, log=True)
    classifier: Literal["linear", "logistic"] | None = option(None, "how probe finds the last layer")
    by_steps: bool = option(False, "whether options of taking steps were given")

    def check(self) -> None:
        """Raise UsageError for options of another mode; without a mode the options choose it."""
        belonging = {"unfreeze": ("partial",), "classifier": ("probe",), "decay": ("partial", "full")}
        given = [name for name in belonging if getattr(self, name) is not None]
        modes = (self.mode,) if self.mode else ("probe", "partial", "full")
        for name in given:
            fitting = tuple(mode for mode in modes if mode in belonging[name])
            if not fitting:
                other = self.mode or ", ".join(f"--{n}" for n in given if n != name)
                raise UsageError(f"--{name} belongs to --mode {' and '.join(belonging[name])}, not to {other}")
            modes = fitting
        if self.mode is None and (given or self.at is not None):
            object.__setattr__(self, "mode", "probe" if "probe" in modes else modes[-1])


def finetuning_recipe(subject: str, source: str | None, tuning: FineTuning, weights: str | None = None) -> Recipe:
    """The recipe that starts from `subject`, a run, a bundle or (with `weights`) a network, for the images of `source`.

    `with_tuning` adds later which layers learn, when the network is known.
    """
    if source is None:
        raise UsageError("finetune: say which images to learn: --data PATH")
    if is_trained(subject):
        if weights:
            raise UsageError(f"{subject} has weights of its own; name a network to start from {weights}")
        recipe = _from_run(subject, source) if is_run(subject) else _from_bundle(subject, source)
    elif is_network_name(subject) or (subject.endswith(".json") and Path(subject).is_file()):
        if not weights:
            raise UsageError(
                f"{subject} is a network without weights: add --pretrained (published ones) or --weights FILE, or name "
                f"a run or a bundle; to train from nothing: convsmith train {subject} --data {source}"
            )
        recipe = _from_network(subject, source, weights)
    elif Path(subject).exists():
        raise UsageError(
            f"{subject}: is neither a run nor a bundle nor a network; weights in a file need their network: "
            "NET --weights FILE"
        )
    else:
        raise unknown("run or network", subject, NETWORKS)
    return by_regression(recipe) if tuning.classifier == "logistic" else recipe


def by_regression(recipe: Recipe) -> Recipe:
    """The recipe whose last layer is a logistic regression on features that are computed once."""
    return replace(recipe, solver="logistic", augment=(), label_smoothing=0.0, length=ONE_STEP, start_head=False)


def tuning_of(subject: str | None, recipe: Recipe, given: Sequence[tuple[str, Any]] = ()) -> FineTuning | None:
    """The tuning of the recipe for the user's own images if it starts from weights: the images choose what learns.

    None for other recipes, without weights, and if rules, a task or a repeated run decide what learns.
    """
    if recipe.name != OWN_IMAGES or recipe.weights is None or (subject is not None and is_run(subject)):
        return None
    if recipe.optimizer.rules or recipe.task or not recipe.by_steps:
        return None
    network = trained_network(recipe.network) if is_trained(recipe.network) else _opened(recipe.network, recipe.data)
    if network.tree is None or open_source(recipe.data).card.multilabel:
        return None
    return FineTuning(by_steps=asks_steps(given))


def set_paths(given: Sequence[tuple[str, Any]]) -> set[str]:
    """The paths of the fields that options set; a short option counts as its field."""
    return {SHORTHAND[name].path if name in SHORTHAND else name for name, value in given if value is not None}


def asks_steps(given: Sequence[tuple[str, Any]]) -> bool:
    """Whether an option is about training by steps, which rules out a regression."""
    return any(path in STEPS or path.startswith(STEPS_UNDER) for path in set_paths(given))


def check_tuning(recipe: Recipe, tuning: FineTuning) -> None:
    """Raise UsageError if the network lacks the stage to cut at or has too few stages to unfreeze."""
    if recipe.solver == "logistic" and recipe.length != ONE_STEP:
        raise UsageError("a logistic regression has no epochs: leave out --epochs and --length")
    network = trained_network(recipe.network) if is_trained(recipe.network) else None
    if network is None:
        network = _opened(recipe.network, recipe.data)
    if network.tree is not None:
        with_tuning(recipe, network.tree, replace(tuning, mode=tuning.mode or "full"))
    else:
        _check_no_tree(network, tuning)


def with_tuning(recipe: Recipe, network: Network, tuning: FineTuning) -> Recipe:
    """The recipe with the rules of the mode for the network, and with the cut at the stage `at` if there is one."""
    if tuning.at is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoChange)
            shorter = edit(network, f"cut={tuning.at}")
        # A cut behind the last stage changes nothing if the head is a linear layer already.
        if (shorter.stages, shorter.heads) != (network.stages, network.heads):
            recipe, network = replace(recipe, edits=(*recipe.edits, shorter.edits[-1])), shorter
    rules = _probe_rules(last_layer(network), network) if tuning.mode == "probe" else _stage_rules(network, tuning)
    return with_rules(recipe, rules)


def with_rules(recipe: Recipe, rules: tuple[Rule, ...]) -> Recipe:
    """The recipe with more rules after the user's own; for each parameter the first rule that matches holds."""
    return replace(recipe, optimizer=replace(recipe.optimizer, rules=recipe.optimizer.rules + rules))


def last_layer(network: Network) -> str:
    """The path of the output layer in the built module."""
    head = dict(network.heads)[MAIN]
    paths = [path for path, node in walk(head, MAIN) if isinstance(node, Linear | Conv | Rbf)]
    if not paths:
        raise UsageError(f"{network.name}: its head has no layer that could be learned alone; take --mode full")
    return f"{MAIN}.only" if isinstance(head, Leaf) else paths[-1]


def stages_with_weights(network: Network) -> tuple[str, ...]:
    """The stages with parameters."""
    weighted = {layer.name.partition(".")[0] for layer in cost(network).layers if layer.params}
    return tuple(name for name, _ in network.stages if name in weighted)


def all_but(layer: str) -> str:
    """A regular expression for every parameter outside a layer."""
    return rf"^(?!{re.escape(layer)}\.)"


def _check_no_tree(network: Model, tuning: FineTuning) -> None:
    odd = [f"--{name}" for name in ("at", "unfreeze", "decay") if getattr(tuning, name) is not None]
    odd += ["--mode partial"] if tuning.mode == "partial" and not odd else []
    if odd:
        raise UsageError(no_tree(network, f"it has no stages for {odd[0]}; take --mode probe or full"))
    if tuning.mode is None:
        raise UsageError(no_tree(network, "its stages cannot be compared; say --mode probe or full"))


def _probe_rules(layer: str, network: Network) -> tuple[Rule, ...]:
    learned = layer.removesuffix(".only")
    frozen = [c.name for c in cost(network).layers if c.params and c.name != learned]
    return (Rule(all_but(layer), freeze=True),) if frozen else ()


def _stage_rules(network: Network, tuning: FineTuning) -> tuple[Rule, ...]:
    """The rules that freeze stages, then the rates of the others, the last one first; heads keep the recipe's rate."""
    stages = stages_with_weights(network)
    count = len(stages) if tuning.mode == "full" else tuning.unfreeze or 1
    if count > len(stages):
        raise UsageError(
            f"--unfreeze {count}: {network.name} has {many(len(stages), 'stage')} with weights: "
            f"{', '.join(stages) or 'none'}"
        )
    frozen, free = stages[: len(stages) - count], stages[len(stages) - count :]
    rules = [_rule(frozen, freeze=True)] if frozen else []
    if tuning.decay is not None:
        return (
            *rules,
            *(_rule((name,), lr=round(tuning.decay**depth, 6)) for depth, name in enumerate(reversed(free), 1)),
        )
    top = stages[-max(1, len(stages) // 2) :]
    for rate, names in ((TOP, [s for s in free if s in top]), (MIDDLE, [s for s in free if s not in top])):
        rules += [_rule(names, lr=rate)] if names else []
    return tuple(rules)


def _rule(stages: list[str] | tuple[str, ...], lr: float | None = None, freeze: bool = False) -> Rule:
    return Rule(rf"^({'|'.join(stages)})\.", lr=lr, freeze=freeze)


def _from_run(subject: str, source: str) -> Recipe:
    """The recipe with the run's data options and its tree, which contains the edits."""
    run, recipe = open_run(subject), run_recipe(subject)
    network = network_of(run)
    preprocess = preprocess_of(run)
    recipe = replace(
        recipe,
        network=network.named(subject),
        data=replace(
            recipe.data,
            size=size_word(preprocess.size),
            fit=preprocess.fit,
            group=None,
            classes=(),
            images=None,
            fold=None,
        ),
    )
    return _gentle(recipe, source, subject, _own_rate(recipe))


def _from_bundle(subject: str, source: str) -> Recipe:
    """The recipe for the images with the bundle's tree and size. A bundle holds no recipe."""
    bundle = open_bundle(subject)
    recipe, seen = for_data(source), bundle.preprocess
    data = replace(recipe.data, size=size_word(seen.size), fit=seen.fit)
    recipe = replace(recipe, network=subject, data=data, engine=EngineOptions())
    return _gentle(recipe, source, subject, _rate(bundle.network))


def _from_network(subject: str, source: str, weights: str) -> Recipe:
    """The recipe for the images at the image size of the weights."""
    recipe = for_network(subject, source)
    network = _opened(subject, recipe.data)
    size: int | str | None = recipe.data.size
    if network.tree is not None:
        size = max(network.tree.input.spatial, default=None)
    if subject.startswith(TORCHVISION):
        size = _published_size(subject, weights)
    recipe = replace(recipe, data=replace(recipe.data, size=size), engine=EngineOptions())
    return _gentle(recipe, source, weights, _rate(network))


def _rate(network: Model) -> float:
    """The learning rate for the head; half of it for a network without normalization."""
    numbers = network.price()
    return RATE if numbers is None or any(layer.op in NORMS for layer in numbers.layers) else RATE / 2


def _published_size(network: str, weights: str) -> int:
    """The side of the images of torchvision's weights; for a file, of the network's best published weights."""
    from convsmith.runs import publishers as published  # imports torchvision for its weights

    entry = weights if published.is_entry(weights) else published.BEST
    return published.find_published(network.removeprefix(TORCHVISION), entry).preprocess.size[0]


def _opened(name: str, data: DataOptions) -> Model:
    """The network `name`, opened before the data; a user's function gets placeholder numbers."""
    numbers = (
        {"classes": 10, "channels": data.channels or 3, "size": max(data.shape or (32, 32))} if ".py:" in name else {}
    )
    return open_network(name, **numbers)


def _own_rate(recipe: Recipe) -> float:
    """The learning rate of a run, converted to the smaller batch and this optimizer."""
    return recipe.optimizer.lr * min(1, BATCH / recipe.batch) if recipe.optimizer.kind == "sgd" else RATE


def _gentle(recipe: Recipe, source: str, weights: str, lr: float) -> Recipe:
    """The recipe made short, with the rate `lr` for the head; rules give the other layers a share of it.

    The data options and the engine of `recipe` stay. Its optimization was tuned for random weights and is replaced.
    """
    length = _length(source, recipe)
    every = Duration(max(1, length.amount // EPOCHS), "ep")  # for a small data set 300 steps are many epochs
    tuned = Recipe(
        name=f"finetune-{data_name(source)}",
        network=recipe.network,
        stem="large",
        weights=weights,
        data=replace(recipe.data, source=source),
        augment=recipe.augment,
        engine=recipe.engine,
        batch=BATCH,
        length=length,
        evaluate_every=every,
        checkpoint_every=every,
        optimizer=Optimizer(lr=lr, nesterov=True, weight_decay=1e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(5, "%")),
        select="best",
    )
    return unmirrored(tuned)


def _length(source: str, recipe: Recipe) -> Duration:
    """Ten epochs, or more if a small data set needs more for 300 steps."""
    path = Path(source)
    if source in KNOWN or not path.exists():
        return Duration(EPOCHS, "ep")
    try:
        counts = open_path(path).card.counts
    except BadFile:  # opening it with all options raises the error later
        return Duration(EPOCHS, "ep")
    shares = split_shares(recipe.data.split)
    images = counts.get("train", 0) * (1 if "val" in counts else 1 - shares[1] - (0 if "test" in counts else shares[2]))
    steps = max(1, int(images) // BATCH)  # fewer images than a batch make one step
    return Duration(max(EPOCHS, math.ceil(LEAST_STEPS / steps)), "ep")
