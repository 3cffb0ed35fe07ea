"""From a tree to a `torch.nn.Module` whose `state_dict` keys are the tree's paths."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import contextlib
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError, WrongType, unknown
from convsmith.nets.limits import check_memory
from convsmith.nets.modules.init import initialize
from convsmith.nets.modules.layers import Concatenation, Keeping, Kept, Scale, Sum, Unpooling, Using, Wiring
from convsmith.nets.modules.layers import Sequence as InOrder
from convsmith.nets.modules.recompute import Recomputed
from convsmith.nets.network import Network
from convsmith.nets.shape import Input, Shape
from convsmith.nets.tree import MAIN, Add, Branching, Cat, Gate, Keep, Leaf, Node, Seq, TorchCall, Unpool, Use

WIRINGS: dict[type[Branching], type[Wiring]] = {Seq: InOrder, Add: Sum, Cat: Concatenation, Gate: Scale}


@dataclass(frozen=True)
class Feature:
    """The output of a stage: its name, its channels, and its stride in input pixels per axis."""

    name: str
    channels: int
    stride: tuple[int | Fraction, ...]


class BuiltNetwork(nn.Module):
    """The torch module of a network. `tree` is the `Network` it was built from.

    `forward(x)` takes (N, C, H, W) and returns the main head's output (N, classes). `forward(x, at=["stage2"])` also
    returns a dictionary of the outputs of those stages, heads or kept values. `noise` (N, `tree.noise`) holds the
    standard normal numbers of the `Sample` layers, in the order of execution. A network with further inputs takes a
    dictionary of all inputs by name. `after` names a stage: `x` is then the output of that stage, and only the later
    parts run, such as the decoder of an autoencoder.
    """

    def __init__(self, tree: Network, children: dict[str, nn.Module]):
        super().__init__()
        self.tree = tree
        for name, child in children.items():
            self.add_module(name, child)

    def forward(
        self,
        x: Tensor | Mapping[str, Tensor],
        at: Collection[str] = (),
        noise: Tensor | None = None,
        after: str = "",
    ) -> Any:
        """The main head's output; with `at`, also a dictionary of the outputs at these places."""
        at = _names(at)
        if noise is not None and not isinstance(noise, Tensor):
            raise WrongType(f"noise: expected a tensor (N, {self.tree.noise}), received {_shown(noise)}")
        kept = Kept(at, noise)
        first = self._checked_after(x, after) if after else received(self.tree, x, kept.values)
        outputs = self._run(first, kept, heads=True, start=self._number(after) + 1 if after else 0)
        kept.check_noise(first.shape[0])
        return (outputs[MAIN], {name: outputs[name] for name in at}) if at else outputs[MAIN]

    def features(self, x: Tensor | Mapping[str, Tensor], at: Collection[str] | None = None) -> dict[str, Tensor]:
        """The outputs of the stages called `at` (all by default), without running the heads."""
        names = [name for name, _ in self.tree.stages] if at is None else list(_names(at))
        kept = Kept(names)
        outputs = self._run(received(self.tree, x, kept.values), kept, heads=False)
        return {name: outputs[name] for name in names}

    def feature_info(self) -> list[Feature]:
        """Name, channels and stride of each stage, computed from the tree without running the module."""
        ends = self.tree.trace().stages
        return [Feature(n, ends[n].shape.channels, ends[n].field.jump) for n, _ in self.tree.stages]

    def _part(self, name: str, x: Tensor, kept: Kept) -> Tensor:
        """The output of a stage or head, which may be a single operator."""
        part = self.get_submodule(name)
        return part(x, kept) if isinstance(part, Wiring) else part(x)

    @cached_property
    def _ends(self) -> dict[str, Shape]:
        return {name: signal.shape for name, signal in self.tree.trace().stages.items()}

    def _checked_after(self, x: Any, after: str) -> Tensor:
        """`x` as the output of the stage `after`; raises UsageError if it cannot be that."""
        self._number(after)
        _check_tensor(f"{self.tree.name} after {after}", x, Input("values", self._ends[after]))
        return x

    def _number(self, stage: str) -> int:
        names = [name for name, _ in self.tree.stages]
        if not isinstance(stage, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise WrongType(f"expected the name of a stage of {self.tree.name}, received {stage!r:.60}")
        if stage not in names:
            raise unknown(f"stage of {self.tree.name}:", stage, names)
        return names.index(stage)

    def _run(self, x: Tensor, kept: Kept, heads: bool, start: int = 0) -> dict[str, Tensor]:
        """The outputs at `kept.wanted` and of the main head, from stage number `start` on."""
        at = kept.wanted
        outputs: dict[str, Tensor] = {}
        for name, _ in self.tree.stages[start:]:
            x = self._part(name, x, kept)
            if name in at:
                outputs[name] = x
        for name, _ in self.tree.heads if heads else ():
            if name == MAIN or name in at:
                outputs[name] = self._part(name, x, kept)
        outputs |= {name: kept.values[name] for name in at if name in kept.values}
        for name in at:
            if name not in outputs:
                places = [name for name, _ in self.tree.stages + (self.tree.heads if heads else ())]
                raise unknown(f"place in {self.tree.name}:", name, [*places, *kept.values])
        return outputs


def blank(tree: Network, count: int, shape: Sequence[int], device: str = "cpu") -> Tensor | dict[str, Tensor]:
    """A batch of `count` zero examples for a trial run; the first input has `shape`."""
    first, *others = tree.receives
    zeros = torch.zeros((count, *shape), dtype=getattr(torch, first.dtype), device=device)
    if not others:
        return zeros
    return {first.name: zeros} | {
        other.name: torch.zeros((count, *other.shape), dtype=getattr(torch, other.dtype), device=device)
        for other in others
    }


def received(tree: Network, x: Tensor | Mapping[str, Tensor], kept: dict[str, Tensor]) -> Tensor:
    """The first input of `x`; stores the other inputs in `kept`. Raises UsageError for an input that does not fit."""
    if not isinstance(x, Mapping) and not tree.inputs:
        _check_tensor(tree.name, x, tree.receives[0])
        return x
    first, *others = tree.receives
    names = [input.name for input in (first, *others)]
    if not isinstance(x, Mapping):
        raise UsageError(f"{tree.name} receives {', '.join(names)}: give it a dictionary of these, received one tensor")
    if set(names) != set(x):
        raise UsageError(f"{tree.name} receives {', '.join(names)}; given were {', '.join(x) or 'none'}")
    _check_tensor(tree.name, x[first.name], first)
    count = x[first.name].shape[0]
    for input in others:
        value = x[input.name]
        _check_tensor(tree.name, value, input)
        # The first input may have other spatial sizes, as the input of a network with one input may.
        if tuple(value.shape) != (count, *input.shape):
            expected = ", ".join(map(str, (count, *input.shape)))
            raise UsageError(f"{tree.name}: {input.name} is ({expected}), received {tuple(value.shape)}")
    kept.update({input.name: x[input.name] for input in others})
    return x[first.name]


def _check_tensor(what: str, value: Any, input: Input) -> None:
    """Raise UsageError if `value` is not a tensor with the axes, channels and kind of numbers of `input`."""
    # A compiled or traced graph would keep each comparison of a shape as a condition.
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return
    if not isinstance(value, Tensor):
        expected = f"{input.dtype} tensor (N, {', '.join(map(str, input.shape))})"
        raise WrongType(f"{what}: {input.name}: expected {expected}, received {_shown(value)}")
    axes = tuple(input.shape)
    if value.dim() != 1 + len(axes) or value.shape[1] != axes[0] or 0 in value.shape[1:]:
        shape = ", ".join(map(str, (value.shape[0] if value.dim() else "N", *axes)))
        raise UsageError(f"{what}: {input.name} is ({shape}), received {tuple(value.shape)}")
    fits = value.is_floating_point() if input.dtype == "float32" else value.dtype in (torch.int64, torch.int32)
    if not fits:
        raise UsageError(f"{what}: {input.name} is {input.dtype}, received {str(value.dtype).removeprefix('torch.')}")


def _shown(value: Any) -> str:
    """The type of a value, with the value if it is a text or a number."""
    if value is None:
        return "None"
    return f"{type(value).__name__} {value!r:.40}" if isinstance(value, str | int | float) else type(value).__name__


def _names(at: Any) -> Collection[str]:
    names = (at,) if isinstance(at, str) else at
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise WrongType(f"at: expected names of stages, heads or kept values, received {at!r:.60}")
    return names


def build(network: Network, *, seed: int | None = None, device: str | torch.device = "cpu") -> BuiltNetwork:
    """The module of a network, its weights drawn by the network's rule of initialization.

    With a `seed` the weights are a function of the seed, and torch's global generator keeps its state. On the device
    "meta" the module takes no memory and has no values.
    """
    if not isinstance(network, Network):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongType(f"expected a network, such as network('resnet18'), received {network!r:.60}")
    steps = network.trace().steps
    shapes = {step.path: step.x.shape for step in steps}
    last_uses = _last_uses(network)
    meta = torch.device(device).type == "meta"
    if not meta:
        check_memory(network.name, steps)
    # The CPU draws the weights for every device: its generator gives the same numbers on every machine.
    with _random(seed), torch.device("meta" if meta else "cpu"):
        parts = {name: _module(node, name, shapes, last_uses) for name, node in network.stages + network.heads}
        for name, _ in network.stages if network.recompute else ():
            parts[name] = _recomputed(parts[name], network.recompute)
        module = BuiltNetwork(network, parts)
        if not meta:
            initialize(module, network.init)
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
        call = node.torch(shapes[path])
        return _resolve(replace(call, arguments=call.arguments | {"last": path in last_uses}) if node.reads else call)
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
    raise TypeError(f"{path}: {node!r} is not a node of a tree")


def _recomputed(stage: nn.Module, group: int) -> nn.Module:
    return Recomputed(dict(stage.named_children()), group) if type(stage) is InOrder else stage


def _last_uses(network: Network) -> set[str]:
    """The paths of the nodes that are the last to read a kept value, which is then freed."""
    last = {name: step.path for step in network.trace().steps for name in step.node.reads}
    return set(last.values())


def _resolve(call: TorchCall) -> nn.Module:
    module, _, name = call.path.rpartition(".")
    return getattr(import_module(module), name)(**call.arguments)
