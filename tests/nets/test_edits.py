"""Edits of networks: what they change, what they record and what they refuse."""

import re
import warnings

import pytest
import torch

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets import edits
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Conv, DropPath
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Add, rewrite, walk
from convsmith.nets.zoo import EDITS, NETWORKS, edit, network, small_images


def nodes(tree, kind):
    return [(path, node) for name, root in tree.stages for path, node in walk(root, name) if isinstance(node, kind)]


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "alexnet", "vgg11_bn", "resnet18", "resnet20_cifar"])
def test_classes_changes_the_last_layer_alone(name):
    before = network(name)
    after = edits.classes(before, 3)
    assert after.classes == 3
    assert after.edits == ("classes(3)",)
    assert after.stages == before.stages
    rows = [(a.params, b.params) for a, b in zip(cost(before).layers, cost(after).layers, strict=True)]
    assert all(a == b for a, b in rows[:-1])


def test_classes_finds_a_convolution_in_the_head(one_stage):
    tree = edits.classes(one_stage(Conv(4), (3, 8, 8), Conv(10, 1)), 5)
    assert dict(tree.heads)["head"] == Conv(5, 1)


def test_a_head_without_a_layer_has_no_classes(one_stage):
    with pytest.raises(UsageError, match=r"tiny: the head has no linear layer or convolution to give 5 classes"):
        edits.classes(one_stage(Conv(4), (3, 8, 8)), 5)


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet18"])
def test_channels_changes_the_first_layer(name):
    tree = edits.channels(network(name), 5)
    assert tree.input.channels == 5
    assert tree.edits == ("channels(5)",)
    first = next(iter(build(tree, device="meta").state_dict().values()))
    assert first.shape[1] == 5


def test_size_changes_the_input():
    tree = edits.size(network("resnet18"), 64, 96)
    assert tree.input == Shape(3, (64, 96))
    assert tree.edits == ("size(64, 96)",)
    assert edits.size(network("resnet18"), 128).input.spatial == (128, 128)
    assert cost(tree).params == cost(network("resnet18")).params
    assert cost(edits.size(network("lenet5"), 36)).params == 61_706 + 120 * 84 * 3


def test_a_size_that_does_not_fit_is_refused_with_the_place():
    with pytest.raises(UsageError, match=r"^stage3\.conv: a convolution spans 5 positions and receives 4 "):
        edits.size(network("lenet5"), 28)


SMALL = {
    "resnet18": ([("stem", 1), ("stage1", 1), ("stage2", 2), ("stage3", 4), ("stage4", 8)], 11_173_962),
    "resnet50": ([("stem", 1), ("stage1", 1), ("stage2", 2), ("stage3", 4), ("stage4", 8)], 23_520_842),
    "vgg16_bn": ([("stage1", 2), ("stage2", 4), ("stage3", 8), ("stage4", 16), ("stage5", 32)], 14_728_266),
    "alexnet": ([("stage1", 2), ("stage2", 4), ("stage3", 8)], 2_451_264 + 9_441_280 + 16_781_312 + 40_970),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_images(name):
    # kuangliu/pytorch-cifar has these counts of ResNet-18 and -50; the VGG has 14,723,136 + 5,130, the AlexNet its
    # convolutions and three linear layers, by hand.
    tree = edit(network(name, classes=10), "small_images")
    strides, params = SMALL[name]
    module = build(tree, device="meta")
    assert tree.input == Shape(3, (32, 32))
    assert tree.edits == ("small_images",)
    assert [(f.name, f.stride[0]) for f in module.feature_info()] == strides
    assert module(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)
    assert cost(tree).params == params


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, row in NETWORKS.items()
        if max(network(name).input.spatial) >= 128
        and len(network(name).input.spatial) == 2
        and row.family.name != "mirrored_vgg"  # whose size is a number
    ],
)
def test_every_large_network_has_a_form_for_small_images(name):
    tree = small_images(network(name, classes=10, channels=1))
    assert tree.classes == 10
    assert tree.input == Shape(1, (32, 32))


