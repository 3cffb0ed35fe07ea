"""Trees from JSON that nobody of ours wrote."""

import copy
import json

import pytest

from convsmith.base.errors import UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.zoo import network


@pytest.fixture
def good():
    return json.loads(json.dumps(network("lenet5").to_json()))


def nested(depth):
    node = {"op": "flatten"}
    for _ in range(depth):
        node = {"op": "seq", "children": {"a": node}}
    return node


STAGE = {
    "unknown operator": ({"op": "convv", "channels": 3}, "unknown operator in stage1: 'convv'; nearest: conv"),
    "class path as operator": (
        {"op": "torch.nn.Conv2d", "channels": 3},
        "unknown operator in stage1: 'torch.nn.Conv2d'",
    ),
    "class path as field": (
        {"op": "conv", "channels": 3, "torch": "os.system"},
        "unknown key in stage1 'torch'; known: bias, channels, dilation, groups, kernel, padding, stride",
    ),
    "unknown field": ({"op": "conv", "channels": 3, "kernal": 3}, "unknown key in stage1 'kernal'; nearest: kernel"),
    "no operator": ({"channels": 3}, "stage1: expected an object with an 'op', received {'channels': 3}"),
    "operator that is not a text": (
        {"op": ["conv"]},
        "stage1: expected an object with an 'op', received {'op': ['conv']}",
    ),
    "text": ("conv(3)", "stage1: expected an object with an 'op', received 'conv(3)'"),
    "none": (None, "stage1: expected an object with an 'op', received None"),
    "wrong type": ({"op": "conv", "channels": [3]}, "stage1.channels: expected whole number, received [3]"),
    "fraction": ({"op": "conv", "channels": 3.5}, "stage1.channels: expected whole number, received 3.5"),
    "truth as number": ({"op": "conv", "channels": True}, "stage1.channels: expected whole number, received True"),
    "number as truth": ({"op": "conv", "channels": 3, "bias": 1}, "stage1.bias: expected true|false, received 1"),
    "no number": (
        {"op": "conv", "channels": 3, "kernel": [3, None]},
        "stage1.kernel: expected whole number|list of whole number, received [3, None]",
    ),
    "not finite": ({"op": "dropout", "drop": float("nan")}, "stage1.drop: expected a finite number, received nan"),
    "missing field": ({"op": "conv"}, "stage1: conv needs channels"),
    "another tag": (
        {"op": "conv", "kind": ["linear"], "channels": 3},
        "unknown kind in stage1 \"['linear']\"; known: conv",
    ),
    "children missing": ({"op": "seq"}, "stage1: seq takes an object of children and nothing else"),
    "children a list": ({"op": "add", "children": []}, "stage1: add takes an object of children and nothing else"),
    "more than children": (
        {"op": "seq", "children": {}, "path": "os"},
        "stage1: seq takes an object of children and nothing else",
    ),
    "bad child": (
        {"op": "seq", "children": {"a": {"op": "seq", "children": {"b": 3}}}},
        "stage1.a.b: expected an object",
    ),
    "reserved name": ({"op": "seq", "children": {"forward": nested(0)}}, "a child cannot be called 'forward'"),
    "dunder": ({"op": "seq", "children": {"__class__": nested(0)}}, "a child cannot be called '__class__'"),
    "path": ({"op": "seq", "children": {"a.b": nested(0)}}, "a child cannot be called 'a.b'"),
    "keep without name": ({"op": "keep"}, "stage1: keep needs name"),
    "too deep": (nested(65), "stage1" + 65 * ".a" + ": the tree is nested deeper than 64"),
    "far too deep": (nested(400), "stage1" + 65 * ".a" + ": the tree is nested deeper than 64"),
}


@pytest.mark.parametrize("name", STAGE)
def test_a_bad_node_is_refused_with_its_place(name, good):
    node, text = STAGE[name]
    good["stages"]["stage1"] = node
    with pytest.raises(UsageError) as error:
        Network.from_json(good)
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("key", network("lenet5").to_json())
def test_a_missing_field_is_named(key, good):
    del good[key]
    text = (
        "the network's format is None; this version of convsmith reads 1"
        if key == "format"
        else f"the network lacks '{key}'"
    )
    with pytest.raises(UsageError) as error:
        Network.from_json(good)
    assert str(error.value) == text


ROOT = {
    "format": (2, "the network's format is 2; this version of convsmith reads 1"),
    "name": ({}, "name: expected a JSON string, received {}"),
    "family": (None, "family: expected a JSON string, received None"),
    "numbers": ([], "numbers: expected a JSON object, received []"),
    "init": (3, "init: expected a JSON string, received 3"),
    "stages": ([1], "stages: expected a JSON object, received [1]"),
    "heads": ("head", "heads: expected a JSON object, received 'head'"),
    "edits": ("plain", "edits: expected a JSON array, received 'plain'"),
    "class": ("os.system", "unknown field of a network 'class'; known: "),
}


@pytest.mark.parametrize("key", ROOT)
def test_a_bad_field_is_named(key, good):
    good[key], text = ROOT[key]
    with pytest.raises(UsageError) as error:
        Network.from_json(good)
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("input", [[], ["a"], [1, 32.5], [1, -32, 32], [0, 32, 32], [True, 32, 32], [None], [[1]]])
def test_an_input_is_positive_whole_numbers(input, good):
    good["input"] = input
    with pytest.raises(UsageError) as error:
        Network.from_json(good)
    assert str(error.value) == f"input: expected channels and sizes of at least 1, received {input!r}"


@pytest.mark.parametrize("data", [None, [], "lenet5", 3])
def test_a_network_is_an_object(data):
    with pytest.raises(UsageError, match=r"^expected a network as a JSON object, received "):
        Network.from_json(data)


def test_edits_are_texts(good):
    good["edits"] = ["plain", 3]
    with pytest.raises(UsageError, match=r"^edits: expected texts, received \['plain', 3\]$"):
        Network.from_json(good)


def test_an_unknown_function_or_rule_is_found_before_it_is_used(good):
    tree = copy.deepcopy(good)
    tree["stages"]["stage1"]["children"]["act"]["function"] = "os.system"
    with pytest.raises(UsageError, match=r"^stage1\.act: unknown activation 'os\.system'"):
        build(Network.from_json(tree))
    good["init"] = "os.system"
    with pytest.raises(UsageError, match=r"^unknown initialization 'os\.system'"):
        build(Network.from_json(good))


def test_a_network_without_a_main_head_is_refused(good):
    good["heads"] = {}
    with pytest.raises(UsageError, match=r"lenet5: a network needs a head called 'head', has none"):
        Network.from_json(good)


def test_reading_does_not_change_the_data(good):
    before = copy.deepcopy(good)
    Network.from_json(good)
    assert good == before
