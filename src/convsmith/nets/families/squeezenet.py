"""SqueezeNet (Iandola et al. 2016)."""

from dataclasses import replace
from typing import Literal

from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveAvgPool, Conv, Dropout, Flatten, MaxPool
from convsmith.nets.parts import RELU, padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Node, Seq, add, cat, rewrite, seq

# fire2 to fire9: squeezed channels, channels of each half of the expansion (table 1).
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet(
    *,
    width: int = 96,
    kernel: int = 7,
    depths: tuple[int, ...] = (3, 4, 1),
    bypass: Literal["none", "simple", "complex"] = "none",
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """SqueezeNet (table 1): one convolution of `width` and `kernel`, eight fire modules, a convolution to the classes.

    `depths` counts the fire modules between poolings. `bypass` adds the input of every second module to its output
    ("simple") and, through a 1x1 convolution, the inputs of the other modules too ("complex"; section 6, figure 2).
    """
    stages: list[tuple[str, Node]] = [("stem", seq(conv=Conv(width, kernel, 2), act=RELU, pool=_pool()))]
    number = 2
    for i, depth in enumerate(depths, 1):
        children: dict[str, Node | None] = {"pool": _pool() if i > 1 else None}
        for _ in range(depth):
            children[f"fire{number}"] = _with_bypass(number, bypass)
            number += 1
        stages.append((f"stage{i}", seq(**children)))
    head = seq(dropout=Dropout(0.5), conv=Conv(classes), act=RELU, pool=AdaptiveAvgPool(1), flatten=Flatten())
    return Network(
        name="squeezenet",
        family="squeezenet",
        input=Shape(channels, (size, size)),
        init="squeezenet",
        stages=tuple(stages),
        heads=((MAIN, head),),
    )


def _pool() -> MaxPool:
    return MaxPool(3, 2, ceil=True)


def fire(squeezed: int, expanded: int) -> Seq:
    """A 1x1 convolution to few channels, then a 1x1 and a 3x3 side by side (figure 1)."""
    return seq(
        squeeze=Conv(squeezed),
        act=RELU,
        expand=cat(
            branch1x1=seq(conv=Conv(expanded), act=RELU),
            branch3x3=seq(conv=padded_conv(expanded, 3, bias=True), act=RELU),
        ),
    )


def _with_bypass(number: int, bypass: Literal["none", "simple", "complex"]) -> Node:
    squeezed, expanded = FIRES[number - 2]
    module = fire(squeezed, expanded)
    if bypass != "none" and number % 2:  # the odd modules keep the number of channels
        return add(branch=module, shortcut=IDENTITY)
    return add(branch=module, shortcut=Conv(2 * expanded)) if bypass == "complex" else module


def small_squeezenet(network: Network) -> Network:
    """SqueezeNet for images of about 32 pixels: a 3x3 first convolution that keeps the size; 32 ends at 4."""

    def change(path: str, node: Node) -> Node:
        return replace(node, kernel=3, stride=1, padding=1) if isinstance(node, Conv) else node

    (name, stem), *stages = network.stages
    return replace(network, stages=((name, rewrite(stem, change, name)), *stages))


SQUEEZENET = Family("squeezenet", squeezenet, small_images=small_squeezenet)
NETWORKS = {
    "squeezenet1_0": Row(SQUEEZENET, 2016, "the paper: 7x7 first, pooling after fire4 and fire8"),
    "squeezenet1_1": Row(
        SQUEEZENET, 2016, "3x3 first, pooling earlier: 2.4 times less work",
        {"width": 64, "kernel": 3, "depths": (2, 2, 4)},
    ),
    "squeezenet1_0_bypass": Row(SQUEEZENET, 2016, "squeezenet1_0 with simple bypass", {"bypass": "simple"}),
    "squeezenet1_0_complex_bypass": Row(SQUEEZENET, 2016, "squeezenet1_0 with complex bypass", {"bypass": "complex"}),
}  # fmt: skip
