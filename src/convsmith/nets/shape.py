"""`Signal`, the value on an edge of the tree: a shape and a receptive field."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from convsmith.base.errors import UsageError

Position = int | Fraction  # after upsampling a step is a fraction of a pixel


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels and spatial sizes of one sample, without the batch: `Shape(3, (224, 224))`; a vector has no sizes."""

    channels: int
    spatial: tuple[int, ...] = ()

    @property
    def positions(self) -> int:
        """The number of positions in each channel."""
        count = 1
        for size in self.spatial:
            count *= size
        return count

    @property
    def elements(self) -> int:
        """The number of values in all channels."""
        return self.channels * self.positions

    def __iter__(self):
        return iter((self.channels, *self.spatial))

    def __str__(self) -> str:
        return "x".join(str(n) for n in self)


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a network: its name, the shape of one sample, its dtype (`int64` for tokens)."""

    name: str
    shape: Shape
    dtype: Literal["float32", "int64"] = "float32"

    def __str__(self) -> str:
        return f"{self.name} {self.shape}" + (f" {self.dtype}" if self.dtype != "float32" else "")


@dataclass(frozen=True, slots=True)
class Window:
    """The inputs that one output position reads along one axis: `span` inputs from `stride * position - before`.

    `up` first moves the inputs that far apart, as in a transposed convolution.
    """

    span: int
    stride: Position
    before: int
    up: int = 1


@dataclass(frozen=True, slots=True)
class Field:
    """The input positions, per axis, that position 0 reads (`low` to `high`), and the step to the next field (`jump`).

    After upsampling, neighbors read intervals of different length; this is the longest. After an operator that reads
    every position (`whole`), the interval stays the one of its input: the region that the features saw. `gated` is true
    if a gate has used the whole image to scale the channels. `of` names the input whose positions are counted; it is
    empty for the first input.
    """

    low: tuple[Position, ...]
    high: tuple[Position, ...]
    jump: tuple[Position, ...]
    whole: bool = False
    gated: bool = False
    of: str = ""

    @staticmethod
    def point(axes: int, of: str = "") -> "Field":
        """The field of an input pixel: the pixel itself."""
        return Field((0,) * axes, (0,) * axes, (1,) * axes, of=of)

    @property
    def size(self) -> tuple[int, ...]:
        """The number of input positions that the field spans along each axis."""
        return tuple(int(high - low) + 1 for low, high in zip(self.low, self.high, strict=True))

    def slide(self, windows: tuple[Window, ...]) -> "Field":
        """The field after an operator with these windows, one for each axis."""
        if self.whole:
            return self
        axes = [_slide(*axis) for axis in zip(self.low, self.high, self.jump, windows, strict=True)]
        low, high, jump = zip(*axes, strict=True) if axes else ((), (), ())
        return replace(self, low=low, high=high, jump=jump)

    def join(self, other: "Field") -> "Field":
        """The field of a sum or concatenation: the hull of both; for different inputs, the field on the first.

        Raises `UsageError` if the fields have different numbers of axes: the hull would lose an axis.
        """
        if self.of != other.of:
            return other if self.of and not other.of else self
        if len(self.low) != len(other.low):
            axes = f"{len(self.low)} and {len(other.low)}"
            raise UsageError(f"what has positions over {axes} axes of one input cannot be joined")
        if self.whole or other.whole:
            return replace(self if self.whole else other, gated=self.gated or other.gated)
        return Field(
            tuple(map(min, self.low, other.low)),
            tuple(map(max, self.high, other.high)),
            tuple(map(max, self.jump, other.jump)),
            gated=self.gated or other.gated,
            of=self.of,
        )


def _slide(low: Position, high: Position, jump: Position, w: Window) -> tuple[Position, Position, Position]:
    """The interval (low, high) and the jump after a window, along one axis."""
    if w.up == 1:
        return low - jump * w.before, high + jump * (w.span - 1 - w.before), _whole(jump * w.stride)
    # An output position o reads the inputs i with i * up from o + before - span + 1 to o + before.
    last = w.before // w.up
    first = last - (w.span - 1) // w.up
    return low + jump * first, high + jump * last, _whole(Fraction(jump * w.stride) / w.up)


def _whole(position: Position) -> Position:
    return position.numerator if position.denominator == 1 else position


@dataclass(frozen=True, slots=True)
class Signal:
    """A shape with the receptive field of its positions."""

    shape: Shape
    field: Field
