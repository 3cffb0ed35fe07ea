"""The sections of a report's page: each takes plain values and gives the HTML of one card."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from convsmith.base.result import Number, Table
from convsmith.report.confusion import confusion_svg, top_confusions
from convsmith.report.pictures import address, thumbnail
from convsmith.report.results import about_words, number_text, number_words, value_text
from convsmith.report.svg import escape
from convsmith.report.text import count, many, percent

LABEL, VALUE = 60, 400  # the most characters of a name of a class and of a setting that the page shows
_MOST_CLASSES, _WORST, _BEST, _MOST_MISTAKES, _MOST_SETTINGS, _SMALL = 100, 50, 10, 24, 500, 96


@dataclass(frozen=True)
class Mistake:
    """An image that the network got wrong: what it said and how sure it was, and what it gave the true class."""

    image_png: bytes
    true: str
    predicted: str
    probability: float
    true_probability: float
    name: str = ""


def no_hero() -> str:
    """What stands in the score's place before anything was evaluated."""
    return _card('<p class="value muted">–</p><p class="muted">Not evaluated yet.</p>', "hero", name="Score")


def hero(split: str, found: Sequence[Number], images: int) -> str:
    """The score in large figures; a share has its bar, on which its 95% interval is marked."""
    score = found[0]
    said = f"{split_name(split)} {score.title}" if split else score.title
    bar, words = "", number_words(score, images)
    if score.unit == "share" and score.value is not None and math.isfinite(score.value):
        bar = f'<i style="width:{_share(score.value)}"></i>'
        if score.interval is not None and all(map(math.isfinite, score.interval)):
            low, high = score.interval
            bar += f'<b style="left:{_share(low)};right:{_share(1 - high)}"></b>'
        bar = f'<div class="bar" aria-hidden="true">{bar}</div>'
    return _card(
        f'<div class="muted">{escape(said, LABEL)}</div><div class="value">{escape(number_text(score))}</div>{bar}'
        f'<div class="muted">{"<br>".join(map(escape, words))}</div>',
        "hero",
        name=score.title,
    )


def tiles(pairs: Sequence[tuple[str, str]]) -> str:
    """The summary as labeled figures."""
    inside = "".join(f"<div><dt>{escape(k, LABEL)}</dt><dd>{escape(v, VALUE)}</dd></div>" for k, v in pairs)
    return _card(f'<dl class="tiles">{inside}</dl>', "", name="Summary") if pairs else ""


def notes_box(notes: Sequence[str]) -> str:
    """Warnings, before anything else that they might put in doubt."""
    lines = "".join(f"<li>{escape(' '.join(note.split()), 2000)}</li>" for note in notes[:50])
    more = f"<li>and {len(notes) - 50} more</li>" if len(notes) > 50 else ""
    title = "<h2>Note</h2>" if len(notes) == 1 else "<h2>Notes</h2>"
    return f'<aside class="card notes" aria-label="Notes">{title}<ul>{lines}{more}</ul></aside>' if notes else ""


def picture(ident: str, title: str, drawing: str) -> str:
    """A wide drawing, which scrolls on a narrow screen."""
    return _card(_scroll(drawing, title, "wide"), ident=ident, title=title)


def drawing(ident: str, title: str, drawing: str) -> str:
    """A drawing that fits a narrow screen."""
    return _card(_scroll(drawing, title, "square"), ident=ident, title=title)


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], split: str) -> str:
    """The matrix beside its largest errors."""
    drawing = _scroll(confusion_svg(matrix, labels), "Confusion matrix", "square")
    top = top_confusions(matrix, labels, 12)
    rows = [(escape(t, LABEL), escape(p, LABEL), count(n), percent(share)) for t, p, n, share in top]
    header = ("true", "predicted", "count", "of its class")
    found = _table(header, rows, "most frequent errors", "<<>>") if rows else "<p>None: every image was right.</p>"
    inside = f'<div class="pair">{drawing}<div><h3>Most frequent errors</h3>{found}</div></div>'
    return _card(inside, ident="confusion", title=f"Confusion on the {split_name(split)} split")


