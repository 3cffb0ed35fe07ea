"""Loads weights of other projects: maps names to ours and checks every key; the order in the file is never used."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from convsmith.base.errors import CheckFailed, UsageError, nearest
from convsmith.nets.modules.build import BuiltNetwork
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, Linear, Rbf
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Leaf, walk
from convsmith.nets.weights.carry import carry
from convsmith.nets.weights.name_map import name_map as name_map
from convsmith.nets.weights.name_map import written_alike
from convsmith.nets.weights.peers import LIBRARIES, current, keys_of, names_of
from convsmith.nets.weights.renaming import renamed
from convsmith.nets.zoo import NETWORKS, network, renamings
from convsmith.report.text import many

NEW_LAYER = "with a new last layer"  # the remark if the last layer of the weights was for other classes
# The prefixes that torch.compile, DataParallel, Lightning and training scripts add to the names of tensors.
WRAPPERS = (
    "module", "_orig_mod", "model", "net", "network", "backbone", "encoder", "base_model", "_model", "student",
    "teacher", "ema", "ema_model", "online_network", "trunk", "body", "base", "feature_extractor", "features_extractor",
    "encoder_q", "online_encoder", "classifier", "resnet", "cnn", "vision_model", "image_encoder", "visual", "learner",
)  # fmt: skip
_MOST_WRAPPERS = 4
_SHOWN = 3  # names of each kind in an error

# A file may hold SPARE times the network's tensors, plus MANY: auxiliary heads, averages, counters.
SPARE, MANY = 4, 1000


def load_weights(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    source: str = "the weights",
    *,
    adapt: bool = False,
    new_last: bool = False,
) -> str:
    """Copy `weights` into `module` and return whose names they had; every key must match in name and shape.

    A convsmith network also takes the names that its family knows, and the names of torchvision and (if installed) timm
    for networks that these have. Auxiliary heads may be in the weights, in the module, in both or in neither. Prefixes
    of wrappers (`module.`, `_orig_mod.`, `model.`) are removed, and the result says so. With `adapt`, the last layers
    keep their values if the weights are for other classes or lack them (with `new_last` always), and first filters for
    other channels are summed or spread (`nets/weights/carry.py`). Raises `UsageError`, and then copies nothing.
    """
    own = module.state_dict()
    if len(weights) > SPARE * len(own) + MANY:  # checked first, since each way of reading renames every key
        raise UsageError(f"{source}: holds {many(len(weights), 'tensor')}, and the network has {len(own):,}")
    reading = _best_reading(module, own, weights, adapt)
    tensors, changes = reading.tensors, list(reading.remarks)
    if adapt and reading.fits:
        tensors, more = _adapted(module, own, tensors, new_last)
        changes += more
    odd = {key: value for key, value in tensors.items() if key in own and own[key].shape != value.shape}
    if odd or not reading.fits:
        raise UsageError(_difference(module, own, reading, odd, source))
    module.load_state_dict(tensors, strict=False)
    return ", ".join([f"{reading.names} names", *changes])


@dataclass(frozen=True)
class _Reading:
    """The weights read with the naming `names`, under our names; the keys that are missing or unknown."""

    names: str
    tensors: dict[str, Tensor]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    remarks: tuple[str, ...]
    prefix: str = ""

    @property
    def fits(self) -> bool:
        """Whether the keys are those of the network; shapes are not compared."""
        return not self.missing and not self.unknown


def _best_reading(
    module: nn.Module, own: Mapping[str, Tensor], weights: Mapping[str, Tensor], headless: bool
) -> _Reading:
    """The first reading whose keys fit, else the nearest one. With `headless` the last layer may be missing."""
    best: _Reading | None = None
    for prefix, part in unwrapped(weights):
        for names, candidate in _candidates(module, part):
            reading = _read(module, own, names, candidate, headless)
            if prefix:
                rest = len(weights) - len(part)
                more = f" and {rest} other tensors left out" if rest else ""
                reading = replace(reading, remarks=(f"{prefix!r} before the names taken off{more}", *reading.remarks))
            if reading.fits:
                return reading
            # If all names begin with the prefix, an error about the names without it is the useful one.
            whole = bool(prefix) and 1 < len(part) == len(weights)
            if best is None or _distance(reading) < _distance(best) + whole:
                best = replace(reading, prefix=prefix)
    if best is None:
        raise CheckFailed("there is no way to read weights")
    return best


def unwrapped(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """(prefix, weights) pairs: the weights unchanged, then without the prefixes of their names, the outermost first.

    A prefix is a word that all names begin with, or a known word of wrappers. With a known word, only the tensors under
    it count: the file may also hold a loss or a second network.
    """
    queue: list[tuple[str, Mapping[str, Tensor]]] = [("", weights)]
    while queue:
        prefix, part = queue.pop(0)
        yield prefix, part
        if prefix.count(".") >= _MOST_WRAPPERS:
            continue
        words = dict.fromkeys(key.partition(".")[0] for key in part if "." in key)
        for word in words:
            start = f"{word}."
            inner = {key.removeprefix(start): value for key, value in part.items() if key.startswith(start)}
            if len(inner) == len(part) or word in WRAPPERS:
                queue.append((prefix + start, inner))


def _distance(reading: _Reading) -> int:
    return len(reading.missing) + len(reading.unknown)


def _candidates(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """(naming, weights under our names) for each naming that the file may use; the slow ones last."""
    yield "Convsmith" if isinstance(module, BuiltNetwork) else "the module's own", weights
    if not isinstance(module, BuiltNetwork):
        return
    for renaming in renamings(module.tree):
        yield renaming.source, {renamed(key, renaming): value for key, value in weights.items()}
    today = {current(key): value for key, value in weights.items()}
    for library in LIBRARIES:
        # `names_of` takes seconds: it runs only if the library has at least half of the file's names.
        if len(today.keys() & keys_of(library, module.tree.name)) * 2 < len(today):
            continue
        try:
            names = names_of(library, module.tree.name)
        except CheckFailed:
            continue
        yield library, {names.get(key, key): value for key, value in today.items()}


def _read(
    module: nn.Module, own: Mapping[str, Tensor], names: str, given: Mapping[str, Tensor], headless: bool
) -> _Reading:
    """Compare keys. Auxiliary heads may be missing on either side; with `headless` the last layers too."""
    ours, known = _auxiliary_heads(module)
    extra = {key.partition(".")[0] for key in given if key not in own} & (known - ours)
    absent = {head for head in ours if not any(key.startswith(f"{head}.") for key in given)}
    kept = {key: value for key, value in given.items() if key.partition(".")[0] not in extra}
    needed = {key for key in _needed(own) if key.partition(".")[0] not in absent}
    remarks = [f"without the weights' {', '.join(sorted(extra))}"] if extra else []
    remarks += [f"{', '.join(sorted(absent))} as initialized"] if absent else []
    tensors = {
        key: value.reshape(own[key].shape) if key in own and written_alike(value, own[key]) else value
        for key, value in kept.items()
    }
    if headless:
        needed -= _without_last(module, own, kept)
    missing, unknown = sorted(needed - kept.keys()), sorted(kept.keys() - own.keys())
    return _Reading(names, tensors, tuple(missing), tuple(unknown), tuple(remarks))


def _without_last(module: nn.Module, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> set[str]:
    """The keys of the last layers that the file lacks: the file is a backbone, and these layers are new."""
    layers = [f"{layer}." for layer in last_layers(module, own)]
    return {key for key in own for layer in layers if key.startswith(layer) and not _has(given, layer)}


def _has(given: Mapping[str, Tensor], start: str) -> bool:
    return any(key.startswith(start) for key in given)


def _auxiliary_heads(module: nn.Module) -> tuple[set[str], set[str]]:
    """The auxiliary heads of the network, and those that a network of its name may have."""
    if not isinstance(module, BuiltNetwork):
        return set(), set()
    ours = {name for name, _ in module.tree.heads if name != MAIN}
    zoo = network(module.tree.name).heads if module.tree.name in NETWORKS else ()
    taken = {name for name, _ in module.tree.stages}
    return ours, (ours | {name for name, _ in zoo if name != MAIN}) - taken


def _needed(state: Mapping[str, Tensor]) -> set[str]:
    """The keys that a file must have; old files lack the counter of batch normalization."""
    return {key for key in state if not key.endswith("num_batches_tracked")}


def _adapted(
    module: nn.Module, own: Mapping[str, Tensor], tensors: dict[str, Tensor], new_last: bool
) -> tuple[dict[str, Tensor], list[str]]:
    """Weights adapted to the classes and channels of the module as far as possible, and the changes in words."""
    last = tuple(f"{layer}." for layer in last_layers(module, own)) if new_last else ()
    kept = {
        key: value
        for key, value in tensors.items()
        if not key.startswith(last) and not _of_other_classes(module, own, tensors, key)
    }
    new = len(kept) < len(tensors) or bool(_without_last(module, own, tensors) & _needed(own))
    changes = [NEW_LAYER] if new else []
    if isinstance(module, BuiltNetwork):
        old = _channels_of(module.tree, kept)
        channels = module.tree.input.channels
        if old not in (None, channels):
            try:
                kept = _with_channels(module.tree, own, kept, old)
            except (CheckFailed, UsageError):
                return kept, changes  # the caller compares the shapes and refuses them
            changes.append(f"first filters for {many(old, 'channel')} made to fit {channels}")
    return kept, changes


def _of_other_classes(module: nn.Module, own: Mapping[str, Tensor], given: Mapping[str, Tensor], key: str) -> bool:
    """Whether `key` belongs to a last layer whose number of classes differs in `given`."""
    layer = next((layer for layer in last_layers(module, own) if key.startswith(f"{layer}.")), None)
    if layer is None:
        return False
    weight = next(k for k in own if k.startswith(f"{layer}.") and own[k].dim() > 1)
    theirs, mine = given.get(weight), own[weight]
    return theirs is not None and len(theirs) != len(mine) and theirs[0].numel() == mine[0].numel()


def last_layers(module: nn.Module, own: Mapping[str, Tensor]) -> list[str]:
    """The layers with one output for each class: the last one of each head, or of an imported module."""
    if not isinstance(module, BuiltNetwork):
        weights = [key for key in own if key.endswith(".weight") and own[key].dim() > 1]
        return [weights[-1].removesuffix(".weight")] if weights else []
    last: list[str] = []
    for name, head in module.tree.heads:
        layers = [path for path, node in walk(head, name) if isinstance(node, Linear | Conv | Rbf)]
        last += [_module_path(module.tree, path) for path in layers[-1:]]
    return last


def _module_path(tree: Network, path: str) -> str:
    """The path of a leaf in the built module: a stage or head that is a single leaf holds it as `only`."""
    alone = isinstance(dict(tree.stages + tree.heads).get(path), Leaf)
    return f"{path}.only" if alone else path


def _channels_of(tree: Network, weights: Mapping[str, Tensor]) -> int | None:
    """The channels of the images that the weights of a network's first convolution are for."""
    for step in tree.trace().steps:
        if isinstance(step.node, Conv):
            weight = weights.get(f"{_module_path(tree, step.path)}.weight")
            return None if weight is None or weight.dim() < 2 else weight.shape[1] * step.node.groups
    return None


