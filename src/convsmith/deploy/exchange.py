"""A run's weights as torchvision or timm name them, in a file that was loaded there and compared before it was kept."""

import contextlib
import io
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from convsmith.base.calls import parse_call
from convsmith.base.errors import CheckFailed, UsageError
from convsmith.base.files import json_bytes, write_files
from convsmith.data.augment import normalize
from convsmith.data.examples import Examples, spread
from convsmith.data.loaders import decode_all
from convsmith.deploy.onnx import TOLERANCE, Comparison
from convsmith.nets.model import tree_of
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.tree import MAIN
from convsmith.nets.weights.name_map import written_alike
from convsmith.nets.weights.peers import LIBRARIES, Library, installed, make_peer, names_of, peer_arguments, peer_name
from convsmith.nets.weights.renaming import original, renamed
from convsmith.nets.zoo import network, renamings
from convsmith.runs.subject import Subject
from convsmith.runs.weights import encode

IMAGES = 7
SUFFIXES = (".safetensors", ".pth", ".pt")
# Edits that leave a network what it is in evaluation, or that the peers' own arguments express.
_NEUTRAL = ("classes", "channels", "size", "drop_path", "dropout", "dropconnect")


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights with another library's names; `comparison` is None if the library is not installed.

    `load` is the expression that makes the network there; its `load_state_dict` takes the file as it is.
    """

    path: str
    bytes: int
    library: Library
    network: str
    load: str
    tensors: int
    tolerance: float
    comparison: Comparison | None

    @property
    def ok(self) -> bool:
        """Whether the peer's outputs with this file were ours."""
        c = self.comparison
        return c is not None and c.difference <= self.tolerance and c.same_class == c.images

    def to_json(self) -> dict[str, Any]:
        """What `export --json` prints."""
        return asdict(self) | {"ok": self.ok}


def export_weights(
    subject: Subject, examples: Examples, library: Library, path: Path, tolerance: float = TOLERANCE
) -> WeightsFile:
    """Write the network's weights under `library`'s names: .safetensors, or .pth and .pt for `torch.load`.

    The library's own network loads the bytes with `strict=True` and is run on real images before anything is written.
    Raises `UsageError` for a network that it cannot express and `CheckFailed` where the outputs differ; both leave no
    file. Without timm, its names come from the family's rules and nothing is compared.
    """
    if library not in LIBRARIES:
        raise UsageError(f"export: expected {' or '.join(LIBRARIES)}, received {library!r}")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}")
    tree = _tree(subject, library)
    heads = len(tree.heads) > 1
    peer = None
    if installed(library):
        peer = make_peer(library, tree.name, classes=tree.classes, channels=tree.input.channels, auxiliary=heads)
    weights = _under_their_names(tree, subject.module.state_dict(), library, peer)
    data = _encoded(weights, path.suffix, subject, library)
    comparison = None if peer is None else _compared(subject, peer, _decoded(data, path.suffix), examples)
    load = _load_expression(library, tree, heads)
    name = peer_name(library, tree.name) or tree.name
    file = WeightsFile(str(path), len(data), library, name, load, len(weights), tolerance, comparison)
    if comparison is not None and not file.ok:
        raise CheckFailed(
            f"{path}: not written, since {library}'s outputs with these weights differ from ours by "
            f"{comparison.difference:.1e} of the largest (tolerance {tolerance:.0e}): {_why(tree, library)}"
        )
    write_files({path: data, path.with_name(path.name + ".report.json"): json_bytes(file.to_json())})
    return file


def _tree(subject: Subject, library: Library) -> Network:
    tree = tree_of(subject.network, "its weights have its own names already, in the run's checkpoints")
    if peer_name(library, tree.name) is None:
        raise UsageError(f"{library} has no network that computes what {tree.name} does; export --to onnx takes any")
    if library == "torchvision" and tree.input.channels != 3:
        raise UsageError(f"torchvision's {tree.name} takes 3 channels, this one {tree.input.channels}")
    return tree


