"""How much arithmetic a run is."""

from convsmith.data.dataset import Dataset
from convsmith.data.loaders import steps_in_epoch
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign
from convsmith.recipes.recipe import Recipe

# Of a multiply-accumulate in training: two operations forward, and twice as many backward.
OPERATIONS = 6


def training_flops(recipe: Recipe, dataset: Dataset, network: Network | Foreign) -> float:
    """The floating-point operations of the whole run; 0 for a module that is no tree, whose cost is not known."""
    if not isinstance(network, Network):
        return 0.0
    steps = recipe.length.steps(steps_in_epoch(len(dataset.train), recipe.batch))
    return OPERATIONS * cost(network).macs * steps * min(recipe.batch, len(dataset.train))