@pytest.mark.parametrize("name", ["lenet5", "resnet20_cifar"])
def test_a_family_without_a_rule_for_small_images_says_which_have_one(name):
    family = network(name).family
    with pytest.raises(UsageError) as error:
        small_images(network(name))
    text, _, having = str(error.value).partition("; these have: ")
    assert text == f"small_images: the family '{family}' has no rule for small images"
    assert "alexnet" in having.split(", ")


@pytest.mark.parametrize("name", ["resnet20_cifar", "resnet20_b_cifar", "resnet50"])
def test_plain_leaves_no_sum(name):
    before = network(name)
    after = edits.plain(before)
    assert nodes(before, Add)
    assert not nodes(after, Add)
    shortcuts = sum(row.params for row in cost(before).layers if ".shortcut." in row.name)
    assert cost(before).params - cost(after).params == shortcuts
    assert after.edits == ("plain",)
    assert "stage1.unit1.conv1.weight" in build(after, device="meta").state_dict()


def test_plain_branches_are_not_dropped():
    tree = edits.plain(edits.drop_path(network("resnet20_cifar"), 0.5))
    assert not nodes(tree, DropPath)
    assert tree.stages == edits.plain(network("resnet20_cifar")).stages
    assert not nodes(edits.plain(network("efficientnet_b0")), DropPath)


def test_drop_path_follows_the_linear_rule():
    tree = edits.drop_path(network("resnet20_cifar"), 0.9, "batch")
    drops = nodes(tree, DropPath)
    assert [node.drop for _, node in drops] == pytest.approx([0.1 * i for i in range(1, 10)])
    assert {node.by for _, node in drops} == {"batch"}
    assert drops[0][0] == "stage1.unit1.branch.drop_path"
    assert tree.edits == ("drop_path(0.9, 'batch')",)
    assert (
        build(tree, device="meta").state_dict().keys()
        == build(network("resnet20_cifar"), device="meta").state_dict().keys()
    )


def test_drop_path_in_cells_follows_the_cells_number():
    tree = edits.drop_path(network("nasnet_a_6_768_cifar"), 0.4)
    rates = {}
    for path, node in nodes(tree, DropPath):
        rates.setdefault(path.split(".block")[0], set()).add(node.drop)
    assert len(rates) == 20  # 18 normal cells and two reductions
    assert [rate for values in rates.values() for rate in values] == pytest.approx([0.02 * i for i in range(1, 21)])


def test_drop_path_again_replaces_the_rate():
    twice = edits.drop_path(edits.drop_path(network("resnet18"), 0.5), 0.2)
    assert twice.stages == edits.drop_path(network("resnet18"), 0.2).stages
    assert twice.edits == ("drop_path(0.5)", "drop_path(0.2)")


def test_dropping_every_branch_leaves_the_shortcuts():
    tree = edits.drop_path(network("resnet20_cifar"), 0.999999, "batch")
    change = {path: DropPath(0.999999, "batch") for path, _ in nodes(tree, DropPath)}
    tree = edits.edit_stages(tree, lambda path, node: change.get(path, node))
    module = build(tree, seed=0)
    torch.manual_seed(0)
    x = torch.rand(2, 3, 32, 32)
    found = module.features(x, ["stem", "stage1"])
    assert torch.equal(found["stem"], found["stage1"])


@pytest.mark.parametrize("drop", [-0.1, 1, 1.5, float("nan")])
def test_drop_path_takes_a_probability(drop):
    with pytest.raises(UsageError, match=f"drop_path: expected a probability from 0 to below 1, received {drop}"):
        edits.drop_path(network("resnet18"), drop)


def test_drop_path_is_by_sample_or_batch():
    with pytest.raises(UsageError, match=r"drop_path: by is 'sample' or 'batch', received 'row'"):
        edits.drop_path(network("resnet18"), 0.1, "row")


