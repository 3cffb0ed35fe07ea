"""Rows of thumbnails with captions: originals above their reconstructions, samples, a picture under several kernels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from convsmith.base.errors import UsageError, WrongType
from convsmith.report import svg
from convsmith.report.pictures import address, png, shrunk

_EDGE, _GAP, _BLOCK, _ROOM, _LONGEST, _LINE = 24.0, 8.0, 16.0, 932.0, 170.0, 14.0
_SMALLEST, _LARGEST = 16, 400  # the width of a thumbnail in pixels
_TALL = 2.0  # at most so many times as high as wide
_MOST = 600  # thumbnails in a figure
_LETTER = 11.0


@dataclass(frozen=True)
class PictureRow:
    """A row's name, its uint8 images (N, H, W), (N, H, W, 1) or (N, H, W, 3), and a caption for each or none."""

    name: str
    images: np.ndarray
    captions: Sequence[str] = ()


def pictures_svg(
    title: str, rows: Sequence[PictureRow], *, note: str = "", columns: int | None = None, side: int = 64
) -> str:
    """The n-th images of all rows stand in one column, each about `side` pixels wide, or so small that `columns` fit.

    Further ones go on in a further block of the same rows. Of very many images the first are shown, and the figure
    says of how many.
    """
    _check(rows)
    most = max(len(row.images) for row in rows)
    names = {row.name: svg.fit(row.name, _LONGEST, 13) for row in rows}
    left = max(svg.text_width(name, 13) + 16 if name else 0.0 for name in names.values())
    if columns is not None:
        side = min(side, int((_ROOM - left + _GAP) // max(1, columns) - _GAP))
    width = _width(next(row.images for row in rows if len(row.images)).shape[2], side)
    fitting = max(1, int((_ROOM - left + _GAP) // (width + _GAP)))
    columns = max(1, min(columns or most, most, fitting))
    shown = min(most, max(1, _MOST // len(rows) // columns) * columns)
    if shown < most:
        note = f"{f'{note}; ' if note else ''}the first {shown:,} of {most:,} are shown"
    y, parts = 16.0, list[str]()
    whole = max(2 * _EDGE + left + columns * (width + _GAP) - _GAP, 320.0)
    for text, style in ((title, {"font_size": 17, "font_weight": 600}), (note, {"muted": True})):
        if text:
            y += 20 if style.get("muted") else 22
            parts.append(svg.label(_EDGE, y, svg.fit(text, whole - 2 * _EDGE, style.get("font_size", 12)), **style))
    y += 16 if parts else 4
    for first in range(0, shown, columns):
        for row in rows:
            tiles = list(islice(_tiles(row, width), first, min(first + columns, shown)))
            if tiles:
                tall, below = max(tile.height for tile in tiles), max(len(tile.lines) for tile in tiles)
                if names[row.name]:
                    at = {"font_size": 13, "text_anchor": "end"}
                    parts.append(svg.label(_EDGE + left - 12, y + tall / 2 + 4, names[row.name], **at))
                for column, tile in enumerate(tiles):
                    parts += tile.draw(_EDGE + left + column * (width + _GAP), y, width, tall)
                y += tall + _LINE * below + (6 if below else 0) + _GAP
        y += _BLOCK if first + columns < shown and len(rows) > 1 else 0
    told = "; ".join(f"{len(row.images):,} {row.name or 'pictures'}" for row in rows)
    return svg.figure(whole, y + 10, title or "Pictures", parts, told)


@dataclass(frozen=True)
class _Tile:
    """One thumbnail, the lines of its caption, and what is said of it."""

    image: np.ndarray
    width: float
    height: float
    lines: Sequence[str]
    said: str

    def draw(self, x: float, y: float, room: float, tall: float) -> list[str]:
        left, top = x + (room - self.width) / 2, y + tall - self.height
        place = {"x": left, "y": top, "width": self.width, "height": self.height, "preserveAspectRatio": "none"}
        small = self.image.shape[1] <= self.width
        style = {"style": "image-rendering:pixelated"} if small else {}
        data = png(shrunk(self.image, round(2 * max(self.width, self.height))))
        title = svg.element("title", {}, svg.escape(self.said, 200))
        parts = [svg.element("image", place | style | {"href": address(data)}, title)]
        for number, line in enumerate(self.lines):
            at = (x + room / 2, y + tall + _LINE * (number + 1))
            parts.append(svg.label(*at, line, font_size=_LETTER, text_anchor="middle"))
        return parts


def _tiles(row: PictureRow, width: float) -> Iterator[_Tile]:
    for number, image in enumerate(row.images):
        scale = min(width / image.shape[1], _TALL * width / image.shape[0])
        caption = row.captions[number] if row.captions else ""
        lines = svg.wrap(caption, width, _LETTER, 3) if caption else []
        said = f"{row.name} {number + 1}".strip() + (f": {caption}" if caption else "")
        yield _Tile(image, image.shape[1] * scale, max(1.0, image.shape[0] * scale), lines, said)


def _width(pixels: int, side: int) -> float:
    """The width of a thumbnail: `side`, or for a smaller image the nearest whole multiple of its pixels."""
    side = min(max(side, _SMALLEST), _LARGEST)
    return float(pixels * round(side / pixels) if pixels <= side else side)


def _check(rows: Sequence[PictureRow]) -> None:
    if not any(len(row.images) for row in rows):
        raise UsageError("a figure of pictures needs at least one image, received none")
    for row in rows:
        shape, kind = row.images.shape, row.images.dtype
        if kind != np.uint8:
            raise WrongType(f"{row.name or 'pictures'}: expected images of uint8, received {kind}")
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))) or 0 in shape[1:]:
            expected = "images (N, height, width[, 1, 3 or 4 channels])"
            raise UsageError(f"{row.name or 'pictures'}: expected {expected}, received shape {shape}")
        if row.captions and len(row.captions) != len(row.images):
            what = f"a caption for each of {len(row.images)} images"
            raise UsageError(f"{row.name or 'pictures'}: expected {what}, received {len(row.captions)}")
