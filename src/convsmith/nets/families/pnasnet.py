"""PNASNet-5 (Liu et al. 2018, "Progressive neural architecture search"), wired as slim's nasnet/pnasnet.

All cells are equal (figure 1, left): a stage begins with one at stride 2 instead of a reduction cell.
"""

from convsmith.nets.families.cells import CURRENT, PREVIOUS, Block, Cell, Genotype
from convsmith.nets.families.nasnet import STEM_CELLS, slim_family, slim_renaming
from convsmith.nets.family import Row

PNASNET_5 = Genotype(
    Cell(
        blocks=(
            Block("sep5x5", PREVIOUS, "max3x3", PREVIOUS),
            Block("sep7x7", CURRENT, "max3x3", CURRENT),
            Block("sep5x5", CURRENT, "sep3x3", CURRENT),
            Block("sep3x3", "block3", "max3x3", CURRENT),
            Block("sep3x3", PREVIOUS, "identity", CURRENT),
        ),
        output=("block1", "block2", "block3", "block4", "block5"),
    )
)

_CELLS = {f"cell_{4 * i + j}": f"stage{i + 1}.cell{j + 1}" for i in range(3) for j in range(4)}
PNASNET = slim_family("pnasnet", PNASNET_5, (slim_renaming(STEM_CELLS | _CELLS),))

NETWORKS = {
    "pnasnet5_large": Row(
        PNASNET, 2017, "N = 4, F = 216", {"cells": 4, "filters": 216, "stem": 96, "size": 331}
    ),
    "pnasnet5_mobile": Row(PNASNET, 2017, "N = 3, F = 54", {"cells": 3, "filters": 54, "stem": 32}),
}  # fmt: skip
