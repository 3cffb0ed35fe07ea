"""Networks of cells found by a search: a genotype is data, and one wiring makes the tree.

A cell receives the outputs of the two cells before it and brings both to its number of filters: the values `current`
and `previous`. Each block applies two operations to values that exist so far and adds the results; the cell's output is
a concatenation (Zoph et al. 2018, section 3). All stages have the same number of normal cells. A reduction cell halves
the size: it has twice the filters, and its operations on `current` and `previous` have stride 2.

In a tree each cell is a child called `cell1`, `cell2`, ... or `reduction`; its blocks are sums called `block1`,
`block2`, ... of a `left` and a `right`; their outputs are kept as `stage1_cell2`, `stage1_cell2_block3`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from convsmith.base.errors import UsageError, unknown
from convsmith.nets.families.cell_operations import (
    OPERATIONS,
    Children,
    Rules,
    act_conv_norm,
    act_factorized,
    factorized,
    widened,
)
from convsmith.nets.family import Numbers
from convsmith.nets.network import Network
from convsmith.nets.ops import AvgPool, BatchNorm, Conv, Flatten, Linear
from convsmith.nets.parts import RELU, divisible
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Keep, Node, Seq, Use, add, cat, seq

CURRENT, PREVIOUS = "current", "previous"
STAGES = 3


@dataclass(frozen=True, slots=True)
class Block:
    """Two operations, each on one of the values so far; their outputs are added."""

    left: str
    left_input: str
    right: str
    right_input: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Blocks, called `block1`, `block2`, ..., and the values that the output concatenates."""

    blocks: tuple[Block, ...]
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Genotype:
    """The cells of a network. Without a `reduction` each later stage begins with a normal cell with stride 2."""

    normal: Cell
    reduction: Cell | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A kept value: its name, its channels, and its stride in pixels."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True, slots=True)
class Stem:
    """The children of the stem, which keep the values that the first cell receives."""

    children: Children
    previous: Value
    current: Value


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
        """The output of the cell."""
        channels = len(self.cell.output) * self.filters
        return Value(f"{self.stage}_{self.name}", channels, self.current.stride * self.stride)


def cell_network(
    family: str,
    input: Shape,
    stem: Stem,
    cells: Sequence[Place],
    rules: Rules,
    heads: Mapping[str, Seq],
    *,
    last_act: bool = True,
    init: str = "he_in",
) -> Network:
    """The network of a stem, cells and heads; an auxiliary head may use the output of a cell.

    With `last_act` the last stage ends with a ReLU.
    """
    used = {node.name for head in heads.values() for _, node in head.children if isinstance(node, Use)}
    used |= {place.previous.name for place in cells}
    stages: dict[str, Children] = {"stem": dict(stem.children)}
    for place in cells:
        stages.setdefault(place.stage, {})[place.name] = _cell(place, rules, keep=place.value.name in used)
    stages[cells[-1].stage]["act"] = RELU if last_act else None
    return Network(
        name=family, family=family, input=input, init=init, heads=tuple(heads.items()),
        stages=tuple((name, seq(**children)) for name, children in stages.items()),
    )  # fmt: skip


