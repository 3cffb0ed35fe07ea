"""Plots: what stands where, and values, names and amounts that no one expects."""

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.report.axis import Axis, categories
from convsmith.report.legend import Key, apart, legend
from convsmith.report.plot import Plot, sheet

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('x')</script>\"&\x00\x1b\n\u202e"
LEFT_OUT = "left out: NaN, infinite or beyond 1e300"


def read(drawing: str) -> ElementTree.Element:
    """The figure, after checking that it names itself and that all its numbers are finite."""
    root = ElementTree.fromstring(drawing.encode())
    assert root.attrib["role"] == "img"
    assert root[0].tag == f"{SVG}title"
    for node in root.iter():
        assert not node.tag.endswith("script")
        for name, value in node.attrib.items():
            assert name in ("class", "font-family", "role") or not re.search("nan|inf", value), (name, value)
    return root


def texts(drawing: str) -> list[str]:
    return [node.text or "" for node in read(drawing).iter(f"{SVG}text")]


def paths(drawing: str) -> list[str]:
    return [node.attrib["d"] for node in read(drawing).iter(f"{SVG}path")]


def drawn(plot: Plot) -> str:
    return sheet([[plot]])


def test_a_line_goes_through_its_points_and_breaks_where_a_value_has_no_place():
    plot = Plot("Loss", Axis("epoch", whole=True), Axis(), width=400, height=200)
    plot.line([(1, 0.0), (2, 1.0), (3, math.nan), (4, 2.0), (5, math.inf), (6, 4.0), (7, 0.0)], color="#000000")
    found = drawn(plot)
    # 0 to 4 over 200 pixels, 1 to 7 over 400; the fourth value stands alone and is a dot.
    assert paths(found) == ["M0.0 200.0L66.7 150.0M333.3 0.0L400.0 200.0", "M200.0 100.0h0"]
    assert f"Loss: 2 values are {LEFT_OUT}" in texts(found)
    assert "epoch" in texts(found)


def test_what_a_logarithmic_axis_cannot_hold_is_left_out_and_counted():
    plot = Plot("", Axis(), Axis(log=True), height=200)
    plot.line([(1, 1.0), (2, 0.0), (3, -5.0), (4, 100.0)], color="#000000")
    assert "2 values are left out: not positive, as the logarithmic axis needs" in texts(drawn(plot))
    _, up = plot.scales()
    assert up.place(10) == pytest.approx((up.place(1) + up.place(100)) / 2)


def test_values_choose_a_logarithmic_axis_only_where_all_are_positive_and_far_apart():
    assert Axis(log=None).scale([1, 30], 100, 0).log
    assert not Axis(log=None).scale([1, 29], 100, 0).log
    assert not Axis(log=None).scale([0, 1, 30], 100, 0).log
    assert not Axis(log=None).scale([], 100, 0).log


@pytest.mark.parametrize(
    ("axis", "values", "marks"),
    [
        (Axis(), [0, 10], ["0", "5", "10"]),
        (Axis(share=True), [0.81, 0.99], ["80%", "90%", "100%"]),
        (Axis(share=True), [0.5, 0.5], ["0%", "50%", "100%"]),
        (Axis(), [3.0, 3.0], ["2.5", "3", "3.5"]),
        (Axis(), [0.0, 0.0], ["-1", "0", "1"]),
        (Axis(zero=True), [2, 10], ["0", "5", "10"]),
        (Axis(whole=True, tight=True), [1, 3], ["1", "2", "3"]),
        (Axis(tight=True), [7.0, 7.0], ["7"]),
        (Axis(), [1e6, 1e6 + 4], ["1,000,000", "1,000,002", "1,000,004"]),
        (Axis(log=True), [1e-12, 1.0], ["1e-10", "1e-7", "0.0001", "0.1"]),
        (Axis(log=True), [3.0, 3.0], ["1", "10"]),
        (Axis(), [math.nan, math.inf, 10**400], ["0", "0.5", "1"]),
        (Axis(log=True), [-1.0], ["0.1", "10"]),
    ],
)
def test_marks(axis: Axis, values: list[float], marks: list[str]):
    found = axis.scale(values, 130, 0)
    assert [text for _, text in found.marks] == marks
    for value in (value for value in values if found.holds(value)):
        assert -1e-9 <= found.place(value) <= 130 + 1e-9


def test_bars_stand_on_their_base_and_small_ones_can_be_seen():
    plot = Plot("", categories(["a", "b", "c"]), Axis(low=0.0), width=300, height=100)
    plot.bars(
        [(-0.5, 0.5, 0.0, 10.0), (0.5, 1.5, 0.0, 0.001), (1.5, 2.5, 0.0, 0.0)], color="#000000", texts=("10", "", "")
    )
    found = drawn(plot)
    first, small, none = paths(found)[0].split("z")[:3]
    assert first == "M0.00 100.00v-100.00h100.00v100.00"
    assert small == "M100.00 100.00v-0.80h100.00v0.80"
    assert none == "M200.00 100.00v0.00h100.00v0.00"
    assert {"a", "b", "c", "10"} <= set(texts(found))


def test_bars_of_negative_values_and_on_a_logarithmic_axis():
    plot = Plot("", categories(["a"]), Axis(), width=10, height=100)
    plot.bars([(-0.5, 0.5, 0.0, -10.0)], color="#000000")
    assert paths(drawn(plot)) == ["M0.00 0.00v100.00h10.00v-100.00z"]
    plot = Plot("", categories(["a", "b"]), Axis(log=True), height=100)
    plot.bars([(-0.5, 0.5, 0.0, 10.0), (0.5, 1.5, 0.0, 1000.0)], color="#000000")
    assert paths(drawn(plot))[0].count("100.00v-") == 2


