"""AmoebaNet-A (Real et al. 2019, "Regularized evolution for image classifier architecture search").

The cells are those of the authors' program (tensorflow/tpu, amoeba_net/model_specs), which concatenates more values
than the paper says: also values that blocks read. With these cells the parameters are the paper's 3.2M, 5.1M and 86.7M,
and 0.2% below its 469M. The paper's 104B multiply-adds of the largest network hold for images of 299 pixels; its
released form takes 331 pixels. The form for CIFAR was not released; ours has NASNet's stem and auxiliary head.
"""

from convsmith.nets.families.cells import CURRENT, PREVIOUS, Block, Cell, Genotype
from convsmith.nets.families.nasnet import CIFAR, slim_family
from convsmith.nets.family import Row

AMOEBANET_A = Genotype(
    normal=Cell(
        blocks=(
            Block("avg3x3", CURRENT, "max3x3", CURRENT),
            Block("sep3x3", PREVIOUS, "identity", PREVIOUS),
            Block("identity", CURRENT, "avg3x3", PREVIOUS),
            Block("sep3x3", CURRENT, "sep5x5", "block1"),
            Block("avg3x3", "block4", "sep3x3", CURRENT),
        ),
        output=(PREVIOUS, "block2", "block3", "block5"),
    ),
    reduction=Cell(
        blocks=(
            Block("sep3x3", PREVIOUS, "avg3x3", CURRENT),
            Block("max3x3", CURRENT, "sep7x7", "block1"),
            Block("max3x3", PREVIOUS, "max3x3", CURRENT),
            Block("sep3x3", "block3", "1x7_7x1", CURRENT),
            Block("avg3x3", PREVIOUS, "sep7x7", CURRENT),
        ),
        output=("block1", "block2", "block3", "block4", "block5"),
    ),
)
AMOEBANET = slim_family("amoebanet", AMOEBANET_A)

NETWORKS = {
    "amoebanet_a_6_36_cifar": Row(AMOEBANET, 2018, "N = 6, F = 36", {"cells": 6, "filters": 36, "stem": 108, **CIFAR}),
    "amoebanet_a_6_190": Row(
        AMOEBANET, 2018, "N = 6, F = 190", {"cells": 6, "filters": 190, "stem": 32, "size": 331}
    ),
    "amoebanet_a_6_448": Row(
        AMOEBANET, 2018, "N = 6, F = 448", {"cells": 6, "filters": 448, "stem": 32, "size": 331}
    ),
    "amoebanet_a_mobile": Row(AMOEBANET, 2018, "N = 4, F = 50", {"cells": 4, "filters": 50, "stem": 32}),
}  # fmt: skip
