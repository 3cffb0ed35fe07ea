"""Sizes of operators: one number for all axes or one per axis, their checks, the output of a sliding window."""

from convsmith.base.errors import UsageError, WrongType
from convsmith.nets.shape import Shape, Window

Axes = int | tuple[int, ...]


def per_axis(value: Axes, x: Shape) -> tuple[int, ...]:
    """`value`, one number or one per axis, as one number for each spatial axis of `x`."""
    if isinstance(value, int):
        return (value,) * len(x.spatial)
    if len(value) != len(x.spatial):
        raise UsageError(f"expected {len(x.spatial)} sizes, one for each axis of {x}, received {value}")
    return value


def across(value: Axes, times: str = "x") -> str:
    """`value`, one number or one per axis, as text: `3x3`, `1x7`, `5-wide` along a single axis."""
    if isinstance(value, int):
        return f"{value}{times}{value}"
    return f"{value[0]}-wide" if len(value) == 1 else times.join(map(str, value))


def strided(stride: Axes) -> str:
    """A stride in a drawing: ` /2`; empty for 1."""
    if stride in (1, (1, 1)):
        return ""
    return f" /{stride}" if isinstance(stride, int) else f" /{across(stride, '×')}"


def at_least(low: int, **fields: Axes) -> None:
    """Raise UsageError if a field of an operator is below `low` on some axis."""
    for name, value in fields.items():
        each = value if isinstance(value, tuple) else (value,)
        if any(isinstance(n, bool) for n in each):
            raise WrongType(f"{name} is {value}, expected a whole number")
        if any(n < low for n in each):
            raise UsageError(f"{name} is {value}, expected at least {low}")


def check_probability(drop: float, *, one: bool) -> None:
    """Raise UsageError if the dropping probability is outside 0 to 1; 1 is valid only if `one`."""
    if not (0 <= drop < 1 or (one and drop == 1)):
        raise UsageError(f"drop is {drop}, expected a probability from 0 to {'1' if one else 'below 1'}")


def dimension(op: str, x: Shape) -> str:
    """The ending of torch's class for the axes of `x`: 1d, 2d or 3d."""
    if not 1 <= len(x.spatial) <= 3:
        raise UsageError(f"{op} needs an input with 1 to 3 spatial axes, receives {x}")
    return f"{len(x.spatial)}d"


def slide(
    op: str, x: Shape, windows: tuple[Window, ...], after: tuple[int, ...], ceil: bool = False
) -> tuple[int, ...]:
    """The output sizes of a sliding window; `after` is the padding at the far end of each axis."""
    sizes: list[int] = []
    for n, w, end in zip(x.spatial, windows, after, strict=True):
        room = n + w.before + end - w.span
        size = (-(-room // w.stride) if ceil else room // w.stride) + 1
        if size < 1:
            raise UsageError(f"{op} spans {w.span} positions and receives {n} (padding {w.before} and {end})")
        # torch drops a window that would begin in the padding at the far end.
        sizes.append(size - 1 if ceil and (size - 1) * w.stride >= n + w.before else size)
    return tuple(sizes)
