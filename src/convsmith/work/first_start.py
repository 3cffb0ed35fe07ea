"""The start of a training on the user's own images if the command names nothing else: published weights.

With published weights the network is fine-tuned as by `finetune`; without them it learns from nothing.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile
from convsmith.base.files import offline
from convsmith.data.card import Card
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import KNOWN, describe, open_source
from convsmith.recipes.choose import MANY_IMAGES, OWN_IMAGES, SMALL_SIDE, for_data
from convsmith.recipes.finetune import FineTuning, asks_steps, finetuning_recipe, set_paths
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import set_fields
from convsmith.runs.directory import is_run
from convsmith.runs.publishers import BEST, Published, at_hand, find_published, how_to_get, located
from convsmith.runs.trained import is_bundle
from convsmith.work.limit import Limit

Say = Callable[[str], None]

# The networks to start from, the preferred first. They are small enough for a CPU. The weights of the first come with
# the extra `photos`; those of the second are torchvision's and are downloaded.
NETWORKS = ("efficientnet_lite0", "efficientnet_b0")
# Options that choose another network or another way to learn; options that choose another start.
OTHER_NETWORKS = ("network", "edits", "stem", "solver", "task")
OTHER_STARTS = ("weights", "init", "whiten", "renew")
# The limit in seconds if the user gives none.
PATIENCE = 600.0
# Without published weights: the number of images that training sees in all, and the least and the most epochs.
SEEN, LEAST_EPOCHS, MOST_EPOCHS = 40_000, 20, 200
# Images with fewer pixels a side have too little detail for a network that was trained on photographs.
LEAST_SIDE = 32


def first_start(
    subject: str | None, source: str | None, given: Sequence[tuple[str, Any]], limit: Limit | None, say: Say
) -> tuple[Recipe, FineTuning | None, Limit | None] | None:
    """The recipe for a user's own images, its tuning and its limit; None if the command asks for something else.

    `given` are the options with their values, short and dotted; the recipe gets them too. Without published weights
    the recipe learns from nothing, and the tuning is None. `--pretrained` changes nothing here.
    """
    named = source if subject is None else subject
    if named is None or named in KNOWN or not Path(named).exists() or (subject is not None and source is not None):
        return None
    if is_run(named) or is_bundle(named) or Path(named).suffix == ".json":
        return None
    paths = set_paths(given)
    best = {"weights"} if ("weights", BEST) in given or ("pretrained", True) in given else set[str]()
    if any(path in OTHER_NETWORKS for path in paths):
        return None
    scratch = set_fields(for_data(named), given)
    card = open_source(scratch.data).card
    if not _like_photographs(card):
        return None
    limit = limit or Limit(PATIENCE, given=False, sizes="data.size" not in paths)
    network = None
    if not any(path in OTHER_STARTS and path not in best for path in paths):
        say(f"data {card.name}: {describe(card)}")
        network = _network_at_hand(say)
    if network is None:
        return (from_nothing(scratch, card, paths), None, limit)
    recipe = set_fields(finetuning_recipe(network, named, FineTuning(), BEST), given)
    if card.multilabel:
        return recipe, FineTuning("probe"), limit
    return recipe, FineTuning(by_steps=asks_steps(given)), limit


def from_nothing(recipe: Recipe, card: Card, paths: Collection[str]) -> Recipe:
    """The recipe with more epochs for fewer images, if it is the recipe for photographs and no length is set."""
    if recipe.name != OWN_IMAGES or "length" in paths:
        return recipe
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, SEEN // max(1, card.counts["train"])))
    return replace(recipe, length=Duration(epochs, "ep"))


def _like_photographs(card: Card) -> bool:
    """Whether the images are like photographs: not tiny, not many small ones, and not small and gray."""
    if card.size is None or max(card.size) > SMALL_SIDE:
        return True
    return card.channels == 3 and min(card.size) >= LEAST_SIDE and sum(card.counts.values()) < MANY_IMAGES


def expected_start(source: str) -> tuple[DataOptions, str] | None:
    """The data options of `train --data SOURCE`, and a line that names the weights that it would start from.

    None if it would start without weights. Nothing is fetched, and no file of weights is read.
    """
    if (
        source in KNOWN
        or not Path(source).exists()
        or not _like_photographs(open_source(DataOptions(source=source)).card)
    ):
        return None
    candidates = _candidates()
    if not candidates:
        return None
    network, published = candidates[0]
    data = finetuning_recipe(network, source, FineTuning(), BEST).data
    return data, f"as the weights to start from expect it ({published.source}), not by the mean and std above"


def _candidates() -> list[tuple[str, Published]]:
    """The networks with weights to start from: first those whose weights are on this machine, then the others."""
    local = {network: published for network in NETWORKS if (published := at_hand(network))}
    far = {n: published for n in NETWORKS if n not in local and (published := at_hand(n, may_fetch=True))}
    return [*local.items(), *far.items()]


def _network_at_hand(say: Say) -> str | None:
    """The first network whose weights lie here, else one whose weights can be fetched, which is done; says which."""
    from convsmith.runs.published import fetch  # imports torch

    failed = False
    for network, published in _candidates():
        if not located(published):
            say(f"fetching {published.facts}")
        try:
            fetch(published)
        except BadFile as error:
            say(f"not started from {published.source}: {error}")
            failed = True
            continue
        say(f"weights: {published.facts}; --weights none does without")
        return network
    missing = find_published(NETWORKS[0])
    why = "CONVSMITH_OFFLINE is set" if offline() else "they lie nowhere on this machine and could not be fetched"
    why = "none of them can be used" if failed else why
    say(
        f"trains from nothing, without published weights ({why}), which is far less accurate on a small set. To start "
        f"from {missing.source}: {how_to_get(missing)}"
    )
    return None
