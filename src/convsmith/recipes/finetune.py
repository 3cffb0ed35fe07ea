"""Fine-tuning: from trained weights and other images to a recipe. Plain data; torch is for torchvision's registry."""

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

# A tenth of the rate for the last half of the stages, a hundredth for those before: a layer's features are the more
# general the earlier it stands (Yosinski et al. 2014).
TOP, MIDDLE = 0.1, 0.01
EPOCHS, LEAST_STEPS, BATCH, RATE = 10, 300, 32, 0.02
NORMS = ("batch_norm", "group_norm", "layer_norm")
ONE_STEP = Duration(1, "steps")
# The fields that matter only for training by steps, and the prefixes of such fields.
STEPS = ("length", "augment", "resize", "batch", "label_smoothing", "views")
STEPS_UNDER = ("optimizer.", "schedule.", "early_stopping.", "loss.")


@dataclass(frozen=True)
class FineTuning(Record, called=""):
    """What of a network learns. An option that belongs to a mode chooses it; None leaves the choice to the data.

    probe: a new last layer alone, on the features of the stage `at`; partial: the last `unfreeze` stages too; full: all
    of it. `decay` is the ratio of the rates of neighboring stages, in place of a tenth and a hundredth. `by_steps`
    says that options of taking steps were given, for which a regression has no use.
    """

    mode: Mode | None = option(None, "what learns: probe, partial or full")
    at: str | None = option(None, "stage whose features the new last layer gets")
    unfreeze: int | None = option(None, "last stages that learn", least=1, mend="--mode probe unfreezes no stage")
    decay: float | None = option(None, "ratio of the rates of neighboring stages", above=0, most=1, log=True)
    classifier: Literal["linear", "logistic"] | None = option(None, "how probe finds the last layer")
    by_steps: bool = option(False, "whether options of taking steps were given")

    def check(self) -> None:
        """Options of a mode stand with that mode, and choose it."""
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

    What of it learns is not in it yet: `with_tuning` adds that, once the network is known.
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
    """How the recipe for a user's own images learns from weights: as in fine-tuning, where the images can choose.

    None for other recipes, without weights, and where rules, a task or a run that is repeated say what learns.
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
    """Whether an option is about training by steps; a user who sets one does not want a regression instead."""
    return any(path in STEPS or path.startswith(STEPS_UNDER) for path in set_paths(given))


def check_tuning(recipe: Recipe, tuning: FineTuning) -> None:
    """Refuse early what the network has not: a stage to cut at, so many stages to unfreeze."""
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
    """The recipe with the rules, and where asked for the cut, that the mode means for the network as it is so far."""
    if tuning.at is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoChange)
            shorter = edit(network, f"cut={tuning.at}")
        # Behind the last stage there may be nothing else already.
        if (shorter.stages, shorter.heads) != (network.stages, network.heads):
            recipe, network = replace(recipe, edits=(*recipe.edits, shorter.edits[-1])), shorter
    rules = _probe_rules(last_layer(network), network) if tuning.mode == "probe" else _stage_rules(network, tuning)
    return with_rules(recipe, rules)


def with_rules(recipe: Recipe, rules: tuple[Rule, ...]) -> Recipe:
    """The recipe with more rules; the user's own come first, and the first that fits a name holds."""
    return replace(recipe, optimizer=replace(recipe.optimizer, rules=recipe.optimizer.rules + rules))


def last_layer(network: Network) -> str:
    """The path in the built module of the layer that gives the outputs."""
    head = dict(network.heads)[MAIN]
    paths = [path for path, node in walk(head, MAIN) if isinstance(node, Linear | Conv | Rbf)]
    if not paths:
        raise UsageError(f"{network.name}: its head has no layer that could be learned alone; take --mode full")
    return f"{MAIN}.only" if isinstance(head, Leaf) else paths[-1]


def stages_with_weights(network: Network) -> tuple[str, ...]:
    """The stages that have something to learn."""
    weighted = {layer.name.partition(".")[0] for layer in cost(network).layers if layer.params}
    return tuple(name for name, _ in network.stages if name in weighted)


def all_but(layer: str) -> str:
    """The pattern of every parameter outside a layer."""
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
    """Frozen stages, then the rates of the others from the last one down; heads keep the recipe's rate."""
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
    """The run's own way to see images, on its tree as it stands, which has the edits in it."""
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
    """The recipe that suits the images, on the bundle's tree at its size; how it learned is not in it."""
    bundle = open_bundle(subject)
    recipe, seen = for_data(source), bundle.preprocess
    data = replace(recipe.data, size=size_word(seen.size), fit=seen.fit)
    recipe = replace(recipe, network=subject, data=data, engine=EngineOptions())
    return _gentle(recipe, source, subject, _rate(bundle.network))


def _from_network(subject: str, source: str, weights: str) -> Recipe:
    """The recipe that suits the images, at the size that the network is made for: the weights know no other."""
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
    """The rate for the head; without normalization a network takes half of it."""
    numbers = network.price()
    return RATE if numbers is None or any(layer.op in NORMS for layer in numbers.layers) else RATE / 2


def _published_size(network: str, weights: str) -> int:
    """The side of the images that torchvision's weights are for: those that are named, for a file its best ones."""
    from convsmith.runs import publishers as published  # imports torchvision for its weights

    entry = weights if published.is_entry(weights) else published.BEST
    return published.find_published(network.removeprefix(TORCHVISION), entry).preprocess.size[0]


def _opened(name: str, data: DataOptions) -> Model:
    """What `name` names, as far as it is known before the data; a user's function gets numbers that stand in for it."""
    numbers = (
        {"classes": 10, "channels": data.channels or 3, "size": max(data.shape or (32, 32))} if ".py:" in name else {}
    )
    return open_network(name, **numbers)


def _own_rate(recipe: Recipe) -> float:
    """The rate that a run was trained at, as far as it holds for smaller batches and for this optimizer."""
    return recipe.optimizer.lr * min(1, BATCH / recipe.batch) if recipe.optimizer.kind == "sgd" else RATE


def _gentle(recipe: Recipe, source: str, weights: str, lr: float) -> Recipe:
    """Short, at the rate `lr` for the head alone: the rest gets a share of it, since good weights are there to be kept.

    Of `recipe` stays how it sees images and on what it runs; how it learned was tuned for weights from nothing.
    """
    length = _length(source, recipe)
    every = Duration(max(1, length.amount // EPOCHS), "ep")  # of a small set 300 steps are many epochs
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
    """Ten epochs, and of a small set as many as make 300 steps."""
    path = Path(source)
    if source in KNOWN or not path.exists():
        return Duration(EPOCHS, "ep")
    try:
        counts = open_path(path).card.counts
    except BadFile:  # which is said when it is opened with all options
        return Duration(EPOCHS, "ep")
    shares = split_shares(recipe.data.split)
    images = counts.get("train", 0) * (1 if "val" in counts else 1 - shares[1] - (0 if "test" in counts else shares[2]))
    steps = max(1, int(images) // BATCH)  # fewer than a batch make one of all
    return Duration(max(EPOCHS, math.ceil(LEAST_STEPS / steps)), "ep")
