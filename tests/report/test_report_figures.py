"""The drawings: well-formed, complete, the same each time, and safe with hostile names."""

import io
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from convsmith.base.errors import UsageError, WrongType
from convsmith.report import svg
from convsmith.report.architecture import Stage, stages_svg
from convsmith.report.confusion import confusion_svg, top_confusions
from convsmith.report.curves import curves_svg
from convsmith.report.pictures import png, thumbnail

HOSTILE = "<script>alert('x')</script>\"&\x00\x1b\n\udc80\u202e"
GEOMETRY = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d", "points", "width", "height", "transform", "viewBox")
LENET = (
    Stage("conv1", "5×5 conv, pool", 6, (14, 14), 156, 117_600, 1),
    Stage("conv2", "5×5 conv, pool", 16, (5, 5), 2_416, 240_000, 1),
    Stage("fc", "2 × linear", 84, (), 58_284, 58_080, 2),
    Stage("head", "linear", 10, (), 850, 840, 1),
)


def words(drawing: str) -> list[str]:
    """All text of a drawing, after checking that it is XML in UTF-8, closed in itself, without ids and NaN."""
    root = ElementTree.fromstring(drawing.encode())
    for node in root.iter():
        assert "id" not in node.attrib
        assert not node.tag.endswith(("script", "foreignObject"))
        for name, value in node.attrib.items():
            assert not name.startswith("on")
            assert name not in GEOMETRY or not re.search("nan|inf", value)
            if name.endswith("href"):
                assert value.startswith("data:image/png;base64,")
    return ["".join(node.itertext()) for node in root.iter() if node.tag.endswith(("text", "title"))]


def rows(epochs: int) -> list[dict[str, float]]:
    return [
        {"epoch": e, "step": e * 10, "lr": 0.1 / e, "train_loss": 2.0 / e, "train_accuracy": 1 - 0.5 / e}
        | ({"val_loss": 2.1 / e + 0.2, "val_accuracy": 0.9 - 0.5 / e} if e > 1 else {})
        for e in range(1, epochs + 1)
    ]


def test_stages_show_names_outputs_totals_and_shares() -> None:
    found = words(stages_svg(LENET))
    for wanted in ("conv1", "5×5 conv, pool", "14×14×6", "84", "61.7k", "417k", "94%", "<1%", "5"):
        assert wanted in found
    assert stages_svg(LENET) == stages_svg(LENET)


@pytest.mark.parametrize("count", [1, 2, 6, 9, 14])
def test_stages_of_any_number_fit_their_card(count: int) -> None:
    stages = [
        Stage(f"stage{i}", "36 × bottleneck " * 4, 4 << i, (224 >> i or 1,) * 3, 0, 0, i * 40) for i in range(count)
    ]
    drawing = stages_svg(stages)
    words(drawing)
    root = ElementTree.fromstring(drawing)
    width = float(root.attrib["width"])
    for node in root.iter():
        if node.tag.endswith("polygon"):
            assert all(0 <= float(pair.split(",")[0]) <= width for pair in node.attrib["points"].split())


def test_stages_with_hostile_names_and_without_any() -> None:
    drawing = stages_svg([Stage(HOSTILE, HOSTILE, 0, (0, 3), 0, 0, 0)])
    assert "<script" not in drawing
    words(drawing)
    with pytest.raises(UsageError, match="at least one stage"):
        stages_svg([])


def test_curves_name_their_lines_and_the_best() -> None:
    found = words(curves_svg(rows(20)))
    for wanted in ("Loss", "Accuracy", "train 0.1", "validation 0.305", "train 97.5%", "validation 87.5%", "epoch"):
        assert wanted in found
    assert "best validation 87.5% at epoch 20" in found
    assert curves_svg(rows(20)) == curves_svg(rows(20))


def test_curves_of_one_epoch_are_dots() -> None:
    drawing = curves_svg(rows(1))
    words(drawing)
    assert "h0" in drawing
    assert "validation" not in drawing


def test_curves_leave_out_what_is_missing() -> None:
    assert "No epoch has been recorded yet." in words(curves_svg([]))
    assert words(curves_svg([{"epoch": 1}])) == ["No epoch has been recorded yet", "No epoch has been recorded yet."]
    assert "Accuracy" not in words(curves_svg([{"epoch": 1, "train_loss": 2.0}]))
    odd = [{"epoch": 1, "train_loss": math.nan, "lr": None}, {"epoch": 2, "train_loss": 1.0}, {"train_loss": 10**400}]
    assert "row" in words(curves_svg(odd))
    assert "Loss: 2 values are left out: NaN, infinite or beyond 1e300" in words(curves_svg(odd))


@pytest.mark.parametrize("values", [(0, 0), (1, 1 + 1e-16), (1e-15, 2e-15), (-3, 5), (1e-320, 1e299), (1e9, 1e-9, 4.0)])
def test_curves_of_odd_values(values: tuple[float, ...]) -> None:
    words(curves_svg([{"epoch": i, "train_loss": v, "train_accuracy": 1.0, "lr": 0} for i, v in enumerate(values)]))