def _under_their_names(
    tree: Network, weights: Mapping[str, Tensor], library: Library, peer: nn.Module | None
) -> dict[str, Tensor]:
    """The weights by the library's names and in its shapes, those and no others; it may lack our auxiliary heads."""
    shapes = None if peer is None else peer.state_dict()
    if shapes is None and not _is_the_zoos(tree, weights):
        raise UsageError(
            f"{library}'s {peer_name(library, tree.name)} cannot take these weights: {_why(tree, library)}"
        )
    auxiliary = tuple(f"{name}." for name, _ in tree.heads if name != MAIN)
    for names in _namings(tree, library, list(weights), shapes):
        if any(key not in names and not key.startswith(auxiliary) for key in weights):
            continue
        found = {names[key]: value for key, value in weights.items() if key in names}
        if shapes is None:
            return found
        if found.keys() == shapes.keys() and all(written_alike(found[key], shapes[key]) for key in shapes):
            return {key: found[key].reshape(shapes[key].shape) for key in shapes}
    raise UsageError(f"{library}'s {peer_name(library, tree.name)} cannot take these weights: {_why(tree, library)}")


def _namings(
    tree: Network, library: Library, keys: Collection[str], theirs: Collection[str] | None
) -> Iterator[dict[str, str]]:
    """Our names to `theirs`: by the family's rules (read backwards where theirs are not known), then by execution."""
    for renaming in renamings(tree):
        if library in renaming.source and theirs is None:
            yield {key: found for key in keys if (found := original(key, renaming)) is not None}
        elif library in renaming.source and theirs is not None:
            yield {renamed(key, renaming): key for key in theirs}
    if theirs is not None:
        with contextlib.suppress(CheckFailed):
            yield {ours: key for key, ours in names_of(library, tree.name).items()}


def _is_the_zoos(tree: Network, weights: Mapping[str, Tensor]) -> bool:
    """Whether nothing but what any library expresses tells the tree from the zoo's: asked where no peer can answer."""
    numbers = {"classes": tree.classes, "channels": tree.input.channels}
    expected = build(network(tree.name, **numbers), device="meta").state_dict()
    same = {key: value.shape for key, value in weights.items()} == {key: v.shape for key, v in expected.items()}
    return same and not _edits(tree)


def _edits(tree: Network) -> list[str]:
    return [text for text in tree.edits if not _neutral(text)]


def _neutral(text: str) -> bool:
    call = parse_call(text)
    return call.name in _NEUTRAL and "plain" not in call.args  # that form of dropout scales in evaluation


def _why(tree: Network, library: Library) -> str:
    """The edits that the library's network does not have."""
    edits = _edits(tree)
    if edits:
        return f"nothing there stands for {', '.join(edits)}"
    return f"this tree is not the zoo's {tree.name}" + ("" if installed(library) else f"; {library} is not installed")


def _encoded(weights: Mapping[str, Tensor], suffix: str, subject: Subject, library: Library) -> bytes:
    if suffix == ".safetensors":
        about = {"preprocess": subject.preprocess.to_json(), "labels": list(subject.labels)}
        return encode(weights, {"format": "pt", "names": library, **{k: json.dumps(v) for k, v in about.items()}})
    buffer = io.BytesIO()
    torch.save({key: value.detach().cpu().contiguous() for key, value in weights.items()}, buffer)
    return buffer.getvalue()


def _decoded(data: bytes, suffix: str) -> dict[str, Tensor]:
    if suffix == ".safetensors":
        return safetensors.torch.load(data)
    return torch.load(io.BytesIO(data), weights_only=True)


def _compared(subject: Subject, peer: nn.Module, weights: Mapping[str, Tensor], examples: Examples) -> Comparison:
    """The peer's outputs with these weights against ours, on images prepared as in evaluation."""
    peer.load_state_dict(weights, strict=True, assign=True)
    images = decode_all(examples.subset(spread(len(examples), IMAGES)), subject.preprocess, 1)
    inputs = normalize(images, subject.preprocess)
    with torch.no_grad():
        ours, theirs = subject.module(inputs), peer.eval()(inputs)
    difference = float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-12))
    return Comparison(len(inputs), len(inputs), difference, int((ours.argmax(1) == theirs.argmax(1)).sum()))


def _load_expression(library: Library, tree: Network, auxiliary: bool) -> str:
    """What makes the network in the library."""
    name, numbers = peer_name(library, tree.name), {"num_classes": tree.classes}
    if library == "timm":
        numbers |= {} if tree.input.channels == 3 else {"in_chans": tree.input.channels}
    else:
        numbers |= peer_arguments(tree.name, auxiliary)
    call = {"torchvision": "torchvision.models.get_model", "timm": "timm.create_model"}[library]
    return f"{call}({name!r}, {', '.join(f'{key}={value}' for key, value in numbers.items())})"
