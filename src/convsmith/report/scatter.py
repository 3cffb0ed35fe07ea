"""Points of a plane in the colors of their classes: the latent plane of an autoencoder, embeddings."""

from collections.abc import Sequence

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.plot import Plot
from convsmith.report.text import many

_MOST = 20_000  # points of a figure
_SHAPES = ("dot", "cross", "square")
_LOOKS = len(_SHAPES) * len(svg.SERIES)
_NAMED = 21  # classes whose names stand among their points


def scatter_svg(
    title: str, points: np.ndarray, classes: np.ndarray | None = None, names: Sequence[str] = (), *,
    x: str = "", y: str = "", note: str = "", side: float = 520.0,
) -> str:  # fmt: skip
    """The points (N, 2); `classes` (N,) are whole numbers, whose `names` stand in the legend and at their medians.

    Colors and then shapes tell the classes apart. Of very many points 20,000 drawn by lot are shown, and the figure
    says so.
    """
    points, classes = _checked(points, classes, names)
    if len(points) > _MOST:
        note = f"{f'{note}; ' if note else ''}{_MOST:,} of {many(len(points), 'point')} are drawn"
        # Not every n-th: classes often come in turns.
        kept = np.sort(np.random.default_rng(0).permutation(len(points))[:_MOST])
        points, classes = points[kept], classes[kept]
    found = [int(label) for label in np.unique(classes)]
    if len(found) > _LOOKS:
        note = f"{f'{note}; ' if note else ''}{len(found)} classes share {_LOOKS} looks"
    plot = Plot("", Axis(x, tight=False, grid=True), Axis(y), width=side, height=side)
    named = [names[label] if names else str(label) for label in found] if len(found) > 1 or names else [""] * len(found)
    size, opacity = (8.0, 0.8) if len(points) <= 500 else (5.0, 0.7)
    for label, name in zip(found, named, strict=True):
        color, shape = svg.SERIES[label % len(svg.SERIES)], _SHAPES[label // len(svg.SERIES) % len(_SHAPES)]
        plot.dots(points[classes == label], color=color, name=name, size=size, opacity=opacity, shape=shape)
    if 1 < len(found) <= _NAMED:
        for label, name in zip(found, named, strict=True):
            inside = points[(classes == label) & np.isfinite(points).all(axis=1)]
            if len(inside):
                across, up = np.median(inside, axis=0)
                plot.text(across, up, svg.fit(name, 120, 13), dy=4, font_size=13, font_weight=700)
    told = ", ".join(
        f"{name or 'points'}: {np.sum(classes == label):,}" for label, name in zip(found, named, strict=True)
    )
    return plot.svg(title=title, note=note, told=told)


def _checked(points: np.ndarray, classes: np.ndarray | None, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise UsageError(f"expected points (N, 2), at least one, received shape {points.shape}")
    classes = np.zeros(len(points), int) if classes is None else np.asarray(classes)
    if classes.shape != (len(points),) or not np.issubdtype(classes.dtype, np.integer):
        what = f"a class for each of {len(points)} points, as whole numbers"
        raise UsageError(f"expected {what}, received {classes.dtype} of shape {classes.shape}")
    if classes.min() < 0:
        raise UsageError(f"expected classes of 0 or more, received {classes.min()}")
    if names and classes.max() >= len(names):
        raise UsageError(f"expected classes of 0 to {len(names) - 1}, received {classes.min()} to {classes.max()}")
    return points, classes
