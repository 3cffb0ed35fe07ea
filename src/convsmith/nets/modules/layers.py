"""Torch modules that torch lacks: the combinators, `keep` and `use`, and a few operators."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

import math
from collections.abc import Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError


class Kept:
    """The values that `keep` has stored; those that the caller `wanted` stay after their last use.

    `noise` (N, numbers) holds the standard normal numbers of the network's draws, one layer after the other; if None,
    each layer draws its own.
    """

    def __init__(self, wanted: Collection[str] = (), noise: Tensor | None = None):
        self.values: dict[str, Tensor] = {}
        self.wanted = wanted
        self.noise = noise
        self.drawn = 0

    def draw(self, like: Tensor) -> Tensor | None:
        """The next numbers of the noise in the shape and dtype of `like` (N, ...); None if there is no noise."""
        if self.noise is None:
            return None
        start, self.drawn = self.drawn, self.drawn + math.prod(like.shape[1:])
        if self.noise.dim() != 2 or self.noise.shape[0] != like.shape[0] or self.noise.shape[1] < self.drawn:
            raise _wrong_noise(self.noise, f"({like.shape[0]}, at least {self.drawn})")
        return self.noise[:, start : self.drawn].reshape(like.shape).to(like.dtype)

    def check_noise(self, count: int) -> None:
        """Raise UsageError if noise is left after `count` examples have run through the whole network."""
        if self.noise is not None and self.noise.shape[1:] != (self.drawn,):
            raise _wrong_noise(self.noise, f"({count}, {self.drawn})")


def _wrong_noise(noise: Tensor, expected: str) -> UsageError:
    return UsageError(f"noise: expected {expected}, a row for each example, received {tuple(noise.shape)}")


class Wiring(nn.Module):
    """A module that passes the kept values to its children."""

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
    """Stores its input under a name and returns it."""

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
    """Returns a kept value; the last use frees it."""

    def __init__(self, name: str, last: bool):
        super().__init__({})
        self.name, self.last = name, last

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        if kept is None or self.name not in kept.values:
            raise UsageError(f"the value {self.name!r} is kept by another part: run the whole network")
        if self.last and self.name not in kept.wanted:
            return kept.values.pop(self.name)
        return kept.values[self.name]

    def extra_repr(self) -> str:
        return repr(self.name)


class Unpooling(Wiring):
    """Puts each value where its window of a kept value had its maximum."""

    def __init__(
        self, name: str, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], last: bool
    ):
        super().__init__({})
        self.source = Using(name, last)
        self.window: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        pooled = self.source(x, kept)
        axes = pooled.dim() - 2
        pool, unpool = _POOLS[axes]
        _, places = pool(pooled, **self.window, return_indices=True)
        return unpool(x, places, **self.window, output_size=pooled.shape[2:])

    def extra_repr(self) -> str:
        return f"{self.source.name!r}, {self.window}"


_POOLS = {
    1: (nn.functional.max_pool1d, nn.functional.max_unpool1d),
    2: (nn.functional.max_pool2d, nn.functional.max_unpool2d),
    3: (nn.functional.max_pool3d, nn.functional.max_unpool3d),
}


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3) (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class ChannelSoftmax(nn.Softmax):
    """Softmax over the channels."""

    def __init__(self) -> None:
        super().__init__(dim=1)


class Take(nn.Module):
    """Selected channels: (N, C, ...) to (N, len(channels), ...)."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x[:, list(self.channels)]

    def extra_repr(self) -> str:
        return str(self.channels)


class Unflatten(nn.Module):
    """A vector as a map: (N, C * positions) to (N, C, ...)."""

    def __init__(self, sizes: tuple[int, ...]):
        super().__init__()
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, *self.sizes)

    def extra_repr(self) -> str:
        return "x".join(map(str, self.sizes))


