"""The operators: one frozen class each, with its shapes, costs and torch module; `OPERATORS` holds them by name.

Sizes that differ between axes are tuples. Paddings are per side, as in torch (the lectures' p counts both sides).
"""

from convsmith.base.table import Table
from convsmith.nets.ops.act import ACTIVATIONS, Act, Rbf
from convsmith.nets.ops.conv import Conv, ConvTranspose, Linear
from convsmith.nets.ops.drop import Dropout, DropPath
from convsmith.nets.ops.layout import (
    Chunk,
    Flatten,
    Pad,
    PadChannels,
    PadSame,
    Shuffle,
    Take,
    Unflatten,
    Upsample,
)
from convsmith.nets.ops.norm import (
    Affine,
    BatchNorm,
    GroupNorm,
    LayerNorm,
    LocalContrastNorm,
    LocalResponseNorm,
    Scale,
)
from convsmith.nets.ops.pool import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    AvgPoolSame,
    FractionalMaxPool,
    MaxPool,
    StochasticPool,
)
from convsmith.nets.ops.sample import Sample
from convsmith.nets.ops.sequence import Correlate, Embedding, Recurrent
from convsmith.nets.tree import Leaf

OPERATORS: Table[type[Leaf]] = Table(
    "operator",
    {
        "conv": Conv,
        "conv_transpose": ConvTranspose,
        "linear": Linear,
        "batch_norm": BatchNorm,
        "group_norm": GroupNorm,
        "layer_norm": LayerNorm,
        "local_response_norm": LocalResponseNorm,
        "local_contrast_norm": LocalContrastNorm,
        "affine": Affine,
        "scale": Scale,
        "act": Act,
        "rbf": Rbf,
        "max_pool": MaxPool,
        "avg_pool": AvgPool,
        "avg_pool_same": AvgPoolSame,
        "fractional_max_pool": FractionalMaxPool,
        "stochastic_pool": StochasticPool,
        "adaptive_avg_pool": AdaptiveAvgPool,
        "adaptive_max_pool": AdaptiveMaxPool,
        "upsample": Upsample,
        "pad": Pad,
        "pad_same": PadSame,
        "pad_channels": PadChannels,
        "take": Take,
        "chunk": Chunk,
        "shuffle": Shuffle,
        "flatten": Flatten,
        "unflatten": Unflatten,
        "dropout": Dropout,
        "drop_path": DropPath,
        "sample": Sample,
        "embedding": Embedding,
        "recurrent": Recurrent,
        "correlate": Correlate,
    },
)

__all__ = [
    "ACTIVATIONS", "OPERATORS", "Act", "AdaptiveAvgPool", "AdaptiveMaxPool", "Affine", "AvgPool", "AvgPoolSame",
    "BatchNorm", "Chunk", "Conv", "ConvTranspose", "Correlate", "DropPath", "Dropout", "Embedding",
    "Flatten", "FractionalMaxPool", "GroupNorm",
    "LayerNorm", "Linear", "LocalContrastNorm", "LocalResponseNorm", "MaxPool", "Pad", "PadChannels", "PadSame",
    "Rbf", "Recurrent",
    "Sample", "Scale", "Shuffle", "StochasticPool", "Take", "Unflatten", "Upsample",
]  # fmt: skip
