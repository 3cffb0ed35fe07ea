"""The reliability diagram and the courses of several runs, as text."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from convsmith.base.errors import UsageError
from convsmith.report.palette import BLUE
from convsmith.report.reliability import Reliability, reliability_svg
from convsmith.report.run_curves import Course, run_curves_svg

STRETCHES = [(0.0, 0.5, 0, 0.0, 0.0), (0.5, 1.0, 8, 0.9, 0.75)]


def test_a_reliability_diagram_draws_accuracy_and_gap_to_scale():
    root = ElementTree.fromstring(reliability_svg([Reliability("net", STRETCHES, 0.15)]))
    bars = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("fill") == BLUE]
    assert float(bars[0].get("height")) == pytest.approx(0.75 * 230)  # the empty stretch has no bar
    assert len(bars) == 2  # the other one is the legend's
    gap = next(r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("height") == "34.5")
    assert float(gap.get("height")) == pytest.approx(0.15 * 230)
    assert root.get("aria-label") == "Reliability: net: expected calibration error 15.0%"


def test_panels_stand_in_rows_of_three_and_names_are_escaped():
    drawing = reliability_svg([Reliability(f"<{i}>", STRETCHES, 0.1) for i in range(4)])
    root = ElementTree.fromstring(drawing)
    assert float(root.get("width")) == 960
    assert "&lt;3&gt;" in drawing
    with pytest.raises(UsageError, match="at least one classifier, received none"):
        reliability_svg([])


def rows(*losses):
    return [{"epoch": i + 1, "val_loss": loss, "val_accuracy": 1 - loss / 4} for i, loss in enumerate(losses)]


def test_a_line_for_each_run():
    drawing = run_curves_svg([Course("long", rows(2.0, 1.0, 0.5)), Course("short & hostile <a>", rows(2.0, 1.5))])
    root = ElementTree.fromstring(drawing)
    paths = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path")]
    assert [path.count("L") for path in paths] == [2, 1, 2, 1]
    # Over one axis, from 2 down to 0.5 and from epoch 1 to 3: the second run ends mid-way, a third down.
    assert paths[1].endswith(f"L258.0 {58 + 230 / 3:.1f}")
    assert "short &amp; hostile &lt;a&gt;, ends at 62.5%" in drawing


def test_runs_with_little_or_nothing_recorded():
    ElementTree.fromstring(run_curves_svg([Course("none", []), Course("cut", [{"epoch": 1, "val_loss": math.nan}])]))
    assert "not recorded" in run_curves_svg([Course("none", [])])
    assert "<circle" in run_curves_svg([Course("one", rows(1.0))])
    many = run_curves_svg([Course(str(i), rows(2.0, 1.0 + i / 10)) for i in range(9)])
    assert 'stroke-dasharray="6 3"' in many  # colours have run out
    with pytest.raises(UsageError, match="at least one run, received none"):
        run_curves_svg([])
