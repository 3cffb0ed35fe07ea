"""Networks side by side as bars: activation memory, parameters and MACs."""

from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.palette import BLUE, GREY, VERMILLION
from convsmith.report.text import short, size

_MARGIN, _TOP, _ROW, _BAR, _PANEL, _GAP = 24.0, 92.0, 30.0, 16.0, 190.0, 118.0


@dataclass(frozen=True)
class Total:
    """A network's totals for one image: bytes of activations, parameters, MACs."""

    name: str
    bytes: int
    params: int
    macs: int


def totals_svg(totals: Sequence[Total]) -> str:
    """A row for each network and a panel for each number; the first network is what the others are measured against."""
    if not totals:
        raise UsageError("a comparison needs at least one network, received none")
    names = [svg.fit(total.name, 190, 13) for total in totals]
    left = _MARGIN + max(*(svg.text_width(name, 14) for name in names), 60.0) + 16
    panels = [
        ("Activation memory", [float(t.bytes) for t in totals], size, VERMILLION),
        ("Parameters", [float(t.params) for t in totals], short, BLUE),
        ("MACs", [float(t.macs) for t in totals], short, GREY),
    ]
    bottom = _TOP + _ROW * len(totals)
    parts = [svg.label(_MARGIN, 36, " and ".join(names) if len(names) == 2 else f"{len(names)} networks", **_HEAD)]
    parts.append(svg.label(_MARGIN, 55, f"for one image; times those of {totals[0].name} in brackets", muted=True))
    for row, name in enumerate(names):
        y = _TOP + _ROW * row + _BAR - 3
        parts.append(svg.label(left - 12, y, name, font_size=13, text_anchor="end"))
    for title, amounts, words, colour in panels:
        parts.append(svg.label(left, _TOP - 12, title, font_size=13, font_weight=600))
        parts.append(svg.line(left, _TOP - 4, left, bottom - 6, stroke=svg.BORDER))
        highest = max(*amounts, 1.0)
        for row, amount in enumerate(amounts):
            y = _TOP + _ROW * row
            length = max(1.0, _PANEL * amount / highest)
            parts.append(svg.rectangle(left, y, length, _BAR, fill=colour))
            ratio = f" ({_ratio(amount / amounts[0])})" if row and amounts[0] else ""
            parts.append(svg.label(left + length + 6, y + _BAR - 4, words(amount) + ratio))
        left += _PANEL + _GAP
    told = "; ".join(f"{t.name} {size(t.bytes)}, {short(t.params)} parameters, {short(t.macs)} MACs" for t in totals)
    return svg.figure(left - 8, bottom + 16, f"Networks side by side: {told}", parts)


_HEAD = {"font_size": 17, "font_weight": 600}


def _ratio(ratio: float) -> str:
    """`27x`, `2.3x`, `0.41x`"""
    return f"{ratio:.0f}x" if ratio >= 9.95 else f"{ratio:.1f}x" if ratio >= 0.95 else f"{ratio:.2g}x"
