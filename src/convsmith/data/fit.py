"""The geometry that brings an image of any size to the size of the network's input: scale, crop, pad.

Sizes are (height, width) everywhere.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from convsmith.base.errors import UsageError

if TYPE_CHECKING:
    from convsmith.data.preprocess import ImageInput  # which imports this

Size = tuple[int, int]
# crop: scale to cover the size, then cut the center; pad: scale to fit into the size, then add borders; squash: scale
# to exactly the size, whatever the image's shape.
Fit = Literal["crop", "pad", "squash"]
# The longest side of a network's input, and its most pixels: those of a square of 4096.
LONGEST, MOST_PIXELS = 65_535, 2**24


@dataclass(frozen=True)
class Placement:
    """An image is scaled to `scaled`; then its center is cut to `goal`, or it is laid on a canvas of size `goal`."""

    scaled: Size
    goal: Size

    @property
    def share(self) -> float:
        """The share of the scaled image's area that lies inside the goal."""
        height, width = (min(1, goal / have) for have, goal in zip(self.scaled, self.goal, strict=True))
        return height * width


def read_size(value: int | str, what: str = "size") -> Size:
    """The height and width that a user writes as `224`, or `32x128` (height x width). Raises UsageError."""
    words = [word.strip() for word in str(value).lower().replace("×", "x").split("x")]
    if not 1 <= len(words) <= 2 or not all(word.isascii() and word.isdecimal() for word in words):
        raise UsageError(
            f"{what}: expected a whole number of pixels, or height x width such as 32x128, received {value!r:.60}"
        )
    if any(len(word) > 9 or not 1 <= int(word) <= LONGEST for word in words):
        raise UsageError(f"{what}: expected from 1 to {LONGEST} pixels a side, received {value!r:.60}")
    height, width = int(words[0]), int(words[-1])
    if height * width > MOST_PIXELS:
        raise UsageError(f"{what}: expected at most {MOST_PIXELS:,} pixels in all, received {height}x{width}")
    return height, width


def size_word(size: Size) -> int | str:
    """A size in the form that `read_size` reads: 224 for a square, else `32x128`."""
    return size[0] if size[0] == size[1] else f"{size[0]}x{size[1]}"


def size_text(size: tuple[float, float]) -> str:
    """A size as text, height x width: `32x128`."""
    return "x".join(str(int(side)) if side == int(side) else f"{side:.1f}" for side in size)


def shaped(size: Size, short: int) -> Size:
    """The size with the aspect ratio of `size` whose shorter side has `short` pixels."""
    height, width = size
    return (short, round(short * width / height)) if height <= width else (round(short * height / width), short)


def frame(record: "ImageInput") -> Size | None:
    """The size of the frame that crops are cut from, larger than `size` if there is a margin; None without `resize`."""
    return (record.resize, record.resize) if isinstance(record.resize, int) else record.resize


def placed(size: Size, record: "ImageInput", margin: bool = False) -> Placement:
    """The placement of an image of `size`. With `margin` the goal is the frame, from which training crops at random.

    If `resize` is a number, lengths are rounded as by torchvision's `Resize(resize)`.
    """
    height, width = size
    goal, frame_size = record.size, frame(record)
    if record.fit == "squash":
        return Placement(goal, goal)
    if record.fit == "pad":
        scale = min(goal[0] / height, goal[1] / width)
        return Placement((_side(height * scale, goal[0]), _side(width * scale, goal[1])), goal)
    if frame_size is None:
        scale = max(goal[0] / height, goal[1] / width)
        return Placement((max(goal[0], round(height * scale)), max(goal[1], round(width * scale))), goal)
    high, wide = frame_size
    goal = frame_size if margin else goal
    if height * wide <= width * high:
        return Placement((high, high * width // height), goal)
    return Placement((wide * height // width, wide), goal)


def enlargement(size: Size, record: "ImageInput") -> float:
    """The larger of the two factors that scale the sides of an image of `size`; below 1 the image is shrunk."""
    scaled = placed(size, record).scaled
    return max(scaled[0] / size[0], scaled[1] / size[1])


def _side(length: float, most: int) -> int:
    return min(most, max(1, round(length)))
