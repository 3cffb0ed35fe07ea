"""Edits of a network with its weights: (network, weights) -> (network, weights)."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from convsmith.base.calls import parse_call
from convsmith.base.errors import CheckFailed
from convsmith.nets.edits.convolutions import LINEAR_BOTTLENECK, LOW_RANK
from convsmith.nets.edits.fold import branch_parts, merged
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, ConvTranspose, Linear
from convsmith.nets.shape import Shape
from convsmith.nets.sizes import per_axis
from convsmith.nets.tree import Add, Branching, Gate, Node, Seq, walk
from convsmith.nets.zoo import edit
from convsmith.report.text import many

State = dict[str, Tensor]


def carry(network: Network, weights: Mapping[str, Tensor], text: str) -> tuple[Network, State]:
    """The network after the edit `text`, with its weights; raises `CheckFailed` if the edit leaves a weight undefined.

    Merging edits (`fold_norm`, `reparameterise`, `fully_convolutional`) and `identity_layers` keep the outputs in
    evaluation. `low_rank` and `linear_bottleneck` approximate the layers. `channels` sums or spreads the first filters.
    Edits without weights of their own (`dilate`, `drop_path`, `size`, ...) keep the weights.
    """
    after = edit(network, text)
    state = _MAPS.get(parse_call(text).name, _kept)(network, after, dict(weights))
    _check(after, state, text)
    return after, state


def _kept(before: Network, after: Network, state: State) -> State:
    """The weights of the layers that remain: an edit that only removes layers drops their weights."""
    paths = {path for path, node in _leaves(after) if not isinstance(node, Branching)}
    return {key: value for key, value in state.items() if _above(key) & paths}


def _above(key: str) -> set[str]:
    """Every prefix of a key; one is the operator's path: a recurrent layer, for one, has parts below its own path."""
    names = key.split(".")
    return {".".join(names[:count]) for count in range(1, len(names))}


def _check(after: Network, state: State, text: str) -> None:
    wanted = {key: value.shape for key, value in build(after, device="meta").state_dict().items()}
    wrong = {
        "has no weights for": sorted(wanted.keys() - state.keys()),
        "leaves over": sorted(state.keys() - wanted.keys()),
        "needs another shape for": sorted(k for k in wanted.keys() & state.keys() if state[k].shape != wanted[k]),
    }
    for what, keys in wrong.items():
        if keys:
            raise CheckFailed(
                f"the edit {text} {what} {many(len(keys), 'tensor')}, the first {keys[0]!r}; train it instead"
            )


def _leaves(network: Network) -> list[tuple[str, Node]]:
    return [item for name, root in network.stages + network.heads for item in walk(root, name)]


def _fold_norm(before: Network, after: Network, state: State) -> State:
    for path, node in _leaves(before):
        if isinstance(node, Seq):
            _fold_children(path, node, state)
    return state


def _fold_children(path: str, node: Seq, state: State) -> None:
    """Fold each normalization of a `seq` into the layer before it, as `edits.fold_norm` walks it."""
    last: tuple[str, Node] | None = None
    for name, child in node.children:
        if last is not None and isinstance(child, BatchNorm) and isinstance(last[1], Conv | ConvTranspose | Linear):
            norm = _taken(state, f"{path}.{name}")
            transposed = last[1].groups if isinstance(last[1], ConvTranspose) else 0
            weight, bias = _scaled(_taken(state, f"{path}.{last[0]}"), norm, child.eps, transposed)
            state |= {f"{path}.{last[0]}.weight": weight, f"{path}.{last[0]}.bias": bias}
        else:
            last = (name, child)


def _taken(state: State, path: str) -> State:
    """The tensors of one layer, removed from `state`."""
    keys = [key for key in state if key.rpartition(".")[0] == path]
    return {key.rpartition(".")[2]: state.pop(key) for key in keys}