@pytest.mark.parametrize("count", [0, -2])
@pytest.mark.parametrize("name", ["classes", "channels"])
def test_counts_are_positive(name, count):
    with pytest.raises(UsageError, match=f"^{name}: expected at least 1, received {count}$"):
        EDITS[name](network("lenet5"), count)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vgg11", "plain"),
        ("alexnet", "drop_path=0.2"),
        ("lenet5", "classes=10"),
        ("lenet5", "size=32"),
        ("vgg11", "channels=3"),
    ],
)
def test_an_edit_without_effect_warns(name, text):
    recorded = text.replace("=", "(") + ")" if "=" in text else text
    recorded = recorded.replace("size(32)", "size(32, 32)")
    with pytest.warns(UserWarning, match=f"^the edit {re.escape(recorded)} changed nothing in {name}$"):
        assert edit(network(name), text).edits == (recorded,)


def test_an_edit_with_effect_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edit(network("resnet18"), "plain")


TEXTS = {
    "drop_path=0.2": "drop_path(0.2)",
    "drop_path(0.2)": "drop_path(0.2)",
    "drop_path( drop=0.2 )": "drop_path(0.2)",
    "drop_path=0.2,batch": "drop_path(0.2, 'batch')",
    "drop_path(0.2, by='batch')": "drop_path(0.2, 'batch')",
    "drop_path=0": "drop_path(0)",
    "classes=7": "classes(7)",
    "classes(count=7)": "classes(7)",
    "size=64,96": "size(64, 96)",
    "size(64, width=96)": "size(64, 96)",
    "plain": "plain",
    "plain()": "plain",
    " small_images ": "small_images",
}


@pytest.mark.parametrize("text", TEXTS)
def test_edits_are_read_from_text_and_recorded_so_that_they_read_again(text):
    tree = edit(network("resnet18"), text)
    assert tree.edits == (TEXTS[text],)
    assert edit(network("resnet18"), tree.edits[0]) == tree


WRONG = {
    "classes": "the edit is classes(count: int): missing a required argument: 'count'",
    "classes=ten": "the edit is classes(count: int): count cannot be 'ten'",
    "classes=1.5": "the edit is classes(count: int): count cannot be 1.5",
    "classes=True": "the edit is classes(count: int): count cannot be True",
    "classes(1, 2)": "the edit is classes(count: int): too many positional arguments",
    "plain=1": "the edit is plain(): too many positional arguments",
    "drop_path=a": "the edit is drop_path(drop: float, by: str = 'sample'): drop cannot be 'a'",
    "classes(3, rate=1)": "the edit is classes(count: int): got an unexpected keyword argument 'rate'",
    "drop_path=0.2,3": "the edit is drop_path(drop: float, by: str = 'sample'): by cannot be 3",
    "size=32,a": "the edit is size(height: int, width: int | None = None): width cannot be 'a'",
    "size=32,1.5": "the edit is size(height: int, width: int | None = None): width cannot be 1.5",
    "classes(": "cannot read 'classes('; write it as name or name(argument, ...)",
    "": "cannot read ''; write it as name or name(argument, ...)",
    "1+1": "cannot read '1+1'; write a name, with arguments in brackets where it takes some: crop(4)",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_arguments_are_refused_with_the_form_of_the_edit(text):
    with pytest.raises(UsageError) as error:
        edit(network("resnet18"), text)
    assert str(error.value) == WRONG[text]


@pytest.mark.parametrize("text", ["size=0", "size=-5", "size=32,0", "size=32,-1"])
def test_a_size_is_positive(text):
    with pytest.raises(UsageError):
        edit(network("resnet18"), text)


def test_an_unknown_edit_names_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown edit 'droppath'; nearest: drop_path"):
        edit(network("resnet18"), "droppath=0.1")


def test_edits_leave_the_first_network_alone():
    tree = network("resnet18")
    before = tree.to_json()
    for text in ("plain", "classes=3", "small_images", "drop_path=0.1", "channels=1", "size=64"):
        edit(tree, text)
    assert tree.to_json() == before


def test_edits_are_kept_in_their_order():
    tree = edit(edit(network("resnet18"), "classes=3"), "plain")
    assert tree.edits == ("classes(3)", "plain")
    assert network("plain18").edits == ("plain",)
    assert rewrite(tree.stages[0][1], lambda _, node: node) is tree.stages[0][1]
