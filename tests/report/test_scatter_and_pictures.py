"""The plane of points in the colors of their classes, and the figure of rows of pictures."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from convsmith.base.errors import UsageError, WrongType
from convsmith.report.picture_grid import PictureRow, pictures_svg
from convsmith.report.scatter import scatter_svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('x')</script>\"&\x00\x1b\n\u202e"


def texts(drawing: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(drawing.encode()).iter(f"{SVG}text")]


def images(drawing: str) -> list[tuple[dict[str, str], np.ndarray]]:
    found = []
    for node in ElementTree.fromstring(drawing.encode()).iter(f"{SVG}image"):
        data = base64.b64decode(node.attrib["href"].removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(data)) as picture:
            found.append((node.attrib, np.asarray(picture)))
    return found


def test_classes_have_colors_then_shapes_and_names_at_their_medians():
    points = np.array([[0.0, 0.0], [0.0, 2.0], [4.0, 1.0], [2.0, 1.0]])
    drawing = scatter_svg("Plane", points, np.array([0, 0, 1, 7]), [f"c{i}" for i in range(8)], x="z1", y="z2")
    found = texts(drawing)
    assert {"Plane", "z1", "z2"} <= set(found)
    assert [found.count(name) for name in ("c0", "c1", "c7", "c2")] == [2, 2, 2, 0]  # at the points and in the legend
    colors = [node.attrib["fill"] for node in ElementTree.fromstring(drawing).iter(f"{SVG}circle")]
    assert colors == ["#0072b2", "#0072b2", "#d55e00", "#0072b2", "#d55e00"]
    assert drawing.count("m-3-3l6 6") == 2  # the eighth class has the first's color as a cross
    assert "<desc>c0: 2, c1: 1, c7: 1</desc>" in drawing
    median = re.search(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*cs-rim[^>]*>c0<', drawing)
    assert median is not None
    assert (float(median[1]), float(median[2])) == (0, 264)


def test_one_point_and_no_classes():
    drawing = scatter_svg("", np.array([[1.0, 2.0]]))
    circles = list(ElementTree.fromstring(drawing).iter(f"{SVG}circle"))
    assert [(c.attrib["cx"], c.attrib["cy"]) for c in circles] == [("260", "260")]


def test_points_that_are_not_finite_are_counted_and_very_many_are_thinned():
    points = np.random.default_rng(0).normal(size=(50_000, 2))
    points[:400] = np.nan
    drawing = scatter_svg("", points, np.arange(50_000) % 30, note="MNIST")
    assert "MNIST; 20,000 of 50,000 points are drawn; 30 classes share 21 looks" in texts(drawing)
    assert any("values are left out: NaN" in text for text in texts(drawing))
    assert len(drawing) < 500_000


def test_a_scatter_refuses_what_does_not_fit():
    two = np.zeros((2, 2))
    with pytest.raises(UsageError, match=r"expected points \(N, 2\), at least one, received shape \(2, 3\)"):
        scatter_svg("", np.zeros((2, 3)))
    with pytest.raises(UsageError, match=r"at least one, received shape \(0, 2\)"):
        scatter_svg("", np.zeros((0, 2)))
    with pytest.raises(
        UsageError, match=r"a class for each of 2 points, as whole numbers, received int64 of shape \(3,\)"
    ):
        scatter_svg("", two, np.arange(3))
    with pytest.raises(UsageError, match="received float64"):
        scatter_svg("", two, np.zeros(2))
    with pytest.raises(UsageError, match="expected classes of 0 to 1, received 0 to 2"):
        scatter_svg("", two, np.array([0, 2]), ["a", "b"])
    with pytest.raises(UsageError, match="expected classes of 0 or more, received -1"):
        scatter_svg("", two, np.array([0, -1]))


def pixels(count: int, height: int = 28, width: int = 28, channels: tuple[int, ...] = ()) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, *channels), dtype=np.uint8)


def test_rows_stand_under_each_other_and_keep_every_pixel():
    originals, again = pixels(3), pixels(3, channels=(3,))
    rows = [PictureRow("original", originals), PictureRow("again", again)]
    drawing = pictures_svg("Reconstructions", rows, note="n")
    found = images(drawing)
    assert [a["x"] for a, _ in found[:3]] == [a["x"] for a, _ in found[3:]]
    assert len({a["y"] for a, _ in found}) == 2
    assert {a["width"] for a, _ in found} == {"56"}  # twice the pixels, so that each is as large
    for (_, shown), given in zip(found, [*originals, *again], strict=True):
        np.testing.assert_array_equal(shown, given)
    assert {"Reconstructions", "n", "original", "again"} <= set(texts(drawing))
    assert drawing == pictures_svg(
        "Reconstructions", [PictureRow("original", originals), PictureRow("again", again)], note="n"
    )


def test_what_does_not_fit_goes_on_in_a_further_block():
    drawing = pictures_svg("", [PictureRow("a", pixels(10)), PictureRow("b", pixels(7))], columns=4)
    assert [text for text in texts(drawing) if text] == ["a", "b"] * 2 + ["a"]
    assert len(images(drawing)) == 17
    wide = pictures_svg("", [PictureRow("", pixels(40))], columns=20)
    assert len({a["x"] for a, _ in images(wide)}) == 20
    assert {a["width"] for a, _ in images(wide)} == {"28"}


def test_captions_are_cut_escaped_and_spoken():
    drawing = pictures_svg(HOSTILE, [PictureRow(HOSTILE * 9, pixels(2, channels=(1,)), ["7: 99.9%", HOSTILE * 50])])
    assert "<script" not in drawing
    assert "7: 99.9%" in texts(drawing)
    titles = [node.text for node in ElementTree.fromstring(drawing).iter(f"{SVG}title")]
    assert titles[1].endswith("1: 7: 99.9%") or "…" in titles[1]


def test_of_very_many_pictures_the_first_are_shown():
    drawing = pictures_svg("", [PictureRow("", pixels(1000, 4, 4))], columns=20, side=8)
    assert len(images(drawing)) == 600
    assert "the first 600 of 1,000 are shown" in texts(drawing)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (900, 700), (3, 4)])
def test_pictures_of_any_shape(shape: tuple[int, int]):
    drawing = pictures_svg("", [PictureRow("row", pixels(2, *shape, (3,)))])
    root = ElementTree.fromstring(drawing)
    for attributes, shown in images(drawing):
        assert float(attributes["height"]) <= 2 * 64
        assert max(shown.shape[:2]) <= 2 * 128
        assert float(attributes["x"]) + float(attributes["width"]) <= float(root.attrib["width"])
        assert float(attributes["y"]) + float(attributes["height"]) <= float(root.attrib["height"])


def test_pictures_refuse_what_does_not_fit():
    with pytest.raises(UsageError, match="at least one image, received none"):
        pictures_svg("", [])
    with pytest.raises(UsageError, match="at least one image, received none"):
        pictures_svg("", [PictureRow("a", pixels(0))])
    with pytest.raises(WrongType, match="samples: expected images of uint8, received float32"):
        pictures_svg("", [PictureRow("samples", np.zeros((2, 4, 4), np.float32))])
    with pytest.raises(UsageError, match=r"pictures: expected images \(N, height, width.* shape \(2, 4, 4, 2\)"):
        pictures_svg("", [PictureRow("", np.zeros((2, 4, 4, 2), np.uint8))])
    with pytest.raises(UsageError, match="a: expected a caption for each of 2 images, received 1"):
        pictures_svg("", [PictureRow("a", pixels(2), ["one"])])
    assert len(images(pictures_svg("", [PictureRow("none", pixels(0)), PictureRow("two", pixels(2))]))) == 2
