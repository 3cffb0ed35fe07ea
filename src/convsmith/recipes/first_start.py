"""What a user's own images start from where nothing else is named: published weights, if they can be had.

What starts from them is fine-tuned as `finetune` does it; else the recipe for training from nothing stays.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile
from convsmith.base.files import offline
from convsmith.data.card import Card
from convsmith.data.sources.opening import KNOWN, open_source
from convsmith.recipes.choose import MANY_IMAGES, OWN_IMAGES, SMALL_SIDE, for_data
from convsmith.recipes.finetune import FineTuning, asks_steps, finetuning_recipe, set_paths
from convsmith.recipes.limit import Limit
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import set_fields
from convsmith.runs.directory import is_run
from convsmith.runs.published import fetch
from convsmith.runs.publishers import BEST, at_hand, find_published, how_to_get, located
from convsmith.runs.trained import is_bundle

Say = Callable[[str], None]

# The networks to start from, in the order of choice: the best that a processor runs at some ten images a second and
# core. The first comes with the extra `photos`, the second is torchvision's, which is downloaded.
NETWORKS = ("efficientnet_lite0", "efficientnet_b0")
# Options that choose another network than those, or another way to learn; and those that choose another start.
OTHER_NETWORKS = ("network", "edits", "stem", "solver", "task")
OTHER_STARTS = ("weights", "init", "whiten", "renew")
# Seconds that a command takes at most where no other time is given.
PATIENCE = 600.0
# From nothing: how many images training sees in all, and the epochs that this makes of few and of many.
SEEN, LEAST_EPOCHS, MOST_EPOCHS = 40_000, 20, 200
# Images with fewer pixels a side show too little for a network that was trained on photographs.
LEAST_SIDE = 32


def first_start(
    subject: str | None, source: str | None, given: Sequence[tuple[str, Any]], limit: Limit | None, say: Say
) -> tuple[Recipe, FineTuning | None, Limit | None] | None:
    """The recipe for a user's own images, how it learns and in what time; None where something else was asked for.

    `given` are the options with their values, short and dotted, which the recipe gets as well. Without published
    weights the recipe learns from nothing, and the tuning is None.
    """
    named = source if subject is None else subject
    if named is None or named in KNOWN or not Path(named).exists() or (subject is not None and source is not None):
        return None
    if is_run(named) or is_bundle(named) or Path(named).suffix == ".json":
        return None
    paths = set_paths(given)
    if any(path in OTHER_NETWORKS for path in paths):
        return None
    scratch = set_fields(for_data(named), given)
    card = open_source(scratch.data).card
    if not _like_photographs(card):
        return None
    limit = limit or Limit(PATIENCE, given=False, sizes="data.size" not in paths)
    network = None if any(path in OTHER_STARTS for path in paths) else _network_at_hand(say)
    if network is None:
        return (from_nothing(scratch, card, paths), None, limit)
    recipe = set_fields(finetuning_recipe(network, named, FineTuning(), BEST), given)
    if card.multilabel:
        return recipe, FineTuning("probe"), limit
    return recipe, FineTuning(by_steps=asks_steps(given)), limit


def from_nothing(recipe: Recipe, card: Card, paths: Collection[str]) -> Recipe:
    """The recipe of photographs, whose epochs are the more the fewer images there are, where they are not set."""
    if recipe.name != OWN_IMAGES or "length" in paths:
        return recipe
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, SEEN // max(1, card.counts["train"])))
    return replace(recipe, length=Duration(epochs, "ep"))


def _like_photographs(card: Card) -> bool:
    """Whether the images are like those that the weights know: not tiny, and no large set of small ones."""
    if card.size is None or max(card.size) > SMALL_SIDE:
        return True
    return card.channels == 3 and min(card.size) >= LEAST_SIDE and sum(card.counts.values()) < MANY_IMAGES


def _network_at_hand(say: Say) -> str | None:
    """The first network whose weights lie here, else one whose weights can be fetched, which is done; says which."""
    for may_fetch in (False, True):
        for network in NETWORKS:
            published = at_hand(network, may_fetch=may_fetch)
            if published is None:
                continue
            if not located(published):
                say(f"fetching {published.facts}")
            try:
                fetch(published)
            except BadFile as error:
                say(f"not started from {published.source}: {error}")
                continue
            say(f"starts from {published.facts}; --weights none starts from nothing")
            return network
    missing = find_published(NETWORKS[0])
    why = "CONVSMITH_OFFLINE is set" if offline() else "they lie nowhere on this machine and could not be fetched"
    say(
        f"trains from nothing, without published weights ({why}), which is far less accurate on a small set. To start "
        f"from {missing.source}: {how_to_get(missing)}"
    )
    return None
