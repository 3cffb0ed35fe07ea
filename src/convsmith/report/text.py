"""Numbers and tables as people read them in a terminal."""

import math
import re
import unicodedata
from collections.abc import Callable, Sequence

from convsmith.base.errors import UsageError

_NUMBER = re.compile(r"^[-+<>]?\d[\d,.]*(-[\d.]+)?( ?[a-zA-Z%/]{1,8})?$")
# Characters that would turn the reading direction of all that follows them.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
_UNSAFE = ("Cc", "Cs")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, align: str = "") -> str:
    """An aligned table; `align` holds `<` or `>` for each column, without it columns of numbers go to the right."""
    if align and (len(align) != len(header) or set(align) - {"<", ">"}):
        raise UsageError(f"align needs one '<' or '>' for each of {len(header)} columns, received {align!r}")
    cells = [[clean(str(cell)) for cell in row] for row in rows]
    for number, row in enumerate(cells):
        if len(row) != len(header):
            raise UsageError(f"row {number} of the table has {many(len(row), 'cell')}, expected {len(header)}: {row}")
    names = [clean(name) for name in header]
    align = align or "".join(_side([row[i] for row in cells]) for i in range(len(names)))
    widths = [max(_columns(row[i]) for row in [names, *cells]) for i in range(len(names))]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(_padded(*cell) for cell in zip(line, widths, align, strict=True)).rstrip() for line in lines
    )


def count(n: int) -> str:
    """`25,557,032`"""
    return f"{n:,}"


def many(n: int, one: str, more: str = "") -> str:
    """`1 image`, `2,000 images`: the number with `one`, or for other numbers with `more` (else `one` and an s)."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def once(say: Callable[[str], None]) -> Callable[[str], None]:
    """`say` for lines that several parts of a command have to say: a line is said where it comes first."""
    said = set[str]()

    def say_new(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_new


def short(n: float) -> str:
    """Three digits and a unit of thousands: `25.6M`, `4.09G`, `61.7k`; a number that is not finite is `-`."""
    if not math.isfinite(n):
        return "-"
    # Round first: 999,950 is 1.00M and not 1000k.
    rounded = float(f"{n:.2e}")
    power = min(5, int(math.log10(abs(rounded)) // 3)) if abs(rounded) >= 1000 else 0
    if power == 0:
        return f"{rounded:g}"
    scaled = rounded / 1000**power
    digits = max(0, 2 - int(math.log10(abs(scaled))))
    return f"{scaled:.{digits}f}{' kMGTP'[power]}"


def percent(x: float | None) -> str:
    """`98.3%` for 0.983; only all is `100.0%` and only none is `0.0%`, so one error in 10,000 shows as `99.99%`.

    What is not defined, None or not finite, is `-`.
    """
    if x is None or not math.isfinite(x):
        return "-"
    if x in (0, 1):
        return f"{x * 100:.1f}%"
    for digits in (1, 2, 3):
        text = f"{x * 100:.{digits}f}"
        if float(text) not in (0, 100):
            return text + "%"
    return ">99.999%" if x > 0.5 else "<0.001%"


def interval(low: float, high: float) -> str:
    """`97.1-99.0%` for the shares 0.971 and 0.990. What rounding alone keeps from 0 or 1 is 0 or 1."""
    return f"{percent(round(low, 12)).removesuffix('%')}-{percent(round(high, 12))}"


def duration(seconds: float) -> str:
    """`4 min 12 s`: the two largest units."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if 0 < seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    left = round(seconds)
    if left >= 3600:
        # What is below the second unit is rounded, not cut: 1 h 59 min 40 s is 2 h.
        unit = 60 if left < 86400 - 30 else 3600
        left = round(seconds / unit) * unit
    parts: list[str] = []
    for length, unit_name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, left = divmod(left, length)
        if amount:
            parts.append(f"{amount} {unit_name}")
    return " ".join(parts[:2])


def size(bytes: float) -> str:
    """`97.5 MiB`"""
    if not math.isfinite(bytes):
        return "-"
    amount, units = float(bytes), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    # 1023.95 of a unit would print as 1024.0 of it.
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def clean(text: str, limit: int | None = None) -> str:
    """Text that may be hostile, on one line: control characters made visible, cut to `limit` characters."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    # A terminal obeys control characters, XML refuses them and UTF-8 refuses the surrogates of odd file names.
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if unicodedata.category(char) in _UNSAFE or char in _TURNING or char in "\ufffe\uffff\u2028\u2029":
        return char.encode("unicode_escape").decode("ascii")
    return char


def _side(cells: Sequence[str]) -> str:
    """Which side a column without a given one goes to."""
    told = [cell for cell in cells if cell not in ("", "-")]
    return ">" if told and all(_NUMBER.match(cell) for cell in told) else "<"


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes: two for a wide East Asian character, none for a combining one."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)


def _padded(cell: str, width: int, side: str) -> str:
    space = " " * (width - _columns(cell))
    return cell + space if side == "<" else space + cell
