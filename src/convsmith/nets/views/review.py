"""A network against the six design guidelines of A. Vedaldi's lectures, as measurements with the savings of edits.

    1  avoid tight bottlenecks: decrease height x width x channels slowly
    2  prefer chains of small filters to large ones
    3  keep the number of channels at bay: a layer's cost is the product of both
    4  split dense filters into groups, then mix
    5  decompose filters and matrices into factors of low rank
    6  dilate where the receptive field is too small

No formula computes the saving: the node is rewritten in the tree and the tree is priced again.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from convsmith.base.errors import UsageError
from convsmith.nets.cost import Cost, LayerCost, cost
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveAvgPool, BatchNorm, Conv, Flatten, Linear
from convsmith.nets.sizes import Axes, across
from convsmith.nets.trace import Step
from convsmith.nets.tree import Add, Cat, Node, Seq, rewrite, seq, walk

GUIDELINES = {
    1: "tight bottlenecks",
    2: "large filters",
    3: "channels at bay",
    4: "filter groups",
    5: "low rank",
    6: "receptive field",
}

# If height and width halve from one layer of the main path to the next and no channel is added, a quarter of the values
# is left: the pooling that Szegedy et al. 2016 ("Rethinking the Inception Architecture", section 5) avoid.
DROP = 4.0
# Doubling the channels as height and width halve keeps the MACs of a layer (VGG's rule; Simonyan and Zisserman 2015).
GROWTH = 2.0
# An edit of a layer with less than a tenth of the network's MACs (of its parameters, for linear layers) changes the
# total by less than a tenth.
SHARE = 0.1
# A saving below a hundredth of the network is not worth a line.
WORTH = 0.01
# Kernels from 5 on are chains of 3x3 (Szegedy et al. 2016, section 3.1).
LARGE = 5
# ResNeXt: up to 32 groups of at least 4 channels (Xie et al. 2017, table 1).
GROUPS, GROUP_WIDTH = 32, 4
# A linear layer of a quarter of its rank has at most half its parameters.
RANK = 4
# The effective field is a small part of the theoretical one (Luo et al. 2016): a field a few times the image is fine.
FAR = 4.0


@dataclass(frozen=True)
class Finding:
    """A measurement beyond its limit, the edit that would mend it, and the saving of the edit (a cost if negative).

    Savings are None if no rewriting of a single node makes the edit. Each is priced alone: savings do not add up.
    """

    guideline: int
    path: str
    measured: float
    limit: float
    what: str
    edit: str
    params_saved: int | None = None
    macs_saved: int | None = None


def review(network: Network) -> list[Finding]:
    """The findings of all six guidelines, sorted by the share of the network that they save, the largest first."""
    subject = _Subject(network)
    checks = (_bottlenecks, _large_filters, _growth, _flattening, _groups, _low_rank_filters, _low_rank_layers, _field)
    findings = [finding for check in checks for finding in check(subject)]
    return sorted(findings, key=subject.saving, reverse=True)


class _Subject:
    """A network with its cost, its steps, and the cost of its edits."""

    def __init__(self, network: Network):
        self.network = network
        self.numbers = cost(network)
        self.steps = {step.path: step for step in network.trace().steps}
        self.macs = {layer.name: layer.macs / max(1, self.numbers.macs) for layer in self.layers()}
        self.params = {layer.name: layer.params / max(1, self.numbers.params) for layer in self.layers()}

    def layers(self) -> list[LayerCost]:
        """The layers of the stages and the main head."""
        return [layer for layer in self.numbers.layers if not layer.auxiliary]

    def convs(self, share: float) -> Iterator[tuple[Step, Conv]]:
        """The convolutions with at least `share` of the MACs."""
        for layer in self.layers():
            step = self.steps[layer.name]
            if isinstance(step.node, Conv) and self.macs[layer.name] >= share:
                yield step, step.node

    def priced(self, change: Callable[[str, Node], Node]) -> Cost | None:
        """The cost of the network with its nodes rewritten; None if the new nodes do not fit each other."""
        changed = replace(
            self.network,
            stages=tuple((name, rewrite(node, change, name)) for name, node in self.network.stages),
            heads=tuple((name, rewrite(node, change, name)) for name, node in self.network.heads),
        )
        try:
            return cost(changed)
        except UsageError:
            return None

    def with_saving(self, finding: Finding, node: Node) -> Finding:
        """The finding with the saving of `node` in place of the node at its path."""
        after = self.priced(lambda path, old: node if path == finding.path else old)
        if after is None:
            return finding
        params, macs = self.numbers.params - after.params, self.numbers.macs - after.macs
        return replace(finding, params_saved=params, macs_saved=macs)

    def saving(self, finding: Finding) -> float:
        """The larger share of the network's parameters or MACs that a finding's edit saves."""
        params, macs = (finding.params_saved or 0), (finding.macs_saved or 0)
        return max(params / max(1, self.numbers.params), macs / max(1, self.numbers.macs))

    def worth(self, finding: Finding, node: Node) -> list[Finding]:
        """[the finding with its saving] if the edit costs nothing and saves enough, else []."""
        priced = self.with_saving(finding, node)
        gains = priced.params_saved is not None and priced.params_saved >= 0 and (priced.macs_saved or 0) >= 0
        return [priced] if gains and self.saving(priced) >= WORTH else []


@dataclass(frozen=True)
class _Value:
    """A value on the main path: the step that makes it, its unit, and whether kept values enter (`wired`)."""

    step: Step
    unit: str
    wired: bool = False

    @property
    def elements(self) -> int:
        return self.step.y.shape.elements

    @property
    def channels(self) -> int:
        return self.step.y.shape.channels


def _main_path(subject: _Subject) -> list[_Value]:
    """The maps along the stages, one for each unit: the output of its last convolution or join, before any pooling."""
    values: list[_Value] = []
    for name, node in subject.network.stages:
        for path, part in _children(name, node):
            made = _made(part, path)
            if made and subject.steps[made[-1]].y.shape.positions > 1:
                wired = any(node.reads for _, node in walk(part))
                values.append(_Value(subject.steps[made[-1]], path, wired))
    return values


def _children(name: str, node: Node) -> list[tuple[str, Node]]:
    """The units of a stage with their paths."""
    return [(f"{name}.{n}", child) for n, child in node.children] if isinstance(node, Seq) else [(name, node)]


def _made(node: Node, path: str) -> list[str]:
    """The paths of the nodes in a part that make a value, in order: convolutions and joins (a join counts as one)."""
    if isinstance(node, Conv | Add | Cat):
        return [path]
    if isinstance(node, Seq):
        return [made for name, child in node.children for made in _made(child, f"{path}.{name}")]
    return []


def _bottlenecks(subject: _Subject) -> Iterator[Finding]:
    """Guideline 1: from unit to unit, and within a unit that no shortcut bypasses."""
    values = _main_path(subject)
    for before, value in pairwise(values):
        ratio = before.elements / value.elements
        if ratio >= DROP and not value.wired:
            yield _widened(subject, value.step, ratio, f"{before.elements:,} values become {value.elements:,}")
    parts = {path: node for name, node in subject.network.stages for path, node in _children(name, node)}
    for value in (v for v in values if not v.wired):
        for path in _made(parts[value.unit], value.unit)[:-1]:
            step = subject.steps[path]
            least = min(subject.steps[value.unit].x.shape.elements, value.elements)
            ratio = least / max(1, step.y.shape.elements)
            if ratio >= DROP:
                what = f"{step.y.shape.elements:,} values between {least:,} before and after"
                yield _widened(subject, step, ratio, what)


def _widened(subject: _Subject, step: Step, ratio: float, what: str) -> Finding:
    finding = Finding(1, step.path, ratio, DROP, what, "widen it, or pool beside a strided convolution")
    if not isinstance(step.node, Conv):
        return finding
    channels = step.node.channels * math.ceil(2 * ratio / DROP)
    finding = replace(finding, edit=f"{channels} channels instead of {step.node.channels}")
    return subject.with_saving(finding, replace(step.node, channels=channels))


def _large_filters(subject: _Subject) -> Iterator[Finding]:
    """Guideline 2: a k x k filter as (k - 1) / 2 filters of 3x3 with the same field."""
    for step, conv in subject.convs(WORTH):
        if isinstance(conv.kernel, int) and conv.kernel >= LARGE and conv.kernel % 2 and conv.dilation == 1:
            count = (conv.kernel - 1) // 2
            what = f"{across(conv.kernel)} filters, {_widths(step)}"
            finding = Finding(2, step.path, conv.kernel, 3, what, f"a chain of {count} filters of 3x3")
            yield from subject.worth(finding, _chain(conv, step.x.shape.channels, count))


def _chain(conv: Conv, inputs: int, count: int) -> Node:
    """`count` filters of 3x3 with the field, size and stride of `conv`."""
    padding = conv.padding if isinstance(conv.padding, int) else min(conv.padding)
    inner = _inner(conv, inputs)
    parts: dict[str, Node | None] = {}
    for i in range(count):
        last = i == count - 1
        pad = padding // count + (i < padding % count)
        small = Conv(conv.channels if last else inner, 3, conv.stride if last else 1, pad, 1, conv.groups, conv.bias)
        parts[f"conv{i + 1}"] = small
        if not last:
            parts |= {f"norm{i + 1}": None if conv.bias else BatchNorm(), f"act{i + 1}": Act("relu")}
    return seq(**parts)


def _inner(conv: Conv, inputs: int) -> int:
    """The width between the factors of a filter: its narrower side, unless that is a bottleneck (guideline 1)."""
    return conv.channels if conv.groups > 1 else max(min(inputs, conv.channels), conv.channels // 2)


def _growth(subject: _Subject) -> Iterator[Finding]:
    """Guideline 3: channels that grow faster than the maps shrink, in a layer with a large share of the MACs."""
    for before, value in pairwise(_main_path(subject)):
        step, conv = value.step, value.step.node
        if not isinstance(conv, Conv) or value.wired or subject.macs[step.path] < SHARE:
            continue
        axes = max(1, len(step.y.shape.spatial))
        shrunk = (before.step.y.shape.positions / step.y.shape.positions) ** (1 / axes)
        allowed = max(GROWTH, GROWTH * shrunk / 2)
        growth = value.channels / before.channels
        if growth > 1.05 * allowed:  # sizes that do not divide evenly shrink a bit more or less
            channels = int(before.channels * allowed)
            what = f"{before.channels} channels become {value.channels}"
            finding = Finding(3, step.path, growth, allowed, what, f"{channels} channels")
            yield from subject.worth(finding, replace(conv, channels=channels))


def _flattening(subject: _Subject) -> Iterator[Finding]:
    """Guideline 3: a flatten turns every position into a channel with a weight to every output of the next layer."""
    steps = list(subject.steps.values())
    for step, after in pairwise(s for s in steps if isinstance(s.node, Flatten | Linear)):
        positions = step.x.shape.positions
        heavy = isinstance(after.node, Linear) and subject.params.get(after.path, 0.0) >= SHARE
        if isinstance(step.node, Flatten) and positions > 1 and heavy:
            what = f"flattening makes {step.y.shape.channels:,} channels of {step.x.shape.channels:,}"
            finding = Finding(3, step.path, positions, 1, what, "a global average pool before it")
            yield from subject.worth(finding, seq(pool=AdaptiveAvgPool(1), flatten=Flatten()))


def _groups(subject: _Subject) -> Iterator[Finding]:
    """Guideline 4: filters in groups, then a 1x1 convolution that mixes them."""
    for step, conv in subject.convs(SHARE):
        groups = _fitting_groups(step.x.shape.channels, conv.channels)
        if conv.groups == 1 and not _pointwise(conv) and groups > 1:
            grouped = replace(conv, groups=groups, bias=False)
            mixed = seq(grouped=grouped, mix=Conv(conv.channels, 1, bias=conv.bias))
            what = f"dense {across(conv.kernel)}, {_widths(step)}: {subject.macs[step.path]:.0%} of the MACs"
            finding = Finding(4, step.path, subject.macs[step.path], SHARE, what, f"{groups} groups, then 1x1")
            yield from subject.worth(finding, mixed)


def _fitting_groups(inputs: int, outputs: int) -> int:
    """The largest power of two up to 32 that divides both and leaves at least four channels in a group."""
    groups = GROUPS
    while groups > 1 and (inputs % groups or outputs % groups or min(inputs, outputs) // groups < GROUP_WIDTH):
        groups //= 2
    return groups


def _low_rank_filters(subject: _Subject) -> Iterator[Finding]:
    """Guideline 5: a k x k filter as k x 1 and 1 x k."""
    for step, conv in subject.convs(SHARE):
        if conv.groups > 1 or _pointwise(conv) or not isinstance(conv.kernel, int) or len(step.x.shape.spatial) != 2:
            continue
        k, s, p, d = conv.kernel, *(_per_axis(v, 2) for v in (conv.stride, conv.padding, conv.dilation))
        inner = _inner(conv, step.x.shape.channels)
        factors = seq(
            vertical=Conv(inner, (k, 1), (s[0], 1), (p[0], 0), (d[0], 1), bias=False),
            horizontal=Conv(conv.channels, (1, k), (1, s[1]), (0, p[1]), (1, d[1]), bias=conv.bias),
        )
        what = f"{across(k)}, {_widths(step)}: {subject.macs[step.path]:.0%} of the MACs"
        finding = Finding(5, step.path, subject.macs[step.path], SHARE, what, f"{k}x1, then 1x{k}")
        yield from subject.worth(finding, factors)


def _low_rank_layers(subject: _Subject) -> Iterator[Finding]:
    """Guideline 5: a linear layer as two of a quarter of its rank."""
    for layer in subject.layers():
        step = subject.steps[layer.name]
        if isinstance(step.node, Linear) and subject.params[layer.name] >= SHARE:
            rank = max(1, min(step.x.shape.channels, step.node.channels) // RANK)
            what = f"linear, {_widths(step)}: {subject.params[layer.name]:.0%} of the parameters"
            finding = Finding(5, step.path, subject.params[layer.name], SHARE, what, f"two layers of rank {rank}")
            yield from subject.worth(finding, seq(down=Linear(rank, bias=False), up=step.node))


def _field(subject: _Subject) -> Iterator[Finding]:
    """Guideline 6: the receptive field of the last features against the image."""
    field, image = subject.numbers.receptive_field, subject.numbers.input[1:]
    if not field or not image:
        return
    filters = [
        path for path, step in subject.steps.items() if isinstance(step.node, Conv) and not _pointwise(step.node)
    ]
    stages = [name for name, _ in subject.network.stages if any(path.partition(".")[0] == name for path in filters)]
    if not stages:
        return
    seen, last = min(a / b for a, b in zip(field, image, strict=True)), stages[-1]
    what = f"the last features see {'x'.join(map(str, field))} of {'x'.join(map(str, image))} pixels"
    if seen > FAR:
        yield Finding(6, last, seen, FAR, what, "nothing to mend: what acts is a small part of it")
    elif seen < 1:
        after = subject.priced(lambda path, node: _dilated(node) if path.partition(".")[0] == last else node)
        finding = Finding(6, last, seen, 1, what, f"dilate the filters of {last} by 2")
        if after:
            wider = f"{finding.edit}; then they see {'x'.join(map(str, after.receptive_field))}"
            params, macs = subject.numbers.params - after.params, subject.numbers.macs - after.macs
            finding = replace(finding, edit=wider, params_saved=params, macs_saved=macs)
        yield finding


def _dilated(node: Node) -> Node:
    """A filter with twice the distance between its taps, padded to give the same size."""
    if not isinstance(node, Conv) or _pointwise(node):
        return node
    axes = max(len(v) for v in (node.kernel, node.padding, node.dilation, (1,)) if isinstance(v, tuple))
    sizes = zip(*(_per_axis(v, axes) for v in (node.kernel, node.padding, node.dilation)), strict=True)
    padding = tuple(p + (k - 1) * d // 2 for k, p, d in sizes)
    dilation = tuple(2 * d for d in _per_axis(node.dilation, axes))
    return replace(node, dilation=dilation if axes > 1 else dilation[0], padding=padding if axes > 1 else padding[0])


def _pointwise(conv: Conv) -> bool:
    return conv.kernel == 1 or (isinstance(conv.kernel, tuple) and set(conv.kernel) == {1})


def _per_axis(value: Axes, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else value


def _widths(step: Step) -> str:
    return f"{step.x.shape.channels:,} to {step.y.shape.channels:,} channels"
