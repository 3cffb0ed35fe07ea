"""What flows along an edge of the tree: a shape and a receptive field."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels and spatial sizes of one sample, without the batch: `Shape(3, (224, 224))`; a vector has no sizes."""

    channels: int
    spatial: tuple[int, ...] = ()

    @property
    def positions(self) -> int:
        """The number of places that each channel has."""
        count = 1
        for size in self.spatial:
            count *= size
        return count

    @property
    def elements(self) -> int:
        """The number of values in all."""
        return self.channels * self.positions

    def __iter__(self):
        return iter((self.channels, *self.spatial))

    def __str__(self) -> str:
        return "x".join(str(n) for n in self)


@dataclass(frozen=True, slots=True)
class Window:
    """What one output position of an operator reads along one axis: `span` inputs from `stride * position - before`."""

    span: int
    stride: int
    before: int


@dataclass(frozen=True, slots=True)
class Field:
    """The input positions, per axis, that position 0 reads (`low` to `high`), and how far the next one lies (`jump`).

    After an operator that reads every position (`whole`) the interval stays that of its input, so that it says what the
    features saw. `gated` tells that a gate let the whole image through to scale the channels.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    jump: tuple[int, ...]
    whole: bool = False
    gated: bool = False

    @staticmethod
    def point(axes: int) -> "Field":
        """The field of an input pixel: itself."""
        return Field((0,) * axes, (0,) * axes, (1,) * axes)

    @property
    def size(self) -> tuple[int, ...]:
        """How many input positions the field spans along each axis."""
        return tuple(high - low + 1 for low, high in zip(self.low, self.high, strict=True))

    def slide(self, windows: tuple[Window, ...]) -> "Field":
        """The field after an operator with these windows, one for each axis."""
        if self.whole:
            return self
        axes = list(zip(self.low, self.high, self.jump, windows, strict=True))
        return replace(
            self,
            low=tuple(low - jump * w.before for low, _, jump, w in axes),
            high=tuple(high + jump * (w.span - 1 - w.before) for _, high, jump, w in axes),
            jump=tuple(jump * w.stride for _, _, jump, w in axes),
        )

    def join(self, other: "Field") -> "Field":
        """The field of a sum or concatenation: the hull of both."""
        if self.whole or other.whole:
            return replace(self if self.whole else other, gated=self.gated or other.gated)
        return Field(
            tuple(map(min, self.low, other.low)),
            tuple(map(max, self.high, other.high)),
            tuple(map(max, self.jump, other.jump)),
            gated=self.gated or other.gated,
        )


@dataclass(frozen=True, slots=True)
class Signal:
    """A shape with the receptive field of its positions."""

    shape: Shape
    field: Field
