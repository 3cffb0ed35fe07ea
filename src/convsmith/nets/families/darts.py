"""DARTS (Liu et al. 2019, "DARTS: differentiable architecture search"), second order; wired as quark0/darts.

Windows are padded equally on both sides, `previous` is always convolved, the identity of a reduction cell is a
factorized 1x1 convolution, and no ReLU precedes the pooling of the last stage.
"""

from convsmith.nets.families.cell_operations import Children, Rules, act_factorized
from convsmith.nets.families.cells import (
    CURRENT,
    PREVIOUS,
    Block,
    Cell,
    Genotype,
    Stem,
    Value,
    auxiliary_head,
    cell_network,
    conv_stem,
    deeper,
    places,
    small_form,
    wider,
)
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import RELU, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Keep

# Figures 4 and 5 (DARTS_V2 of the program): left operation, its input, right operation, its input.
DARTS_V2 = Genotype(
    normal=Cell(
        blocks=(
            Block("sep3x3", PREVIOUS, "sep3x3", CURRENT),
            Block("sep3x3", PREVIOUS, "sep3x3", CURRENT),
            Block("sep3x3", CURRENT, "identity", PREVIOUS),
            Block("identity", PREVIOUS, "dil3x3", "block1"),
        ),
        output=("block1", "block2", "block3", "block4"),
    ),
    reduction=Cell(
        blocks=(
            Block("max3x3", PREVIOUS, "max3x3", CURRENT),
            Block("identity", "block1", "max3x3", CURRENT),
            Block("max3x3", PREVIOUS, "identity", "block1"),
            Block("identity", "block1", "max3x3", CURRENT),
        ),
        output=("block1", "block2", "block3", "block4"),
    ),
)


def darts(
    *,
    cells: int,
    filters: int,
    stem: int,
    imagenet_stem: bool = True,
    auxiliary: bool = False,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """DARTS: a stem to `stem` channels, then three stages of `cells` normal cells, the first with `filters`.

    The stem for ImageNet divides the size by 8 in three convolutions; the stem for CIFAR is one convolution that keeps
    it. The auxiliary head reads the reduction cell of stage 3, as in the program for CIFAR.
    """
    rules = Rules(BatchNorm(), False, act_factorized)
    start = _imagenet_stem(stem, rules.norm) if imagenet_stem else conv_stem(stem, rules.norm, halve=False)
    placed = places(DARTS_V2, start, cells=cells, filters=filters)
    heads = {MAIN: pooled_head(classes)}
    if auxiliary:
        heads["aux"] = auxiliary_head("stage3_reduction", classes, rules.norm)
    input = Shape(channels, (size, size))
    return cell_network("darts", input, start, placed, rules, heads, last_act=False, init="torch")


def _imagenet_stem(width: int, norm: BatchNorm) -> Stem:
    """Three 3x3 convolutions with stride 2; the first cell receives the outputs of the last two."""
    previous, current = Value("stem_conv2", width, 4), Value("stem_conv3", width, 8)
    children: Children = {
        "conv1": padded_conv(width // 2, 3, 2), "norm1": norm, "act1": RELU,
        "conv2": padded_conv(width, 3, 2), "norm2": norm, "keep2": Keep(previous.name), "act2": RELU,
        "conv3": padded_conv(width, 3, 2), "norm3": norm, "keep3": Keep(current.name),
    }  # fmt: skip
    return Stem(children, previous, current)


def small_darts(network: Network) -> Network:
    """DARTS for images of about 32 pixels: the stem for CIFAR."""
    return small_form(network, darts, imagenet_stem=False)


DARTS = Family("darts", darts, small_images=small_darts, widen=wider, deepen=deeper)
NETWORKS = {
    "darts": Row(DARTS, 2018, "second order, 14 cells", {"cells": 4, "filters": 48, "stem": 48}),
    "darts_cifar": Row(
        DARTS, 2018, "second order, 20 cells, with an auxiliary head",
        {"cells": 6, "filters": 36, "stem": 108, "imagenet_stem": False, "auxiliary": True, "classes": 10, "size": 32},
    ),
}  # fmt: skip