def numbers(found: Sequence[Number]) -> str:
    """All numbers of a result but the score, which stands above, each with what it is."""
    rows = [
        [escape(n.title, LABEL), escape(number_text(n)), escape("; ".join(about_words(n)), VALUE)] for n in found[1:]
    ]
    inside = _table(("number", "value", ""), rows, "Numbers", "<><") if rows else ""
    return _card(_scroll(inside, "Numbers"), ident="numbers", title="Numbers") if rows else ""


def result_table(part: Table) -> str:
    """A table of a result. With many rows the lowest come first, with very many only the ends are shown."""
    if not part.rows:
        return ""
    shown, said, order = list(part.rows), "", part.order
    by = "" if order is None else part.columns[order].title
    if len(shown) > 20 and order is not None:
        shown.sort(key=lambda row: (_rank(row[order]), str(row[0])))
        said = f'<p class="muted">Lowest {escape(by)} first.</p>'
    lines = [_result_row(row, part) for row in shown]
    if len(shown) > _MOST_CLASSES:
        hidden, wide = len(shown) - _WORST - _BEST, len(part.columns) + (order is not None)
        gap = f'<tr class="gap"><td colspan="{wide}">… {many(hidden, "row")} between …</td></tr>'
        lines = [*lines[:_WORST], gap, *lines[-_BEST:]]
        if order is not None:
            said = (
                f'<p class="muted">The {_WORST} lowest and the {_BEST} highest {escape(by)} of {count(len(shown))}.</p>'
            )
    cells = [_header_cell(c.title, c.unit != "text") for c in part.columns]
    if order is not None:
        cells.insert(order + 1, _header_cell("", False, "f1"))
    body = f"<table><thead><tr>{''.join(cells)}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    title = escape(part.title)
    return _card(said + _scroll(body, title), ident=part.name, title=part.title)


def _result_row(row: Sequence[str | float | None], part: Table) -> str:
    """The cells of a row, after that of the column `order` its bar."""
    cells: list[str] = []
    for i, (value, column) in enumerate(zip(row, part.columns, strict=True)):
        text = escape(value_text(value, column.unit), LABEL)
        if column.unit == "text":
            cells.append(f'<th scope="row">{text}</th>' if i == 0 else f"<td>{text}</td>")
        else:
            cells.append(f'<td class="number">{text}</td>')
        if i == part.order:
            share = value if isinstance(value, int | float) else None
            cells.append(f'<td class="f1" aria-hidden="true"><span><i style="width:{_share(share)}"></i></span></td>')
    return f"<tr>{''.join(cells)}</tr>"


def mistakes(found: Sequence[Mistake]) -> str:
    """The images that were wrong with the most confidence."""
    if not found:
        return _card("<p>None.</p>", ident="mistakes", title="Worst mistakes")
    said = '<p class="muted">What the network said and how sure it was; beneath it the true class and its share.</p>'
    shown = "".join(f"<li>{_mistake(mistake)}</li>" for mistake in found[:_MOST_MISTAKES])
    return _card(f'{said}<ul class="mistakes">{shown}</ul>', ident="mistakes", title="Worst mistakes")


