"""A result as text: its numbers a line each, several results as rows of a table, the line that ends a training."""

import math
from collections.abc import Sequence

from convsmith.base.result import Column, Confusion, Number, Result, Table, Unit, known
from convsmith.report.text import count, interval, many, percent, table

ROWS, CONFUSED = 40, 8
_MISSING = "-"


def value_text(value: float | str | None, unit: Unit | str, digits: bool = False) -> str:
    """A value of a unit as people read it; with `digits` a share has two decimals. None, NaN and infinity are `-`."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return count(value)
    if value is None or not math.isfinite(value):
        return _MISSING
    if unit == "count":
        return count(int(value))
    if unit == "share":
        return f"{value:.2%}" if digits else percent(value)
    if unit in ("nats", "pixels"):
        return f"{value:.2f}"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


def full_name(name: str) -> str:
    """What a figure calls a number that its log names `name`: `Accuracy`, `Mean average precision`."""
    title = {"map": "mean average precision", "kl": "KL divergence"}.get(name, known(name).title)
    return title[0].upper() + title[1:]


def number_text(number: Number, digits: bool = False) -> str:
    """The number's value as people read it."""
    return value_text(number.value, number.unit, digits)


def number_lines(result: Result) -> list[str]:
    """Each number with its interval and what it is; then the tables, and the largest confusions."""
    width = max(9, *(len(n.title) for n in result.numbers))
    lines = [f"{n.title:<{width}} {number_text(n, digits=True)}{_brackets(n)}" for n in result.numbers]
    for part in result.tables:
        lines += ["", *table_lines(part)]
    for plot in result.plots:
        lines += _confused(plot) if type(plot) is Confusion else []
    return lines


def _brackets(number: Number) -> str:
    words = about_words(number)
    return f"  ({'; '.join(words)})" if words else ""


def about_words(number: Number) -> list[str]:
    """What the number is, and its 95% interval."""
    parts = [number.about] if number.about else []
    return parts if number.interval is None else [*parts, f"95% interval {_bounds(number)}"]


def number_words(number: Number, examples: int) -> list[str]:
    """The same of a score, which says at least of how many images it is."""
    parts = about_words(number)
    return parts if number.about else [f"over {many(examples, 'image')}", *parts]


def _bounds(number: Number) -> str:
    low, high = number.interval or (0.0, 0.0)
    if number.unit == "share":
        return interval(low, high)
    return f"{value_text(low, number.unit)} to {value_text(high, number.unit)}"


def table_lines(part: Table) -> list[str]:
    """A table of a result; of more than `ROWS` rows those with the smallest values in its column `order`."""
    rows, more = list(part.rows), []
    if len(rows) > ROWS:
        if part.order is not None:
            rows.sort(key=lambda row: (row[part.order or 0] is None, row[part.order or 0]))
        by = "" if part.order is None else f" with the lowest {part.columns[part.order].title}"
        more = [f"(the {ROWS} of {len(rows)} rows{by}; all with --json)"]
    cells = [[value_text(v, c.unit) for v, c in zip(row, part.columns, strict=True)] for row in rows[:ROWS]]
    return [*table([c.title for c in part.columns], cells, align=_align(part.columns)).splitlines(), *more]


def _align(columns: Sequence[Column]) -> str:
    return "".join("<" if c.unit == "text" else ">" for c in columns)


def _confused(plot: Confusion) -> list[str]:
    from convsmith.report.confusion import top_confusions  # loads NumPy, which a table of networks does without

    pairs = top_confusions(plot.matrix, plot.labels, CONFUSED)
    return (
        ["", "most confused", *(f"  {n:>5} x {true} called {called}" for true, called, n, _ in pairs)] if pairs else []
    )


def results_table(rows: Sequence[tuple[str, Result]]) -> str:
    """A row for each name with its result: the numbers that belong in tables, intervals beside their own."""
    numbers = [{n.name: n for n in result.numbers if n.place != "page"} for _, result in rows]
    columns = list({name: n for found in reversed(numbers) for name, n in found.items()}.values())
    columns = list(numbers[0].values()) + [n for n in columns if n.name not in numbers[0]]
    header, align = ["run"], "<"
    for n in columns:
        bounded = any(found[n.name].interval for found in numbers if n.name in found)
        header += [n.title, "95% interval"] if bounded else [n.title]
        align += ">>" if bounded else ">"
    cells = [[name, *_cells(found, columns, header)] for (name, _), found in zip(rows, numbers, strict=True)]
    return table(header, cells, align=align)


def _cells(found: dict[str, Number], columns: Sequence[Number], header: Sequence[str]) -> list[str]:
    cells: list[str] = []
    for n in columns:
        number = found.get(n.name)
        cells.append(_MISSING if number is None else number_text(number))
        at = len(cells) + 1
        if at < len(header) and header[at] == "95% interval":
            cells.append(_MISSING if number is None or number.interval is None else _bounds(number))
    return cells


def score_line(split: str, numbers: Sequence[Number], examples: int) -> str:
    """The score of a split as a training ends with it; beside it the number with an interval, if that is another."""
    score = numbers[0]
    bounded = next((n for n in numbers if n.interval is not None), score)
    words = number_words(bounded, examples)
    if bounded is not score:
        words[0] = f"{bounded.title} {number_text(bounded, digits=True)} {words[0]}"
    return f"{split + ' ' + score.title:<20} {number_text(score, digits=True)}  ({'; '.join(words)})"
