"""Results as text: one renderer for every kind of number."""

import math

import pytest

from convsmith.base.result import Column, Confusion, Measures, Number, Table
from convsmith.report.results import number_lines, results_table, score_line, table_lines, value_text

ACCURACY = Number("accuracy", 0.985, "share", interval=(0.971, 0.99), about="197 of 200 images")
LOSS = Number("loss", 0.05, better="less")


@pytest.mark.parametrize(
    ("value", "unit", "digits", "text"),
    [
        (0.985, "share", True, "98.50%"), (0.985, "share", False, "98.5%"), (None, "share", True, "-"),
        (math.nan, "plain", False, "-"), (1234, "plain", False, "1,234"), (1234.0, "count", False, "1,234"),
        (95.456, "nats", False, "95.46"), (0.00001234, "plain", False, "1.234e-05"), (0.0, "plain", False, "0.0000"),
        ("owl", "text", False, "owl"),
    ],
)  # fmt: skip
def test_values(value, unit, digits, text):
    assert value_text(value, unit, digits) == text


def test_all_numbers_of_one_result():
    rows = [("a", 0.5), ("b", None)]
    part = Table("classes", "Per class", (Column("class"), Column("F1", "share")), rows, order=1)
    result = Measures((ACCURACY, LOSS), 200, tables=(part,), plots=(Confusion(("a", "b"), [[3, 2], [0, 5]]),))
    assert number_lines(result) == [
        "accuracy  98.50%  (197 of 200 images; 95% interval 97.1-99.0%)",
        "loss      0.0500",
        "",
        "class     F1",
        "-----  -----",
        "a      50.0%",
        "b          -",
        "",
        "most confused",
        "      2 x a called b",
    ]


def test_many_rows_are_cut_to_the_lowest():
    part = Table("c", "C", (Column("class"), Column("F1", "share")), [(f"c{i}", i / 100) for i in range(99, -1, -1)], 1)
    lines = table_lines(part)
    assert lines[2].split() == ["c0", "0.0%"]
    assert lines[-1] == "(the 40 of 100 rows with the lowest F1; all with --json)"
    assert len(lines) == 43


def test_several_results_are_rows():
    other = Measures((ACCURACY._replace(interval=None), Number("kl", 2.5, "nats")), 200)
    lines = results_table([("one", Measures((ACCURACY, LOSS), 200)), ("two", other)]).splitlines()
    assert lines[0].split() == ["run", "accuracy", "95%", "interval", "loss", "kl"]
    assert lines[2].split() == ["one", "98.5%", "97.1-99.0%", "0.0500", "-"]
    assert lines[3].split() == ["two", "98.5%", "-", "-", "2.50"]


def test_the_line_that_ends_a_training():
    assert score_line("test", (ACCURACY, LOSS), 200) == (
        "test accuracy        98.50%  (197 of 200 images; 95% interval 97.1-99.0%)"
    )
    exact = ACCURACY._replace(label="all right", about="with exactly their labels")
    assert score_line("val", (Number("map", 0.9, "share", label="mAP"), exact), 200) == (
        "val mAP              90.00%  (all right 98.50% with exactly their labels; 95% interval 97.1-99.0%)"
    )
    assert score_line("val", (Number("score", 0.75), LOSS), 200) == "val score            0.7500  (over 200 images)"
