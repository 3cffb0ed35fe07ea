"""Which class is taken for which: the confusion matrix as a picture, and its largest errors as rows."""

import math
from collections.abc import Sequence

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.pictures import address, png
from convsmith.report.text import clean, count, many, percent

RIGHT, WRONG = (0x25, 0x63, 0xEB), (0xD9, 0x48, 0x0F)
_MOST_PRINTED, _SIDE, _MOST_DOTS = 20, 560.0, 500
_TOP = 18.0

Names = tuple[dict[int, str], dict[int, str]]


def confusion_svg(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """True classes down, predicted ones across; blue is right and orange is wrong, each as a share of its row.

    The two have scales of their own, orange up to the largest error, so errors of a good network can be seen. Up to 20
    classes the counts are printed.
    """
    counts = _checked(matrix, labels)
    classes = len(labels)
    cell = min(46.0, _SIDE / classes) if classes > 12 else 46.0
    side = cell * classes
    names = [svg.fit(label, 150) for label in labels]
    level = all(svg.text_width(name) <= cell - 4 for name in names)
    rows, columns = _every(names, 14 / cell), _every(names, (14 if level else 19) / cell)
    left = 30 + max([svg.text_width("true ↓"), *map(svg.text_width, rows.values())])
    longest = max(map(svg.text_width, columns.values()))
    head = _TOP + 24 + (14 if level else longest * 0.71 + 10)
    # A slanted name of the last column reaches beyond the matrix.
    beyond = [
        0.0 if level else svg.text_width(name) * 0.71 + 12 - (classes - 1 - i) * cell for i, name in columns.items()
    ]
    width = max(left + side + max(20.0, *beyond), left + 300)
    shown = _cells(counts, labels, left, head, cell) if classes <= _MOST_PRINTED else _dots(counts, left, head, side)
    parts = [*_axis_names(left, head), *_class_names((rows, columns), level, left, head, cell), shown]
    parts += _legend(counts, left, head + side + 22)
    right = int(np.trace(counts))
    words = (
        f"Confusion matrix of {many(classes, 'class', 'classes')}: {count(right)} of {count(int(counts.sum()))} right"
    )
    return svg.figure(width, head + side + 52, words, parts)


def top_confusions(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], count: int = 10
) -> list[tuple[str, str, int, float]]:
    """The most frequent errors: true class, predicted class, how often, and as a share of the true class's images."""
    counts = _checked(matrix, labels)
    totals, errors = counts.sum(axis=1), counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[: max(0, count)]
    pairs = [divmod(int(place), len(labels)) for place in order]
    return [
        (labels[i], labels[j], int(errors[i, j]), float(errors[i, j] / totals[i])) for i, j in pairs if errors[i, j] > 0
    ]


