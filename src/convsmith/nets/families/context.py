"""The context network of dilated convolutions (Yu and Koltun 2016, "Multi-scale context aggregation")."""

from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv
from convsmith.nets.parts import RELU
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, seq


def context(
    *,
    dilations: tuple[int, ...],
    widths: tuple[int, ...],
    classes: int = 21,
    channels: int = 21,
    size: int = 64,
) -> Network:
    """3x3 convolutions with growing `dilations`, each with ReLU, then a 1x1 convolution (table 1).

    It reads maps of `channels` (scores of a network before it, 21 for Pascal VOC) and gives maps of `classes` of the
    same size, (N, classes, H, W): the head keeps them. `widths` are multiples of `classes`, as in the table. Each
    layer is padded to keep the size.
    """
    layers: dict[str, Node | None] = {}
    for i, (dilation, width) in enumerate(zip(dilations, widths, strict=True), 1):
        conv = Conv(width * classes, 3, padding=dilation, dilation=dilation)
        layers |= {f"conv{i}": conv, f"act{i}": RELU}
    return Network(
        name="context",
        family="context",
        input=Shape(channels, (size, size)),
        stages=(("stage1", seq(**layers)),),
        heads=((MAIN, seq(conv=Conv(classes))),),
    )


CONTEXT = Family("context", context)
_DILATIONS = (1, 1, 2, 4, 8, 16, 1)
NETWORKS = {
    "context_basic": Row(
        CONTEXT, 2016, "table 1, basic: every layer with as many maps as classes, a map as output",
        {"dilations": _DILATIONS, "widths": (1,) * 7},
    ),
    "context_large": Row(
        CONTEXT, 2016, "table 1, large: 2 to 32 times as many maps as classes, a map as output",
        {"dilations": _DILATIONS, "widths": (2, 2, 4, 8, 16, 32, 32)},
    ),
    "context_figure1": Row(
        CONTEXT, 2016, "the three layers of figure 1: dilations 1, 2 and 4 see 3, 7 and 15 pixels",
        {"dilations": (1, 2, 4), "widths": (1, 1, 1)},
    ),
}  # fmt: skip