def values_table(ident: str, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of texts and numbers: the first column to the left, the others to the right."""
    cells = [[escape(cell, VALUE) for cell in row] for row in rows]
    inside = _table(header, cells, title, "<" + ">" * (len(header) - 1))
    return _card(_scroll(inside, title), ident=ident, title=title) if rows else ""


def settings(ident: str, title: str, values: Mapping[str, object]) -> str:
    """A tree of settings as a folded table of dotted names."""
    flat = list(dotted(values)) if values else []
    pairs = [(escape(k, 200), escape(v, VALUE)) for k, v in flat[:_MOST_SETTINGS]]
    rows = [f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in pairs]
    if len(flat) > _MOST_SETTINGS:
        rows.append(f'<tr class="gap"><td colspan="2">and {count(len(flat) - _MOST_SETTINGS)} more</td></tr>')
    header = '<thead><tr><th scope="col">setting</th><th scope="col">value</th></tr></thead>'
    body = f'<table class="settings">{header}<tbody>{"".join(rows)}</tbody></table>'
    folded = f"<details><summary>{escape(title)}</summary>{body}</details>"
    return f'<section class="card" id="{ident}" aria-label="{escape(title)}">{folded}</section>' if flat else ""


def dotted(values: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of a JSON tree with its dotted name; a list of plain values is one leaf."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from dotted(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, list | tuple) and any(isinstance(v, Mapping | list | tuple) for v in values):
        for i, value in enumerate(values):
            yield from dotted(value, f"{name}[{i}]")
    elif isinstance(values, list | tuple):
        yield name, ", ".join(map(_plain, values)) or "none"
    else:
        yield name, "none" if isinstance(values, Mapping) else _plain(values)


def split_name(split: str) -> str:
    """The name of a split as a word."""
    return {"val": "validation"}.get(split, split)


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return "not a finite number" if isinstance(value, float) and not math.isfinite(value) else str(value)


def _mistake(mistake: Mistake) -> str:
    data, kind, width, height = thumbnail(mistake.image_png)
    true, predicted = escape(mistake.true, LABEL), escape(mistake.predicted, LABEL)
    pixels = ' class="pixels"' if max(width, height) <= _SMALL else ""
    alternative = f"{true} taken for {predicted}"
    return (
        f'<figure><img src="{address(data, kind)}" alt="{alternative}" width="{width}" height="{height}"{pixels}>'
        f'<figcaption><b class="bad">{predicted}</b> {_rate(mistake.probability)}<br>is <b>{true}</b> '
        f"{_rate(mistake.true_probability)}<small>{escape(mistake.name, LABEL)}</small></figcaption></figure>"
    )


def _rank(value: str | float | None) -> float:
    """Where a row comes among others: what is not finite first, what is not defined last."""
    if value is None or isinstance(value, str):
        return math.inf
    return value if math.isfinite(value) else -math.inf


def _rate(share: float | None) -> str:
    return percent(share) if share is not None and math.isfinite(share) else "–"


def _share(share: float | None) -> str:
    return f"{min(1.0, max(0.0, share)) * 100 if share is not None and math.isfinite(share) else 0:.2f}%"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, align: str) -> str:
    """A table of cells that are escaped already."""
    head = "".join(_header_cell(name, side == ">") for name, side in zip(header, align, strict=True))
    style = [' class="number"' if side == ">" else "" for side in align]
    body = "".join(
        "<tr>" + "".join(f"<td{s}>{cell}</td>" for s, cell in zip(style, row, strict=True)) + "</tr>" for row in rows
    )
    return f'<table aria-label="{escape(caption)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _header_cell(name: str, number: bool, kind: str = "") -> str:
    kind = "number" if number else kind
    style = f' class="{kind}"' if kind else ""
    return f'<th scope="col"{style}>{escape(name)}</th>'


def _scroll(inside: str, name: str, kind: str = "") -> str:
    """A part that may be wider than the screen; it can be reached and scrolled from the keyboard."""
    style, spoken = f"scroll {kind}".strip(), escape(name)
    return f'<div class="{style}" role="region" aria-label="{spoken}" tabindex="0">{inside}</div>'


def _card(inside: str, kind: str = "", *, ident: str = "", title: str = "", name: str = "") -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    place = f' id="{ident}"' if ident else ""
    style, spoken = f"card {kind}".strip(), escape(title or name)
    return f'<section class="{style}"{place} aria-label="{spoken}">{heading}{inside}</section>'
