"""Xception: the paper's figure 5, its count, the form for small images."""

import pytest

from convsmith.nets.cost import cost
from convsmith.nets.modules.measure import measure_module
from convsmith.nets.ops import Act, Conv
from convsmith.nets.tree import Add, walk
from convsmith.nets.zoo import edit, network


def test_sizes_of_the_three_flows():
    ends = network("xception").trace().stages
    assert [(ends[f"stage{i}"].shape.channels, ends[f"stage{i}"].shape.spatial[0]) for i in (1, 2, 3, 4)] == [
        (128, 74), (256, 37), (728, 19), (2048, 10)
    ]  # fmt: skip


def test_it_has_36_convolutions_in_14_modules():
    # Chollet 2017, section 4: 36 convolutional layers (a separable one counts once) in 14 modules, all but the first
    # and last with a residual connection round them.
    nodes = [(path, node) for name, root in network("xception").stages for path, node in walk(root, name)]
    assert sum(isinstance(node, Add) for _, node in nodes) == 12
    convs = [path for path, node in nodes if isinstance(node, Conv) and ".shortcut." not in path]
    assert sum(not path.endswith(".depthwise") for path in convs) == 36


def test_no_activation_parts_depthwise_from_pointwise():
    for name, root in network("xception").stages:
        for path, node in walk(root, name):
            if path.rpartition(".")[2].startswith("conv") and path + ".depthwise" in dict(walk(root, name)):
                assert [child for child, _ in node.children] == ["depthwise", "pointwise"]
                assert not any(isinstance(child, Act) for _, child in node.children)


def test_the_count_of_the_paper_and_of_timm():
    numbers = cost(network("xception"))
    assert round(numbers.params / 1e6, 2) == 22.86  # table 3 prints 22,855,952
    assert numbers.params == 22_855_952
    timm = pytest.importorskip("timm")
    theirs = measure_module(timm.create_model("legacy_xception"), (3, 299, 299))
    assert (theirs.params, theirs.macs) == (numbers.params, numbers.macs)


def test_deeper_is_a_longer_middle_flow():
    tree = edit(network("xception"), "deepen=1.5")
    assert len(dict(tree.stages)["stage3"].children) == 1 + 12


def test_the_form_for_small_images_ends_at_4x4():
    ends = edit(network("xception"), "small_images").trace().stages
    assert [ends[name].shape.spatial[0] for name in ("stem", "stage1", "stage2", "stage3", "stage4")] == [
        32,
        32,
        16,
        8,
        4,
    ]
