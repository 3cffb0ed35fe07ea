"""Edits that exchange convolutions and linear layers: dilated, separable, of low rank, fully convolutional."""

import math
from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.nets.edits.record import edit_stages, recorded, shapes
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveAvgPool, AvgPool, Conv, Flatten, Linear, MaxPool
from convsmith.nets.shape import Shape
from convsmith.nets.sizes import per_axis
from convsmith.nets.tree import MAIN, Node, Seq, rewrite, seq, walk

Sizes = tuple[int, ...]


def dilate(network: Network, output_stride: int) -> Network:
    """Features one `output_stride`-th of the image's size: later strides become 1, later kernels are dilated instead.

    Every kernel keeps the places in the image that it saw (Yu and Koltun 2016; Chen et al. 2018, section 3.1), with the
    weights as they are. Pooling layers lose their stride but are not dilated.
    """
    if output_stride < 1 or output_stride & (output_stride - 1):
        raise UsageError(f"dilate: expected an output stride of 1, 2, 4, 8, 16, ..., received {output_stride}")
    steps = {step.path: step for step in network.trace().steps}

    def change(path: str, node: Node) -> Node:
        if not isinstance(node, Conv | MaxPool | AvgPool):
            return node
        x = steps[path].x
        jumps = [int(jump) for jump in x.field.jump]
        kernel, stride, padding = (per_axis(v, x.shape) for v in (node.kernel, node.stride, node.padding))
        kept = tuple(min(s, max(1, output_stride // j)) for s, j in zip(stride, jumps, strict=True))
        if isinstance(node, Conv):
            rates = [max(1, j // output_stride) if k > 1 else 1 for j, k in zip(jumps, kernel, strict=True)]
            dilation = per_axis(node.dilation, x.shape)
            wider = tuple(d * rate for d, rate in zip(dilation, rates, strict=True))
            padding = tuple(p * rate for p, rate in zip(padding, rates, strict=True))
            _check_kept_size(path, kernel, padding, wider, stride, kept)
            return replace(node, stride=_one(kept), dilation=_one(wider), padding=_one(padding))
        if kept == stride:
            return node
        # A window without stride keeps the size only if it is odd and padded on both sides.
        odd = tuple(k if s == t else k + 1 - k % 2 for k, s, t in zip(kernel, stride, kept, strict=True))
        sides = tuple(p if s == t else k // 2 for p, k, s, t in zip(padding, odd, stride, kept, strict=True))
        return replace(node, kernel=_one(odd), stride=_one(kept), padding=_one(sides), ceil=False)

    return recorded(network, edit_stages(network, change), "dilate", output_stride)


def _check_kept_size(path: str, kernel: Sizes, padding: Sizes, dilation: Sizes, stride: Sizes, kept: Sizes) -> None:
    for k, p, d, s, t in zip(kernel, padding, dilation, stride, kept, strict=True):
        if s != t and 2 * p != d * (k - 1):
            raise UsageError(
                f"dilate: {path} has a kernel of {k} with padding {p}, which loses size without its stride {s}; "
                "choose a larger output stride"
            )


def _one(values: Sizes) -> int | Sizes:
    """Sizes per axis as one number where they agree."""
    return values[0] if len(set(values)) == 1 else values


def separable(network: Network) -> Network:
    """Each dense k x k convolution becomes a depthwise k x k and a pointwise 1x1 (Howard et al. 2017, section 3.1).

    The first convolution stays, and so do grouped and 1x1 ones.
    """
    inputs = {path: x for path, (x, _) in shapes(network).items()}
    first = next((p for name, root in network.stages for p, n in walk(root, name) if isinstance(n, Conv)), None)

    def change(path: str, node: Node) -> Node:
        if not _dense(node, inputs.get(path)) or path == first or not isinstance(node, Conv):
            return node
        channels = inputs[path].channels
        depthwise = replace(node, channels=channels, groups=channels, bias=False)
        return seq(depthwise=depthwise, pointwise=Conv(node.channels, bias=node.bias))

    return recorded(network, edit_stages(network, change), "separable")


def low_rank(network: Network, ratio: float = 0.5) -> Network:
    """Each dense k x k convolution becomes a k x 1 to `ratio` of its channels, then a 1 x k (Jaderberg et al. 2014).

    Of a trained network the two hold the best approximation of that rank. The first convolution stays.
    """
    if not 0 < ratio <= 4:
        raise UsageError(f"low_rank: expected a ratio above 0, at most 4, received {ratio}")
    inputs = {path: x for path, (x, _) in shapes(network).items()}
    first = next((p for name, root in network.stages for p, n in walk(root, name) if isinstance(n, Conv)), None)

    def change(path: str, node: Node) -> Node:
        if not _dense(node, inputs.get(path)) or path == first or not isinstance(node, Conv):
            return node
        x = inputs[path]
        sizes = (per_axis(v, x) for v in (node.kernel, node.stride, node.padding, node.dilation))
        (kv, kh), (sv, sh), (pv, ph), (dv, dh) = sizes
        rank = max(1, min(round(ratio * node.channels), x.channels * kv, node.channels * kh))
        return seq(
            vertical=Conv(rank, (kv, 1), (sv, 1), (pv, 0), (dv, 1), bias=False),
            horizontal=Conv(node.channels, (1, kh), (1, sh), (0, ph), (1, dh), bias=node.bias),
        )

    return recorded(network, edit_stages(network, change), "low_rank", ratio)


def _dense(node: Node, x: Shape | None) -> bool:
    """Whether a node is an ungrouped convolution over two axes, each longer than one."""
    if not isinstance(node, Conv) or x is None or len(x.spatial) != 2:
        return False
    return node.groups == 1 and min(per_axis(node.kernel, x)) > 1


def linear_bottleneck(network: Network, width: int) -> Network:
    """Each fully connected layer that it makes smaller passes through `width` values, with no activation between.

    The two layers can express less, and hold the best approximation of a trained layer.
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
        return seq(narrow=Linear(width, bias=False), wide=node)

    heads[MAIN] = rewrite(heads[MAIN], change, MAIN)
    return recorded(network, replace(network, heads=tuple(heads.items())), "linear_bottleneck", width)


def fully_convolutional(network: Network) -> Network:
    """The main head as convolutions: on a larger image it gives a map of answers (Long et al. 2015, section 3.1).

    A linear layer on a map becomes a convolution of the map's size, pooling over the whole image an average over the
    size it has now, and dense layers 1x1 convolutions. Weights carry over; on its own size the answers stay.
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
    """Adaptive pooling from `x` to `y` as pooling over windows of one size."""
    if any(n % m for n, m in zip(x.spatial, y.spatial, strict=True)):
        raise UsageError(
            f"fully_convolutional: {path} pools {x} to {y}, which no window of one size does; give an image size whose "
            f"features are a multiple of {'x'.join(map(str, y.spatial))}"
        )
    window = tuple(n // m for n, m in zip(x.spatial, y.spatial, strict=True))
    return AvgPool(_one(window), _one(window) if math.prod(y.spatial) > 1 else 1)