def _with_channels(
    tree: Network, own: Mapping[str, Tensor], weights: Mapping[str, Tensor], old: int | None
) -> dict[str, Tensor]:
    before = replace(tree, input=Shape(old or 1, tree.input.spatial))
    # `carry` checks all weights: missing ones are filled with the module's own.
    _, carried = carry(before, {**own, **weights}, f"channels={tree.input.channels}")
    return {key: carried[key] for key in weights}


def _difference(
    module: nn.Module, own: Mapping[str, Tensor], reading: _Reading, odd: Mapping[str, Tensor], source: str
) -> str:
    """The error in one line: the first few names of each kind that do not fit."""
    name = module.tree.name if isinstance(module, BuiltNetwork) else "the network"
    without = f", without {reading.prefix!r}, with which they begin" if reading.prefix else ""
    parts = [f"{source}: do not fit {name} (read with {reading.names} names{without})"]
    last = [key for key in reading.missing if key in _without_last(module, own, reading.tensors)]
    if reading.missing and len(last) == len(reading.missing) and not reading.unknown:
        parts.append("the file has no last layer; give the number of classes (classes=), or start a run with it")
    if reading.missing:
        parts.append(f"missing {_listed(reading.missing)}")
    if reading.unknown:
        close = nearest(reading.unknown[0], own, 1)
        parts.append(f"unknown {_listed(reading.unknown)}" + (f" (nearest {close[0]})" if close else ""))
    if odd:
        shapes = [f"{key} {tuple(value.shape)} where {tuple(own[key].shape)} is needed" for key, value in odd.items()]
        parts.append(f"of another shape {_listed(shapes)}")
    if odd and reading.fits:
        small = isinstance(module, BuiltNetwork) and "small_images" in module.tree.edits
        stem = ", and whether they are of this stem for small images (--stem large has the network's own)"
        parts.append("check the number of classes and channels" + (stem if small else ""))
    return "; ".join(parts)


def _listed(texts: list[str] | tuple[str, ...]) -> str:
    rest = len(texts) - _SHOWN
    return f"{len(texts)}: {', '.join(texts[:_SHOWN])}" + (f" and {rest} more" if rest > 0 else "")
