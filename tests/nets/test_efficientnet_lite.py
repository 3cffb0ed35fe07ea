"""EfficientNet-Lite: what scaling leaves alone, TensorFlow's padding, and the names of its published weights."""

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families.efficientnet_lite import EFFICIENTNET_LITE, NETWORKS
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Act, BatchNorm, Conv, Dropout, DropPath, PadSame
from convsmith.nets.tree import Gate, walk
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.weights.renaming import original, renamed
from convsmith.nets.zoo import edit, network, renamings


def found(tree, kind):
    nodes = tree.stages + tree.heads
    return {path: node for name, root in nodes for path, node in walk(root, name) if isinstance(node, kind)}


# The authors' code, `efficientnet_lite_params`: width, depth, size, dropout; the units of the stages by hand.
AUTHORS = {
    "efficientnet_lite0": (1.0, 1.0, 224, 0.2, [1, 2, 2, 3, 3, 4, 1]),
    "efficientnet_lite1": (1.0, 1.1, 240, 0.2, [1, 3, 3, 4, 4, 5, 1]),
    "efficientnet_lite2": (1.1, 1.2, 260, 0.3, [1, 3, 3, 4, 4, 5, 1]),
    "efficientnet_lite3": (1.2, 1.4, 280, 0.3, [1, 3, 3, 5, 5, 6, 1]),
    "efficientnet_lite4": (1.4, 1.8, 300, 0.3, [1, 4, 4, 6, 6, 8, 1]),
}


def test_the_five_are_there():
    assert list(NETWORKS) == list(AUTHORS)


@pytest.mark.parametrize("name", AUTHORS)
def test_the_first_and_last_stage_stem_and_head_are_not_scaled(name):
    width, depth, size, dropout, units = AUTHORS[name]
    tree = network(name)
    assert tree.numbers == {"width": width, "depth": depth, "size": size, "dropout": dropout}
    assert tree.input.spatial == (size, size)
    assert [len(stage.children) for label, stage in tree.stages if label.startswith("stage")] == units
    ends = tree.trace().stages
    assert (ends["stem"].shape.channels, ends["final"].shape.channels) == (32, 1280)
    assert [node.drop for node in found(tree, Dropout).values()] == [dropout]


def test_widths_of_lite4_by_hand():
    ends = network("efficientnet_lite4").trace().stages
    assert [ends[f"stage{i}"].shape.channels for i in range(1, 8)] == [24, 32, 56, 112, 160, 272, 448]


@pytest.mark.parametrize("name", AUTHORS)
def test_no_gates_relu6_and_tensorflows_normalization(name):
    tree = network(name)
    assert not found(tree, Gate)
    assert {act.function for act in found(tree, Act).values()} == {"relu6"}
    assert set(found(tree, BatchNorm).values()) == {BatchNorm(eps=1e-3, momentum=0.01)}
    assert not any(conv.bias for conv in found(tree, Conv).values())


@pytest.mark.parametrize("size", [224, 225, 64, 33])
def test_strides_are_padded_as_tensorflow_does(size):
    """An even image gets its zeros at the far end alone, so each stage halves it and rounds up."""
    tree = network("efficientnet_lite0", size=size)
    pads = found(tree, PadSame)
    assert [pad.kernel for pad in pads.values()] == [3, 3, 5, 3, 5]
    sides = [size]
    for _ in range(5):
        sides.append(-(-sides[-1] // 2))
    assert [
        tree.trace().stages[name].shape.spatial[0] for name in ("stem", "stage2", "stage3", "stage4", "stage6")
    ] == (sides[1:])


def test_half_of_the_zeros_would_be_another_network():
    """The near corner of an even image: TensorFlow puts no zeros before it."""
    stem = build(network("efficientnet_lite0"), seed=0).eval().get_submodule("stem")
    x = torch.zeros(1, 3, 8, 8)
    x[:, :, 0, 0] = 1.0
    assert torch.equal(stem.pad(x), torch.nn.functional.pad(x, (0, 1, 0, 1)))
    assert torch.allclose(stem.conv(stem.pad(x))[0, :, 0, 0], stem.conv.weight[:, :, 0, 0].sum(1))


def test_branches_are_dropped_more_often_by_the_unit():
    rates = [node.drop for node in found(network("efficientnet_lite0"), DropPath).values()]
    assert rates == pytest.approx([0.2 * unit / 16 for unit in (2, 4, 6, 7, 9, 10, 12, 13, 14)])


def test_the_form_for_small_images_ends_at_4x4_with_the_same_weights():
    tree = network("efficientnet_lite0", classes=10)
    small = edit(tree, "small_images")
    assert small.trace().stages["final"].shape.spatial == (4, 4)
    assert cost(small).params == cost(tree).params
    assert [pad.stride for pad in found(small, PadSame).values()] == [1, 1, 2, 2, 2]


@pytest.mark.parametrize("name", AUTHORS)
def test_names_that_count_the_units_through_all_stages(name):
    tree = network(name)
    names = renamings(tree)[1]
    assert names.source == "EfficientNet-PyTorch"
    ours = list(build(tree, device="meta").state_dict())
    theirs = [original(key, names) for key in ours]
    assert None not in theirs
    assert [renamed(key, names) for key in theirs] == ours
    units = sum(AUTHORS[name][4])
    assert {key.split(".")[1] for key in theirs if key.startswith("_blocks.")} == {str(i) for i in range(units)}
    assert len([key for key in theirs if "_expand_conv" in key]) == units - 1


def test_weights_load_by_those_names_and_no_others():
    tree = network("efficientnet_lite0", classes=3)
    names = renamings(tree)[1]
    state = build(tree, seed=1).state_dict()
    theirs = {original(key, names): value for key, value in state.items()}
    module = build(tree, seed=2)
    assert load_weights(module, theirs) == "EfficientNet-PyTorch names"
    assert all(torch.equal(module.state_dict()[key], value) for key, value in state.items())
    more = {**theirs, "_blocks.16._bn0.bias": torch.zeros(8)}
    with pytest.raises(UsageError, match=r"unknown 1: _blocks\.16\._bn0\.bias"):
        load_weights(module, more)
    with pytest.raises(UsageError, match=r"missing 2: "):
        load_weights(module, {key: value for key, value in theirs.items() if not key.startswith("_fc.")})
    deeper = build(network("efficientnet_lite1", classes=3), seed=0)
    with pytest.raises(UsageError, match=r"do not fit efficientnet_lite1 "):
        load_weights(deeper, theirs)


def test_wider_and_deeper_by_the_familys_rule():
    wide = edit(network("efficientnet_lite0"), "widen(1.4)")
    deep = edit(wide, "deepen(1.8)")
    assert [stage for _, stage in deep.stages[1:8]] == [stage for _, stage in network("efficientnet_lite4").stages[1:8]]
    assert EFFICIENTNET_LITE.build(width=1.4, depth=1.8, dropout=0.3, size=300).stages == (
        network("efficientnet_lite4").stages
    )
