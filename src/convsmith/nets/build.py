"""From a tree to a `torch.nn.Module` whose `state_dict` keys are the tree's paths."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import contextlib
from collections.abc import Collection, Generator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.base.errors import WrongType, unknown
from convsmith.nets.init import initialise
from convsmith.nets.layers import Concatenation, Keeping, Kept, Scale, Sequence, Sum, Unpooling, Using, Wiring
from convsmith.nets.limits import check_memory
from convsmith.nets.network import Network
from convsmith.nets.recompute import Recomputed
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Add, Branching, Cat, Gate, Keep, Leaf, Node, Seq, TorchCall, Unpool, Use

WIRINGS: dict[type[Branching], type[Wiring]] = {Seq: Sequence, Add: Sum, Cat: Concatenation, Gate: Scale}


@dataclass(frozen=True)
class Feature:
    """What a stage gives: its channels and how many input pixels lie between two of its positions."""

    name: str
    channels: int
    stride: tuple[int | Fraction, ...]


class BuiltNetwork(nn.Module):
    """A network that computes. `tree` is the `Network` it was built from.

    `forward(x)` takes (N, C, H, W) and gives the main head's output (N, classes). `forward(x, at=["stage2"])` gives it
    with a dictionary of the outputs of those stages, heads or kept values. `noise` (N, `tree.noise`) are the standard
    normal numbers of its `Sample` layers, in the order of execution.
    """

    def __init__(self, tree: Network, children: dict[str, nn.Module]):
        super().__init__()
        self.tree = tree
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor, at: Collection[str] = (), noise: Tensor | None = None) -> Any:
        """The main head's output; with `at`, also a dictionary of what was asked for."""
        at = (at,) if isinstance(at, str) else at
        kept = Kept(at, noise)
        found = self._run(x, kept, heads=True)
        kept.check_noise(x.shape[0])
        return (found[MAIN], {name: found[name] for name in at}) if at else found[MAIN]

    def after(self, stage: str, value: Tensor) -> Tensor:
        """The main head's output where `stage` has given `value` (N, ...): a decoder alone, run from its latent values.

        Raises `UsageError` where a later part uses what an earlier one keeps.
        """
        names = [name for name, _ in self.tree.stages]
        if stage not in names:
            raise unknown(f"stage of {self.tree.name}:", stage, names)
        return self._run(value, Kept(), heads=True, start=names.index(stage) + 1)[MAIN]

    def features(self, x: Tensor, at: Collection[str] | None = None) -> dict[str, Tensor]:
        """The outputs of the stages called `at` (all by default), without running the heads."""
        names = [name for name, _ in self.tree.stages] if at is None else [at] if isinstance(at, str) else list(at)
        found = self._run(x, Kept(names), heads=False)
        return {name: found[name] for name in names}

    def feature_info(self) -> list[Feature]:
        """Name, channels and stride of each stage, known without running it."""
        ends = self.tree.trace().stages
        return [Feature(n, ends[n].shape.channels, ends[n].field.jump) for n, _ in self.tree.stages]

    def _part(self, name: str, x: Tensor, kept: Kept) -> Tensor:
        """The output of a stage or head, which may be a single operator."""
        part = self.get_submodule(name)
        return part(x, kept) if isinstance(part, Wiring) else part(x)

    def _run(self, x: Tensor, kept: Kept, heads: bool, start: int = 0) -> dict[str, Tensor]:
        at = kept.wanted
        found: dict[str, Tensor] = {}
        for name, _ in self.tree.stages[start:]:
            x = self._part(name, x, kept)
            if name in at:
                found[name] = x
        for name, _ in self.tree.heads if heads else ():
            if name == MAIN or name in at:
                found[name] = self._part(name, x, kept)
        found |= {name: kept.values[name] for name in at if name in kept.values}
        for name in at:
            if name not in found:
                places = [name for name, _ in self.tree.stages + (self.tree.heads if heads else ())]
                raise unknown(f"place in {self.tree.name}:", name, [*places, *kept.values])
        return found


def build(network: Network, *, seed: int | None = None, device: str | torch.device = "cpu") -> BuiltNetwork:
    """The module of a network, its weights drawn by the network's rule of initialisation.

    With a `seed` the weights are a function of it and torch's global generator does not move. On the device "meta" no
    memory is taken and nothing is drawn.
    """
    if not isinstance(network, Network):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongType(f"expected a network, such as network('resnet18'), received {network!r:.60}")
    steps = network.trace().steps
    shapes = {step.path: step.x.shape for step in steps}
    last_uses = _last_uses(network)
    meta = torch.device(device).type == "meta"
    if not meta:
        check_memory(network.name, steps)
    # Drawn on the CPU, whatever the device: there a seed means the same weights everywhere.
    with _random(seed), torch.device("meta" if meta else "cpu"):
        parts = {name: _module(node, name, shapes, last_uses) for name, node in network.stages + network.heads}
        for name, _ in network.stages if network.recompute else ():
            parts[name] = _recomputed(parts[name], network.recompute)
        module = BuiltNetwork(network, parts)
        if not meta:
            initialise(module, network.init)
    return module.to(device)


@contextlib.contextmanager
def _random(seed: int | None) -> Generator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _module(node: Node, path: str, shapes: dict[str, Shape], last_uses: set[str]) -> nn.Module:
    if isinstance(node, Leaf):
        return _resolve(node.torch(shapes[path]))
    if isinstance(node, Branching):
        children = {name: _module(child, f"{path}.{name}", shapes, last_uses) for name, child in node.children}
        return WIRINGS[type(node)](children)
    if isinstance(node, Keep):
        return Keeping(node.name)
    if isinstance(node, Use):
        return Using(node.name, last=path in last_uses)
    if isinstance(node, Unpool):
        axes = len(shapes[path].spatial)
        sizes = ((size,) * axes for size in (node.kernel, node.stride, node.padding))
        return Unpooling(node.name, *sizes, last=path in last_uses)
    raise TypeError(f"{path}: {node!r} is no node of a tree")


def _recomputed(stage: nn.Module, group: int) -> nn.Module:
    return Recomputed(dict(stage.named_children()), group) if type(stage) is Sequence else stage


def _last_uses(network: Network) -> set[str]:
    """The paths of the nodes after which the kept value that they use is not used again."""
    last = {step.node.name: step.path for step in network.trace().steps if isinstance(step.node, Use | Unpool)}
    return set(last.values())


def _resolve(call: TorchCall) -> nn.Module:
    module, _, name = call.path.rpartition(".")
    return getattr(import_module(module), name)(**call.arguments)
