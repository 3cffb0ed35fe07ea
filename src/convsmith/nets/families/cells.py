"""Networks of cells found by a search: a genotype is data, and one wiring makes the tree.

A cell receives the outputs of the two cells before it and brings both to its number of filters: the values `current`
and `previous`. Each of its blocks applies two operations to values that exist so far and adds the results; the cell's
output is a concatenation (Zoph et al. 2018, section 3.2). Every stage has the same number of normal cells. Where the
size halves stands a reduction cell, which has twice the filters and whose operations on `current` and `previous` have
stride 2.

In a tree each cell is a child called `cell1`, `cell2`, ... or `reduction`, its blocks are sums called `block1`, ... of a
`left` and a `right`, and what cells and blocks give is kept as `stage1_cell2`, `stage1_cell2_block3`, ...
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from convsmith.base.errors import UsageError, unknown
from convsmith.base.table import Table
from convsmith.nets.family import Numbers
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, AvgPoolSame, BatchNorm, Conv, Flatten, Linear, MaxPool, Pad, PadSame
from convsmith.nets.parts import RELU, divisible
from convsmith.nets.shape import Shape
from convsmith.nets.sizes import Axes
from convsmith.nets.tree import Keep, Node, Seq, Use, add, cat, seq

CURRENT, PREVIOUS = "current", "previous"
STAGES = 3

Children = dict[str, Node | None]


@dataclass(frozen=True, slots=True)
class Block:
    """Two operations, each on one of the values so far, whose outputs are added."""

    left: str
    left_input: str
    right: str
    right_input: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Blocks one after the other, called `block1`, `block2`, ..., and the values that the output concatenates."""

    blocks: tuple[Block, ...]
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Genotype:
    """The cells of a network. Without a `reduction` each later stage begins with a normal cell with stride 2."""

    normal: Cell
    reduction: Cell | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the authors' programs do that a genotype does not say.

    `same`: windows with stride 2 lie as TensorFlow's "same" has it; else they are padded alike on both sides.
    `count_padding`: averages with stride 2 count the zeros around the image.
    `strided_identity`: what the identity becomes where it must halve the size or change the channels.
    `raw_first`: where nothing precedes the first cell's `current`, its `previous` is the same value as it is; else
    another 1x1 convolution of it.
    `convs`: the 1x1 convolutions that bring `current` to the cell's filters.
    """

    norm: BatchNorm
    same: bool
    strided_identity: "Operation"
    count_padding: bool = False
    raw_first: bool = False
    convs: int = 1


# (rules, channels that it receives, filters that it gives, stride) to the children of a sequence.
Operation = Callable[[Rules, int, int, int], Children]


@dataclass(frozen=True, slots=True)
class Value:
    """Something kept: its name, its channels, and how many of the image's positions one of its steps spans."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True, slots=True)
class Place:
    """A cell in its network, with the values that it receives."""

    stage: str
    name: str
    cell: Cell
    filters: int
    stride: int
    previous: Value
    current: Value

    @property
    def value(self) -> Value:
        """What it gives."""
        channels = len(self.cell.output) * self.filters
        return Value(f"{self.stage}_{self.name}", channels, self.current.stride * self.stride)


def separable(kernel: int) -> Operation:
    """ReLU, depthwise and pointwise convolution and normalisation, twice; the stride is in the first."""

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
    """ReLU, depthwise convolution with dilation 2, pointwise convolution and normalisation, once."""

    def children(rules: Rules, channels: int, filters: int, stride: int) -> Children:
        pad, padding = _padding(rules, kernel, stride, dilation=2)
        depthwise = Conv(channels, kernel, stride, padding, dilation=2, groups=channels, bias=False)
        pointwise = Conv(filters, bias=False)
        return {"act": RELU, "pad": pad, "depthwise": depthwise, "pointwise": pointwise, "norm": rules.norm}

    return children


