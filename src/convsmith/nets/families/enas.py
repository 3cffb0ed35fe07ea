"""The cells of ENAS (Pham et al. 2018, "Efficient neural architecture search via parameter sharing"), micro search."""

from convsmith.nets.families.cell_operations import Rules, factorized
from convsmith.nets.families.cells import (
    CURRENT,
    PREVIOUS,
    Block,
    Cell,
    Genotype,
    cell_network,
    conv_stem,
    deeper,
    places,
    wider,
)
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveAvgPool, AvgPool, BatchNorm, Conv, Dropout, Flatten, Linear, PadSame
from convsmith.nets.parts import RELU
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Seq, Use, seq

# melodyguan/enas, scripts/cifar10_micro_final.sh: left operation, its input, right operation, its input.
ENAS_MICRO = Genotype(
    normal=Cell(
        blocks=(
            Block("avg3x3", PREVIOUS, "sep3x3", PREVIOUS),
            Block("identity", PREVIOUS, "sep5x5", PREVIOUS),
            Block("identity", PREVIOUS, "sep5x5", CURRENT),
            Block("sep3x3", CURRENT, "sep5x5", PREVIOUS),
            Block("avg3x3", PREVIOUS, "sep5x5", CURRENT),
        ),
        output=("block1", "block2", "block3", "block4", "block5"),
    ),
    reduction=Cell(
        blocks=(
            Block("sep3x3", CURRENT, "sep3x3", CURRENT),
            Block("max3x3", PREVIOUS, "avg3x3", PREVIOUS),
            Block("sep5x5", CURRENT, "sep5x5", "block2"),
            Block("sep3x3", CURRENT, "identity", PREVIOUS),
            Block("max3x3", PREVIOUS, "sep5x5", CURRENT),
        ),
        output=("block1", "block3", "block4", "block5"),
    ),
)


def enas_micro(
    *,
    cells: int,
    filters: int,
    stem: int,
    auxiliary: bool = True,
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
) -> Network:
    """ENAS for CIFAR: a convolution to `stem` channels, then three stages of `cells` normal cells.

    By the authors' program (melodyguan/enas): `current` passes two 1x1 convolutions, the identity of a reduction cell
    is a factorized 1x1 convolution, and the last layers have no bias. The auxiliary head reads the first cell of stage
    3. The script has 5 cells a stage, which make 3.9M parameters; the paper's 4.6M need 6.
    """
    rules = Rules(BatchNorm(1e-3), True, factorized, convs=2)
    start = conv_stem(stem, rules.norm, halve=False)
    placed = places(ENAS_MICRO, start, cells=cells, filters=filters)
    head = seq(pool=AdaptiveAvgPool(1), flatten=Flatten(), dropout=Dropout(0.2), linear=Linear(classes, bias=False))
    heads = {MAIN: head}
    if auxiliary:
        heads["aux"] = _auxiliary_head("stage3_cell1", classes, rules.norm)
    return cell_network("enas", Shape(channels, (size, size)), start, placed, rules, heads)


def _auxiliary_head(value: str, classes: int, norm: BatchNorm) -> Seq:
    """NASNet's auxiliary head, but its second convolution is padded and its output averaged over the positions."""
    return seq(
        use=Use(value), act1=RELU, pool1=AvgPool(5, 3), conv1=Conv(128, bias=False), norm1=norm, act2=RELU,
        pad=PadSame(2), conv2=Conv(768, 2, bias=False), norm2=norm, act3=RELU,
        pool2=AdaptiveAvgPool(1), flatten=Flatten(), linear=Linear(classes, bias=False),
    )  # fmt: skip


ENAS = Family("enas", enas_micro, widen=wider, deepen=deeper)
NETWORKS = {
    "enas_micro_cifar": Row(
        ENAS, 2018, "the micro search's cells, 36 filters, with an auxiliary head",
        {"cells": 6, "filters": 36, "stem": 108},
    )
}  # fmt: skip
