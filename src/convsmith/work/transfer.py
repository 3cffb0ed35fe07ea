"""Fine-tuning: chooses by the data which layers learn, prepares, trains."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.data.dataset import offering_skip
from convsmith.data.examples import images_of_classes
from convsmith.nets.weights.pretrained import last_layers
from convsmith.recipes.finetune import TOP, FineTuning, all_but, by_regression, check_tuning, with_rules, with_tuning
from convsmith.recipes.recipe import Recipe
from convsmith.report.text import many
from convsmith.runs.publishers import BEST
from convsmith.runs.trained import is_trained
from convsmith.training.logistic import fit_layer
from convsmith.training.options import Rule
from convsmith.work.last_layer import Say, has_linear_last, last_inputs
from convsmith.work.limit import Limit, say_overrun
from convsmith.work.prepare import Plan, announced, fit_network, make_model, prepare, whole_network
from convsmith.work.run import Outcome, train_plan
from convsmith.work.similarity import LEAST_VAL, Similarity, measure_similarity
from convsmith.work.within import shortened, smaller_within

# From this number per class, training images count as many: about a tenth of ImageNet's 1,300.
MANY = 100
# The share of the last layer's errors that deeper layers are assumed to mend. They learn only if so large a gain would
# show on the validation images. A rule of thumb of ours.
GAIN = 1 / 3
# Deeper layers learn for at least this many epochs, or not at all.
LEAST_EPOCHS = 2


@dataclass(frozen=True)
class Prepared:
    """A fine-tuning that is ready to run. `similarity` is None if the user gave the mode."""

    plan: Plan
    tuning: FineTuning
    images_per_class: float
    similarity: Similarity | None = None

    def to_json(self) -> dict[str, Any]:
        """The choice as `finetune --json` prints it."""
        measured = None if self.similarity is None else asdict(self.similarity) | {"similar": self.similarity.similar}
        chosen = asdict(self.tuning)
        del chosen["by_steps"]
        return {**chosen, "images_per_class": self.images_per_class, "similarity": measured}


def finetune(
    recipe: Recipe,
    tuning: FineTuning,
    *,
    out: Path | None = None,
    quiet: bool = False,
    say: Say = lambda text: None,
    limit: Limit | None = None,
) -> tuple[Outcome, Prepared | None]:
    """Train by a recipe of `finetuning_recipe`. The run's recipe holds the choice, so that `train` can repeat the run.

    A process that joins another's run prepares nothing, nor does one that torchrun restarts: the second item is None.
    """
    prepared: list[Prepared] = []

    def planned() -> Plan:
        prepared.append(prepare_finetuning(recipe, tuning, say=say, quiet=quiet, limit=limit))
        return prepared[0].plan

    with offering_skip(recipe.data):
        outcome = train_plan(planned, recipe.engine, out=out, quiet=quiet, say=say)
    say_overrun(limit, say)
    return outcome, prepared[0] if prepared else None


def prepare_finetuning(
    recipe: Recipe, tuning: FineTuning, *, say: Say = lambda text: None, quiet: bool = True, limit: Limit | None = None
) -> Prepared:
    """Open data and weights, choose the mode if none is given, and write it into the recipe as rules and edits.

    With a `limit`, deeper layers learn as long as it allows. `say` gets what takes time before it begins.
    """
    check_tuning(recipe, tuning)
    began = time.perf_counter()
    plan = prepare(recipe)
    if limit is not None:
        plan = smaller_within(plan, limit)
    plan = announced(plan, say)
    per_class = _images_per_class(plan)
    notes = [_what_learns(tuning)] if tuning.mode else []
    similarity, by_steps = None, tuning.by_steps
    if tuning.mode is None:
        _check_measurable(plan)
        similarity = measure_similarity(plan, say, quiet)
        tuning, why = choose_mode(per_class, similarity)
        notes = [why]
        if tuning.mode != "probe" and can_regress(plan):
            tuning, why = where_it_pays(plan, tuning, why, say, quiet)
            notes = [why]
        if tuning.mode == "probe" and can_regress(plan) and not by_steps:
            tuning = replace(tuning, classifier="logistic")
    tuned = _with_tuning(plan, tuning, notes, limit)
    if similarity is not None and limit is not None and not by_steps and _is_short(tuned.recipe):
        tuning = FineTuning("probe", classifier="logistic")
        notes += [f"mode probe after all: deeper layers would learn for {tuned.recipe.length} alone, {limit}"]
        tuned = _with_tuning(plan, tuning, notes, None)
    return Prepared(replace(tuned, spent=time.perf_counter() - began), tuning, per_class, similarity)


def _with_tuning(plan: Plan, tuning: FineTuning, notes: list[str], limit: Limit | None) -> Plan:
    """The plan whose recipe holds the tuning, shortened to the limit."""
    recipe = plan.recipe
    if tuning.classifier == "logistic" and recipe.solver != "logistic":
        recipe = by_regression(recipe)
    elif tuning.mode != "probe" and can_regress(plan):
        recipe = replace(recipe, start_head=True)
    plan = replace(plan, recipe=recipe)
    tree = plan.network.tree
    recipe = with_tuning(recipe, tree, tuning) if tree else _with_rules_of_module(plan, tuning)
    if recipe.edits != plan.recipe.edits:
        network, whole = fit_network(recipe, plan.dataset, []), whole_network(recipe, plan.dataset)
        plan = replace(plan, network=network, whole=whole)
    whole = replace(plan, recipe=recipe, notes=(*plan.notes, *notes))
    if limit is None or not recipe.by_steps:
        return whole
    return shortened(whole, limit)


def _is_short(recipe: Recipe) -> bool:
    """Whether the length is too short for more than the last layer, which a regression has learned already."""
    return recipe.start_head and (recipe.length.unit != "ep" or recipe.length.amount < LEAST_EPOCHS)


def choose_mode(per_class: float, similarity: Similarity) -> tuple[FineTuning, str]:
    """The tuning by the lectures' 2x2 table (few or many images, like or unlike the source's), and the reason."""
    match per_class >= MANY, similarity.similar:
        case False, True:
            tuning = FineTuning("probe")
        case False, False:
            tuning = FineTuning("probe", at=similarity.best)
        case True, True:
            tuning = FineTuning("partial", unfreeze=1)
        case _:
            tuning = FineTuning("full")
    word = "many" if per_class >= MANY else "few"
    amount = f"{per_class:,.0f} training images per class are {word} (many: from {MANY})"
    shown = ", ".join(f"{name} {share:.0%}" for name, share in similarity.accuracies.items())
    if similarity.count < LEAST_VAL:  # probes on so few say nothing
        few = f"{many(similarity.count, 'validation image is', 'validation images are')} too few"
        return tuning, f"{_what_learns(tuning)}: {amount}; {few} to compare the stages' features (from {LEAST_VAL})"
    if similarity.similar:
        like = "no earlier features serve better than the last ones, so the task is like the source's"
    else:
        like = f"the features of {similarity.best} serve better than the last ones, so the task is unlike the source's"
    probes = f"linear probes on {many(similarity.count, 'validation image')}: {shown}"
    return tuning, f"{_what_learns(tuning)}: {amount}; {like} ({probes})"


def can_regress(plan: Plan) -> bool:
    """Whether logistic regression can fit the last layer: one class an image, cross-entropy, a linear layer."""
    recipe = plan.recipe
    if plan.dataset.card.multilabel or recipe.task or recipe.loss.kind not in (None, "cross_entropy"):
        return False
    return has_linear_last(plan.network.make(recipe.seed))


def where_it_pays(plan: Plan, tuning: FineTuning, why: str, say: Say, quiet: bool) -> tuple[FineTuning, str]:
    """The tuning and the reason; a probe if the gain of deeper layers would not show on the validation images."""
    module = make_model(plan, [])
    inputs = last_inputs(plan, module, say, quiet)
    layer = fit_layer(module, inputs, len(plan.dataset.card.classes))
    right = int((layer.outputs(inputs.val[0]).argmax(1).numpy() == inputs.val[1]).sum())
    count = len(inputs.val[1])
    alone = f"the last layer alone gets {right:,} of {many(count, 'validation image')} right"
    if GAIN * (count - right) > (right * (count - right) / count) ** 0.5:
        return tuning, f"{why}; {alone}, and a third fewer errors would show"
    more = "no error is left" if right == count else f"on {many(count, 'image')} a third fewer errors would not show"
    return FineTuning("probe"), f"mode probe: {alone}, and {more}; deeper layers learn by {_by_hand(plan, tuning)}"


def _by_hand(plan: Plan, tuning: FineTuning) -> str:
    """The command that fine-tunes with the mode of `tuning` and does not choose by the images."""
    recipe, weights = plan.recipe, plan.recipe.weights or BEST
    start = f"{recipe.network} --weights {quote(weights)}"
    if weights == BEST or is_trained(weights):
        start = f"{recipe.network} --pretrained" if weights == BEST else quote(weights)
    return f"convsmith finetune {start} --data {quote(recipe.data.source)} --{_what_learns(tuning)}"


def _check_measurable(plan: Plan) -> None:
    if plan.dataset.card.multilabel or plan.recipe.task:
        raise UsageError("the mode is chosen by images with one label each; say --mode probe, partial or full")


def _what_learns(tuning: FineTuning) -> str:
    at = f" --at {tuning.at}" if tuning.at else ""
    if tuning.mode == "partial":
        at += f" --unfreeze {tuning.unfreeze or 1}"
    return f"mode {tuning.mode}{at}"


def _images_per_class(plan: Plan) -> float:
    """The mean number of training images over the classes; UsageError for a class without any."""
    classes = plan.dataset.card.classes
    counts = images_of_classes(plan.dataset.train.labels, len(classes))
    # A quick run takes a few images, in which a class may be missing.
    if min(counts) == 0 and not plan.recipe.quick:
        name = classes[counts.index(0)]
        why = " (groups stay whole)" if plan.recipe.data.group else ""
        raise UsageError(
            f"the class {name!r} has no training image that can be read{why}; give it some, or try another "
            "--data.split_seed, or name the other classes with --data.classes"
        )
    return sum(counts) / len(classes)


def _with_rules_of_module(plan: Plan, tuning: FineTuning) -> Recipe:
    """The recipe with rules for a module that is not a tree; its last layer is the last one with weights."""
    module = plan.network.make(plan.recipe.seed)
    layers = last_layers(module, module.state_dict())
    if not layers:
        raise UsageError(f"{plan.recipe.network}: has no layer with weights to learn")
    rest = all_but(layers[0])
    return with_rules(plan.recipe, (Rule(rest, freeze=True) if tuning.mode == "probe" else Rule(rest, lr=TOP),))
