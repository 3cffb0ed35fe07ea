"""Activation checkpointing: the backward pass computes the activations of a stage again instead of keeping them."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from convsmith.nets.modules.layers import Keeping, Kept, Sequence, Using, Wiring
from convsmith.nets.modules.random_layers import Sample


class Recomputed(Sequence):
    """Children one after the other; in training only the values between groups of `group` children stay in memory.

    Outputs, gradients, random draws and running statistics equal those of a `Sequence`, bit for bit. A child that keeps
    or uses a value, or takes given noise, is not computed again: a second run would keep the value or take noise twice.
    """

    def __init__(self, children: Mapping[str, nn.Module], group: int):
        super().__init__(children)
        self.groups = _groups(children, group)

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x, kept)
        for names, again in self.groups:
            if again:
                x = checkpoint(self._part(names), x, use_reentrant=False, context_fn=self._contexts)
            else:
                x = self._part(names, kept)(x)
        return x

    def _part(self, names: list[str], kept: Kept | None = None) -> Callable[[Tensor], Tensor]:
        def part(x: Tensor) -> Tensor:
            for name in names:
                x = self.run(name, x, kept)
            return x

        return part

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The context of the first computation of a group, and the context of the second."""
        return nullcontext(), _statistics_held(self)


def _groups(children: Mapping[str, nn.Module], size: int) -> list[tuple[list[str], bool]]:
    """The children in order, in groups of at most `size`, and whether each group is computed again."""
    groups: list[tuple[list[str], bool]] = []
    for name, child in children.items():
        again = not any(isinstance(part, Keeping | Using | Sample) for part in child.modules())
        if groups and groups[-1][1] == again and len(groups[-1][0]) < size:
            groups[-1][0].append(name)
        else:
            groups.append(([name], again))
    # A single layer keeps only its input, which stays in memory anyway: computing it again saves nothing.
    return [(names, again and (len(names) > 1 or isinstance(children[names[0]], Wiring))) for names, again in groups]


@contextmanager
def _statistics_held(module: nn.Module) -> Generator[None]:
    """Batch normalization updates copies of its running statistics, which have counted this batch already."""
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    held = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, held, strict=True):
        norm._buffers.update({name: buffer.clone() for name, buffer in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, held, strict=True):
            norm._buffers.update(buffers)
