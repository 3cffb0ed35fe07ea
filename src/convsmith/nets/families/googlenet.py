"""GoogLeNet (Szegedy et al. 2015, "Going deeper with convolutions"), the first network of inception modules."""

from dataclasses import replace
from typing import Literal

from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import (
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
)
from convsmith.nets.parts import RELU, conv_chain, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Cat, Keep, Node, Seq, Use, cat, rewrite, seq

Widths = tuple[int, int, int, int, int, int]

# The modules by stage: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection (table 1).
MODULES: dict[str, dict[str, Widths]] = {
    "stage1": {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
    },
    "stage2": {
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
    },
    "stage3": {
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    },
}
AUXILIARY = {"aux1": "4a", "aux2": "4d"}  # the heads that only training uses, and the modules that they follow


def googlenet(
    *,
    norm: Literal["batch", "local"] = "batch",
    kernel: int = 3,
    last_pool: int = 2,
    grid: int | None = 4,
    drop: float = 0.2,
    auxiliary: bool = True,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """GoogLeNet (table 1, figure 3): a stem, nine inception modules and two auxiliary heads.

    The defaults are torchvision's. The paper's form has two local response normalizations in the stem and biases in
    place of batch normalization (`norm` "local"), a third branch with a `kernel` of 5, a `last_pool` of 3, auxiliary
    heads that average over 5x5 windows with stride 3 (`grid` None) and more dropout.
    """
    batch = BatchNorm(eps=1e-3) if norm == "batch" else None
    stages: list[tuple[str, Node]] = [("stem", _stem(batch))]
    pools = {"stage2": MaxPool(3, 2, ceil=True), "stage3": MaxPool(last_pool, 2, ceil=True)}
    for stage, modules in MODULES.items():
        children: dict[str, Node | None] = {"pool": pools.get(stage)}
        for name, widths in modules.items():
            kept = auxiliary and name in AUXILIARY.values()
            children[f"inception{name}"] = inception(widths, kernel, batch)
            children[f"keep{name}"] = Keep(f"inception{name}") if kept else None
        stages.append((stage, seq(**children)))
    heads = [(MAIN, pooled_head(classes, drop))]
    if auxiliary:
        heads += [(head, _auxiliary_head(f"inception{name}", classes, grid, batch)) for head, name in AUXILIARY.items()]
    return Network(
        name="googlenet",
        family="googlenet",
        input=Shape(channels, (size, size)),
        init="googlenet" if batch else "xavier",  # the paper names no initialization; Caffe's GoogLeNet used Xavier's
        stages=tuple(stages),
        heads=tuple(heads),
    )


def _stem(batch: BatchNorm | None) -> Seq:
    lrn = None if batch else LocalResponseNorm()  # the paper names no constants: those of Krizhevsky et al. 2012
    bias = batch is None
    conv1, conv2, conv3 = padded_conv(64, 7, 2, bias=bias), padded_conv(64, bias=bias), padded_conv(192, 3, bias=bias)
    return seq(
        **conv_chain(conv1, norm=batch), pool1=MaxPool(3, 2, ceil=True), lrn1=lrn,
        **conv_chain(conv2, conv3, norm=batch, start=2), lrn2=lrn, pool2=MaxPool(3, 2, ceil=True),
    )  # fmt: skip


def inception(widths: Widths, kernel: int = 5, norm: BatchNorm | None = None) -> Cat:
    """An inception module with dimension reductions (figure 2b): 1x1 before larger convolutions and after the pool.

    `widths` is a row of table 1, `kernel` the kernel of the third branch. Without `norm` the convolutions have biases.
    """

    def conv(width: int, kernel: int = 1) -> Conv:
        return padded_conv(width, kernel, bias=norm is None)

    one, reduce3, three, reduce5, five, project = widths
    return cat(
        branch1=seq(**conv_chain(conv(one), norm=norm)),
        branch2=seq(**conv_chain(conv(reduce3), conv(three, 3), norm=norm)),
        branch3=seq(**conv_chain(conv(reduce5), conv(five, kernel), norm=norm)),
        branch4=seq(pool=MaxPool(3, 1, padding=1, ceil=True), **conv_chain(conv(project), norm=norm)),
    )


def _auxiliary_head(kept: str, classes: int, grid: int | None, norm: BatchNorm | None) -> Seq:
    """Pooling, a 1x1 convolution and two linear layers on a kept value (section 5)."""
    return seq(
        use=Use(kept), pool=AdaptiveAvgPool(grid) if grid else AvgPool(5, 3),
        **conv_chain(padded_conv(128, bias=norm is None), norm=norm), flatten=Flatten(),
        linear1=Linear(1024), act2=RELU, dropout=Dropout(0.7), linear2=Linear(classes),
    )  # fmt: skip


def small_googlenet(network: Network) -> Network:
    """GoogLeNet for images of about 32 pixels: a 3x3 first convolution with stride 1, its pooling left out."""

    def change(path: str, node: Node) -> Node:
        if path == "stem.conv1" and isinstance(node, Conv):
            return replace(node, kernel=3, stride=1, padding=1)
        if path == "stem" and isinstance(node, Seq):
            return Seq(tuple(child for child in node.children if child[0] != "pool1"))
        return node

    (name, stem), *stages = network.stages
    return replace(network, stages=((name, rewrite(stem, change, name)), *stages))


GOOGLENET = Family("googlenet", googlenet, small_images=small_googlenet)
NETWORKS = {
    "googlenet": Row(GOOGLENET, 2014, "batch normalization, 3x3 in place of 5x5 (torchvision)"),
    "googlenet_2014": Row(
        GOOGLENET, 2014, "the paper: 5x5 branches, biases, local response normalization in the stem",
        {"norm": "local", "kernel": 5, "last_pool": 3, "grid": None, "drop": 0.4},
    ),
}  # fmt: skip
