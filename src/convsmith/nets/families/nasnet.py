"""NASNet-A (Zoph et al. 2018, "Learning transferable architectures for scalable image recognition").

The wiring is that of the authors' program (tensorflow/models, slim/nets/nasnet). Its batch normalisation forgets so
slowly (0.9997) that short runs would be evaluated with wrong statistics: ours keeps torch's momentum, as timm's does.
"""

from typing import Any

from convsmith.nets.families.cells import (
    CURRENT,
    PREVIOUS,
    Block,
    Cell,
    Genotype,
    Rules,
    act_conv_norm,
    auxiliary_head,
    cell_stages,
    deeper,
    in_small_form,
    network_of_cells,
    places,
    plain_stem,
    wider,
)
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN

# Figure 4: the left operation and its input, the right operation and its input.
NASNET_A = Genotype(
    normal=Cell(
        blocks=(
            Block("sep5x5", CURRENT, "sep3x3", PREVIOUS),
            Block("sep5x5", PREVIOUS, "sep3x3", PREVIOUS),
            Block("avg3x3", CURRENT, "identity", PREVIOUS),
            Block("avg3x3", PREVIOUS, "avg3x3", PREVIOUS),
            Block("sep3x3", CURRENT, "identity", CURRENT),
        ),
        output=(PREVIOUS, "block1", "block2", "block3", "block4", "block5"),
    ),
    reduction=Cell(
        blocks=(
            Block("sep5x5", CURRENT, "sep7x7", PREVIOUS),
            Block("max3x3", CURRENT, "sep7x7", PREVIOUS),
            Block("avg3x3", CURRENT, "sep5x5", PREVIOUS),
            Block("identity", "block2", "avg3x3", "block1"),
            Block("sep3x3", "block1", "max3x3", CURRENT),
        ),
        output=("block2", "block3", "block4", "block5"),
    ),
)


def slim_rules(eps: float, count_padding: bool = False) -> Rules:
    """What slim's NASNet does around a genotype, and what was built on it: PNASNet, AmoebaNet."""
    return Rules(BatchNorm(eps), True, act_conv_norm, count_padding, raw_first=True)


def nasnet(
    *,
    cells: int,
    filters: int,
    stem: int,
    stem_cells: int = 2,
    share: bool = False,
    count_padding: bool = False,
    auxiliary: bool = False,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """NASNet-A for ImageNet: `cells` @ 24 times `filters` in the paper's notation, which counts the last channels.

    A convolution to `stem` channels and two reduction cells divide the size by 8; with 0 `stem_cells` nothing does.
    With `share` the cell after a reduction takes the reduction's `previous`; `count_padding` makes averages with stride
    2 count the zeros around the image, as timm's do and the authors' do not.
    """
    rules = slim_rules(1e-3, count_padding)
    made, values = plain_stem(stem, rules.norm, halve=stem_cells > 0)
    placed = places(NASNET_A, values, cells=cells, filters=filters, stem_cells=stem_cells, share=share)
    aux = _before_stage3(placed) if auxiliary else None
    stages = cell_stages(placed, rules, made, act=True, wanted=[aux] if aux else [])
    heads = (
        (MAIN, pooled_head(classes, drop=0.5)),
        ("aux", auxiliary_head(aux, classes, rules.norm) if aux else None),
    )
    return network_of_cells("nasnet", stages, heads, Shape(channels, (size, size)))
