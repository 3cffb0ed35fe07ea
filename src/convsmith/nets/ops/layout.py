"""Operators that move values: channels, padding, resizing, flattening."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from convsmith.base.errors import UsageError
from convsmith.nets.shape import Shape, Window
from convsmith.nets.sizes import Axes, at_least, dimension, per_axis
from convsmith.nets.tree import Leaf, TorchCall
from convsmith.report.text import many


@dataclass(frozen=True, slots=True)
class Flatten(Leaf):
    """All positions of all channels as one vector."""

    whole: ClassVar[bool] = True
    rides: ClassVar[bool] = True

    def output(self, x: Shape) -> Shape:
        return Shape(x.elements)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("torch.nn.Flatten", {})


@dataclass(frozen=True, slots=True)
class Unflatten(Leaf):
    """A vector as a map of the spatial `sizes`, channel after channel: the inverse of `Flatten`."""

    sizes: tuple[int, ...]
    whole: ClassVar[bool] = True  # a vector has no positions for a field to count

    def output(self, x: Shape) -> Shape:
        if x.spatial:
            raise UsageError(f"an unflatten needs a vector, receives {x}")
        if not _are_sizes(self.sizes):
            raise UsageError(f"sizes is {self.sizes}, expected 1 to 3 numbers of at least 1")
        positions = math.prod(self.sizes)
        if x.channels % positions:
            raise UsageError(
                f"{many(x.channels, 'value')} cannot fill the {many(positions, 'position')} of {self.sizes} evenly"
            )
        return Shape(x.channels // positions, self.sizes)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.Unflatten", {"sizes": self.sizes})


def _are_sizes(sizes: Any) -> bool:
    if not isinstance(sizes, tuple):
        return False
    numbers = cast("tuple[Any, ...]", sizes)
    return 1 <= len(numbers) <= 3 and all(type(n) is int and n >= 1 for n in numbers)


@dataclass(frozen=True, slots=True)
class Take(Leaf):
    """Selected channels, in the order of `channels`."""

    channels: tuple[int, ...]

    def label(self) -> str:
        return self.words()

    def alike(self, loose: bool) -> Hashable:
        return self.op

    def output(self, x: Shape) -> Shape:
        if not self.channels or not all(0 <= c < x.channels for c in self.channels):
            raise UsageError(f"take needs channels from 0 to {x.channels - 1}, received {self.channels}")
        return Shape(len(self.channels), x.spatial)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.Take", {"channels": self.channels})


@dataclass(frozen=True, slots=True)
class PadChannels(Leaf):
    """Zeros around the channels (`before` and `after`): the parameter-free shortcut of He et al. 2016, option A."""

    before: int
    after: int

    def output(self, x: Shape) -> Shape:
        channels = self.before + x.channels + self.after
        if channels < 1:
            raise UsageError(f"padding by {self.before} and {self.after} leaves none of {many(x.channels, 'channel')}")
        return Shape(channels, x.spatial)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.PadChannels", {"before": self.before, "after": self.after})


@dataclass(frozen=True, slots=True)
class Pad(Leaf):
    """Positions added at the near (`before`) and far (`after`) end of each axis; a negative number removes positions.

    `mode` fills them: with zeros, with the image mirrored at its edge ("reflect"), the edge repeated ("replicate"), or
    a number so low that max pooling never takes it ("lowest").
    """

    before: Axes
    after: Axes
    mode: Literal["zero", "lowest", "reflect", "replicate"] = "zero"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return tuple(Window(1, 1, before) for before in per_axis(self.before, x))

    def output(self, x: Shape) -> Shape:
        dimension("a padding", x)
        ends = list(zip(x.spatial, per_axis(self.before, x), per_axis(self.after, x), strict=True))
        if min(before + n + after for n, before, after in ends) < 1:
            raise UsageError(f"padding by {self.before} and {self.after} leaves nothing of {x}")
        if self.mode == "reflect" and any(max(before, after) >= n for n, before, after in ends):
            raise UsageError(
                f"a mirror of {max(map(max, ends))} positions needs an image larger than that, receives {x}"
            )
        return Shape(x.channels, tuple(before + n + after for n, before, after in ends))

    def torch(self, x: Shape) -> TorchCall:
        ends = list(zip(per_axis(self.before, x), per_axis(self.after, x), strict=True))
        # torch lists the last axis first.
        amounts = tuple(amount for pair in reversed(ends) for amount in pair)
        return TorchCall("convsmith.nets.modules.layers.PadSides", {"amounts": amounts, "mode": self.mode})


@dataclass(frozen=True, slots=True)
class PadSame(Leaf):
    """Padding after which a window of `kernel` and `stride` gives the input size divided by `stride`, rounded up.

    TensorFlow's "same": an odd position goes to the far end. `fill` is "zero", or "lowest" before max pooling.
    """

    kernel: Axes
    stride: Axes = 1
    dilation: Axes = 1
    fill: Literal["zero", "lowest"] = "zero"

    def alike(self, loose: bool) -> Hashable:
        return (self.op, self.kernel) if loose else self

    def _totals(self, x: Shape) -> list[int]:
        sizes = (per_axis(v, x) for v in (self.kernel, self.stride, self.dilation))
        return [max(((n - 1) // s) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in zip(x.spatial, *sizes, strict=True)]

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return tuple(Window(1, 1, total // 2) for total in self._totals(x))

    def output(self, x: Shape) -> Shape:
        dimension("a padding", x)
        at_least(1, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        return Shape(x.channels, tuple(n + total for n, total in zip(x.spatial, self._totals(x), strict=True)))

    def torch(self, x: Shape) -> TorchCall:
        sizes = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        arguments = {name: per_axis(value, x) for name, value in sizes.items()}
        return TorchCall("convsmith.nets.modules.layers.PadSame", arguments | {"fill": self.fill})


@dataclass(frozen=True, slots=True)
class Upsample(Leaf):
    """The image enlarged `scale` times: each position repeated ("nearest") or interpolated ("bilinear", 2 axes).

    Interpolation takes positions as cells (torch's `align_corners=False`).
    """

    scale: int = 2
    mode: Literal["nearest", "bilinear"] = "nearest"

    def windows(self, x: Shape) -> tuple[Window, ...]:
        # The windows of transposed convolutions: `scale` ones (nearest), and the bilinear filter with both flanks.
        span, before = (self.scale, 0) if self.mode == "nearest" else (2 * self.scale, self.scale // 2)
        return (Window(span, 1, before, up=self.scale),) * len(x.spatial)

    def output(self, x: Shape) -> Shape:
        dimension("an upsampling layer", x)
        at_least(1, scale=self.scale)
        if self.mode == "bilinear" and len(x.spatial) != 2:
            raise UsageError(f"bilinear interpolation needs 2 spatial axes, receives {x}")
        return Shape(x.channels, tuple(n * self.scale for n in x.spatial))

    def elementwise(self, x: Shape, y: Shape) -> int:
        return y.elements * (4 if self.mode == "bilinear" else 0)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("torch.nn.Upsample", {"scale_factor": self.scale, "mode": self.mode})


@dataclass(frozen=True, slots=True)
class Chunk(Leaf):
    """One of `count` equal groups of neighboring channels: number `index`, from 0."""

    index: int
    count: int = 2

    def label(self) -> str:
        return f"part {self.index + 1} of {self.count}"

    def output(self, x: Shape) -> Shape:
        if self.count < 1 or x.channels % self.count or not 0 <= self.index < self.count:
            raise UsageError(f"{many(x.channels, 'channel')} have no chunk {self.index} of {self.count}")
        return Shape(x.channels // self.count, x.spatial)

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.layers.Chunk", {"index": self.index, "count": self.count})


@dataclass(frozen=True, slots=True)
class Shuffle(Leaf):
    """The channels of `groups` groups interleaved, so that the next groups see all (Zhang et al. 2018, figure 1)."""

    groups: int

    def label(self) -> str:
        return f"shuffle {self.groups} groups"

    def output(self, x: Shape) -> Shape:
        if self.groups < 1 or x.channels % self.groups:
            raise UsageError(f"a shuffle of {many(self.groups, 'group')} cannot divide {many(x.channels, 'channel')}")
        return x

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("torch.nn.ChannelShuffle", {"groups": self.groups})
