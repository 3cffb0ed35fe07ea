"""Fine-tuning as it is run: choose what learns by the data, prepare, train."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.data.examples import images_of_classes
from convsmith.nets.network import Network
from convsmith.nets.pretrained import last_layers
from convsmith.recipes.finetune import TOP, FineTuning, all_but, check_tuning, with_rules, with_tuning
from convsmith.recipes.prepare import Plan, fit_network, prepare, whole_network
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.run import Outcome, train_plan
from convsmith.recipes.similarity import Similarity, measure_similarity
from convsmith.runs.subject import make_module
from convsmith.training.options import Rule

# Training images per class from which there are many: a tenth of ImageNet's, whose classes have about 1,300.
MANY = 100


@dataclass(frozen=True)
class Prepared:
    """A fine-tuning ready to run; `similarity` is None where the mode was given."""

    plan: Plan
    tuning: FineTuning
    images_per_class: float
    similarity: Similarity | None = None

    def to_json(self) -> dict[str, Any]:
        """What `finetune --json` says of the choice."""
        measured = None if self.similarity is None else asdict(self.similarity) | {"similar": self.similarity.similar}
        return {**asdict(self.tuning), "images_per_class": self.images_per_class, "similarity": measured}


def finetune(
    recipe: Recipe,
    tuning: FineTuning,
    *,
    out: Path | None = None,
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Outcome, Prepared | None]:
    """Train by a recipe of `finetuning_recipe`; the run's own recipe then repeats it without this.

    Nothing is prepared in a process that joins another's run, or that takes up its own where torchrun restarted it.
    """
    prepared: list[Prepared] = []

    def planned() -> Plan:
        prepared.append(prepare_finetuning(recipe, tuning))
        return prepared[0].plan

    outcome = train_plan(planned, recipe.engine, out=out, quiet=quiet, say=say)
    return outcome, prepared[0] if prepared else None


def prepare_finetuning(recipe: Recipe, tuning: FineTuning) -> Prepared:
    """Open data and weights, choose the mode where none is given, and write it into the recipe as rules and edits."""
    check_tuning(recipe, tuning)
    plan = prepare(recipe)
    per_class = _images_per_class(plan)
    similarity = None
    notes = [_what_learns(tuning)] if tuning.mode else []
    if tuning.mode is None:
        _check_measurable(plan)
        similarity = measure_similarity(plan)
        tuning, why = choose_mode(per_class, similarity)
        notes = [why]
    if isinstance(plan.network, Network):
        recipe = with_tuning(plan.recipe, plan.network, tuning)
    else:
        recipe = _with_rules_of_module(plan, tuning)
    if recipe.edits != plan.recipe.edits:
        network, whole = fit_network(recipe, plan.dataset, []), whole_network(recipe, plan.dataset)
        plan = replace(plan, network=network, whole=whole)
    return Prepared(replace(plan, recipe=recipe, notes=(*plan.notes, *notes)), tuning, per_class, similarity)


def choose_mode(per_class: float, similarity: Similarity) -> tuple[FineTuning, str]:
    """The lectures' table of two by two: few or many images, like or unlike the source's; and a line that says why."""
    match per_class >= MANY, similarity.similar:
        case False, True:
            tuning = FineTuning("probe")
        case False, False:
            tuning = FineTuning("probe", at=similarity.best)
        case True, True:
            tuning = FineTuning("partial", unfreeze=1)
        case _:
            tuning = FineTuning("full")
    amount = "many" if per_class >= MANY else "few"
    many = f"{per_class:,.0f} training images per class are {amount} (many: from {MANY})"
    shown = ", ".join(f"{name} {share:.0%}" for name, share in similarity.accuracies.items())
    if similarity.similar:
        like = "no earlier features serve better than the last ones, so the task is like the source's"
    else:
        like = f"the features of {similarity.best} serve better than the last ones, so the task is unlike the source's"
    probes = f"linear probes on {similarity.count:,} validation images: {shown}"
    return tuning, f"{_what_learns(tuning)}: {many}; {like} ({probes})"


def _check_measurable(plan: Plan) -> None:
    if plan.dataset.card.multilabel or plan.recipe.task:
        raise UsageError("the mode is chosen by images with one label each; say --mode probe, partial or full")


def _what_learns(tuning: FineTuning) -> str:
    at = f" --at {tuning.at}" if tuning.at else ""
    if tuning.mode == "partial":
        at += f" --unfreeze {tuning.unfreeze or 1}"
    return f"mode {tuning.mode}{at}"


def _images_per_class(plan: Plan) -> float:
    """The mean over the classes; UsageError for a class without one, which nothing could be learned of."""
    classes = plan.dataset.card.classes
    counts = images_of_classes(plan.dataset.train.labels, len(classes))
    # A quick run takes a few images, in which a class may be missing.
    if min(counts) == 0 and not plan.recipe.quick:
        name = classes[counts.index(0)]
        raise UsageError(
            f"the class {name!r} has no training image; give it some, or another --data.split or split_seed"
        )
    return sum(counts) / len(classes)


def _with_rules_of_module(plan: Plan, tuning: FineTuning) -> Recipe:
    """Rules for a module that is no tree: its last layer is the last one with weights."""
    module = make_module(plan.network, plan.recipe.seed)
    layers = last_layers(module, module.state_dict())
    if not layers:
        raise UsageError(f"{plan.recipe.network}: has no layer with weights to learn")
    rest = all_but(layers[0])
    return with_rules(plan.recipe, (Rule(rest, freeze=True) if tuning.mode == "probe" else Rule(rest, lr=TOP),))
