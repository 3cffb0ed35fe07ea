"""RegNet: the widths of the paper's tables, what stays under scaling, and what is refused."""

import pytest

from convsmith.base.errors import UsageError
from convsmith.nets.families.regnet import stage_table
from convsmith.nets.ops import Conv
from convsmith.nets.tree import Gate, walk
from convsmith.nets.zoo import NETWORKS, edit, network

# Radosavovic et al. 2020, figures 15 and 16: depths and widths of the four stages.
TABLE = {
    "regnet_x_400mf_pycls": [(1, 32), (2, 64), (7, 160), (12, 384)],
    "regnet_x_800mf": [(1, 64), (3, 128), (7, 288), (5, 672)],
    "regnet_x_1_6gf": [(2, 72), (4, 168), (10, 408), (2, 912)],
    "regnet_x_3_2gf": [(2, 96), (6, 192), (15, 432), (2, 1008)],
    "regnet_x_8gf": [(2, 80), (5, 240), (15, 720), (1, 1920)],
    "regnet_x_16gf": [(2, 256), (6, 512), (13, 896), (1, 2048)],
    "regnet_x_32gf": [(2, 336), (7, 672), (13, 1344), (1, 2520)],
    "regnet_y_400mf": [(1, 48), (3, 104), (6, 208), (6, 440)],
    "regnet_y_800mf_pycls": [(1, 64), (3, 128), (8, 320), (2, 768)],
    "regnet_y_1_6gf": [(2, 48), (6, 120), (17, 336), (2, 888)],
    "regnet_y_3_2gf": [(2, 72), (5, 216), (13, 576), (1, 1512)],
    "regnet_y_8gf_pycls": [(2, 168), (4, 448), (10, 896), (1, 2016)],
    "regnet_y_16gf": [(2, 224), (4, 448), (11, 1232), (1, 3024)],
    "regnet_y_32gf": [(2, 232), (5, 696), (12, 1392), (1, 3712)],
    "regnet_y_128gf": [(2, 528), (7, 1056), (17, 2904), (1, 7392)],
}


# torchvision rounds these widths up to a multiple of the group width, the paper down.
ROUNDED_UP = {
    "regnet_x_400mf": {384: 400},
    "regnet_y_800mf": {128: 144, 768: 784},
    "regnet_y_8gf": {168: 224},
}
TABLE |= {
    name: [(depth, changed.get(width, width)) for depth, width in TABLE[f"{name}_pycls"]]
    for name, changed in ROUNDED_UP.items()
}


def test_every_regnet_is_in_the_table():
    assert TABLE.keys() == {name for name in NETWORKS if name.startswith("regnet")}


@pytest.mark.parametrize("name", TABLE)
def test_depths_and_widths_are_the_papers(name):
    tree = network(name)
    numbers = {key: tree.numbers[key] for key in tree.numbers.keys() - {"se_ratio"}}
    assert [(depth, width) for width, depth in stage_table(**numbers)] == TABLE[name]
    for i, (depth, width) in enumerate(TABLE[name], 1):
        stage = dict(tree.stages)[f"stage{i}"]
        assert sum(child.startswith("unit") for child, _ in stage.children) == depth
        middle = [n for path, n in walk(stage) if path.endswith("branch.conv2") and isinstance(n, Conv)]
        assert {conv.channels for conv in middle} == {width}
        assert {width // conv.groups for conv in middle} == {min(width, tree.numbers["group_width"])}


@pytest.mark.parametrize("name", TABLE)
def test_gates_are_squeezed_to_a_quarter_of_a_units_input(name):
    gates = [
        (path, node)
        for stage, root in network(name).stages
        for path, node in walk(root, stage)
        if isinstance(node, Gate)
    ]
    if "_x_" in name:
        assert gates == []
        return
    shapes = {step.path: step.x.shape.channels for step in network(name).trace().steps}
    for path, gate in gates:
        assert dict(gate.children)["conv1"] == Conv(round(shapes[path.removesuffix(".branch.se")] / 4))


def test_small_images_end_at_four_positions_a_side():
    ends = edit(network("regnet_y_400mf"), "small_images").trace().stages
    assert [ends[name].shape.spatial[0] for name in ("stem", "stage1", "stage2", "stage3", "stage4")] == [
        32,
        32,
        16,
        8,
        4,
    ]


def test_deepening_keeps_the_widths_and_widening_the_depths():
    tree = network("regnet_x_400mf")
    deep = edit(tree, "deepen(2)").trace().stages
    assert deep["stage4"].shape.channels == tree.trace().stages["stage4"].shape.channels
    deep_units = [
        sum(c.startswith("unit") for c, _ in stage.children) for _, stage in edit(tree, "deepen(2)").stages[1:]
    ]
    assert sum(deep_units) == 44
    wide = edit(tree, "widen(2)")
    assert [sum(c.startswith("unit") for c, _ in stage.children) for _, stage in wide.stages[1:]] == [1, 2, 7, 12]
    ends = wide.trace().stages
    assert [ends[f"stage{i}"].shape.channels for i in (1, 2, 3, 4)] == [48, 128, 320, 784]


@pytest.mark.parametrize(
    "numbers", [{"depth": 0}, {"width": 20}, {"width": 0}, {"slope": -1}, {"step": 1}, {"group_width": 0}]
)
def test_numbers_that_make_no_line_are_refused(numbers):
    with pytest.raises(UsageError, match=r"^a RegNet needs a depth and a group width of at least 1, a width that is"):
        network("regnet_x_400mf", **numbers)
