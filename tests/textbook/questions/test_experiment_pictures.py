"""The pictures of experiments: courses in panels, dots in rows, lines over a number."""

from xml.etree import ElementTree

import pytest

from convsmith.base.errors import UsageError
from convsmith.report.experiment_page import ExperimentReport, Table, render_experiment
from convsmith.report.groups import CourseLine, DotRow, Panel, Point, Series, courses_svg, dots_svg, lines_svg

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawn: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def test_courses_share_one_scale_and_draw_validation_bold():
    falling = CourseLine("deep", [(1, 0.8), (2, 0.5), (3, 0.2)], [(1, 0.7), (2, 0.6), (3, 0.4)])
    flat = CourseLine("<flat>", [(1, 0.9), (3, 0.9)], [(3, 0.9)])
    drawn = courses_svg([Panel("plain", [flat]), Panel("residual", [falling, flat])], what="error", share=True)
    found = texts(drawn)
    assert found.count("20%") == found.count("80%") == 2
    assert "deep: training ends at 20.0%, validation at 40.0%" in found
    paths = [e.attrib for e in ElementTree.fromstring(drawn).iter(f"{SVG}path")]
    paths = [p for p in paths if "L" in p["d"]]
    assert [(p["stroke"], p["stroke-width"]) for p in paths[1:3]] == [("#0072b2", "1.2"), ("#0072b2", "2.8")]
    # The epochs 1 and 3 lie at the ends of the panel, 20% and 80% at the same heights for all lines.
    start, middle, end = paths[1]["d"].removeprefix("M").split("L")
    assert (float(start.split()[0]), float(end.split()[0])) == (0, 400)
    assert float(start.split()[1]) < float(middle.split()[1]) < float(end.split()[1])
    assert "<flat>" not in drawn


def test_a_single_epoch_is_a_dot_and_none_is_an_error():
    line = CourseLine("one", [(1, 2.0)], [(1, 0.05)])
    drawn = courses_svg([Panel("", [line])], what="loss", share=False)
    assert drawn.count("h0") == 2
    assert "one: training ends at 2, validation at 0.05" in texts(drawn)
    with pytest.raises(UsageError, match="courses need at least one point"):
        courses_svg([Panel("", [CourseLine("none", [], [])])], what="loss", share=False)


def test_dots_show_every_run_and_the_means():
    rows = [DotRow("none", [0.1, 0.2], [0.3]), DotRow("dropout", [0.05], [])]
    drawn = dots_svg("title", rows, what="error", share=True)
    assert {"none", "dropout", "15.0% / 30.0%", "5.0%"} <= set(texts(drawn))
    circles = [float(e.attrib["cx"]) for e in ElementTree.fromstring(drawn).iter(f"{SVG}circle")]
    assert len(circles) == 6
    low, high, other, test = circles[:4]  # the last two are the legend's
    assert other < low < high < test
    assert high - low == pytest.approx((test - high), abs=0.02)
    with pytest.raises(UsageError, match="dots need at least one value"):
        dots_svg("title", [], what="error", share=True)


def test_lines_over_a_logarithmic_axis():
    points = [Point(4, 0.1, 0.1, 0.1), Point(32, 0.2, 0.15, 0.25), Point(256, 0.3, 0.3, 0.3)]
    drawn = lines_svg("title", [Series("with", points)], what="error", axis="images in a batch", share=True)
    paths = [e.attrib["d"] for e in ElementTree.fromstring(drawn).iter(f"{SVG}path")]
    assert paths[0] == "M280.0 210.0L280.0 70.0"
    assert paths[1:] == ["M20.0 280.0L280.0 140.0L540.0 0.0", "M20.0 280.0h0M280.0 140.0h0M540.0 0.0h0"]
    assert {"4", "32", "256", "images in a batch (logarithmic)", "with"} <= set(texts(drawn))
    near = lines_svg("t", [Series("s", [Point(1, 1, 1, 1), Point(3, 2, 2, 2)])], what="loss", axis="x", share=False)
    assert "1" in texts(near)
    with pytest.raises(UsageError, match="lines need at least one point"):
        lines_svg("title", [Series("none", [])], what="error", axis="x", share=True)


def test_the_page_escapes_what_it_is_given():
    hostile = "<script>alert(1)</script>"
    report = ExperimentReport(
        title=hostile,
        question=hostile,
        source=hostile,
        state="finished",
        summary=((hostile, hostile),),
        picture="<svg/>",
        groups=Table(("group", "n"), [(hostile, "3")]),
        runs=Table(("run", "n"), []),
        settings={"a": {"lr": 0.1}},
    )
    page = render_experiment(report)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert '<section class="card" id="groups"' in page
    assert 'id="runs"' not in page
    assert "a.lr" in page
