"""Whether a network, its preprocessing and its data card belong together."""

from convsmith.base.errors import UsageError
from convsmith.data.card import Card
from convsmith.data.preprocess import ImageInput
from convsmith.nets.cost import cost
from convsmith.nets.limits import check_memory
from convsmith.nets.model import Model
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN
from convsmith.report.text import many

# The range of the temperature that outputs are divided by; calibration gives one inside it.
TEMPERATURES = 1e-4, 1e4


def check_fit(network: Model, preprocess: ImageInput, card: Card) -> None:
    """Raise UsageError if the network does not take the preprocessed images, or gives neither classes nor such images.

    For a module that is not a tree only the number of classes is known.
    """
    classes = len(card.classes)
    tree = network.tree
    if tree is None:
        if network.classes not in (None, classes):
            raise UsageError(
                f"the network is made for {many(network.classes, 'class', 'classes')}, and the data has {classes}"
            )
        return
    shape = Shape(preprocess.channels, preprocess.size)
    if tree.input.channels != shape.channels:
        raise UsageError(f"the network takes {many(tree.input.channels, 'channel')}, and images have {shape.channels}")
    traced = tree.trace(shape)
    outputs = traced.stages[MAIN].shape
    if outputs != shape and (outputs.spatial or outputs.channels != classes):
        raise UsageError(
            f"the network gives outputs of shape {tuple(outputs)}, and the data has {many(classes, 'class', 'classes')}"
        )
    if cost(tree, shape).params != cost(tree).params:
        sizes = "x".join(map(str, shape.spatial))
        raise UsageError(f"the network is made for {tuple(tree.input)}, and images are seen at {sizes}")
    check_memory(tree.name, traced.steps)
