"""Things side by side as bars: networks by memory, parameters and MACs; the winners of a yearly contest; any rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.axis import Axis, categories
from convsmith.report.plot import Plot, sheet
from convsmith.report.svg import BLUE, GRAY, VERMILLION
from convsmith.report.text import short, size


@dataclass(frozen=True)
class Total:
    """A network's totals for one image: bytes of activations, parameters, MACs."""

    name: str
    bytes: int
    params: int
    macs: int


@dataclass(frozen=True)
class Entry:
    """One bar: error in percent; `layers` is a number or a word, such as `shallow`."""

    year: int
    name: str
    error: float
    layers: str


def totals_svg(totals: Sequence[Total]) -> str:
    """A row for each network and a panel for each number; the first network is what the others are measured against."""
    if not totals:
        raise UsageError("a comparison needs at least one network, received none")
    names = [svg.fit(total.name, 190, 13) for total in totals]
    panels = (
        ("Activation memory", [float(t.bytes) for t in totals], size, VERMILLION),
        ("Parameters", [float(t.params) for t in totals], short, BLUE),
        ("MACs", [float(t.macs) for t in totals], short, GRAY),
    )
    plots: list[Plot] = []
    for title, amounts, words, color in panels:
        ratios = [
            f" ({_ratio(amount / amounts[0])})" if row and amounts[0] else "" for row, amount in enumerate(amounts)
        ]
        texts = [words(amount) + ratio for amount, ratio in zip(amounts, ratios, strict=True)]
        rows = rows_plot(title, [""] * len(names) if plots else names, amounts, texts, color=color, width=190)
        plots.append(rows)
    told = "; ".join(f"{t.name} {size(t.bytes)}, {short(t.params)} parameters, {short(t.macs)} MACs" for t in totals)
    title = " and ".join(names) if len(names) == 2 else f"{len(names)} networks"
    return sheet([plots], title=title, note=f"for one image; times those of {totals[0].name} in brackets", told=told)


def winners_svg(title: str, note: str, entries: Sequence[Entry], human: float) -> str:
    """Bars of error by year, with a line at the error of a human; the depth of each stands under its name."""
    if not entries:
        raise UsageError("a chart of winners needs at least one entry, received none")
    across = categories([
        f"{e.year}\n{svg.fit(e.name, 108)}\n{e.layers}{' layers' if e.layers.isdecimal() else ''}" for e in entries
    ])  # fmt: skip
    up = Axis(low=0.0, words=lambda mark: f"{mark:g}%")
    plot = Plot("", across, up, width=116.0 * len(entries))
    for color, deep in ((BLUE, True), (GRAY, False)):
        found = [
            (i, e.error) for i, e in enumerate(entries) if deep == (e.layers.isdecimal() or e.layers == "ensemble")
        ]
        plot.bars([(i - 0.28, i + 0.28, 0.0, error) for i, error in found], color=color)
    plot.rule(y=human, color=VERMILLION, dash="6 4", text=f"one human {human:g}%")
    for i, entry in enumerate(entries):
        # A number does not stand on the line.
        above = human if human * 0.4 < entry.error < human else entry.error
        plot.text(i, above, f"{entry.error:g}%", dy=-7, font_size=14, font_weight=700)
    told = ", ".join(f"{e.year} {e.name} {e.error:g}%" for e in entries)
    return plot.svg(title=title, note=note, told=told)


def rows_svg(title: str, rows: Sequence[tuple[str, float, str]], *, low: float = 0.0) -> str:
    """Level bars from `low`: (name, value, text at the end of the bar)."""
    names, amounts, texts = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    plot = rows_plot("", names, amounts, texts, width=360, low=low)
    told = "; ".join(f"{name} {text}" for name, _, text in rows)
    return plot.svg(title=title, note=f"bars begin at {low:g}" if low else "", told=told)


def rows_plot(
    title: str, names: Sequence[str], amounts: Sequence[float], texts: Sequence[str], *, width: float,
    color: str = BLUE, low: float = 0.0,
) -> Plot:  # fmt: skip
    """A level bar from `low` for each name, a text at its end."""
    plot = Plot(
        title, Axis(low=low, marks=()), categories(names, down=True), width=width, height=30.0 * len(names), size=13
    )
    boxes = [(low, amount, row + 0.5, row - 0.5) for row, amount in enumerate(amounts)]
    plot.bars(boxes, color=color, texts=texts, flat=True, gap=13)
    return plot


def _ratio(ratio: float) -> str:
    """`27x`, `2.3x`, `0.41x`"""
    return f"{ratio:.0f}x" if ratio >= 9.95 else f"{ratio:.1f}x" if ratio >= 0.95 else f"{ratio:.2g}x"
