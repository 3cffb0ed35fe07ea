"""NASNet-A (Zoph et al. 2018, "Learning transferable architectures for scalable image recognition").

The wiring is that of the authors' program (tensorflow/models, slim/nets/nasnet), which PNASNet and AmoebaNet use
too. Its batch normalization averages so slowly (0.9997 a step) that a short run would be evaluated with wrong
statistics: ours has torch's momentum, as timm's does.

The parameters are the paper's (3.3M, 5.3M and, within 0.2%, 88.9M), except for 7 @ 2304: these rules give 32.6M, the
paper prints 27.6M.
"""

from functools import partial

from convsmith.nets.families.cell_operations import Rules, act_conv_norm
from convsmith.nets.families.cells import (
    CURRENT,
    PREVIOUS,
    Block,
    Cell,
    Genotype,
    auxiliary_head,
    cell_network,
    conv_stem,
    deeper,
    places,
    small_form,
    wider,
)
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN

# Figure 4 and slim's nasnet_utils: left operation, its input, right operation, its input.
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


def slim_network(
    family: str,
    genotype: Genotype,
    *,
    cells: int,
    filters: int,
    stem: int,
    stem_cells: int = 2,
    share_previous: bool = False,
    count_padding: bool = False,
    eps: float = 1e-3,
    drop: float = 0.5,
    auxiliary: bool = False,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """A network of cells by slim's rules: three stages of `cells` normal cells with 1, 2 and 4 times `filters`.

    A convolution to `stem` channels and two reduction cells divide the size by 8; with 0 `stem_cells` (CIFAR) the stem
    keeps the size. `share_previous`: the cell after a reduction takes the reduction's `previous`. `count_padding`:
    averages with stride 2 count the zeros around the image. `auxiliary`: a second head on the last cell of stage 2.
    """
    rules = Rules(BatchNorm(eps), True, act_conv_norm, count_padding, raw_first=True)
    start = conv_stem(stem, rules.norm, halve=stem_cells > 0)
    placed = places(genotype, start, cells=cells, filters=filters, stem_cells=stem_cells, share_previous=share_previous)
    heads = {MAIN: pooled_head(classes, drop)}
    if auxiliary:
        last = next(place for place in reversed(placed) if place.stage == "stage2")
        heads["aux"] = auxiliary_head(last.value.name, classes, rules.norm)
    return cell_network(family, Shape(channels, (size, size)), start, placed, rules, heads)


def slim_family(name: str, genotype: Genotype, renamings: tuple[Renaming, ...] = ()) -> Family:
    """The family of a genotype by slim's rules; for small images the stem keeps the size and has no cells."""
    build = partial(slim_network, name, genotype)
    small = partial(small_form, build=build, stem_cells=0)
    return Family(name, build, small_images=small, widen=wider, deepen=deeper, renamings=renamings)


def slim_renaming(cells: dict[str, str], source: str = "timm") -> Renaming:
    """The renaming of their keys; `cells` maps their names of cells to our paths."""
    rules = [(r"conv_?0\.conv\.(.*)", r"stem.conv.\1"), (r"conv_?0\.bn\.(.*)", r"stem.norm.\1")]
    rules += [(rf"{theirs}\.{key}", f"{ours}.{name}") for theirs, ours in cells.items() for key, name in _KEYS]
    return Renaming(source, (*rules, (r"last_linear\.(.*)", r"head.linear.\1")))


_KEYS = (
    (r"comb_iter_(\d)_(left|right)\.separable_(\d)\.(depthwise|pointwise)_conv2d\.(.*)", r"block<\1>.\2.\4\3.\5"),
    (r"comb_iter_(\d)_(left|right)\.bn_sep_(\d)\.(.*)", r"block<\1>.\2.norm\3.\4"),
    (r"comb_iter_(\d)_(left|right)\.conv\.(.*)", r"block<\1>.\2.conv.\3"),
    (r"comb_iter_(\d)_(left|right)\.bn\.(.*)", r"block<\1>.\2.norm.\3"),
    (r"conv_1x1\.conv\.(.*)", r"current.conv.\1"),
    (r"conv_1x1\.bn\.(.*)", r"current.norm.\1"),
    (r"conv_prev_1x1\.conv\.(.*)", r"previous.conv.\1"),
    (r"conv_prev_1x1\.bn\.(.*)", r"previous.norm.\1"),
    (r"(?:conv_prev_1x1\.)?path_1\.conv\.(.*)", r"previous.halves.even.\1"),
    (r"(?:conv_prev_1x1\.)?path_2\.conv\.(.*)", r"previous.halves.odd.conv.\1"),
    (r"(?:conv_prev_1x1\.)?final_path_bn\.(.*)", r"previous.norm.\1"),
)
STEM_CELLS = {"cell_stem_0": "stem.cell1", "cell_stem_1": "stem.cell2"}
# timm's large network numbers all normal cells in one sequence; Cadene's mobile one has fewer and skips numbers.
_CELLS = {f"cell_{6 * i + j}": f"stage{i + 1}.cell{j + 1}" for i in range(3) for j in range(6)}
_REDUCTIONS = {f"reduction_cell_{i}": f"stage{i + 2}.reduction" for i in range(2)}
_RENAMING = slim_renaming(STEM_CELLS | _CELLS | _REDUCTIONS, "timm and Cadene/pretrained-models.pytorch")

NASNET = slim_family("nasnet", NASNET_A, (_RENAMING,))

# On CIFAR slim leaves out the stem's cells and dropout, and trains with the second head.
CIFAR = {"stem_cells": 0, "eps": 1e-5, "drop": 0.0, "auxiliary": True, "classes": 10, "size": 32}

NETWORKS = {
    "nasnet_a_large": Row(
        NASNET, 2017, "6 @ 4032; averages with stride 2 count zeros around the image, as timm's do and the paper's not",
        {"cells": 6, "filters": 168, "stem": 96, "share_previous": True, "count_padding": True, "size": 331},
    ),
    "nasnet_a_mobile": Row(NASNET, 2017, "4 @ 1056", {"cells": 4, "filters": 44, "stem": 32}),
    "nasnet_a_6_768_cifar": Row(
        NASNET, 2017, "6 @ 768, with an auxiliary head", {"cells": 6, "filters": 32, "stem": 96, **CIFAR}
    ),
    "nasnet_a_7_2304_cifar": Row(
        NASNET, 2017, "7 @ 2304, with an auxiliary head", {"cells": 7, "filters": 96, "stem": 288, **CIFAR}
    ),
}  # fmt: skip
