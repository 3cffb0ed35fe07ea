"""The reliability diagram and the courses of several runs, as text."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from convsmith.base.errors import UsageError
from convsmith.report.curves import Course, run_curves_svg
from convsmith.report.reliability import Reliability, reliability_svg

SVG = "{http://www.w3.org/2000/svg}"
STRETCHES = [(0.0, 0.5, 0, 0.0, 0.0), (0.5, 1.0, 8, 0.9, 0.75)]


def test_a_reliability_diagram_draws_accuracy_and_gap_to_scale():
    root = ElementTree.fromstring(reliability_svg([Reliability("net", STRETCHES, 0.15)]))
    bars, gaps, images = (path.get("d") for path in root.iter(f"{SVG}path") if path.get("fill") != "none")
    # The empty stretch has no bar; the other one reaches 75% of 230 pixels, its gap 15% from there.
    assert bars == "M115.75 230.00v-172.50h113.50v172.50z"
    assert gaps == "M115.75 57.50v-34.50h113.50v34.50z"
    assert images.count("M") == 2
    assert root.find(f"{SVG}title").text == "net"
    assert root.find(f"{SVG}desc").text == "Reliability: net: expected calibration error 15.0%"


def test_panels_stand_in_rows_of_three_and_names_are_escaped():
    drawing = reliability_svg([Reliability(f"<{i}>", STRETCHES, 0.1) for i in range(4)])
    root = ElementTree.fromstring(drawing)
    lefts = [g.get("transform").split("(")[1].split()[0] for g in root if g.get("transform")]
    assert len(set(lefts[:3])) == 3
    assert lefts[:3] == lefts[3:6]
    assert lefts[6:8] == lefts[:1] * 2
    assert "&lt;3&gt;" in drawing
    with pytest.raises(UsageError, match="at least one classifier, received none"):
        reliability_svg([])


def rows(*losses):
    return [{"epoch": i + 1, "val_loss": loss, "val_accuracy": 1 - loss / 4} for i, loss in enumerate(losses)]


def test_a_line_for_each_run():
    drawing = run_curves_svg([Course("long", rows(2.0, 1.0, 0.5)), Course("short & hostile <a>", rows(2.0, 1.5))])
    root = ElementTree.fromstring(drawing)
    paths = [p.get("d") for p in root.iter(f"{SVG}path")]
    assert [path.count("L") for path in paths] == [2, 1, 2, 1]
    # Over one axis, from 2 down to 0.5 and from epoch 1 to 3: the second run ends mid-way, a third down.
    end = float(paths[0].split("L")[2].split()[0])
    assert paths[1].endswith(f"L{end / 2:.1f} {230 / 3:.1f}")
    assert "short &amp; hostile &lt;a&gt;, ends at 62.5%" in drawing


def test_runs_with_little_or_nothing_recorded():
    ElementTree.fromstring(run_curves_svg([Course("none", []), Course("cut", [{"epoch": 1, "val_loss": math.nan}])]))
    assert "no values" in run_curves_svg([Course("none", [])])
    cut = run_curves_svg([Course("cut", [{"epoch": 1, "val_loss": math.nan}])])
    assert "Validation loss: 1 value is left out: NaN, infinite or beyond 1e300" in cut
    assert "h0" in run_curves_svg([Course("one", rows(1.0))])
    many = run_curves_svg([Course(str(i), rows(2.0, 1.0 + i / 10)) for i in range(9)])
    assert 'stroke-dasharray="6 3"' in many  # colors have run out
    with pytest.raises(UsageError, match="at least one run, received none"):
        run_curves_svg([])
