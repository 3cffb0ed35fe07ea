"""The blocks that the lectures price, as trees: channels C, the lectures' letters, no biases."""

from convsmith.nets.cost import Cost, cost
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveAvgPool, Conv, MaxPool
from convsmith.nets.parts import padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, MAIN, Add, Cat, Gate, Node, Seq, add, cat, gate, seq


def priced(node: Node, *input: int) -> Cost:
    """The cost of one tree for an input of (channels, *sizes)."""
    return cost(single(node, *input))


def output(node: Node, *input: int) -> tuple[int, ...]:
    """The output shape of one tree for an input of (channels, *sizes)."""
    return tuple(single(node, *input).trace().stages["block"].shape)


def single(node: Node, *input: int) -> Network:
    """A network of one node."""
    shape = Shape(input[0], tuple(input[1:]))
    heads = ((MAIN, IDENTITY),)
    return Network(name="block", family="block", input=shape, stages=(("block", node),), heads=heads)


def chain(*nodes: Node) -> Seq:
    """Nodes one after the other."""
    return seq(**{f"layer{i}": node for i, node in enumerate(nodes, 1)})


def plain_chain(channels: int, *kernels: int) -> Seq:
    """Padded convolutions with `channels` channels and these kernels."""
    return chain(*(padded_conv(channels, kernel) for kernel in kernels))


def inception_naive() -> Cat:
    """The naive module of the lectures: 1x1, 3x3 and 5x5 convolutions and a 3x3 pool side by side."""
    return cat(
        conv1=padded_conv(128, 1), conv3=padded_conv(192, 3), conv5=padded_conv(96, 5), pool=MaxPool(3, 1, 1)
    )  # fmt: skip


def inception_reduced(twice: bool = False) -> Cat:
    """The module with 1x1 convolutions of 64 channels before the 3x3 and 5x5; `twice` repeats the 3x3 convolution."""
    conv3 = padded_conv(192, 3)
    return cat(
        conv1=padded_conv(128, 1),
        branch3=seq(reduce=padded_conv(64, 1), conv=cat(once=conv3, again=conv3) if twice else conv3),
        branch5=seq(reduce=padded_conv(64, 1), conv=padded_conv(96, 5)),
        pool=seq(pool=MaxPool(3, 1, 1), project=padded_conv(64, 1)),
    )


def bottleneck(width: int, planes: int, groups: int = 1) -> Add:
    """A residual 1x1, 3x3, 1x1 block on `width` channels (He et al. 2016; with groups Xie et al. 2017)."""
    branch = chain(padded_conv(planes, 1), padded_conv(planes, 3, groups=groups), padded_conv(width, 1))
    return add(branch=branch, shortcut=IDENTITY)


def paths(width: int, planes: int, count: int) -> Add:
    """The bottleneck as `count` parallel narrow paths, summed (Xie et al. 2017, figure 3a)."""
    path = chain(padded_conv(planes, 1), padded_conv(planes, 3), padded_conv(width, 1))
    return add(**{f"path{i}": path for i in range(1, count + 1)}, shortcut=IDENTITY)


def basic(width: int, widen: int = 1) -> Seq:
    """Two 3x3 convolutions of `width * widen` channels (He et al. 2016; widened Zagoruyko and Komodakis 2016)."""
    return plain_chain(width * widen, 3, 3)


def squeeze_excite(width: int, hidden: int) -> Gate:
    """Global pooling, two dense layers, sigmoid, scale (Hu et al. 2018)."""
    return gate(
        pool=AdaptiveAvgPool(1), squeeze=padded_conv(hidden), act=Act("relu"), excite=padded_conv(width),
        scale=Act("sigmoid"),
    )  # fmt: skip


def depthwise_separable(channels: int) -> Seq:
    """A 3x3 convolution of each channel, then a 1x1 across them (Howard et al. 2017)."""
    return chain(padded_conv(channels, 3, groups=channels), padded_conv(channels, 1))


def inverted_bottleneck(channels: int, expand: int) -> Add:
    """1x1 to `expand` times the channels, depthwise 3x3, 1x1 back, added (Sandler et al. 2018)."""
    wide = expand * channels
    branch = chain(padded_conv(wide, 1), padded_conv(wide, 3, groups=wide), padded_conv(channels, 1))
    return add(branch=branch, shortcut=IDENTITY)


def grouped(channels: int, kernel: int, groups: int) -> Conv:
    """A padded convolution in groups."""
    return padded_conv(channels, kernel, groups=groups)


def split(channels: int, kernel: int) -> Seq:
    """kernel x kernel as 1 x kernel and kernel x 1: the second mixes all of the first's outputs."""
    half = kernel // 2
    first = Conv(channels, (1, kernel), padding=(0, half), bias=False)
    return chain(first, Conv(channels, (kernel, 1), padding=(half, 0), bias=False))