def _checked(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> np.ndarray:
    counts = np.asarray(matrix, dtype=np.int64)
    if not len(labels) or counts.shape != (len(labels), len(labels)):
        raise UsageError(f"expected a confusion matrix of {len(labels)} x {len(labels)}, received {counts.shape}")
    if counts.min() < 0:
        raise UsageError(f"expected counts in the confusion matrix, received {counts.min()}")
    return counts


def _strengths(counts: np.ndarray) -> np.ndarray:
    """How strong the color of each cell is, 0 to 1: square roots, since a rare error is still an error."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = shares - np.diag(np.diag(shares))
    strengths = np.sqrt(errors / (errors.max() or 1.0)) * 0.85
    # Nearly all of the diagonal lies close to 1: the square spreads the upper end.
    np.fill_diagonal(strengths, np.diag(shares) ** 2 * 0.85)
    return strengths


def _cells(counts: np.ndarray, labels: Sequence[str], left: float, top: float, cell: float) -> str:
    """Every cell with its count; hovering names it."""
    strengths, totals = _strengths(counts), counts.sum(axis=1)
    parts: list[str] = []
    for i, true in enumerate(labels):
        for j, predicted in enumerate(labels):
            n, strength = int(counts[i, j]), float(strengths[i, j])
            x, y = left + j * cell, top + i * cell
            words = f"{clean(true, 60)} taken for {clean(predicted, 60)}: {count(n)}"
            words = f"{clean(true, 60)}, right: {count(n)}" if i == j else words
            words += f" ({percent(n / totals[i])})" if totals[i] else ""
            fill = {"fill": _hex(RIGHT if i == j else WRONG), "fill_opacity": max(strength, 0.03) if n else 0}
            if not n:
                fill = {"fill": svg.GRID, "fill_opacity": 0.4, "class": "cs-groove"}
            box = svg.rectangle(x + 1, y + 1, cell - 2, cell - 2, rx=3, **fill)
            number = _printed(n, x + cell / 2, y + cell / 2, cell, i == j) if n else ""
            parts.append(svg.element("g", {}, svg.element("title", {}, svg.escape(words)), box, number))
    return "".join(parts)


def _printed(n: int, x: float, y: float, cell: float, right: bool) -> str:
    """The count in its cell; the plain ink is readable on every color, on a light and on a dark page."""
    size = min(13.0, 12 * (cell - 5) / max(1.0, svg.text_width(count(n))))
    return svg.label(
        x, y + size * 0.36, count(n), font_size=size, text_anchor="middle", font_weight=600 if right else 400
    )


def _dots(counts: np.ndarray, left: float, top: float, side: float) -> str:
    """The matrix as one small picture, transparent where nothing is; of very many classes several share a dot."""
    strengths = _strengths(counts)
    strengths = np.where(counts > 0, np.maximum(strengths, 0.08), 0.0)
    colors = np.empty((*counts.shape, 3), np.uint8)
    colors[:], colors[np.diag_indices(len(counts))] = WRONG, RIGHT
    block = -(-len(counts) // _MOST_DOTS)
    if block > 1:
        strengths, colors = _pooled(strengths, colors, block)
    pixels = np.dstack([colors, np.rint(strengths * 255).astype(np.uint8)])
    pixels[pixels[:, :, 3] == 0] = 0
    place = {"x": left, "y": top, "width": side, "height": side, "preserveAspectRatio": "none"}
    style = {"style": "image-rendering:pixelated", "href": address(png(pixels))}
    ground = svg.rectangle(left, top, side, side, fill=svg.GRID, fill_opacity=0.4, **{"class": "cs-groove"})
    return ground + svg.element("image", {**place, **style})


def _pooled(strengths: np.ndarray, colors: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The strongest cell of each block of `block` x `block` and its color."""
    pad = -len(strengths) % block
    side = (len(strengths) + pad) // block
    strengths = np.pad(strengths, ((0, pad), (0, pad)))
    colors = np.pad(colors, ((0, pad), (0, pad), (0, 0)))
    tiles = strengths.reshape(side, block, side, block).swapaxes(1, 2).reshape(side * side, -1)
    paints = colors.reshape(side, block, side, block, 3).swapaxes(1, 2).reshape(side * side, -1, 3)
    best, every = tiles.argmax(axis=1), np.arange(side * side)
    return tiles[every, best].reshape(side, side), paints[every, best].reshape(side, side, 3)


def _every(names: Sequence[str], step: float) -> dict[int, str]:
    """The names that there is room for: with many classes every so many of them."""
    return {i: names[i] for i in range(0, len(names), max(1, math.ceil(step)))}


def _class_names(names: Names, level: bool, left: float, top: float, cell: float) -> list[str]:
    """All names of columns are level or all are slanted: a mixture looks like a mistake."""
    rows, columns = names
    parts = [svg.label(left - 8, top + (i + 0.5) * cell + 4, name, text_anchor="end") for i, name in rows.items()]
    for i, name in columns.items():
        x = left + (i + 0.5) * cell
        if level:
            parts.append(svg.label(x, top - 8, name, text_anchor="middle"))
        else:
            turn = f"rotate(-45 {x + 3:.1f} {top - 6:.1f})"
            parts.append(svg.label(x + 3, top - 6, name, transform=turn))
    return parts


def _axis_names(left: float, top: float) -> list[str]:
    style = {"muted": True, "font_weight": 600}
    down = svg.label(left - 8, top - 8, "true ↓", text_anchor="end", **style)
    return [svg.label(left, _TOP + 6, "predicted →", **style), down]


def _legend(counts: np.ndarray, left: float, y: float) -> list[str]:
    """What the two colors mean and how far their scales go."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = shares - np.diag(np.diag(shares))
    parts: list[str] = []
    for x, color, name, most in ((left, RIGHT, "right", 1.0), (left + 140, WRONG, "wrong", float(errors.max()))):
        for i in range(5):
            style = {"fill": _hex(color), "fill_opacity": 0.1 + 0.75 * i / 4}
            parts.append(svg.rectangle(x + i * 9, y, 9, 10, **style))
        text = f"{name} 0-{most:.0%}" if most >= 0.1 else f"{name} 0-{most:.1%}"
        parts.append(svg.label(x + 51, y + 9, text, muted=True, font_size=11))
    return parts


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