def test_reference_lines_are_reached_and_named():
    plot = Plot("", Axis(), Axis(), height=100)
    plot.line([(0, 1), (1, 2)], color="#000000")
    plot.rule(y=10.0, text="one human 10%")
    plot.rule(x=5.0)
    found = drawn(plot)
    assert "one human 10%" in texts(found)
    across, up = plot.scales()
    assert (across.high, up.place(10.0)) == (5.0, 0.0)
    plot.rule(y=math.nan)
    read(drawn(plot))


def test_one_legend_for_all_plots_counts_what_it_cannot_show():
    plots = [Plot("a"), Plot("b")]
    for plot in plots:
        for i in range(1000):
            plot.line([(j, i + j) for j in range(70)], color="#0072b2", name=f"run {i} {HOSTILE}")
    found = sheet([plots], title="A thousand")
    shown = texts(found)
    assert len([text for text in shown if text.startswith("run ")]) == 24
    assert "and 976 more" in shown
    assert "<script" not in found
    assert len(found) < 3_000_000


def test_two_names_at_the_ends_of_lines_move_apart_by_as_little_as_can_be():
    assert apart([50.0, 52.0], 16, 0, 100) == [43, 59]
    assert apart([10.0, 60.0], 16, 0, 100) == [10, 60]
    assert apart([99.0, 100.0, 100.0], 16, 0, 100) == [68, 84, 100]
    assert apart([], 16, 0, 100) == []


def test_entries_stand_in_as_many_columns_as_fit():
    keys = [Key(f"name {i}", "", 20) for i in range(6)]
    assert legend(keys, 10_000)[1] == 20
    assert legend(keys, 200)[1] == 60
    assert legend(keys, 10)[1] == 120
    assert legend(keys + keys, 10_000) == legend(keys, 10_000)


def test_long_and_hostile_names_stay_on_the_card():
    plot = Plot(HOSTILE * 30, Axis(HOSTILE * 30), Axis(HOSTILE * 30), note=HOSTILE * 30)
    plot.line([(0, 1)], color="#000000", name=HOSTILE * 30, end="an end of a line")
    found = sheet([[plot]], title=HOSTILE * 30, note=HOSTILE * 30, told=HOSTILE * 3000)
    assert "<script" not in found
    assert len(found) < 40_000
    width = float(read(found).attrib["width"])
    assert width < 1000
    names = categories([HOSTILE * 30] * 400)
    plot = Plot("", names, categories([HOSTILE * 30] * 400, down=True))
    plot.dots([(i, i) for i in range(400)], color="#000000")
    found = drawn(plot)
    assert float(read(found).attrib["width"]) < 1000
    assert len(texts(found)) < 80  # names that would touch the one before are left out


def test_nothing_to_draw_says_so():
    for fill in (lambda plot: None, lambda plot: plot.line([], color="#000000", name="empty"),
                 lambda plot: plot.dots([(math.nan, 1.0)], color="#000000")):  # fmt: skip
        plot = Plot("Loss")
        fill(plot)
        assert "no values" in texts(drawn(plot))


KINDS: dict[str, Callable[[Plot, list[tuple[float, float]]], object]] = {
    "line": lambda plot, points: plot.line(points, color="#000000", name="n", end="end", dots=4),
    "dots": lambda plot, points: plot.dots(points, color="#000000", name="n", shape="cross"),
    "rings": lambda plot, points: plot.dots(points, color="#000000", shape="ring"),
    "band": lambda plot, points: plot.band([(x, y, y) for x, y in points], color="#000000", name="n"),
    "bars": lambda plot, points: plot.bars([(x, y, x, y) for x, y in points], color="#000000", texts=["t"] * 6),
    "flat bars": lambda plot, points: plot.bars([(0.0, x, y, x) for x, y in points], color="#000000", flat=True),
    "rules": lambda plot, points: [plot.rule(x=x) or plot.rule(y=y, text="r") for x, y in points],
    "texts": lambda plot, points: [plot.text(x, y, "t") for x, y in points],
}  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(points=st.lists(st.tuples(st.floats(), st.floats()), max_size=6), log=st.sampled_from([True, False, None]))
@pytest.mark.parametrize("kind", KINDS)
def test_any_values(kind: str, points: list[tuple[float, float]], log: bool | None):
    plot = Plot("title", Axis("x", log=log), Axis("y", log=log, zero=True))
    KINDS[kind](plot, points)
    found = drawn(plot)
    root = read(found)
    assert float(root.attrib["width"]) < 2000
    assert drawn(plot) == found


def test_numbers_of_arrays_and_integers_too_large_for_a_float():
    plot = Plot("")
    plot.dots(np.array([[1, 2], [3, 4]], np.float32), color="#000000")
    plot.dots([(np.int64(1), 10**400)], color="#000000")
    assert f"1 value is {LEFT_OUT}" in texts(drawn(plot))
    assert len(list(read(drawn(plot)).iter(f"{SVG}circle"))) == 2


def test_plots_become_as_wide_as_makes_the_whole_so_wide():
    plots = [Plot("a"), Plot("b")]
    for plot in plots:
        plot.line([(0, 1), (1, 2)], color="#000000", end="train 1.23")
    assert float(read(sheet([plots], width=980)).attrib["width"]) == pytest.approx(980)
    assert plots[0].width == plots[1].width


def test_texts_at_the_ends_of_bars_and_lines_do_not_widen_the_card_without_end():
    plot = Plot("", Axis(), categories(["a"], down=True), width=100)
    plot.bars([(0.0, 1.0, 0.5, -0.5)], color="#000000", texts=[HOSTILE * 30], flat=True)
    plot.beside(0.0, HOSTILE * 30)
    assert float(read(drawn(plot)).attrib["width"]) < 700