def _scaled(layer: State, norm: State, eps: float, transposed: int = 0) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer merged with the normalization after it, computed in double precision.

    `transposed` is the number of groups of a transposed convolution, whose outputs are the second axis of the weight; 0
    for other layers.
    """
    weight = layer["weight"].double()
    factor = norm["weight"].double() / (norm["running_var"].double() + eps).sqrt()
    bias = layer["bias"].double() if "bias" in layer else torch.zeros_like(factor)
    shift = norm["bias"].double() + (bias - norm["running_mean"].double()) * factor
    if transposed:
        grouped = weight.unflatten(0, (transposed, -1)) * factor.view(transposed, 1, -1, *(1,) * (weight.dim() - 2))
        weight = grouped.flatten(0, 1)
    else:
        weight = weight * factor.view(-1, *(1,) * (weight.dim() - 1))
    return weight.to(layer["weight"].dtype), shift.to(layer["weight"].dtype)


def _reparameterise(before: Network, after: Network, state: State) -> State:
    inputs = {step.path: step.x.shape for step in before.trace().steps}
    for path, node in _leaves(before):
        target = merged(node) if isinstance(node, Add) else None
        if not isinstance(node, Add) or target is None:
            continue
        weight = bias = torch.zeros((), dtype=torch.float64)
        for name, child in node.children:
            more = _as_conv(child, f"{path}.{name}", target, inputs[path], state)
            weight, bias = weight + more[0], bias + more[1]
        state |= {f"{path}.weight": weight.float(), f"{path}.bias": bias.float()}
    return state


def _as_conv(node: Node, path: str, target: Conv, x: Shape, state: State) -> tuple[Tensor, Tensor]:
    """A branch as the weight and bias of a convolution of the target's size."""
    conv, norm = branch_parts(node) or (None, None)
    names = {type(leaf): p for p, leaf in walk(node, path) if not isinstance(leaf, Branching)}
    kernel = per_axis(target.kernel, x)
    layer = _taken(state, names[Conv]) if conv else {"weight": _identity(x.channels // target.groups, x, kernel)}
    layer = {key: value.double() for key, value in layer.items()}
    if norm:
        layer["weight"], layer["bias"] = _scaled(layer, _taken(state, names[BatchNorm]), norm.eps)
    weight = layer["weight"]
    sides = [(most - own) // 2 for most, own in zip(kernel, weight.shape[2:], strict=True)]
    padding = [side for pair in reversed(sides) for side in (pair, pair)]
    bias = layer.get("bias", torch.zeros(target.channels, dtype=torch.float64))
    return torch.nn.functional.pad(weight, padding), bias


def _identity(inputs: int, x: Shape, kernel: tuple[int, ...]) -> Tensor:
    """The weight of a grouped convolution that is the identity: (C, C / groups, ...) with a one at the center."""
    weight = torch.zeros((x.channels, inputs, *kernel), dtype=torch.float64)
    center = tuple(k // 2 for k in kernel)
    for channel in range(x.channels):
        weight[(channel, channel % inputs, *center)] = 1
    return weight


def _low_rank(before: Network, after: Network, state: State) -> State:
    for path, node in _leaves(after):
        if not isinstance(node, Seq) or tuple(name for name, _ in node.children) != LOW_RANK:
            continue
        if f"{path}.weight" not in state:
            continue
        layer = _taken(state, path)
        weight = layer["weight"].double()
        outputs, inputs, kv, kh = weight.shape
        rank = _width(node, "vertical")
        u, s, v = torch.linalg.svd(weight.permute(1, 2, 0, 3).reshape(inputs * kv, outputs * kh), full_matrices=False)
        root = s[:rank].sqrt()
        vertical = (u[:, :rank] * root).T.reshape(rank, inputs, kv, 1)
        horizontal = (root[:, None] * v[:rank]).reshape(rank, outputs, 1, kh).transpose(0, 1)
        state[f"{path}.vertical.weight"] = vertical.to(layer["weight"].dtype).contiguous()
        state[f"{path}.horizontal.weight"] = horizontal.to(layer["weight"].dtype).contiguous()
        if "bias" in layer:
            state[f"{path}.horizontal.bias"] = layer["bias"]
    return state


def _linear_bottleneck(before: Network, after: Network, state: State) -> State:
    for path, node in _leaves(after):
        if not isinstance(node, Seq) or tuple(name for name, _ in node.children) != LINEAR_BOTTLENECK:
            continue
        if f"{path}.weight" not in state:
            continue
        layer = _taken(state, path)
        rank = _width(node, "narrow")
        u, s, v = torch.linalg.svd(layer["weight"].double(), full_matrices=False)
        # A width above the rank of the layer leaves columns without content: these stay zero.
        short = max(0, rank - len(s))
        u, s, v = (torch.nn.functional.pad(t, p) for t, p in ((u, (0, short)), (s, (0, short)), (v, (0, 0, 0, short))))
        root = s[:rank].sqrt()
        state[f"{path}.wide.weight"] = (u[:, :rank] * root).to(layer["weight"].dtype).contiguous()
        state[f"{path}.narrow.weight"] = (root[:, None] * v[:rank]).to(layer["weight"].dtype).contiguous()
        if "bias" in layer:
            state[f"{path}.wide.bias"] = layer["bias"]
    return state


def _width(node: Seq, name: str) -> int:
    layer = dict(node.children)[name]
    return layer.channels if isinstance(layer, Conv | Linear) else 0


def _fully_convolutional(before: Network, after: Network, state: State) -> State:
    inputs = {step.path: step.x.shape for step in after.trace().steps}
    were = dict(_leaves(before))
    for path, node in _leaves(after):
        if isinstance(node, Conv) and isinstance(were.get(path), Linear):
            x = inputs[path]
            shape = (node.channels, x.channels, *per_axis(node.kernel, x))
            state[f"{path}.weight"] = state[f"{path}.weight"].reshape(shape)
    return state


def _identity_layers(before: Network, after: Network, state: State) -> State:
    """The weights of new layers: residual branches that return 0, convolutions that are the identity."""
    fresh = build(after, seed=0).state_dict()
    state |= {key: value for key, value in fresh.items() if key not in state}
    inputs = {step.path: step.x.shape for step in after.trace().steps}
    had = {path for path, _ in _leaves(before)}
    for path, node in _leaves(after):
        if path in had or path.rpartition(".")[0] not in had:
            continue
        if isinstance(node, Add):
            last = _last_weighted(dict(node.children)["branch"], f"{path}.branch", state)
            state |= {key: torch.zeros_like(state[key]) for key in (f"{last}.weight", f"{last}.bias") if key in state}
        elif isinstance(node, Conv):
            x = inputs[path]
            state[f"{path}.weight"] = _identity(x.channels, x, per_axis(node.kernel, x)).float()
            state[f"{path}.bias"] = torch.zeros(x.channels)
    return state


def _last_weighted(branch: Node, path: str, state: State) -> str:
    """The path of the last layer of a branch with weights, gates excepted: a gate only scales its input."""
    gates = tuple(f"{p}." for p, node in walk(branch, path) if isinstance(node, Gate))
    return [p for p, _ in walk(branch, path) if f"{p}.weight" in state and not p.startswith(gates)][-1]


def kept_of_cut(after: Network, weights: Mapping[str, Tensor]) -> State:
    """The weights of the stages that remain after a cut. The last layer is always new, whatever its name and shape."""
    stages = dict(after.stages)
    return {key: value for key, value in weights.items() if key.partition(".")[0] in stages}


def _channels(before: Network, after: Network, state: State) -> State:
    """First filters for other channels: the mean over the old channels times old/new: a gray image gives the same.

    One channel from several gets the sum of their filters; several channels from one get equal shares of its filter.
    """
    old, new = before.input.channels, after.input.channels
    shapes = {step.path: step.x.shape for step in before.trace().steps}
    then = {step.path: step.x.shape for step in after.trace().steps}
    for path, node in _leaves(before):
        if isinstance(node, Conv) and shapes[path].channels != then[path].channels:
            key = f"{path}.weight"
            mean = state[key].mean(dim=1, keepdim=True)
            state[key] = (mean * (old / new)).expand(-1, then[path].channels // node.groups, *mean.shape[2:]).clone()
    return state


_MAPS: dict[str, Callable[[Network, Network, State], State]] = {
    "fold_norm": _fold_norm,
    "reparameterise": _reparameterise,
    "low_rank": _low_rank,
    "linear_bottleneck": _linear_bottleneck,
    "fully_convolutional": _fully_convolutional,
    "channels": _channels,
    "identity_layers": _identity_layers,
    "cut": lambda before, after, state: kept_of_cut(after, state),
}