def places(
    genotype: Genotype, stem: Stem, *, cells: int, filters: int, stem_cells: int = 0, share_previous: bool = False
) -> list[Place]:
    """The cells in their order: `stem_cells` reductions in the stem, then three stages of `cells` normal ones.

    The first stage has `filters`, each later stage twice as many as the one before, each cell of the stem half as many
    as the next. With `share_previous` the cell after a reduction has the same `previous` as the reduction, instead of
    the output of the cell before the reduction.
    """
    if cells < 1 or filters < 4:
        raise UsageError(f"expected at least 1 cell a stage and 4 filters, received {cells} and {filters}")
    placed: list[Place] = []
    values = [stem.previous, stem.current]

    def put(stage: str, name: str, cell: Cell, filters: int, stride: int = 1) -> None:
        previous = placed[-1].previous if share_previous and placed and placed[-1].name == "reduction" else values[-2]
        placed.append(Place(stage, name, cell, filters, stride, previous, values[-1]))
        values.append(placed[-1].value)

    for i in range(stem_cells):
        put("stem", f"cell{i + 1}", genotype.reduction or genotype.normal, filters // 2 ** (stem_cells - i), 2)
    for i in range(STAGES):
        if i > 0 and genotype.reduction:
            put(f"stage{i + 1}", "reduction", genotype.reduction, filters * 2**i, 2)
        for j in range(cells):
            halves = i > 0 and j == 0 and genotype.reduction is None
            put(f"stage{i + 1}", f"cell{j + 1}", genotype.normal, filters * 2**i, 2 if halves else 1)
    return placed


def _cell(place: Place, rules: Rules, keep: bool) -> Seq:
    """The tree of a cell; with `keep` it keeps its output."""
    label = place.value.name
    children: Children = {CURRENT: seq(**_current(place, rules), keep=Keep(f"{label}_{CURRENT}"))}
    values = {CURRENT: Value(f"{label}_{CURRENT}", place.filters, place.current.stride)}
    if rules.raw_first and place.previous == place.current:
        values[PREVIOUS] = place.previous
    else:
        children[PREVIOUS] = seq(**_previous(place, rules), keep=Keep(f"{label}_{PREVIOUS}"))
        values[PREVIOUS] = replace(values[CURRENT], name=f"{label}_{PREVIOUS}")
    for i, block in enumerate(place.cell.blocks, 1):
        left = _operand(block.left, _look_up(values, block.left_input, label), place, rules)
        right = _operand(block.right, _look_up(values, block.right_input, label), place, rules)
        name = f"block{i}"
        values[name] = Value(f"{label}_{name}", place.filters, place.value.stride)
        children |= {name: add(left=left, right=right), f"keep{i}": Keep(values[name].name)}
    outputs = {name: _output(_look_up(values, name, label), place, rules) for name in place.cell.output}
    return seq(**children, output=cat(**outputs), keep=Keep(label) if keep else None)


def _current(place: Place, rules: Rules) -> Children:
    """The operators that bring the last cell's output to this cell's filters."""
    once = act_conv_norm(rules, place.current.channels, place.filters, 1)
    if rules.convs == 1:
        return once
    return {f"{name}{i}": node for i in range(1, rules.convs + 1) for name, node in once.items()}


def _previous(place: Place, rules: Rules) -> Children:
    """The operators that bring the output of the cell before the last to the size and filters of `current`."""
    halve = place.previous.stride != place.current.stride
    bring = act_factorized if halve else act_conv_norm
    return {"use": Use(place.previous.name), **bring(rules, place.previous.channels, place.filters, 2 if halve else 1)}


def _operand(operation: str, value: Value, place: Place, rules: Rules) -> Node:
    """An operation on a value, as a branch of a block."""
    stride = place.value.stride // value.stride
    return _using(value, OPERATIONS[operation](rules, value.channels, place.filters, stride))


def _output(value: Value, place: Place, rules: Rules) -> Node:
    """A value as a branch of the cell's output."""
    bring = factorized(rules, value.channels, place.filters, 2) if value.stride != place.value.stride else None
    return _using(value, widened(rules, value.channels, place.filters) if bring is None else bring)


def _using(value: Value, children: Children) -> Node:
    return seq(use=Use(value.name), **children) if children else Use(value.name)


def _look_up(values: dict[str, Value], name: str, label: str) -> Value:
    if name not in values:
        raise unknown(f"value in {label}:", name, values)
    return values[name]


def conv_stem(width: int, norm: BatchNorm, *, halve: bool) -> Stem:
    """A 3x3 convolution whose output is both inputs of the first cell; with `halve` it has stride 2 and no padding."""
    conv = Conv(width, 3, 2, bias=False) if halve else Conv(width, 3, padding=1, bias=False)
    value = Value("stem_conv", width, 2 if halve else 1)
    return Stem({"conv": conv, "norm": norm, "keep": Keep(value.name)}, value, value)


def auxiliary_head(value: str, classes: int, norm: BatchNorm) -> Seq:
    """The classifier that helps to train the lower cells: pooling, a 1x1 convolution to 128, a layer of 768 over all.

    slim and DARTS write that layer as a convolution of the map's size, which computes the same.
    """
    return seq(
        use=Use(value), act1=RELU, pool=AvgPool(5, 3),
        conv=Conv(128, bias=False), norm1=norm, act2=RELU,
        flatten=Flatten(), linear1=Linear(768, bias=False), norm2=norm, act3=RELU, linear2=Linear(classes),
    )  # fmt: skip


def small_form(network: Network, build: Callable[..., Network], **numbers: int) -> Network:
    """The network with the stages of `build` with `numbers`; raises UsageError if an edit has changed its stages."""
    if build(**network.numbers).stages != network.stages:
        raise UsageError(f"small_images: {network.name} was changed already; make this edit the first")
    return replace(network, stages=build(**{**network.numbers, **numbers}).stages)


def wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the filters and the stem's channels, in multiples of 4: the stem's cells have a quarter."""
    return {**numbers, **{name: divisible(numbers[name] * factor, 4) for name in ("filters", "stem")}}


def deeper(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the cells of each stage, at least one."""
    return {**numbers, "cells": max(1, round(numbers["cells"] * factor))}
