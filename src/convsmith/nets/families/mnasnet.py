"""MnasNet (Tan et al. 2019, "MnasNet: platform-aware neural architecture search for mobile")."""

from convsmith.nets.families.inverted_residual import inverted_residual, numbered
from convsmith.nets.families.scaling import check_multipliers, deepen, repeats, widen, without_first_strides
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import RELU, conv_norm_act, divisible, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node

NORM = BatchNorm(momentum=1 - 0.9997)  # torchvision's: 0.9997 is how TensorFlow counts it

# Expansion, kernel, width, units, stride of the first: MnasNet-B1, the network found without squeeze-and-excitation.
_STAGES = (
    (1, 3, 16, 1, 1), (3, 3, 24, 3, 2), (3, 5, 40, 3, 2), (6, 5, 80, 3, 2), (6, 3, 96, 2, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip


def mnasnet(
    *, width: float = 1.0, depth: float = 1.0, classes: int = 1000, channels: int = 3, size: int = 224
) -> Network:
    """MnasNet-B1 (the form that torchvision has): inverted residuals with 3x3 and 5x5 depthwise convolutions, ReLU.

    `width` multiplies the channels (multiples of 8) but the last 1280, `depth` the units of each stage.
    """
    check_multipliers(width=width, depth=depth)
    width_in = divisible(32 * width)
    stages: list[tuple[str, Node]] = [("stem", conv_norm_act(width_in, 3, 2, norm=NORM))]
    for i, (expand, kernel, base, count, stride) in enumerate(_STAGES, 1):
        units: list[Node] = []
        for j in range(repeats(count, depth)):
            out = divisible(base * width)
            units.append(
                inverted_residual(
                    width_in, out, expanded=expand * width_in, kernel=kernel, stride=stride if j == 0 else 1, act=RELU,
                    norm=NORM,
                )
            )  # fmt: skip
            width_in = out
        stages.append((f"stage{i}", numbered(units)))
    stages.append(("final", conv_norm_act(1280, norm=NORM)))
    return Network(
        name="mnasnet", family="mnasnet", input=Shape(channels, (size, size)), init="mnasnet",
        stages=tuple(stages), heads=((MAIN, pooled_head(classes, drop=0.2)),),
    )  # fmt: skip


MNASNET = Family("mnasnet", mnasnet, small_images=without_first_strides, widen=widen, deepen=deepen)
NETWORKS = {
    f"mnasnet{width}".replace(".", "_"): Row(MNASNET, 2018, f"B1, {width} times the channels", {"width": width})
    for width in (0.5, 0.75, 1.0, 1.3)
}
