"""A map of another project's weight names to ours: both networks run on the meta device, layers pair in order."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor, nn

from convsmith.base.errors import CheckFailed
from convsmith.nets.modules.build import BuiltNetwork
from convsmith.nets.modules.measure import watch
from convsmith.report.text import many

Layers = list[tuple[str, nn.Module]]


def name_map(peer: nn.Module, ours: BuiltNetwork, shape: tuple[int, ...]) -> dict[str, str]:
    """A map of the peer's `state_dict` keys to ours: both run on the meta device, and layers pair in execution order.

    `shape` is the shape of one sample, (C, H, W). The tensors of paired layers agree in shape, up to axes of length
    one. Layers that run only in training (auxiliary heads) pair among themselves, after the others. Raises
    `CheckFailed` if the layers differ in number, kind or shape.
    """
    name, own = ours.tree.name, tuple(ours.tree.input)
    theirs, mine = _executed(peer, shape), _executed(ours, own)
    pairs = _paired(name, theirs, mine)
    if peer.state_dict().keys() - pairs.keys() and ours.state_dict().keys() - set(pairs.values()):
        heads = [head for head, _ in ours.tree.heads]
        more_theirs = _beyond(theirs, _executed(_Training(peer), shape))
        more_mine = _beyond(mine, _executed(_AllHeads(ours, heads), own))
        pairs |= _paired(name, more_theirs, more_mine)
    return pairs


def written_alike(theirs: Tensor, ours: Tensor) -> bool:
    """Whether two tensors are shapes of one weight: equal shapes, or shapes that `reshape` converts without change.

    A fully connected layer equals a convolution over its whole input: (O, C * H * W) is (O, C, H, W). A scale for each
    channel may have axes of length one: (C,) is (C, 1, 1).
    """
    if theirs.shape == ours.shape:
        return True
    small = min(theirs.dim(), ours.dim()) <= 2
    return small and theirs.shape[:1] == ours.shape[:1] and prod(theirs.shape) == prod(ours.shape)


def _paired(name: str, theirs: Layers, mine: Layers) -> dict[str, str]:
    if len(theirs) != len(mine):
        raise CheckFailed(f"{name}: they execute {many(len(theirs), 'layer')} with weights, we {len(mine)}")
    pairs: dict[str, str] = {}
    for (their_name, their_layer), (my_name, my_layer) in zip(theirs, mine, strict=True):
        keys = _matched(_tensors(their_layer), _tensors(my_layer))
        if keys is None:
            raise CheckFailed(f"{name}: their {their_name} and our {my_name} differ in kind or shape")
        eps = [getattr(layer, "eps", None) for layer in (their_layer, my_layer)]
        if eps[0] != eps[1]:
            raise CheckFailed(f"{name}: their {their_name} and our {my_name} differ in eps: {eps[0]} and {eps[1]}")
        pairs |= {_joined(their_name, key): _joined(my_name, keys[key]) for key in keys}
    return pairs


def _matched(theirs: Mapping[str, Tensor], mine: Mapping[str, Tensor]) -> dict[str, str] | None:
    """A map of the names of one layer's tensors: equal names, or one tensor on each side; None if they do not match."""
    if theirs.keys() != mine.keys() and not len(theirs) == len(mine) == 1:
        return None
    keys = {key: key for key in theirs} if theirs.keys() == mine.keys() else dict(zip(theirs, mine, strict=True))
    return keys if all(written_alike(theirs[key], mine[keys[key]]) for key in keys) else None


def _executed(module: nn.Module, shape: tuple[int, ...]) -> Layers:
    """The layers with tensors of their own, in the order in which they first return."""
    seen: dict[nn.Module, str] = {}

    def note(name: str, layer: nn.Module, output: object) -> None:
        if _tensors(layer):
            seen.setdefault(layer, name.removeprefix("only_one."))

    watch(module, shape, note)
    return [(name, layer) for layer, name in seen.items()]


def _beyond(known: Layers, executed: Layers) -> Layers:
    layers = {layer for _, layer in known}
    return [(name, layer) for name, layer in executed if layer not in layers]


def _joined(layer: str, key: str) -> str:
    return f"{layer}.{key}" if layer else key


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    """The tensors of a layer in its `state_dict`, without those of its children."""
    own = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
    kept = layer.state_dict() if own else {}
    return {key: value for key, value in own.items() if key in kept}


class _Training(nn.Module):
    """Runs a network in training mode on two copies of a sample (batch normalization refuses a single value)."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.only_one = module

    def forward(self, x: Tensor) -> object:
        return self.only_one.train()(torch.cat([x, x]))


class _AllHeads(nn.Module):
    """Runs all heads of a convsmith network."""

    def __init__(self, module: BuiltNetwork, heads: list[str]):
        super().__init__()
        self.only_one, self.heads = module, heads

    def forward(self, x: Tensor) -> object:
        return self.only_one(x, at=self.heads)
