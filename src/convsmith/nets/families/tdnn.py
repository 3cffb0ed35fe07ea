"""The time-delay neural network (Waibel et al. 1989), convolutions over time."""

from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveAvgPool, Conv, Flatten, Scale
from convsmith.nets.parts import SIGMOID
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, seq


def tdnn(*, hidden: int = 8, classes: int = 3, channels: int = 16, size: int = 15) -> Network:
    """The network for the phonemes B, D and G (figure 2): 16 melscale coefficients of 15 frames, (N, 16, 15).

    `hidden` units see 3 frames each. One unit for each class sees 5 frames of these; the sum of its outputs over time
    is the class's score. The paper applies a last sigmoid to the sum, with one fixed weight for all frames.
    """
    frames = size - (3 - 1) - (5 - 1)
    head = seq(
        conv=Conv(classes, (5,)), act=SIGMOID,
        pool=AdaptiveAvgPool(1), sum=Scale(float(frames)), flatten=Flatten(),
    )  # fmt: skip
    return Network(
        name="tdnn",
        family="tdnn",
        input=Shape(channels, (size,)),
        init="xavier",
        stages=(("stage1", seq(conv=Conv(hidden, (3,)), act=Act("sigmoid"))),),
        heads=((MAIN, head),),
    )


NETWORKS = {"tdnn": Row(Family("tdnn", tdnn), 1989, "phonemes B, D, G from 15 frames of 16 coefficients: 1-D")}