def test_curves_over_steps_when_epochs_repeat_and_long_ones_stay_small() -> None:
    long = [{"epoch": i // 100, "step": i, "train_loss": 5.0 if i == 7777 else 1.0} for i in range(20_000)]
    drawing = curves_svg(long)
    assert "step" in words(drawing)
    assert len(drawing) < 30_000
    assert " 36.7L" in drawing  # the one spike is still there, at 5 of an axis from 0 to 6


def test_a_loss_through_many_decades_is_logarithmic() -> None:
    assert "Loss (logarithmic)" in words(curves_svg([{"epoch": e, "train_loss": 10.0**-e} for e in range(5)]))


def test_confusion_prints_counts_and_names() -> None:
    found = words(confusion_svg([[1234, 6], [0, 40]], ["cat", "dog"]))
    for wanted in ("1,234", "6", "40", "cat", "dog", "cat taken for dog: 6 (0.5%)", "predicted →", "true ↓"):
        assert wanted in found


def test_errors_of_a_good_network_can_be_seen() -> None:
    drawing = confusion_svg([[9_990, 10, 0], [0, 10_000, 0], [0, 0, 10_000]], ["a", "b", "c"])
    nodes = ElementTree.fromstring(drawing).iter()
    fills = {n.attrib["fill-opacity"] for n in nodes if "rx" in n.attrib and n.attrib.get("fill") == "#d9480f"}
    assert fills == {"0.85"}


@pytest.mark.parametrize("classes", [1, 2, 20, 21, 100, 1000])
def test_confusion_of_any_number_of_classes(classes: int) -> None:
    matrix = np.eye(classes, dtype=int) * 40
    matrix[0, -1] += 3
    drawing = confusion_svg(matrix.tolist(), [f"class {i}" for i in range(classes)])
    words(drawing)
    assert len(drawing) < 200_000
    assert ("data:image/png" in drawing) == (classes > 20)
    assert drawing == confusion_svg(matrix.tolist(), [f"class {i}" for i in range(classes)])


@pytest.mark.parametrize("classes", [3, 30])
def test_confusion_with_hostile_names_and_no_images(classes: int) -> None:
    drawing = confusion_svg(np.zeros((classes, classes), int).tolist(), [HOSTILE] * classes)
    words(drawing)
    assert "<script" not in drawing


def test_confusion_refuses_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match=r"matrix of 2 x 2, received \(1, 1\)"):
        confusion_svg([[1]], ["a", "b"])
    with pytest.raises(UsageError, match="expected counts"):
        confusion_svg([[-1]], ["a"])
    with pytest.raises(UsageError, match="0 x 0"):
        confusion_svg([], [])


def test_top_confusions_in_order() -> None:
    matrix = [[8, 2, 0], [5, 5, 0], [2, 0, 0]]
    assert top_confusions(matrix, "abc") == [("b", "a", 5, 0.5), ("a", "b", 2, 0.2), ("c", "a", 2, 1.0)]
    assert top_confusions(matrix, "abc", count=1) == [("b", "a", 5, 0.5)]
    assert top_confusions([[3]], ["a"]) == []


def test_ticks_span_their_values() -> None:
    assert svg.ticks(0, 1, 5) == [0, 0.25, 0.5, 0.75, 1]
    assert svg.ticks(1, 3, 6, whole=True) == [1, 2, 3]
    assert svg.ticks(0.13, 2.2, 5)[0] <= 0.13
    assert svg.ticks(0.13, 2.2, 5)[-1] >= 2.2
    assert svg.log_ticks(0.09, 1.1) == [0.1, 0.2, 0.5, 1]


def test_text_that_fits() -> None:
    assert svg.fit("short", 100) == "short"
    cut = svg.fit("a very long name of a class", 80)
    assert cut.endswith("…")
    assert svg.text_width(cut) <= 80
    assert svg.wrap("3 × bottleneck, 1024 wide", 90, lines=2) == ["3 ×", svg.fit("bottleneck, 1024 wide", 90)]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_png_keeps_every_pixel(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(png(image))) as read:
        np.testing.assert_array_equal(np.asarray(read), image[:, :, 0] if shape[-1:] == (1,) else image)
    assert png(image) == png(image)


def test_png_refuses_other_arrays() -> None:
    with pytest.raises(WrongType, match="expected an image of uint8, received float32"):
        png(np.zeros((3, 3), np.float32))
    with pytest.raises(UsageError, match=r"received shape \(3, 3, 2\)"):
        png(np.zeros((3, 3, 2), np.uint8))
    with pytest.raises(UsageError, match=r"received shape \(0, 3\)"):
        png(np.zeros((0, 3), np.uint8))


def test_thumbnails_are_small_and_bad_bytes_are_named() -> None:
    small = png(np.zeros((32, 32), np.uint8))
    assert thumbnail(small) == (small, "image/png", 32, 32)
    large = png(np.random.default_rng(0).integers(0, 256, (900, 600, 3), dtype=np.uint8))
    data, kind, width, height = thumbnail(large)
    assert (kind, width, height) == ("image/jpeg", 171, 256)
    assert len(data) < 60_000
    with pytest.raises(UsageError, match="bytes of a PNG picture, could not read 9 bytes"):
        thumbnail(b"no png at")
