"""The operations in the blocks of searched cells, and the rules of the authors' programs.

An operation is a function of the rules, the input channels, the output filters and the stride. It returns the children
of a sequence; no children are the identity.
"""

from collections.abc import Callable
from dataclasses import dataclass

from convsmith.base.table import Table
from convsmith.nets.ops import AvgPool, AvgPoolSame, BatchNorm, Conv, MaxPool, Pad, PadSame
from convsmith.nets.parts import RELU
from convsmith.nets.sizes import Axes
from convsmith.nets.tree import Node, cat, seq

Children = dict[str, Node | None]
Operation = Callable[["Rules", int, int, int], Children]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the authors' programs that a genotype does not hold.

    `same`: windows with stride 2 are padded as TensorFlow's "same", else equally on both sides.
    `strided_identity`: the operation in place of an identity that must halve the size or change the channels.
    `count_padding`: averages with stride 2 count the zeros around the image.
    `raw_first`: the first cell of the network takes its only input as `previous` without a convolution.
    `convs`: the number of 1x1 convolutions that bring `current` to the cell's filters.
    """

    norm: BatchNorm
    same: bool
    strided_identity: Operation
    count_padding: bool = False
    raw_first: bool = False
    convs: int = 1


def separable(kernel: int) -> Operation:
    """ReLU, depthwise and pointwise convolution and normalization, twice; the stride is in the first."""

    def children(rules: Rules, channels: int, filters: int, stride: int) -> Children:
        pad, padding = _padding(rules, kernel, stride)
        return {
            "act1": RELU, "pad1": pad,
            "depthwise1": Conv(channels, kernel, stride, padding, groups=channels, bias=False),
            "pointwise1": Conv(filters, bias=False), "norm1": rules.norm, "act2": RELU,
            "depthwise2": Conv(filters, kernel, padding=kernel // 2, groups=filters, bias=False),
            "pointwise2": Conv(filters, bias=False), "norm2": rules.norm,
        }  # fmt: skip

    return children


def dilated(kernel: int) -> Operation:
    """ReLU, depthwise convolution with dilation 2, pointwise convolution and normalization, once."""

    def children(rules: Rules, channels: int, filters: int, stride: int) -> Children:
        pad, padding = _padding(rules, kernel, stride, dilation=2)
        depthwise = Conv(channels, kernel, stride, padding, dilation=2, groups=channels, bias=False)
        pointwise = Conv(filters, bias=False)
        return {"act": RELU, "pad": pad, "depthwise": depthwise, "pointwise": pointwise, "norm": rules.norm}

    return children


def line_pair(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """A 1x7 and a 7x1 convolution on a quarter of the filters, between two 1x1 convolutions."""
    narrow = max(1, filters // 4)
    convs: tuple[tuple[int, Axes, Axes], ...] = (
        (narrow, 1, 1), (narrow, (1, 7), (1, stride)), (narrow, (7, 1), (stride, 1)), (filters, 1, 1)
    )  # fmt: skip
    children: Children = {}
    for i, (width, kernel, step) in enumerate(convs, 1):
        pad, padding = _padding(rules, kernel, step)
        conv = Conv(width, kernel, step, padding, bias=False)
        children |= {f"act{i}": RELU, f"pad{i}": pad, f"conv{i}": conv, f"norm{i}": rules.norm}
    return children


def average(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """Average pooling over 3x3; zeros around the image count only with `count_padding`."""
    if stride == 1 or not rules.same:
        pool: Children = {"pool": AvgPool(3, stride, padding=1, count_padding=False)}
    elif rules.count_padding:
        pool = {"pad": PadSame(3, stride), "pool": AvgPool(3, stride)}
    else:
        pool = {"pool": AvgPoolSame(3, stride)}
    return pool | widened(rules, channels, filters)


def maximum(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """Max pooling over 3x3."""
    pad, padding = _padding(rules, 3, stride)
    lowest = None if pad is None else PadSame(3, stride, fill="lowest")
    return {"pad": lowest, "pool": MaxPool(3, stride, padding)} | widened(rules, channels, filters)


def widened(rules: Rules, channels: int, filters: int) -> Children:
    """A 1x1 convolution and normalization if the channels differ from the filters."""
    return {} if channels == filters else {"conv": Conv(filters, bias=False), "norm": rules.norm}


def identity(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """The identity, if the shape of the value fits."""
    return {} if stride == 1 and channels == filters else rules.strided_identity(rules, channels, filters, stride)


def act_conv_norm(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """ReLU, 1x1 convolution, normalization."""
    return {"act": RELU, "conv": Conv(filters, 1, stride, bias=False), "norm": rules.norm}


def factorized(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """Two 1x1 convolutions with stride 2, one of them a position further, side by side; then normalization.

    Together they read two of four positions; a single 1x1 convolution would read one of four.
    """
    even = Conv(filters // 2, 1, stride, bias=False)
    odd = seq(shift=Pad(-1, 1), conv=Conv(filters - filters // 2, 1, stride, bias=False))
    return {"halves": cat(even=even, odd=odd), "norm": rules.norm}


def act_factorized(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """ReLU, then `factorized`."""
    return {"act": RELU, **factorized(rules, channels, filters, stride)}


OPERATIONS: Table[Operation] = Table(
    "operation of a cell",
    {
        "identity": identity,
        "avg3x3": average,
        "max3x3": maximum,
        "sep3x3": separable(3),
        "sep5x5": separable(5),
        "sep7x7": separable(7),
        "dil3x3": dilated(3),
        "dil5x5": dilated(5),
        "1x7_7x1": line_pair,
    },
)


def _padding(rules: Rules, kernel: Axes, stride: Axes, dilation: int = 1) -> tuple[PadSame | None, Axes]:
    """The padding with which a window keeps or halves the size: a node before it, or its own padding."""
    if rules.same and stride not in (1, (1, 1)):
        return PadSame(kernel, stride, dilation), 0
    return None, kernel // 2 * dilation if isinstance(kernel, int) else tuple(k // 2 * dilation for k in kernel)
