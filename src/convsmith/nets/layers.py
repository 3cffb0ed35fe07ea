"""Torch modules for what torch lacks: the combinators, `keep` and `use`, and a few operators."""

from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError


class Kept:
    """The values that `keep` has remembered; those `wanted` by the caller stay after their last use."""

    def __init__(self, wanted: Collection[str] = ()):
        self.values: dict[str, Tensor] = {}
        self.wanted = wanted


class Wiring(nn.Module):
    """A node that passes the environment of kept values on to its children."""

    def __init__(self, children: Mapping[str, nn.Module]):
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)

    def run(self, name: str, x: Tensor, kept: Kept | None) -> Tensor:
        """The output of the child called `name`."""
        child = cast(nn.Module, self._modules[name])
        return child(x, kept) if isinstance(child, Wiring) else child(x)


class Sequence(Wiring):
    """Children one after the other."""

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        for name in self._modules:
            x = self.run(name, x, kept)
        return x


class Sum(Wiring):
    """The sum of the children's outputs."""

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        first, *rest = self._modules
        total = self.run(first, x, kept)
        for name in rest:
            total = total + self.run(name, x, kept)
        return total


class Concatenation(Wiring):
    """The children's outputs along the channels."""

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        return torch.cat([self.run(name, x, kept) for name in self._modules], dim=1)


class Scale(Wiring):
    """The input times the output of the children, which run one after the other."""

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        y = x
        for name in self._modules:
            y = self.run(name, y, kept)
        return x * y


class Keeping(Wiring):
    """Remembers its input under a name and passes it on."""

    def __init__(self, name: str):
        super().__init__({})
        self.name = name

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        if kept is not None:
            kept.values[self.name] = x
        return x

    def extra_repr(self) -> str:
        return repr(self.name)


class Using(Wiring):
    """Gives a remembered value; the last use frees it."""

    def __init__(self, name: str, last: bool):
        super().__init__({})
        self.name, self.last = name, last

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        if kept is None:
            raise UsageError(f"the value {self.name!r} is kept by another part: run the whole network")
        if self.last and self.name not in kept.wanted:
            return kept.values.pop(self.name)
        return kept.values[self.name]

    def extra_repr(self) -> str:
        return repr(self.name)


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3) (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class ChannelSoftmax(nn.Softmax):
    """Softmax over the channels."""

    def __init__(self) -> None:
        super().__init__(dim=1)


class Take(nn.Module):
    """Some of the channels: (N, C, ...) to (N, len(channels), ...)."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x[:, list(self.channels)]

    def extra_repr(self) -> str:
        return str(self.channels)


class PadChannels(nn.Module):
    """Zero channels before and after the given ones."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (self.before, self.after))

    def extra_repr(self) -> str:
        return f"{self.before}, {self.after}"


class Affine(nn.Module):
    """A learnt scale and shift for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return x * self.weight.view(shape) + self.bias.view(shape)


class Rbf(nn.Module):
    """Minus the squared distance to fixed codes of +1 and -1, one for each output; nothing here is trained."""

    codes: Tensor

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        # The codes are part of the network, not of a run's randomness: the same for every seed.
        bits = torch.randint(0, 2, (outputs, inputs), generator=torch.Generator().manual_seed(1998), device="cpu")
        self.register_buffer("codes", 2.0 * bits - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None, :] - self.codes).square().sum(dim=2)


class DropPath(nn.Module):
    """In training, zeroes samples (or the whole batch) with probability `drop`, the rest scaled by 1 / (1 - drop)."""

    def __init__(self, drop: float, by: str):
        super().__init__()
        self.drop, self.by = drop, by

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop == 0:
            return x
        count = len(x) if self.by == "sample" else 1
        kept = torch.rand((count,) + (1,) * (x.dim() - 1), device=x.device) >= self.drop
        return x * (kept.to(x.dtype) / (1 - self.drop))

    def extra_repr(self) -> str:
        return f"{self.drop:.3g}, by {self.by}"
