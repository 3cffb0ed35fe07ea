"""Torch modules that read sequences, or convolve with a value that the network kept."""

# pyright: standard, reportMissingTypeStubs=false
# torch declares its types only in part.

from itertools import product

import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError, WrongType
from convsmith.nets.modules.layers import Kept, Using, Wiring


class Embedding(nn.Embedding):
    """A vector for each token: (N, 1, ...) int64 to (N, channels, ...)."""

    def __init__(self, vocabulary: int, channels: int, padding: int | None):
        super().__init__(vocabulary, channels, padding_idx=padding)

    def forward(self, input: Tensor) -> Tensor:
        if input.is_floating_point():
            raise WrongType(f"an embedding takes token numbers (int64), received {input.dtype}")
        try:
            return super().forward(input.squeeze(1)).movedim(-1, 1)
        except IndexError:  # on the CPU; a GPU raises an assertion of its own
            low, high = int(input.min()), int(input.max())
            raise UsageError(
                f"tokens: expected numbers from 0 to {self.num_embeddings - 1}, received {low} to {high}"
            ) from None


class Recurrent(Wiring):
    """An LSTM or GRU over (N, C, steps), in one or two directions; the kept `tokens` tell where each sequence ends."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        cell: str,
        directions: int,
        last_state: bool,
        tokens: str = "",
        padding: int = 0,
        last: bool = False,
    ):
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        super().__init__({name: kind(inputs, channels, batch_first=True) for name in ("ahead", "back")[:directions]})
        self.last_state, self.padding = last_state, padding
        self.tokens = Using(tokens, last) if tokens else None

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        sequence = x.movedim(1, 2)
        steps = torch.arange(x.shape[2], device=x.device)
        if self.tokens is None:
            lengths = x.new_full((x.shape[0],), x.shape[2], dtype=torch.int64)
        else:
            tokens = self.tokens(x, kept)[:, 0]
            lengths = ((tokens != self.padding) * (steps + 1)).amax(1)
        inside = steps < lengths[:, None]
        outputs = [self._states("ahead", sequence) * inside[..., None]]
        if "back" in self._modules:
            # Reverse each sequence from its own end; the padding after it stays in place.
            mirrored = torch.where(inside, lengths[:, None] - 1 - steps, steps)[..., None]
            states = self._states("back", sequence.gather(1, mirrored.expand_as(sequence)))
            outputs.append(states.gather(1, mirrored.expand_as(states)) * inside[..., None])
        if not self.last_state:
            return torch.cat(outputs, 2).movedim(2, 1)
        ends = (lengths - 1).clamp_min(0)[:, None, None].expand(-1, 1, outputs[0].shape[2])
        # The backward layer ends at the first step of a sequence.
        return torch.cat([outputs[0].gather(1, ends)[:, 0], *(states[:, 0] for states in outputs[1:])], 1)

    def _states(self, name: str, sequence: Tensor) -> Tensor:
        states, _ = self.get_submodule(name)(sequence)
        return states

    def extra_repr(self) -> str:
        return "last state" if self.last_state else ""


class Correlation(Wiring):
    """(N, C, ...) convolved with a kept value (N, channels * C, *kernel): each sample has its own filters."""

    def __init__(self, name: str, channels: int, padding: tuple[int, ...], last: bool):
        super().__init__({})
        self.channels, self.padding = channels, padding
        self.source = Using(name, last)

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        filters = self.source(x, kept)
        count, inputs, *sizes = x.shape
        kernel = filters.shape[2:]
        if torch.compiler.is_exporting():  # an exported graph has a fixed number of groups
            return self._shifted(x, filters.reshape(count, self.channels, inputs, *kernel))
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[len(sizes) - 1]
        weight = filters.reshape(count * self.channels, inputs, *kernel)
        y = convolve(x.reshape(1, count * inputs, *sizes), weight, padding=self.padding, groups=count)
        return y.reshape(count, self.channels, *y.shape[2:])

    def _shifted(self, x: Tensor, filters: Tensor) -> Tensor:
        """The same convolution as a sum over the positions of the kernel."""
        kernel = filters.shape[3:]
        padded = nn.functional.pad(x, [side for padding in reversed(self.padding) for side in (padding, padding)])
        sizes = [n - k + 1 for n, k in zip(padded.shape[2:], kernel, strict=True)]
        total = x.new_zeros(())
        for place in product(*map(range, kernel)):
            window = padded[(..., *(slice(at, at + size) for at, size in zip(place, sizes, strict=True)))]
            weight = filters[(..., *place)].reshape(*filters.shape[:3], *(1,) * len(kernel))
            total = total + (window[:, None] * weight).sum(2)
        return total

    def extra_repr(self) -> str:
        return f"{self.source.name!r}, padding={self.padding}"
