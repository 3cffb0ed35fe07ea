"""What tells one tree from another."""

from dataclasses import replace

import pytest

from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AvgPool, Conv, Linear, MaxPool
from convsmith.nets.shape import Shape
from convsmith.nets.tree import add, cat, seq, walk
from convsmith.nets.views.difference import difference
from convsmith.nets.zoo import edit, network


def layers_of(tree):
    return [path for name, root in tree.stages + tree.heads for path, node in walk(root, name)]


def tree(stages, **fields):
    numbers = {"name": "own", "family": "own", "input": Shape(3, (8, 8)), "heads": (("head", Linear(2)),)} | fields
    return Network(stages=tuple(stages.items()), **numbers)


@pytest.mark.parametrize("name", ["lenet5", "resnet20_cifar", "googlenet", "densenet121"])
def test_a_tree_differs_not_from_itself_read_again_under_another_name(name):
    first = network(name)
    again = replace(Network.from_json(first.to_json()), name="another", family="own", numbers={}, edits=("plain",))
    assert not difference(first, again)


def test_a_field_of_a_layer():
    found = difference(network("resnet20_cifar"), edit(network("resnet20_cifar"), "classes=7"))
    assert (found.only_first, found.only_second) == ({}, {})
    assert found.changed == {"head.linear": {"channels": (10, 7)}}


def test_wider_layers_are_all_named():
    found = difference(network("resnet20_cifar"), edit(network("resnet20_cifar"), "widen=2"))
    wider = {"stage1": (16, 32), "stage2": (32, 64), "stage3": (64, 128)}
    convs = [path for path in layers_of(network("resnet20_cifar")) if ".branch.conv" in path]
    assert len(convs) == 18
    assert {path: fields for path, fields in found.changed.items() if "conv" in path} == {
        path: {"channels": wider[path.partition(".")[0]]} for path in convs
    }
    # The first unit now has more channels than the stem.
    assert (found.only_first, found.only_second) == ({}, {"stage1.unit1.shortcut.pad": 1})


def test_deeper_stages_are_named_by_their_new_units_alone():
    found = difference(network("resnet20_cifar"), network("resnet32_cifar"))
    added = [path for path in found.only_second if ".unit" in path]
    assert added == [f"stage{stage}.unit{unit}" for stage in (1, 2, 3) for unit in (4, 5)]
    assert found.only_first == {}
    assert found.only_second["stage1.unit4"] == 5  # two convolutions, two norms and the act between them
    back = difference(network("resnet32_cifar"), network("resnet20_cifar"))
    assert (back.only_first, back.only_second) == (found.only_second, {})


def test_another_operator_order_and_input():
    first = tree({"body": seq(a=Conv(4, 3), pool=MaxPool(2, 2), act=Act("relu"))})
    second = tree({"body": seq(a=Conv(4, 3), act=Act("relu"), pool=AvgPool(2, 2))}, input=Shape(1, (9, 9)))
    assert difference(first, second).changed == {
        "": {"input": ((3, 8, 8), (1, 9, 9))},
        "body": {"children": (("a", "pool", "act"), ("a", "act", "pool"))},
        "body.pool": {"op": ("max_pool", "avg_pool")},
    }


def test_a_node_that_became_quite_another_is_told_alone():
    first = tree({"body": seq(a=Conv(4, 3), b=Conv(4, 1))})
    second = tree({"body": seq(a=add(x=Conv(4, 3), y=seq(one=Conv(4, 3), two=Act("relu"))), b=Conv(4, 1))})
    for one, other, ops in ((first, second, ("conv", "add")), (second, first, ("add", "conv"))):
        found = difference(one, other)
        assert (found.changed, found.only_first, found.only_second) == ({"body.a": {"op": ops}}, {}, {})
    plain = difference(network("resnet20_cifar"), edit(network("resnet20_cifar"), "plain"))
    units = [f"stage{stage}.unit{unit}" for stage in (1, 2, 3) for unit in (1, 2, 3)]
    assert plain.changed == {unit: {"op": ("add", "seq")} for unit in units}
    assert (plain.only_first, plain.only_second) == ({}, {})


def test_inside_another_combinator_what_has_the_same_names_is_compared():
    first = tree({"body": add(x=Conv(4, 3), y=Conv(4, 3))})
    second = tree({"body": cat(x=Conv(4, 3), y=Conv(6, 3), z=Conv(2, 3))})
    found = difference(first, second)
    assert found.changed == {"body": {"op": ("add", "cat")}, "body.y": {"channels": (4, 6)}}
    assert (found.only_first, found.only_second) == ({}, {"body.z": 1})


def test_what_the_nodes_do_not_say():
    found = difference(network("resnet20_cifar"), edit(network("resnet20_cifar"), "recompute=1"))
    assert found.changed == {"": {"recompute": (0, 1)}}
    other = replace(network("resnet20_cifar"), init="he_in")
    assert difference(network("resnet20_cifar"), other).changed == {
        "": {"init": (network("resnet20_cifar").init, "he_in")}
    }
