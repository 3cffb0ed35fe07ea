"""Small networks of CS231n and of its in-browser library ConvNetJS, for CIFAR-10."""

from convsmith.nets.families.scaling import wider_stages
from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Flatten, Linear, MaxPool
from convsmith.nets.parts import RELU, padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, seq


def small_chain(
    *,
    widths: tuple[int, ...],
    kernel: int,
    depth: int = 1,
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
) -> Network:
    """Stages of `depth` convolutions with ReLU and a pool that halves the size, then one linear layer.

    `widths` holds one width for each stage. Convolutions keep the size.
    """
    stages = tuple((f"stage{i}", _stage(width, kernel, depth)) for i, width in enumerate(widths, 1))
    return Network(
        name="small_chain",
        family="small_chain",
        input=Shape(channels, (size, size)),
        init="he_in",
        stages=stages,
        heads=((MAIN, seq(flatten=Flatten(), linear=Linear(classes))),),
    )


def _stage(width: int, kernel: int, depth: int) -> Seq:
    children: dict[str, Node | None] = {}
    for i in range(1, depth + 1):
        children |= {f"conv{i}": padded_conv(width, kernel, bias=True), f"act{i}": RELU}
    return seq(**children, pool=MaxPool(2, 2))


def deeper(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the convolutions of each stage, at least one."""
    return {**numbers, "depth": max(1, round(numbers["depth"] * factor))}


SMALL_CHAIN = Family("small_chain", small_chain, widen=wider_stages, deepen=deeper)
NETWORKS = {
    "convnetjs_cifar": Row(
        SMALL_CHAIN, 2012, "the network of ConvNetJS's CIFAR-10 demonstration: 16, 20 and 20 filters of 5x5",
        {"widths": (16, 20, 20), "kernel": 5},
    ),
    "tiny_vgg_cifar": Row(
        SMALL_CHAIN, 2015, "CS231n's drawn network, [conv, ReLU, conv, ReLU, pool] x 3: 10 filters of 3x3",
        {"widths": (10, 10, 10), "kernel": 3, "depth": 2},
    ),
}  # fmt: skip