class PadChannels(nn.Module):
    """Zero channels before and after the given ones."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (self.before, self.after))

    def extra_repr(self) -> str:
        return f"{self.before}, {self.after}"


class PadSides(nn.Module):
    """Positions added at (or removed from) the ends of spatial axes; `amounts` in torch's order, last axis first."""

    def __init__(self, amounts: tuple[int, ...], mode: str):
        super().__init__()
        self.amounts, self.mode = amounts, mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode in ("zero", "lowest"):
            return nn.functional.pad(x, self.amounts, value=float("-inf") if self.mode == "lowest" else 0.0)
        return nn.functional.pad(x, self.amounts, self.mode)

    def extra_repr(self) -> str:
        return f"{self.amounts}, {self.mode}"


class PadSame(nn.Module):
    """Padding that makes the next window's output the input size divided by its stride, rounded up."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], fill: str):
        super().__init__()
        self.windows = list(zip(kernel, stride, dilation, strict=True))
        self.fill = float("-inf") if fill == "lowest" else 0.0

    def forward(self, x: Tensor) -> Tensor:
        amounts: list[int] = []
        for n, (kernel, stride, dilation) in zip(reversed(x.shape[2:]), reversed(self.windows), strict=True):
            total = max(((n - 1) // stride) * stride + (kernel - 1) * dilation + 1 - n, 0)
            amounts += [total // 2, total - total // 2]
        return nn.functional.pad(x, amounts, value=self.fill)

    def extra_repr(self) -> str:
        return f"{self.windows}, fill={self.fill}"


class AvgPoolSame(nn.Module):
    """Means over the windows of TensorFlow's "same" padding; the padding does not count."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.pad = PadSame(kernel, stride, (1,) * len(kernel), "zero")

    def forward(self, x: Tensor) -> Tensor:
        pool = (nn.functional.avg_pool1d, nn.functional.avg_pool2d, nn.functional.avg_pool3d)[len(self.kernel) - 1]
        share = pool(self.pad(torch.ones_like(x[:1, :1])), self.kernel, self.stride)  # of a window without padding
        return pool(self.pad(x), self.kernel, self.stride) / share

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class Chunk(nn.Module):
    """One of equal groups of neighboring channels."""

    def __init__(self, index: int, count: int):
        super().__init__()
        self.index, self.count = index, count

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(self.count, dim=1)[self.index]

    def extra_repr(self) -> str:
        return f"{self.index} of {self.count}"


class Affine(nn.Module):
    """A learnt scale and shift for each channel."""

    def __init__(self, channels: int, scale: float = 1.0, shift: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))
        self.bias = nn.Parameter(torch.zeros(channels)) if shift else None

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        y = x * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)


class Scaled(nn.Module):
    """Multiplication by a constant."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalization over the channels at each position: (N, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class LocalContrastNorm(nn.Module):
    """(N, C, ...) minus its Gaussian mean over a window and all channels, divided by the deviation if above 1."""

    window: Tensor

    def __init__(self, size: int, axes: int):
        super().__init__()
        # The deviation is a quarter of the window's side, so that the window ends at two deviations.
        line = torch.exp(-0.5 * ((torch.arange(size) - size // 2) / (size / 4)) ** 2)
        window = line
        for _ in range(axes - 1):
            window = window[..., None] * line
        self.register_buffer("window", (window / window.sum())[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        centered = x - self._mean(x)
        deviation = self._mean(centered.square()).sqrt()
        return centered / deviation.clamp_min(1)

    def _mean(self, x: Tensor) -> Tensor:
        """The weighted mean over the window and the channels, (N, 1, ...)."""
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[x.dim() - 3]
        mean = x.mean(dim=1, keepdim=True)
        window = self.window.to(mean.dtype)
        return convolve(mean, window, padding="same") / convolve(torch.ones_like(mean[:1]), window, padding="same")

    def extra_repr(self) -> str:
        return "x".join(map(str, self.window.shape[2:]))


class Rbf(nn.Module):
    """Minus the squared distance to fixed codes of +1 and -1, one for each output; without parameters."""

    codes: Tensor

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        # The codes are part of the network: the same for every seed of a run.
        bits = torch.randint(0, 2, (outputs, inputs), generator=torch.Generator().manual_seed(1998), device="cpu")
        self.register_buffer("codes", 2.0 * bits - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None, :] - self.codes).square().sum(dim=2)
