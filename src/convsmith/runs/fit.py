"""Whether a network, its preprocessing and its data card belong together. No torch here."""

from convsmith.base.errors import UsageError
from convsmith.data.card import Card
from convsmith.data.preprocess import Preprocess
from convsmith.nets.cost import cost
from convsmith.nets.limits import check_memory
from convsmith.nets.network import Network
from convsmith.nets.shape import Shape
from convsmith.nets.source import Foreign
from convsmith.nets.tree import MAIN

# The range of the temperature that outputs are divided by; calibration gives one inside it.
TEMPERATURES = 1e-4, 1e4


def check_fit(network: Network | Foreign, preprocess: Preprocess, card: Card) -> None:
    """Raise UsageError if the network does not take the preprocessed images, or has another number of classes.

    For a module that is not a tree only the number of classes is known.
    """
    classes = len(card.classes)
    if isinstance(network, Foreign):
        made = network.arguments.get("num_classes", network.arguments.get("classes", classes))
        if made != classes:
            raise UsageError(f"the network is made for {made} classes, and the data has {classes}")
        return
    shape = Shape(preprocess.channels, preprocess.size)
    if network.input.channels != shape.channels:
        raise UsageError(f"the network takes {network.input.channels} channels, and images have {shape.channels}")
    traced = network.trace(shape)
    outputs = traced.stages[MAIN].shape
    if outputs.spatial or outputs.channels != classes:
        raise UsageError(f"the network gives outputs of shape {tuple(outputs)}, and the data has {classes} classes")
    if cost(network, shape).params != cost(network).params:
        sizes = "x".join(map(str, shape.spatial))
        raise UsageError(f"the network is made for {tuple(network.input)}, and images are seen at {sizes}")
    check_memory(network.name, traced.steps)
