"""The report's page: complete in itself, safe, bounded, and right at both ends of its sizes."""

import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from convsmith.base.result import Column, Confusion, Measures, Number, Table
from convsmith.report.architecture import Stage, stages_svg
from convsmith.report.page import Mistake, RunReport, render_report
from convsmith.report.pictures import png
from convsmith.report.sections import dotted

HOSTILE = "<img src=https://evil.example/x onerror=alert(1)>\"'&\x00\udc80"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Collects tags and text, and notices tags that do not match."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


COLUMNS = (
    Column("class"), Column("precision", "share"), Column("recall", "share"), Column("F1", "share"),
    Column("images", "count"),
)  # fmt: skip


def result(rows: list[Any], *plots: Any, value: float = 0.9, interval: Any = (0.88, 0.92)) -> Measures:
    score = Number("accuracy", value, "share", interval=interval, about="270 of 300 images")
    numbers = (score, Number("loss", 0.3, better="less"))
    return Measures(numbers, 300, tables=(Table("classes", "Per class", COLUMNS, rows, order=3),), plots=plots)


def report(classes: int = 3, name: str = "class", side: int = 32, **changes: Any) -> RunReport:
    labels = [f"{name} {i}" for i in range(classes)]
    matrix = (np.eye(classes, dtype=int) * 90 + np.eye(classes, k=1, dtype=int) * 10).tolist()
    rng = np.random.default_rng(0)
    pictures = [png(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(24)]
    values: dict[str, Any] = {
        "title": f"{name} run",
        "state": "done",
        "summary": (("epochs", "3"), ("parameters", "61,706"), (name, name)),
        "network_svg": stages_svg([Stage(name, name, 8, (28, 28), 80, 56_448, 1)]),
        "metrics": [
            {"epoch": e, "lr": 0.1, "train_loss": 1 / e, "val_loss": 1.1 / e, "val_accuracy": 0.5} for e in (1, 2, 3)
        ],
        "result": result(
            [(label, 0.9, 0.9, i / classes, 100) for i, label in enumerate(labels)], Confusion(tuple(labels), matrix)
        ),
        "mistakes": tuple(Mistake(p, labels[0], labels[-1], 0.999, 0.0005, f"{name}/1.png") for p in pictures),
        "recipe": {"optimizer": {"kind": "sgd", "lr": 0.1}, "augment": [{"kind": name}], "stem": None},
        "environment": {"torch": "2.14.1", name: name},
        "notes": (f"{name}\nis a note",),
    }
    return RunReport(**(values | changes))


def read(given: RunReport) -> tuple[str, Reader]:
    """The page and what is in it, after checking what holds for every page."""
    page = render_report(given)
    page.encode()
    assert page == render_report(given)
    assert len(page) < 3_000_000
    reader = Reader(page)
    assert reader.open == []
    assert not re.search(r"url\(|@import", page)
    assert not re.search(r"\b(nan|inf)\b", " ".join(reader.text), re.IGNORECASE)
    idents = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(idents) == len(set(idents))
    for tag, attributes in reader.tags:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name)
            if tag == "a" and value is not None:
                assert value[1:] in idents
            elif value is not None:
                assert value.startswith("data:image/")
    return page, reader


def test_page_holds_every_section() -> None:
    page, reader = read(report())
    text = " ".join(reader.text)
    for wanted in ("90.0%", "270 of 300 images", "95% interval 88.0-92.0%", "61,706", "Most frequent errors"):
        assert wanted in text
    for wanted in ("optimizer.kind", "augment[0].kind", "sgd", "2.14.1", "class is a note", "99.9%", "0.1%"):
        assert wanted in text
    tags = [tag for tag, _ in reader.tags]
    for landmark in ("header", "nav", "main", "footer", "aside"):
        assert tags.count(landmark) == 1
    assert tags.count("details") == 2
    assert tags.count("svg") == 3
    assert page.startswith("<!doctype html>")
    assert '<html lang="en">' in page


def test_page_is_accessible() -> None:
    _, reader = read(report())
    following = dict(pairwise(tag for tag, _ in reader.tags))
    assert following["svg"] == "title"
    for tag, attributes in reader.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img"
        if tag == "section":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


def test_hostile_text_stays_text() -> None:
    page, reader = read(report(name=HOSTILE, state=HOSTILE, split=HOSTILE))
    assert "<img src=https" not in page
    assert "evil.example" in " ".join(reader.text)


def test_long_names_do_not_swell_the_page() -> None:
    page, _ = read(report(100, name="x" * 20_000, recipe={str(i): "y" * 9_000 for i in range(2_000)}))
    assert len(page) < 1_000_000


@pytest.mark.parametrize(("classes", "shown"), [(2, 2), (10, 10), (100, 100), (1000, 60)])
def test_per_class_table_stays_readable(classes: int, shown: int) -> None:
    _, reader = read(report(classes, mistakes=(), recipe={}, environment={}))
    cells = [text for text in reader.text if re.fullmatch(r"class \d+", text)]
    heads = [attributes for tag, attributes in reader.tags if tag == "th" and attributes["scope"] == "row"]
    assert len(heads) == shown
    assert cells
    assert ("… 940 rows between …" in reader.text) == (classes == 1000)


def test_many_classes_come_worst_first() -> None:
    rows = [(f"c{i}", 0.5, 0.5, (50 - i) / 50 if i else math.nan, 9) for i in range(30)]
    page, _ = read(report(2, name="x", result=result(rows)))
    assert page.index(">c0<") < page.index(">c29<") < page.index(">c1<")
    assert '<td class="number">-</td>' in page


def test_large_photos_do_not_swell_the_page() -> None:
    page, _ = read(report(side=700))
    assert len(page) < 3_000_000
    assert page.count("data:image/jpeg") == 24


def test_small_images_keep_square_pixels() -> None:
    assert read(report(side=32))[0].count('class="pixels"') == 24


def test_only_the_first_24_mistakes_are_shown() -> None:
    given = report().mistakes
    assert read(report(mistakes=given * 3))[0].count("<figure>") == 24


def test_no_mistakes_are_said() -> None:
    _, reader = read(report(mistakes=(), result=result([], Confusion(("a", "b"), [[5, 0], [0, 5]]))))
    assert "None." in reader.text
    assert "None: every image was right." in reader.text


def test_a_run_that_has_only_begun() -> None:
    page, reader = read(RunReport("my run", "running"))
    text = " ".join(reader.text)
    assert "Not evaluated yet." in text
    assert "No epoch has been recorded yet." in text
    assert "Worst mistakes" not in text
    assert len(page) < 20_000


def test_numbers_that_are_not_finite_never_reach_the_page() -> None:
    nan = math.nan
    read(
        report(
            result=result([("a", nan, nan, nan, 0)], value=nan, interval=(nan, nan)),
            metrics=[{"epoch": 1, "train_loss": nan, "val_loss": math.inf, "train_accuracy": nan, "lr": nan}],
            recipe={"lr": nan},
            mistakes=(Mistake(png(np.zeros((2, 2), np.uint8)), "a", "b", nan, nan),),
        )
    )


def test_the_validation_split_has_its_full_name() -> None:
    _, reader = read(report(split="val"))
    assert "validation accuracy" in reader.text


def test_dotted_names() -> None:
    tree = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": True}, [3]], "f": None, "g": [], "h": {}}
    assert list(dotted(tree)) == [
        ("a.b", "1"),
        ("a.c", "1, 2"),
        ("d[0].e", "true"),
        ("d[1]", "3"),
        ("f", "none"),
        ("g", "none"),
        ("h", "none"),
    ]
