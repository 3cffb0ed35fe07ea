"""The arithmetic of a run."""

from convsmith.data.dataset import Dataset
from convsmith.data.loaders import steps_in_epoch
from convsmith.nets.model import Model
from convsmith.recipes.recipe import Recipe

# Operations of one multiply-accumulate in training: two forward, four backward.
OPERATIONS = 6


def training_flops(recipe: Recipe, dataset: Dataset, network: Model) -> float:
    """The floating-point operations of the whole run; 0 for a module that is not a tree, whose cost is not known."""
    numbers = network.price()
    if numbers is None:
        return 0.0
    steps = recipe.length.steps(steps_in_epoch(len(dataset.train), recipe.batch))
    return OPERATIONS * numbers.macs * steps * min(recipe.batch, len(dataset.train))
