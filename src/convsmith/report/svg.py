"""Small pieces of hand-written SVG: elements, colors, text that fits, ticks.

Every figure is plain shapes with plain colors, so it shows everywhere; the classes on them let a page recolor
them for a dark screen. No ids, so that any number of figures can stand in one page.
"""

import html
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate

from convsmith.report.text import clean

INK, MUTED, GRID, CARD, BORDER = "#1f2328", "#59636e", "#e4e8ec", "#ffffff", "#d1d9e0"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
# Colors that stay apart for every kind of color vision (Okabe and Ito 2008, "Color Universal Design").
ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILLION, PURPLE, GRAY = "#0072b2", "#d55e00", "#cc79a7", "#6e7781"
# In the order in which a picture takes them; yellow is too light for lines and text.
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GRAY)
# Parts a text from what lies behind it; on a dark page the card has another color.
RIM: Mapping[str, object] = {
    "paint_order": "stroke", "stroke": CARD, "stroke_width": 3, "stroke_linejoin": "round", "class": "cs-ink cs-rim",
}  # fmt: skip
_TOLD = 4000  # the most characters of a description
_NARROW, _WIDE = frozenset("fijlrtI.,:;'|!()[]{} /-"), frozenset("mwMW@%—…")


def escape(text: object, limit: int | None = None) -> str:
    """Text as it may stand in HTML and SVG, also within quotes; hostile characters are made visible."""
    return html.escape(clean(str(text), limit), quote=True)


def tint(color: str, share: float = 0.16) -> str:
    """The color on white paper, `share` of it strong: a ground on which text stays legible."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


def element(name: str, attributes: Mapping[str, object], *children: str) -> str:
    """One element; a name's underscores become hyphens, numbers are cut to two decimals; children are markup."""
    given = "".join(f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{given}>{''.join(children)}</{name}>" if children else f"<{name}{given}/>"


def label(x: float, y: float, text: object, **attributes: object) -> str:
    """A line of text with its baseline at (x, y)."""
    style: dict[str, object] = {"x": x, "y": y, "font_size": 12, "fill": INK, "class": "cs-ink"}
    if attributes.pop("muted", False):
        style |= {"fill": MUTED, "class": "cs-muted"}
    return element("text", style | attributes, escape(text))


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """A straight line, by default one of a grid."""
    style: dict[str, object] = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "stroke": GRID, "class": "cs-grid"}
    return element("line", style | attributes)


def stroke(color: str, width: float) -> dict[str, object]:
    """The attributes of a line that shows numbers; its class keeps a page from recoloring it as a grid."""
    return {"stroke": color, "stroke_width": width, "class": "cs-run"}


def rectangle(x: float, y: float, width: float, height: float, **attributes: object) -> str:
    """A filled rectangle."""
    return element("rect", {"x": x, "y": y, "width": width, "height": height} | attributes)


def group(x: float, y: float, *children: str) -> str:
    """Shapes whose (0, 0) lies at (x, y)."""
    return element("g", {"transform": f"translate({x:.1f} {y:.1f})"}, *children)


def figure(width: float, height: float, title: str, parts: Iterable[str], told: str = "") -> str:
    """The whole picture on its own white card with round corners.

    A screen reader says the `title`, then what is `told` of the numbers.
    """
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {_value(width)} {_value(height)}",
        "width": width,
        "height": height,
        "role": "img",
        "font_family": FONT,
        "class": "cs-figure",
    }
    card = rectangle(0.5, 0.5, width - 1, height - 1, rx=12, fill=CARD, stroke=BORDER, **{"class": "cs-card"})
    words = [element("title", {}, escape(title, _TOLD))]
    words += [element("desc", {}, escape(told, _TOLD))] if told else []
    return element("svg", attributes, *words, card, *parts)


def text_width(text: str, size: float = 12) -> float:
    """About how wide a line of text is in a wide sans-serif font, so that it fits in the narrower ones too."""
    ems = 0.0
    for char in text:
        if char in _NARROW:
            ems += 0.36
        elif char in _WIDE:
            ems += 0.95
        elif ord(char) > 0x2E80:
            ems += 1.0
        else:
            ems += 0.69 if char.isupper() else 0.61
    return ems * size


def fit(text: str, room: float, size: float = 12) -> str:
    """The text, cut with an ellipsis where it is wider than `room`."""
    text = clean(text, 200)
    widths = list(accumulate(text_width(char, size) for char in text))
    if not text or widths[-1] <= room:
        return text
    return text[: bisect_right(widths, room - text_width("…", size))].rstrip() + "…"


def wrap(text: str, room: float, size: float = 12, lines: int = 3) -> list[str]:
    """The text broken at spaces into at most `lines` lines no wider than `room`."""
    words, broken = clean(text, 200).split(), [""]
    for index, word in enumerate(words):
        longer = f"{broken[-1]} {word}".strip()
        if text_width(longer, size) <= room or not broken[-1]:
            broken[-1] = longer
        elif len(broken) < lines:
            broken.append(word)
        else:
            broken[-1] = " ".join([broken[-1], *words[index:]])
            break
    return [fit(part, room, size) for part in broken]


def ticks(low: float, high: float, wanted: int = 5, whole: bool = False) -> list[float]:
    """About `wanted` round numbers that span `low` to `high`, the first not above `low`, the last not below `high`."""
    # Values that are equal but for rounding are one value.
    span = high - low if high - low > 1e-9 * abs(high) else abs(high) or 1.0
    rough = max(span / max(1, wanted - 1), 1e-300)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    if whole:
        step = float(max(1, math.ceil(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * i:.12g}") for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, for a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every, decades = max(1, math.ceil((last - first) / 6)), math.log10(high) - math.log10(low)
    factors = (1, 2, 5) if decades <= 2 else (1, 3) if decades <= 3 else (1,)
    found = [factor * 10.0**p for p in range(first, last + 1, every) for factor in factors]
    return [float(f"{v:.6g}") for v in found if low * 0.999 <= v <= high * 1.001]


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(value)
