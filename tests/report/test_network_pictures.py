"""Pictures of networks: every text has its place, nothing leaves the card, the same input gives the same picture."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from convsmith.base.errors import UsageError
from convsmith.report import svg
from convsmith.report.bubbles import Point, bubbles_svg
from convsmith.report.comparison import Entry, Total, totals_svg, winners_svg
from convsmith.report.diagram import Box, Chain, Fork, Panel, Repeat, diagram_svg
from convsmith.report.layer_bars import LayerBar, layer_bars_svg
from convsmith.report.svg import SERIES, tint

HOSTILE = "<script>alert('x')</script>\"&\x00\x1b\n\u202e"


def placed(node: ElementTree.Element, left: float = 0, top: float = 0):
    """Every element with where its (0, 0) lies."""
    if moved := re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", node.attrib.get("transform", "")):
        left, top = left + float(moved[1]), top + float(moved[2])
    yield node, left, top
    for child in node:
        yield from placed(child, left, top)


def texts(drawing: str) -> list[str]:
    """The texts of a picture, after checking that none covers another and all lie on the card."""
    root = ElementTree.fromstring(drawing.encode())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes: list[tuple[str, float, float, float, float]] = []
    for node, left, top in placed(root):
        assert not node.tag.endswith(("script", "foreignObject"))
        assert "nan" not in node.attrib.values()
        if node.tag.endswith("text"):
            size, text = float(node.attrib["font-size"]), "".join(node.itertext())
            # The estimate is that of the widest fonts.
            long = 0.85 * svg.text_width(text, size)
            x = float(node.attrib["x"]) - {"middle": long / 2, "end": long}.get(node.attrib.get("text-anchor", ""), 0)
            x, y = left + x, top + float(node.attrib["y"])
            assert -1 <= x <= x + long <= width + 1, text
            assert 0 <= y - size <= y <= height, text
            boxes.append((text, x, y - 0.75 * size, x + long, y))
    for (a, *first), (b, *second) in combinations(boxes, 2):
        apart = first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]
        assert apart, f"{a!r} and {b!r} cover each other"
    return [box[0] for box in boxes]


def bars(layers: int, stages: int = 4) -> list[LayerBar]:
    found = [
        LayerBar(
            f"stage{1 + i * stages // layers}", f"conv{i}", False, 4 * (i * 7919 % 900_000), 10 * i, 10**6 * (i % 9)
        )
        for i in range(layers)
    ]
    return [*found, LayerBar("head", "linear", True, 4_000, 2_000_000, 2_000_000)]


@pytest.mark.parametrize("layers", [1, 7, 15, 53, 160, 1200])
def test_bars_of_any_number_of_layers(layers: int) -> None:
    drawing = layer_bars_svg("net", "for one image", bars(layers))
    found = texts(drawing)
    assert {"net", "convolution", "linear", "head"} <= set(found)
    assert any(text.startswith("MACs: ") for text in found)
    assert len(drawing) < 160_000
    assert drawing == layer_bars_svg("net", "for one image", bars(layers))


def test_few_layers_have_names_and_values() -> None:
    found = texts(layer_bars_svg("net", "", bars(3, 1)))
    assert {"conv0", "conv1", "conv2", "2M", "3.9 KiB", "Parameters: 2.00M"} <= set(found)


def test_the_bars_are_as_high_as_their_values() -> None:
    two = [LayerBar("a", "x", False, 4, 100, 7), LayerBar("a", "y", False, 4, 50, 7)]
    drawing = ElementTree.fromstring(layer_bars_svg("net", "", two))
    paths = [node.attrib["d"] for node in drawing.iter() if node.attrib.get("fill") == svg.BLUE]
    heights = [float(part.split("v-")[1].split("h")[0]) for part in paths[1].split("M")[1:]]
    assert heights == [128, 64]


def test_totals_are_measured_against_the_first() -> None:
    totals = [
        Total("alexnet", 2_003_360, 61_100_840, 714_188_480),
        Total("vgg16", 54_190_368, 138_357_544, 15_470_264_320),
    ]
    found = texts(totals_svg(totals))
    assert {"1.9 MiB", "51.7 MiB (27x)", "138M (2.3x)", "15.5G (22x)", "alexnet and vgg16"} <= set(found)
    texts(totals_svg([Total(f"{HOSTILE} number {i}", i, i * 10**5, i * 10**9) for i in range(40)]))


def test_bubbles_have_names_and_sizes() -> None:
    points = [
        Point("a", "A", 70.0, 10**9, 10**7),
        Point("b", "A", 75.0, 4 * 10**9, 4 * 10**7),
        Point("c", "C", 60, 10**8, 10**6),
    ]
    drawing = bubbles_svg("published", points)
    assert {"a", "b", "c", "published", "parameters"} <= set(texts(drawing))
    circles = [
        n for n in ElementTree.fromstring(drawing).iter() if n.tag.endswith("circle") and "fill-opacity" in n.attrib
    ]
    radii = sorted(float(n.attrib["r"]) for n in circles)
    assert radii[2] == pytest.approx(2 * radii[1], rel=0.01)  # four times the parameters
    lines = [n for n in ElementTree.fromstring(drawing).iter() if "stroke-opacity" in n.attrib]
    assert len(lines) == 1  # the family of two has a line, that of one has none


@pytest.mark.parametrize("count", [1, 2, 60])
def test_bubbles_of_any_number(count: int) -> None:
    points = [Point(f"network{i}", f"F{i % 9}", 50 + i % 30, 10**8 + i * 10**9, 10**6 * (i + 1)) for i in range(count)]
    assert {point.name for point in points} <= set(texts(bubbles_svg("", points)))


def test_winners() -> None:
    entries = [
        Entry(2012, "AlexNet", 16.4, "8"),
        Entry(2015, "ResNet", 4.9, "152"),
        Entry(2011, "A rather long name", 25.8, "shallow"),
    ]
    found = texts(winners_svg("Contest", "", entries, 5.1))
    assert {"16.4%", "8 layers", "152 layers", "shallow", "one human 5.1%", "4.9%"} <= set(found)


A, B = Chain((Box("use a", kind="wire", source=True),)), Chain((Box("use b", kind="wire", source=True),))
CONV = Box("conv 3×3, 64", "batch norm, relu", "conv")
BODY = Chain((CONV, CONV))
CHAINS = {
    "line": Chain(),
    "boxes": BODY,
    "sum": Chain((Fork("+", (BODY, Chain()), 0), Box("relu"))),
    "gate": Chain((CONV, Fork("×", (Chain(), BODY), 0))),
    "branches": Chain((Fork("concat", (Chain((CONV,)), BODY, Chain((Repeat(16, BODY, "side by side"),)), Chain())),)),
    "repeat": Chain((Repeat(200, Chain((Fork("+", (BODY, Chain()), 0),)), "first: stride 2, 1×1 shortcut"), CONV)),
    "wires": Chain((Box("use skip1", kind="wire", source=True), CONV, Box("keep skip2", kind="wire"))),
    "only kept values": Chain((Fork("+", (A, B)),)),
    "taller than a page": Chain((CONV, Fork("concat", (BODY, BODY))) * 30),
    "hostile": Chain((Box(HOSTILE, HOSTILE), Repeat(2, BODY, HOSTILE))),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_diagrams(name: str) -> None:
    panels = [Panel("stem", "64×56×56", CHAINS[name]), Panel("aux (training only)", "1000", CHAINS[name], aside=True)]
    drawing = diagram_svg("net", "input 3×224×224", panels * 4)
    found = texts(drawing)
    assert found.count("stem") == 4
    assert drawing == diagram_svg("net", "input 3×224×224", panels * 4)
    root = ElementTree.fromstring(drawing)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for node in root.iter():
        if node.tag.endswith("rect"):
            x, y, w, h = (float(node.attrib[key]) for key in ("x", "y", "width", "height"))
            assert 0 <= x <= x + w <= width
            assert 0 <= y <= y + h <= height


def test_a_tall_stage_stands_in_columns() -> None:
    tall = diagram_svg("net", "", [Panel("stage", "", CHAINS["taller than a page"])])
    assert float(ElementTree.fromstring(tall).attrib["height"]) < 1700


def test_nothing_to_draw_is_an_error() -> None:
    for empty in (
        lambda: layer_bars_svg("net", "", []),
        lambda: totals_svg([]),
        lambda: bubbles_svg("", []),
        lambda: winners_svg("Contest", "", [], 5.1),
        lambda: diagram_svg("net", "", []),
    ):
        with pytest.raises(UsageError, match=r"received none|has no"):
            empty()


def test_tints_are_light_enough_for_text() -> None:
    for color in SERIES:
        parts = [int(tint(color)[i : i + 2], 16) for i in (1, 3, 5)]
        assert min(parts) > 200
