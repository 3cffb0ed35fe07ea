"""Weights of others: mapped to our names, checked key by key, never by the order in which a file lists them."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from convsmith.base.errors import CheckFailed, UsageError, nearest
from convsmith.nets.build import BuiltNetwork
from convsmith.nets.family import Renaming
from convsmith.nets.measure import watch
from convsmith.nets.zoo import FAMILIES


def load_weights(
    module: nn.Module, weights: Mapping[str, Tensor], source: str = "the weights", *, new_head: bool = False
) -> str:
    """Copy `weights` into `module` and say whose names they had; every key must match, in name and shape.

    A network of ours also takes the names of torchvision (any network that it has) and those that its family knows.
    With `new_head` a last layer for another number of classes keeps the module's own weights.
    """
    own = module.state_dict()
    candidates: list[tuple[str, Mapping[str, Tensor]]] = [("Convsmith", weights)]
    if isinstance(module, BuiltNetwork):
        for renaming in FAMILIES[module.tree.family].renamings if module.tree.family in FAMILIES else ():
            candidates.append((renaming.source, _renamed(weights, renaming)))
        if not any(_fits(own, candidate) for _, candidate in candidates):
            peer = torchvision_names(module, weights)
            candidates += [("torchvision", peer)] if peer else []
    for names, candidate in candidates:
        if _fits(own, candidate):
            fitting = _without_other_head(own, candidate) if new_head else candidate
            _check_shapes(own, fitting, source)
            module.load_state_dict(fitting, strict=False)
            return f"{names} names" + ("" if len(fitting) == len(candidate) else ", with a new last layer")
    best = min((c for _, c in candidates), key=lambda c: len(c.keys() ^ own.keys()))
    raise UsageError(_difference(own, best, source))


def torchvision_names(module: BuiltNetwork, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights under our names if torchvision has a network called as ours with just these keys, else None."""
    import torchvision.models as peers

    name = module.tree.name
    if name not in peers.list_models(module=peers):
        return None
    with torch.device("meta"):
        peer = peers.get_model(name, weights=None, num_classes=module.tree.classes)
    if not _needed(peer.state_dict()) <= weights.keys():
        return None
    pairs = name_map(peer, module, (3, *module.tree.input.spatial))
    return {ours: weights[theirs] for theirs, ours in pairs.items() if theirs in weights}


def name_map(peer: nn.Module, ours: BuiltNetwork, shape: tuple[int, ...]) -> dict[str, str]:
    """Their `state_dict` keys to ours, found by running both on the meta device and pairing layers as they execute.

    `shape` is one of their samples, (C, H, W). Layers must agree in kind and in the shapes of all their tensors.
    """
    theirs, mine = _executed(peer, shape), _executed(ours, tuple(ours.tree.input))
    if len(theirs) != len(mine):
        raise CheckFailed(f"{ours.tree.name}: they execute {len(theirs)} layers with weights, we {len(mine)}")
    pairs: dict[str, str] = {}
    for (their_name, their_layer), (my_name, my_layer) in zip(theirs, mine, strict=True):
        their_state, my_state = their_layer.state_dict(), my_layer.state_dict()
        their_shapes = {key: value.shape for key, value in their_state.items()}
        if their_shapes != {key: value.shape for key, value in my_state.items()}:
            raise CheckFailed(f"{ours.tree.name}: their {their_name} and our {my_name} differ in kind or shape")
        pairs |= {f"{their_name}.{key}": f"{my_name}.{key}" for key in their_state}
    return pairs


def _executed(module: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, nn.Module]]:
    """The layers that hold tensors, in the order in which they first run."""
    seen: dict[nn.Module, str] = {}

    def note(name: str, layer: nn.Module, output: object) -> None:
        if _holds_tensors(layer):
            seen.setdefault(layer, name)

    watch(module, shape, note)
    return [(name, layer) for layer, name in seen.items()]


def _holds_tensors(layer: nn.Module) -> bool:
    return bool(layer._parameters) or bool(layer._buffers)  # pyright: ignore[reportPrivateUsage]


def _renamed(weights: Mapping[str, Tensor], renaming: Renaming) -> dict[str, Tensor]:
    return {_rename(key, renaming): value for key, value in weights.items()}


def _rename(key: str, renaming: Renaming) -> str:
    for pattern, replacement in renaming.rules:
        match = re.fullmatch(pattern, key)
        if match:
            # Units count from one in our names and from zero in theirs.
            return re.sub(r"<(\d+)>", lambda m: str(int(m[1]) + 1), match.expand(replacement))
    return key


def _fits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    return _needed(own) <= given.keys() <= own.keys()


def _needed(state: Mapping[str, Tensor]) -> set[str]:
    """The keys that a file must have; old files lack the counter of batch normalisation."""
    return {key for key in state if not key.endswith("num_batches_tracked")}


def _without_other_head(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`given` without the tensors of its last layer, where that layer is for another number of classes."""
    weights = [key for key in own if key.endswith(".weight") and own[key].dim() > 1]
    if not weights or given.get(weights[-1]) is None or given[weights[-1]].shape[1:] != own[weights[-1]].shape[1:]:
        return dict(given)
    if given[weights[-1]].shape == own[weights[-1]].shape:
        return dict(given)
    layer = weights[-1].removesuffix("weight")
    return {key: value for key, value in given.items() if not key.startswith(layer)}


def _check_shapes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> None:
    for key, value in given.items():
        if own[key].shape != value.shape:
            raise UsageError(
                f"{source}: {key} has shape {tuple(value.shape)}, the network needs {tuple(own[key].shape)}; "
                "check the number of classes and channels"
            )


def _difference(own: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> str:
    missing, extra = sorted(_needed(own) - given.keys()), sorted(given.keys() - own.keys())
    parts = [f"{source}: do not fit the network"]
    if missing:
        parts.append(f"{len(missing)} keys are missing, first {missing[0]!r}")
    if extra:
        close = nearest(extra[0], own, 1)
        parts.append(f"{len(extra)} are unknown, first {extra[0]!r}" + (f" (nearest {close[0]!r})" if close else ""))
    return "; ".join(parts)
