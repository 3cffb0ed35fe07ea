"""The layers of a network as bars: activation memory, parameters and MACs of each, one panel above the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import BLUE, ORANGE, tint
from convsmith.report.text import short, size

_WIDTH, _LEFT, _RIGHT, _TOP = 980.0, 78.0, 24.0, 48.0
_PANEL, _GAP = 128.0, 54.0
_WIDEST = 110.0
_STRIPE = "#f4f6f8"


@dataclass(frozen=True)
class LayerBar:
    """One convolution or linear layer: where it stands, the bytes of its output for one image, and what it costs."""

    stage: str
    name: str
    linear: bool
    bytes: int
    params: int
    macs: int


@dataclass(frozen=True)
class _Band:
    """The columns of one stage."""

    name: str
    left: float
    right: float
    bars: tuple[LayerBar, ...]


def layer_bars_svg(title: str, note: str, bars: Sequence[LayerBar]) -> str:
    """Three panels over the layers in the order of execution, for eight layers as for a thousand."""
    if not bars:
        raise UsageError(f"{title} has no convolution or linear layer to draw")
    slot, bands = _bands(bars)
    named = all(svg.text_width(bar.name, 11) <= slot - 4 for bar in bars)
    panels: list[tuple[str, Callable[[LayerBar], int], Callable[[float], str]]] = [
        ("Activation memory", lambda bar: bar.bytes, size),
        ("Parameters", lambda bar: bar.params, short),
        ("MACs", lambda bar: bar.macs, short),
    ]
    right = bands[-1].right
    parts = [svg.label(24, 34, svg.fit(title, 520, 17), font_size=17, font_weight=600), *_legend(bars, right)]
    parts.append(svg.label(24, 54, svg.fit(note, right - 24), muted=True))
    bottom = _TOP
    for name, value, words in panels:
        top = bottom + _GAP
        bottom = top + _PANEL
        parts += _panel(f"{name}: {words(sum(map(value, bars)))}", bands, slot, top, value, words)
    if named:
        bottom += 16
        parts += [
            svg.label(x, bottom, bar.name, muted=True, font_size=11, text_anchor="middle")
            for band in bands
            for bar, x in zip(band.bars, _centres(band, slot), strict=True)
        ]
    bottom += 20
    for band in bands:
        room = band.right - band.left
        if svg.text_width(band.name) <= room + 2:
            middle = (band.left + band.right) / 2
            parts.append(svg.label(middle, bottom, band.name, text_anchor="middle", font_weight=600))
    told = "; ".join(f"{name} {words(sum(map(value, bars)))}" for name, value, words in panels)
    return svg.figure(right + _RIGHT, bottom + 20, f"{title}, layer by layer: {told}", parts)


def _bands(bars: Sequence[LayerBar]) -> tuple[float, list[_Band]]:
    """How wide a layer's column is, and the stages; a stage of few layers is as wide as its name where that fits."""
    groups = [(name, tuple(group)) for name, group in groupby(bars, lambda bar: bar.stage)]
    room = _WIDTH - _LEFT - _RIGHT
    needs = [svg.text_width(name) + 10 for name, _ in groups]
    if sum(needs) > 0.7 * room:
        needs = [0.0] * len(groups)
    low, high = 0.0, _WIDEST
    for _ in range(40):
        slot = (low + high) / 2
        wide = sum(max(need, slot * len(group)) for need, (_, group) in zip(needs, groups, strict=True)) > room
        low, high = (low, slot) if wide else (slot, high)
    bands: list[_Band] = []
    left = _LEFT
    for need, (name, group) in zip(needs, groups, strict=True):
        right = left + max(need, low * len(group))
        bands.append(_Band(name, left, right, group))
        left = right
    return low, bands


def _centres(band: _Band, slot: float) -> list[float]:
    first = (band.left + band.right - slot * (len(band.bars) - 1)) / 2
    return [first + slot * i for i in range(len(band.bars))]


def _panel(
    title: str,
    bands: Sequence[_Band],
    slot: float,
    top: float,
    value: Callable[[LayerBar], int],
    words: Callable[[float], str],
) -> list[str]:
    bottom = top + _PANEL
    highest = max(max(value(bar) for band in bands for bar in band.bars), 1)
    scale = 1024.0 ** ((highest >= 1024) + (highest >= 1024**2)) if words is size else 1.0
    marks = [mark * scale for mark in svg.ticks(0, highest / scale, 4)]
    up = Axis(0.0, marks[-1], bottom, top)
    parts = [
        svg.rectangle(band.left, top, band.right - band.left, _PANEL, fill=_STRIPE, **{"class": "cs-groove"})
        for band in bands[::2]
    ]
    parts.append(svg.label(_LEFT, top - 20, title, font_size=13, font_weight=600))
    for mark in marks:
        y = up.place(mark)
        parts.append(svg.line(_LEFT, y, bands[-1].right, y))
        parts.append(svg.label(_LEFT - 8, y + 4, _mark(mark, words), muted=True, font_size=11, text_anchor="end"))
    told = all(svg.text_width(_mark(value(bar), words), 11) <= slot for band in bands for bar in band.bars)
    thick = min(slot * (0.74 if slot > 4 else 1.0), 58.0)
    paths = {False: "", True: ""}
    for band in bands:
        for bar, x in zip(band.bars, _centres(band, slot), strict=True):
            amount = value(bar)
            height = max(bottom - up.place(amount), 0.8) if amount else 0.0
            paths[bar.linear] += f"M{x - thick / 2:.2f} {bottom:g}v{-height:.2f}h{thick:.2f}V{bottom:g}z"
            if told:
                y = bottom - height - 5
                parts.append(svg.label(x, y, _mark(amount, words), font_size=11, text_anchor="middle"))
    for linear, path in paths.items():
        if path:
            parts.append(svg.element("path", {"d": path, "fill": ORANGE if linear else BLUE}))
    return parts


def _mark(mark: float, words: Callable[[float], str]) -> str:
    """A value without digits that say nothing: `20M`, `512 KiB`."""
    text = words(mark)
    digits = text.rstrip("kKMGTPBi ")
    return f"{float(digits):g}{text[len(digits) :]}"


def _legend(bars: Sequence[LayerBar], right: float) -> list[str]:
    """What the colours mean, where both are there."""
    parts: list[str] = []
    if len({bar.linear for bar in bars}) == 2:
        x = right
        for name, colour in (("linear", ORANGE), ("convolution", BLUE)):
            x -= svg.text_width(name)
            parts.append(svg.label(x, 34, name))
            parts.append(svg.rectangle(x - 16, 24, 11, 11, rx=2, fill=colour, stroke=tint(colour, 0.9)))
            x -= 34
    return parts
