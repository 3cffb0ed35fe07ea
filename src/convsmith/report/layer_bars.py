"""The layers of a network as bars: activation memory, parameters and MACs of each, one panel above the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis, Marks
from convsmith.report.plot import Plot, sheet
from convsmith.report.svg import BLUE, ORANGE
from convsmith.report.text import short, size

_WIDTH, _PANEL, _WIDEST = 860.0, 128.0, 110.0


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
    panels: list[tuple[str, Callable[[LayerBar], int], Callable[[float], str]]] = [
        ("Activation memory", lambda bar: bar.bytes, size),
        ("Parameters", lambda bar: bar.params, short),
        ("MACs", lambda bar: bar.macs, short),
    ]
    names, places = _names(bands, slot), [bar for band in bands for bar in _centers(band, slot)]
    plots: list[list[Plot]] = []
    for name, value, words in panels:
        last = len(plots) == len(panels) - 1
        across = Axis(low=0.0, high=bands[-1].right, marks=names[0] if last else (), groups=names[1] if last else ())
        heading = f"{name}: {words(sum(map(value, bars)))}"
        plot = Plot(heading, across, _up(value, words, bars), width=bands[-1].right, height=_PANEL, size=13)
        for band in bands[::2]:
            plot.stripe(band.left, band.right)
        thick = min(slot * (0.74 if slot > 4 else 1.0), 58.0) / 2
        printed = all(svg.text_width(_mark(value(bar), words), 11) <= slot for bar in bars)
        for linear, color, kind in ((False, BLUE, "convolution"), (True, ORANGE, "linear")):
            found = [(x, value(bar)) for bar, x in zip(bars, places, strict=True) if bar.linear == linear]
            texts = [_mark(amount, words) for _, amount in found] if printed else []
            both = len({bar.linear for bar in bars}) == 2
            boxes = [(x - thick, x + thick, 0.0, amount) for x, amount in found]
            plot.bars(boxes, color=color, name=kind if both else "", texts=texts)
        plots.append([plot])
    told = "; ".join(f"{name} {words(sum(map(value, bars)))}" for name, value, words in panels)
    return sheet(plots, title=svg.fit(title, 520, 17), note=note or " ", told=f"layer by layer: {told}")


def _names(bands: Sequence[_Band], slot: float) -> tuple[Marks, Marks]:
    """The names of the layers if there is room for all, and those of the stages that there is room for."""
    named = all(svg.text_width(bar.name, 12) <= slot - 4 for band in bands for bar in band.bars)
    layers = [(x, bar.name) for b in bands for bar, x in zip(b.bars, _centers(b, slot), strict=True)] if named else []
    wide = [band for band in bands if svg.text_width(band.name) <= band.right - band.left + 2]
    return layers, [((band.left + band.right) / 2, band.name) for band in wide]


def _up(value: Callable[[LayerBar], int], words: Callable[[float], str], bars: Sequence[LayerBar]) -> Axis:
    """The vertical axis, in whole KiB or MiB where it counts bytes."""
    highest = max(*map(value, bars), 1)
    scale = 1024.0 ** ((highest >= 1024) + (highest >= 1024**2)) if words is size else 1.0
    marks = [mark * scale for mark in svg.ticks(0, highest / scale, 4)]
    return Axis(low=0.0, high=marks[-1], tight=True, marks=[(mark, _mark(mark, words)) for mark in marks])


def _bands(bars: Sequence[LayerBar]) -> tuple[float, list[_Band]]:
    """How wide a layer's column is, and the stages; a stage of few layers is as wide as its name where that fits."""
    groups = [(name, tuple(group)) for name, group in groupby(bars, lambda bar: bar.stage)]
    needs = [svg.text_width(name) + 10 for name, _ in groups]
    if sum(needs) > 0.7 * _WIDTH:
        needs = [0.0] * len(groups)
    low, high = 0.0, _WIDEST
    for _ in range(40):
        slot = (low + high) / 2
        wide = sum(max(need, slot * len(group)) for need, (_, group) in zip(needs, groups, strict=True)) > _WIDTH
        low, high = (low, slot) if wide else (slot, high)
    bands: list[_Band] = []
    left = 0.0
    for need, (name, group) in zip(needs, groups, strict=True):
        right = left + max(need, low * len(group))
        bands.append(_Band(name, left, right, group))
        left = right
    return low, bands


def _centers(band: _Band, slot: float) -> list[float]:
    first = (band.left + band.right - slot * (len(band.bars) - 1)) / 2
    return [first + slot * i for i in range(len(band.bars))]


def _mark(mark: float, words: Callable[[float], str]) -> str:
    """A value without digits that say nothing: `20M`, `512 KiB`."""
    text = words(mark)
    digits = text.rstrip("kKMGTPBi ")
    return f"{float(digits):g}{text[len(digits) :]}"