def line_pair(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """A 1x7 and a 7x1 convolution on a quarter of the filters, between two 1x1 convolutions."""
    narrow = max(1, filters // 4)
    convs: list[tuple[int, Axes, Axes]] = [
        (narrow, 1, 1), (narrow, (1, 7), (1, stride)), (narrow, (7, 1), (stride, 1)), (filters, 1, 1)
    ]  # fmt: skip
    children: Children = {}
    for i, (width, kernel, step) in enumerate(convs, 1):
        pad, padding = _padding(rules, kernel, step)
        conv = Conv(width, kernel, step, padding, bias=False)
        children |= {f"act{i}": RELU, f"pad{i}": pad, f"conv{i}": conv, f"norm{i}": rules.norm}
    return children


def average(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """Average pooling over 3x3; zeros around the image do not count, but for `count_padding`."""
    if stride == 1 or not rules.same:
        pool: Children = {"pool": AvgPool(3, stride, padding=1, count_padding=False)}
    elif rules.count_padding:
        pool = {"pad": PadSame(3, stride), "pool": AvgPool(3, stride)}
    else:
        pool = {"pool": AvgPoolSame(3, stride)}
    return pool | _widened(rules, channels, filters)


def maximum(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """Max pooling over 3x3."""
    pad, padding = _padding(rules, 3, stride, fill_lowest=True)
    return {"pad": pad, "pool": MaxPool(3, stride, padding)} | _widened(rules, channels, filters)


def identity(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """The value as it is, where it has the shape."""
    return {} if stride == 1 and channels == filters else rules.strided_identity(rules, channels, filters, stride)


def act_conv_norm(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """ReLU, 1x1 convolution, normalisation."""
    return {"act": RELU, "conv": Conv(filters, 1, stride, bias=False), "norm": rules.norm}


def factorised(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """Half the size without losing positions: two 1x1 convolutions see the even and the odd ones, then normalisation."""
    even = Conv(filters // 2, 1, stride, bias=False)
    odd = seq(shift=Pad(-1, 1), conv=Conv(filters - filters // 2, 1, stride, bias=False))
    return {"halves": cat(even=even, odd=odd), "norm": rules.norm}


def act_factorised(rules: Rules, channels: int, filters: int, stride: int) -> Children:
    """ReLU, then `factorised`."""
    return {"act": RELU, **factorised(rules, channels, filters, stride)}


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


def _padding(
    rules: Rules, kernel: Axes, stride: Axes, dilation: int = 1, fill_lowest: bool = False
) -> tuple[PadSame | None, Axes]:
    """What keeps the size under a window, or halves it: a node before it, or its own padding."""
    steps = stride if isinstance(stride, tuple) else (stride,)
    if rules.same and max(steps) > 1:
        return PadSame(kernel, stride, dilation, "lowest" if fill_lowest else "zero"), 0
    if isinstance(kernel, int):
        return None, kernel // 2 * dilation
    return None, tuple(k // 2 * dilation for k in kernel)


def _widened(rules: Rules, channels: int, filters: int) -> Children:
    """A 1x1 convolution and a normalisation where a pool's channels are not the filters."""
    return {} if channels == filters else {"conv": Conv(filters, bias=False), "norm": rules.norm}


def places(
    genotype: Genotype, values: list[Value], *, cells: int, filters: int, stem_cells: int = 0, share: bool = False
) -> list[Place]:
    """The cells in their order: `stem_cells` reductions in the stem, then three stages of `cells` each.

    `values` are the last two of the stem's. The filters double with each halving and are `filters` in the first stage.
    With `share` the cell after a reduction takes the reduction's own `previous`, not the cell before it.
    """
    if cells < 1 or filters < 4:
        raise UsageError(f"expected at least 1 cell a stage and 4 filters, received {cells} and {filters}")
    found: list[Place] = []
    values = list(values)

    def put(stage: str, name: str, cell: Cell, filters: int, stride: int) -> None:
        after_reduction = share and found and found[-1].stride == 2 and found[-1].stage == stage
        previous = found[-1].previous if after_reduction and stage != "stem" else values[-2]
        found.append(Place(stage, name, cell, filters, stride, previous, values[-1]))
        values.append(found[-1].value)

    reduction = genotype.reduction or genotype.normal
    for i in range(stem_cells):
        put("stem", f"cell{i + 1}", reduction, filters // 2 ** (stem_cells - i), 2)
    for i in range(STAGES):
        strided = i > 0 and genotype.reduction is None
        if i > 0 and genotype.reduction:
            put(f"stage{i + 1}", "reduction", reduction, filters * 2**i, 2)
        for j in range(cells):
            put(f"stage{i + 1}", f"cell{j + 1}", genotype.normal, filters * 2**i, 2 if strided and j == 0 else 1)
    return found


def cell_stages(
    places: list[Place], rules: Rules, stem: Children, *, act: bool, wanted: Iterable[str] = ()
) -> tuple[tuple[str, Node], ...]:
    """The stem followed by its cells, and the stages; with `act` the last ends with a ReLU.

    Of the cells' outputs those are kept that later cells use, and the `wanted` ones.
    """
    kept = {place.previous.name for place in places} | set(wanted)
    stages: dict[str, Children] = {"stem": dict(stem)}
    for place in places:
        stages.setdefault(place.stage, {})[place.name] = _cell(place, rules, keep=place.value.name in kept)
    stages[places[-1].stage]["act"] = RELU if act else None
    return tuple((name, seq(**children)) for name, children in stages.items())


def _cell(place: Place, rules: Rules, keep: bool) -> Seq:
    children: Children = {}
    label = place.value.name
    values: dict[str, Value] = {}

    def put(name: str, nodes: Children, stride: int) -> None:
        """Add a child that keeps what `nodes` give, and the value."""
        values[name] = Value(f"{label}_{name}", place.filters, stride)
        children[name] = seq(**nodes, keep=Keep(values[name].name))

    put(CURRENT, _prepared(place, rules), place.current.stride)
    if rules.raw_first and place.previous == place.current:
        values[PREVIOUS] = place.previous
    else:
        put(PREVIOUS, _matched(place, rules), place.current.stride)

    def operand(operation: str, name: str) -> Node:
        value = _value(values, name, label)
        stride = place.stride if name in (CURRENT, PREVIOUS) else 1
        nodes = OPERATIONS[operation](rules, value.channels, place.filters, stride)
        return seq(use=Use(value.name), **nodes) if nodes else Use(value.name)

    for i, block in enumerate(place.cell.blocks, 1):
        left, right = operand(block.left, block.left_input), operand(block.right, block.right_input)
        name = f"block{i}"
        values[name] = Value(f"{label}_{name}", place.filters, place.value.stride)
        children |= {name: add(left=left, right=right), f"keep{i}": Keep(values[name].name)}
    outputs = {name: _output(_value(values, name, label), place, rules) for name in place.cell.output}
    return seq(**children, output=cat(**outputs), keep=Keep(label) if keep else None)


def _prepared(place: Place, rules: Rules) -> Children:
    """What brings `current` to the cell's filters."""
    once = act_conv_norm(rules, place.current.channels, place.filters, 1)
    if rules.convs == 1:
        return once
    return {f"{name}{i}": node for i in range(1, rules.convs + 1) for name, node in once.items()}


def _matched(place: Place, rules: Rules) -> Children:
    """What brings `previous` to the size of `current` and the cell's filters."""
    halve = place.previous.stride != place.current.stride
    bring = act_factorised if halve else act_conv_norm
    return {"use": Use(place.previous.name), **bring(rules, place.previous.channels, place.filters, 2 if halve else 1)}


def _output(value: Value, place: Place, rules: Rules) -> Node:
    """A value of the cell in the shape of its output."""
    if value.stride != place.value.stride:
        return seq(use=Use(value.name), **factorised(rules, value.channels, place.filters, 2))
    widened = _widened(rules, value.channels, place.filters)
    return seq(use=Use(value.name), **widened) if widened else Use(value.name)


def _value(values: dict[str, Value], name: str, label: str) -> Value:
    if name not in values:
        raise unknown(f"value in {label}:", name, values)
    return values[name]


def plain_stem(width: int, norm: BatchNorm, *, halve: bool) -> tuple[Children, list[Value]]:
    """A 3x3 convolution and what it gives: with `halve` without padding and with stride 2 (NASNet's for ImageNet)."""
    conv = Conv(width, 3, 2, bias=False) if halve else Conv(width, 3, padding=1, bias=False)
    value = Value("stem_conv", width, 2 if halve else 1)
    return {"conv": conv, "norm": norm, "keep": Keep(value.name)}, [value, value]


def auxiliary_head(value: str, classes: int, norm: BatchNorm) -> Seq:
    """The classifier beside the network (slim's NASNet): it pools 5x5 with stride 3, then 1x1 128 and 768 over all.

    The second convolution has the size of its map, which makes it a linear layer.
    """
    return seq(
        use=Use(value), act1=RELU, pool=AvgPool(5, 3),
        conv=Conv(128, bias=False), norm1=norm, act2=RELU, flatten=Flatten(),
        linear1=Linear(768, bias=False), norm2=norm, act3=RELU, linear2=Linear(classes),
    )  # fmt: skip


def network_of_cells(
    family: str,
    stages: tuple[tuple[str, Node], ...],
    heads: tuple[tuple[str, Node | None], ...],
    input: Shape,
    init: str = "he_in",
) -> Network:
    """The network; heads that are None are left out."""
    given = tuple((name, head) for name, head in heads if head is not None)
    return Network(name=family, family=family, input=input, init=init, stages=stages, heads=given)


def in_small_form(network: Network, build: Callable[..., Network], **numbers: int) -> Network:
    """The network with the stages that `numbers` make; refuses one whose stages are no longer `build`'s."""
    if build(**network.numbers).stages != network.stages:
        raise UsageError(f"small_images: {network.name} was changed already; make this edit the first")
    return build(**network.numbers, **numbers)


def wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the filters, a multiple of 4: the stem's cells have half and a quarter."""
    return {**numbers, "filters": divisible(numbers["filters"] * factor, 4)}


def deeper(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the cells of each stage, at least one."""
    return {**numbers, "cells": max(1, round(numbers["cells"] * factor))}
