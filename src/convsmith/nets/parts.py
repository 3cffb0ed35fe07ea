"""Groups of operators that many families share."""

from convsmith.nets.ops import (
    Act,
    AdaptiveAvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GroupNorm,
    LayerNorm,
    Linear,
    Pad,
)
from convsmith.nets.tree import Gate, Node, Seq, gate, seq

Norm = BatchNorm | GroupNorm | LayerNorm
NORM = BatchNorm()
RELU = Act("relu")
SIGMOID = Act("sigmoid")


def padded_conv(channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, bias: bool = False) -> Conv:
    """A convolution that keeps the size at stride 1: its padding is half its (odd) kernel."""
    return Conv(channels, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)


def conv_norm(channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, norm: Norm = NORM) -> Seq:
    """A convolution without bias that keeps the size at stride 1, then a normalization."""
    return seq(conv=padded_conv(channels, kernel, stride, groups=groups), norm=norm)


def conv_norm_act(
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    norm: Norm = NORM,
    act: Act = RELU,
) -> Seq:
    """A convolution without bias that keeps the size at stride 1, then a normalization and an activation."""
    return seq(conv=padded_conv(channels, kernel, stride, groups=groups), norm=norm, act=act)


def conv_chain(*convs: Conv, norm: Norm | None = NORM, act: Act = RELU, start: int = 1) -> dict[str, Node | None]:
    """Children of a sequence: each convolution with its normalization (unless None) and activation.

    The names are `conv1`, `norm1`, `act1`, `conv2`, ..., counted from `start`.
    """
    children: dict[str, Node | None] = {}
    for i, conv in enumerate(convs, start):
        children |= {f"conv{i}": conv, f"norm{i}": norm, f"act{i}": act}
    return children


def squeeze_excite(channels: int, squeezed: int, inner: Act = RELU, outer: Act = SIGMOID) -> Gate:
    """A gate that scales each channel by a function of the whole image (Hu et al. 2018, figure 3).

    Global average pooling, then two fully connected layers (1x1 convolutions): to `squeezed` and back to `channels`.
    """
    return gate(
        pool=AdaptiveAvgPool(1),
        conv1=Conv(squeezed), act1=inner,
        conv2=Conv(channels), act2=outer,
    )  # fmt: skip


def total_padding(kernel: int) -> Pad:
    """Zeros that keep the size under a window of `kernel` at stride 1: kernel - 1 in all, an odd one before.

    The lectures' rule: half on each side for odd kernels; rounded up before and down after for even ones.
    """
    return Pad(kernel // 2, (kernel - 1) // 2)


def divisible(width: float, by: int = 8) -> int:
    """`width` rounded to a multiple of `by`, never below 90% of it (the MobileNets' rule)."""
    rounded = max(by, int(width + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * width else rounded


def pooled_head(classes: int, drop: float = 0.0) -> Seq:
    """Global average pooling, dropout if `drop` is above 0, then one linear layer."""
    dropout = Dropout(drop) if drop else None
    return seq(pool=AdaptiveAvgPool(1), flatten=Flatten(), dropout=dropout, linear=Linear(classes))


def dense_head(
    widths: tuple[int, ...], classes: int, *, grid: int | None, drop_first: bool, norm: Norm | None = None
) -> Seq:
    """Hidden linear layers with ReLU and dropout 0.5, then the classifier.

    `grid` pools the features to that many cells a side. Dropout comes before each hidden layer if `drop_first`
    (torchvision's AlexNet), else after it. A `norm` comes before each ReLU.
    """
    children: dict[str, Node | None] = {
        "pool": AdaptiveAvgPool(grid) if grid else None,
        "flatten": Flatten(),
    }
    for i, width in enumerate(widths, 1):
        drop = {f"dropout{i}": Dropout(0.5)}
        layer = {f"linear{i}": Linear(width), f"norm{i}": norm, f"act{i}": RELU}
        children |= drop | layer if drop_first else layer | drop
    return seq(**children, **{f"linear{len(widths) + 1}": Linear(classes)})
