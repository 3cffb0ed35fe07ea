"""Torch modules that draw at random in training; in evaluation they return the expected value or the middle one.

`Sample` alone draws in evaluation too: the bound of a variational autoencoder is a mean over draws.
"""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from collections.abc import Callable

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError
from convsmith.nets.modules.layers import Kept, Wiring


class FractionalMaxPool2d(nn.FractionalMaxPool2d):
    """torch's fractional max pooling over 2 axes, whose windows are random only in training."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if self.training else _evaluated(self, nn.functional.fractional_max_pool2d, input)


class FractionalMaxPool3d(nn.FractionalMaxPool3d):
    """torch's fractional max pooling over 3 axes, whose windows are random only in training."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if self.training else _evaluated(self, nn.functional.fractional_max_pool3d, input)


def _evaluated(layer: nn.Module, pool: Callable[..., Tensor], x: Tensor) -> Tensor:
    """The pooling of `layer` with the windows in the middle of their range."""
    middle = x.new_full((*x.shape[:2], x.dim() - 2), 0.5)
    return pool(x, layer.kernel_size, output_ratio=layer.output_ratio, _random_samples=middle)


class StochasticPool(nn.Module):
    """One value of each window, picked with probability proportional to it; evaluation takes the weighted mean."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        windows = x.relu()
        for axis, (kernel, stride) in enumerate(zip(self.kernel, self.stride, strict=True), 2):
            windows = windows.unfold(axis, kernel, stride)
        windows = windows.flatten(-len(self.kernel))
        if not self.training:
            total = windows.sum(-1)
            return windows.square().sum(-1) / total.clamp_min(torch.finfo(x.dtype).tiny)
        # With exponential draws e, the largest p / e picks each value with a probability proportional to p.
        picked = (windows / torch.empty_like(windows).exponential_()).argmax(-1, keepdim=True)
        return windows.gather(-1, picked).squeeze(-1)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class PlainDropout(nn.modules.dropout._DropoutNd):
    """Zeroes values with probability `p` in training and scales nothing there; in evaluation, all values by 1 - p."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input * (1 - self.p)
        return input * torch.empty_like(input).bernoulli_(1 - self.p)


class DropConnectLinear(nn.Linear):
    """A linear layer that in training drops each weight with probability `drop`, the rest scaled by 1 / (1 - drop)."""

    def __init__(self, in_features: int, out_features: int, bias: bool, drop: float):
        super().__init__(in_features, out_features, bias)
        self.drop = drop

    def forward(self, input: Tensor) -> Tensor:
        weight = nn.functional.dropout(self.weight, self.drop, self.training)
        return nn.functional.linear(input, weight, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, drop={self.drop:g}"


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


class Sample(Wiring):
    """A draw, mean + exp(log-variance / 2) * noise; mean and log-variance are the halves of the channels.

    The noise is the argument `noise` of the network. Without it, training draws from torch's generator, and evaluation
    takes one fixed draw for every example, so that an exported network is a function.
    """

    fixed: Tensor

    def __init__(self, shape: tuple[int, ...]):
        super().__init__({})
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(2014), device="cpu")
        self.register_buffer("fixed", noise)

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        mean, log_variance = x.chunk(2, dim=1)
        deviation = torch.exp(0.5 * log_variance)
        noise = kept.draw(deviation) if kept is not None else None
        if noise is None:
            noise = torch.randn_like(deviation) if self.training else self._fixed(deviation)
        return mean + deviation * noise

    def _fixed(self, like: Tensor) -> Tensor:
        if self.fixed.shape != like.shape[1:]:
            sizes = ["x".join(map(str, shape)) for shape in (self.fixed.shape, like.shape[1:])]
            raise UsageError(f"a sample was built for {sizes[0]} values and receives {sizes[1]}: give it the noise")
        return self.fixed.to(like.dtype)

    def extra_repr(self) -> str:
        return "x".join(map(str, self.fixed.shape))
