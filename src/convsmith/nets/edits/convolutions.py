"""Edits that replace convolutions and linear layers: dilated, separable, of low rank, fully convolutional."""

import math
from collections.abc import Callable
from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.nets.edits.record import edit_stages, recorded, shapes
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveAvgPool, AvgPool, Conv, Flatten, Linear, MaxPool, Pad
from convsmith.nets.shape import Shape
from convsmith.nets.sizes import per_axis
from convsmith.nets.tree import MAIN, Node, Seq, rewrite, seq, walk

Sizes = tuple[int, ...]

# The children that replace a layer: `carry` maps its weights by these names.
LOW_RANK = ("vertical", "horizontal")
LINEAR_BOTTLENECK = ("narrow", "wide")


def dilate(network: Network, output_stride: int) -> Network:
    """Features one `output_stride`-th of the image's size: later strides become 1, later windows are dilated instead.

    Every window keeps its positions in the image and its weights (Yu and Koltun 2016; Chen et al. 2018, section 3.1):
    away from the far border the features are the old ones, with new ones between them. Average pooling is the
    exception: it is not dilated and stays dense.
    """
    if output_stride < 1 or output_stride & (output_stride - 1):
        raise UsageError(f"dilate: expected an output stride of 1, 2, 4, 8, 16, ..., received {output_stride}")
    steps = {step.path: step for step in network.trace().steps}

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Conv | MaxPool | AvgPool):
            return node
        x = steps[path].x
        jumps = [max(1, int(jump)) for jump in x.field.jump]
        if any(jump > output_stride and jump % output_stride for jump in jumps):
            raise UsageError(f"dilate: at {path} positions lie {jumps[0]} pixels apart, no multiple of {output_stride}")
        stride = per_axis(node.stride, x.shape)
        kept = tuple(min(s, max(1, output_stride // j)) for s, j in zip(stride, jumps, strict=True))
        rates = tuple(max(1, j // output_stride) for j in jumps)
        if isinstance(node, Conv):
            return _dilated_conv(path, node, x.shape, kept, rates)
        return _dilated_pool(node, x.shape, kept, rates)

    return recorded(network, edit_stages(network, change), "dilate", output_stride)


def _dilated_conv(path: str, node: Conv, x: Shape, stride: Sizes, rates: Sizes) -> Conv:
    kernel, padding, dilation = (per_axis(v, x) for v in (node.kernel, node.padding, node.dilation))
    rates = tuple(rate if k > 1 else 1 for rate, k in zip(rates, kernel, strict=True))
    wider = tuple(d * rate for d, rate in zip(dilation, rates, strict=True))
    padding = tuple(p * rate for p, rate in zip(padding, rates, strict=True))
    _check_kept_size(path, kernel, padding, wider, per_axis(node.stride, x), stride)
    return replace(node, stride=_one(stride), dilation=_one(wider), padding=_one(padding))


def _dilated_pool(node: MaxPool | AvgPool, x: Shape, stride: Sizes, rates: Sizes) -> Node:
    """The pooling with another stride, padded to keep the size if that is 1; max pooling is also dilated."""
    kernel, before, old = (per_axis(v, x) for v in (node.kernel, node.padding, node.stride))
    if (stride == old and max(rates) == 1) or max(kernel) == 1:
        return replace(node, stride=_one(stride))
    if stride == old and isinstance(node, MaxPool):
        padding = tuple(p * rate for p, rate in zip(before, rates, strict=True))
        # torch takes no padding beyond half of the kernel: more padding becomes a node before the pooling.
        pool = replace(node, padding=0, dilation=_one(rates), ceil=False)
        return seq(pad=Pad(_one(padding), _one(padding), "lowest"), pool=pool) if any(padding) else pool
    if stride == old:
        return node
    spread = rates if isinstance(node, MaxPool) else (1,) * len(rates)
    first = tuple(p * rate for p, rate in zip(before, spread, strict=True))
    last = tuple((k - 1) * rate - p for k, rate, p in zip(kernel, spread, first, strict=True))
    if isinstance(node, MaxPool):
        pool = replace(node, stride=_one(stride), padding=0, dilation=_one(spread), ceil=False)
        return seq(pad=Pad(_one(first), _one(last), "lowest"), pool=pool)
    return seq(pad=Pad(_one(first), _one(last)), pool=replace(node, stride=_one(stride), padding=0, ceil=False))


def _check_kept_size(path: str, kernel: Sizes, padding: Sizes, dilation: Sizes, stride: Sizes, kept: Sizes) -> None:
    for k, p, d, s, t in zip(kernel, padding, dilation, stride, kept, strict=True):
        if s != t and 2 * p != d * (k - 1):
            raise UsageError(
                f"dilate: {path} has a kernel of {k} with padding {p}, which loses size without its stride {s}; "
                "choose a larger output stride"
            )


def _one(values: Sizes) -> int | Sizes:
    """Sizes per axis, as one number if they are equal."""
    return values[0] if len(set(values)) == 1 else values


def separable(network: Network) -> Network:
    """Each dense k x k convolution becomes a depthwise k x k and a pointwise 1x1 (Howard et al. 2017, section 3.1).

    The first convolution, grouped ones and 1x1 ones stay.
    """

    def split(node: Conv, x: Shape) -> Seq:
        depthwise = replace(node, channels=x.channels, groups=x.channels, bias=False)
        return seq(depthwise=depthwise, pointwise=Conv(node.channels, bias=node.bias))

    return recorded(network, _without_dense(network, split), "separable")


def low_rank(network: Network, ratio: float = 0.5) -> Network:
    """Each dense k x k convolution becomes a k x 1 to `ratio` of its channels, then a 1 x k (Jaderberg et al. 2014).

    In a trained network the two hold the best approximation of that rank. The first convolution stays.
    """
    if not 0 < ratio <= 4:
        raise UsageError(f"low_rank: expected a ratio above 0, at most 4, received {ratio}")

    def split(node: Conv, x: Shape) -> Seq:
        sizes = (per_axis(v, x) for v in (node.kernel, node.stride, node.padding, node.dilation))
        (kv, kh), (sv, sh), (pv, ph), (dv, dh) = sizes
        rank = max(1, min(round(ratio * node.channels), x.channels * kv, node.channels * kh))
        first = Conv(rank, (kv, 1), (sv, 1), (pv, 0), (dv, 1), bias=False)
        second = Conv(node.channels, (1, kh), (1, sh), (0, ph), (1, dh), bias=node.bias)
        return seq(**dict(zip(LOW_RANK, (first, second), strict=True)))

    return recorded(network, _without_dense(network, split), "low_rank", ratio)


def _without_dense(network: Network, split: Callable[[Conv, Shape], Seq]) -> Network:
    """The network with each dense convolution over two axes, except the first, replaced by `split(node, x)`."""
    inputs = {path: x for path, (x, _) in shapes(network).items()}
    convs = (path for name, root in network.stages for path, node in walk(root, name) if isinstance(node, Conv))
    first = next(convs, None)

    def change(path: str, node: Node) -> Node:
        if path == first or not isinstance(node, Conv) or not _dense(node, inputs.get(path)):
            return node
        return split(node, inputs[path])

    return edit_stages(network, change)


def _dense(node: Conv, x: Shape | None) -> bool:
    """Whether a convolution is ungrouped and over two axes, its kernel longer than one along each."""
    if x is None or len(x.spatial) != 2:
        return False
    return node.groups == 1 and min(per_axis(node.kernel, x)) > 1


def linear_bottleneck(network: Network, width: int) -> Network:
    """Each fully connected layer becomes two, through `width` values without an activation, if that saves weights.

    The two layers can express less. In a trained network they hold the best approximation of the layer.
    """
    if width < 1:
        raise UsageError(f"linear_bottleneck: expected a width of at least 1, received {width}")
    sizes = {path: (x.channels, y.channels) for path, (x, y) in shapes(network).items()}
    heads = dict(network.heads)

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Linear):
            return node
        inputs, outputs = sizes[path]
        if width * (inputs + outputs) >= inputs * outputs:
            return node
        return seq(**dict(zip(LINEAR_BOTTLENECK, (Linear(width, bias=False), node), strict=True)))

    heads[MAIN] = rewrite(heads[MAIN], change, MAIN)
    return recorded(network, replace(network, heads=tuple(heads.items())), "linear_bottleneck", width)


def fully_convolutional(network: Network) -> Network:
    """The main head as convolutions: on a larger image it gives a map of outputs (Long et al. 2015, section 3.1).

    A linear layer on a map becomes a convolution of the map's size, global pooling an average over its present input
    size, and other linear layers 1x1 convolutions. Weights carry over; outputs for the present image size stay.
    """
    heads = dict(network.heads)
    sizes = shapes(network)
    map_size: dict[str, Sizes] = {}
    spatial: Sizes = ()
    for step in network.trace().steps:
        if step.path.startswith(f"{MAIN}.") and isinstance(step.node, Flatten):
            spatial = step.x.shape.spatial
        elif step.path.startswith(f"{MAIN}.") and isinstance(step.node, Linear):
            map_size[step.path], spatial = spatial, ()

    def change(path: str, node: Node) -> Node:
        if isinstance(node, AdaptiveAvgPool):
            return _window(path, *sizes[path])
        if isinstance(node, Linear):
            return Conv(node.channels, map_size[path] or 1, bias=node.bias)
        if isinstance(node, Seq):
            return Seq(tuple((n, c) for n, c in node.children if not isinstance(c, Flatten)))
        return node

    heads[MAIN] = rewrite(heads[MAIN], change, MAIN)
    return recorded(network, replace(network, heads=tuple(heads.items())), "fully_convolutional")


def _window(path: str, x: Shape, y: Shape) -> Node:
    """Adaptive pooling from `x` to `y` as pooling over windows of equal size."""
    if any(n % m for n, m in zip(x.spatial, y.spatial, strict=True)):
        raise UsageError(
            f"fully_convolutional: {path} pools {x} to {y}, which no window of one size does; give an image size whose "
            f"features are a multiple of {'x'.join(map(str, y.spatial))}"
        )
    window = tuple(n // m for n, m in zip(x.spatial, y.spatial, strict=True))
    return AvgPool(_one(window), _one(window) if math.prod(y.spatial) > 1 else 1)
