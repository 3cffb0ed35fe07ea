"""The few groups of operators that most families are made of."""

from convsmith.nets.ops import Act, AdaptiveAvgPool, BatchNorm, Conv, Dropout, Flatten, Linear
from convsmith.nets.tree import Node, Seq, seq

RELU = Act("relu")


def padded_conv(channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, bias: bool = False) -> Conv:
    """A convolution that keeps the size at stride 1: its padding is half its (odd) kernel."""
    return Conv(channels, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)


def conv_norm(channels: int, kernel: int = 1, stride: int = 1) -> Seq:
    """A convolution without bias, then batch normalisation."""
    return seq(conv=padded_conv(channels, kernel, stride), norm=BatchNorm())


def pooled_head(classes: int) -> Seq:
    """Global average pooling, then one linear layer."""
    return seq(pool=AdaptiveAvgPool(1), flatten=Flatten(), linear=Linear(classes))


def dense_head(widths: tuple[int, ...], classes: int, *, grid: int | None, drop_first: bool) -> Seq:
    """Hidden linear layers with ReLU and dropout 0.5, then the classifier.

    `grid` pools the features to that many cells a side; dropout stands before each hidden layer (torchvision's AlexNet)
    where `drop_first`, else after it.
    """
    children: dict[str, Node | None] = {
        "pool": AdaptiveAvgPool(grid) if grid else None,
        "flatten": Flatten(),
    }
    for i, width in enumerate(widths, 1):
        drop = {f"dropout{i}": Dropout(0.5)}
        layer = {f"linear{i}": Linear(width), f"act{i}": RELU}
        children |= drop | layer if drop_first else layer | drop
    return seq(**children, **{f"linear{len(widths) + 1}": Linear(classes)})
