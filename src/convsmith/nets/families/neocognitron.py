"""The neocognitron (Fukushima 1980), the first network of alternating convolution and pooling layers."""

from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, Conv, Flatten, Linear, Pad
from convsmith.nets.parts import RELU
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, seq

# Fukushima 1980, section 5: the sides of the S- and C-layers are 16 and 10, 8 and 6, 2 and 1; an S-cell sees 5x5.
# Columns: padding of the S-layer; padding of the C-layer, side of the area that its cells see.
_STAGES = (
    (2, -1, 5),
    (1, 1, 5),
    (0, 0, 2),
)


def neocognitron(*, planes: int = 24, classes: int = 10, channels: int = 1, size: int = 16) -> Network:
    """The neocognitron of Fukushima 1980, section 5, as a network that can be trained: U0 -> Us1 -> Uc1 -> ... -> Uc3.

    S-cells are a convolution and half-wave rectification, C-cells blur. Differences from the original: a bias in place
    of the dividing inhibition of an S-cell; a mean in place of C-cell weights that fall with the distance; no
    saturation and no lateral inhibition of a C-cell; gradients in place of unsupervised learning; a linear layer in
    place of the choice of the strongest of the 24 last cells. The paper gives the sides of the layers and the areas
    that cells see, but not the strides: here every stride is 1, and padding gives the sides.
    """
    stages = tuple(
        (
            f"stage{i}",
            seq(
                conv=Conv(planes, 5, padding=s_padding), act=RELU,
                pad=Pad(c_padding, c_padding) if c_padding else None, pool=AvgPool(area, 1),
            ),
        )
        for i, (s_padding, c_padding, area) in enumerate(_STAGES, 1)
    )  # fmt: skip
    head = seq(flatten=Flatten(), linear=Linear(classes))
    return Network(
        name="neocognitron",
        family="neocognitron",
        input=Shape(channels, (size, size)),
        init="he_in",
        stages=stages,
        heads=((MAIN, head),),
    )


def wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the planes of each layer, at least one."""
    return {**numbers, "planes": max(1, round(numbers["planes"] * factor))}


NETWORKS = {
    "neocognitron": Row(
        Family("neocognitron", neocognitron, widen=wider), 1980, "three pairs of S- and C-layers, trained by gradients"
    )
}
