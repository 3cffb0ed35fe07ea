"""What `compare RUN RUN` prints of two trees; the differences themselves are tested with the trees."""

from dataclasses import replace

import pytest

from convsmith.cli.compare_trees import trees_as_json, trees_text
from convsmith.nets.ops import Conv
from convsmith.nets.source import Foreign
from convsmith.nets.tree import seq
from convsmith.nets.zoo import edit, network

TREE = network("resnet20_cifar")


def test_equal_trees_say_nothing():
    assert trees_text(["a", "b", "c"], [TREE, TREE, TREE]) == ""
    assert trees_as_json(["a", "b"], [TREE, TREE]) == [
        {"run": "b", "only_first": {}, "only_second": {}, "changed": {}}
    ]  # fmt: skip


def test_each_is_told_against_the_first():
    others = [edit(TREE, "classes=7"), TREE, edit(TREE, "dropout(0.25, head, plain)")]
    assert trees_text(["one", "two", "same", "three"], [TREE, *others]) == (
        "the tree of two against that of one\n"
        "head.linear: channels 10, 7\n"
        "\n"
        "the tree of three against that of one\n"
        "only in three: head.dropout"
    )


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("resnet18", "size(96, 64)", "network: input 3x224x224, 3x96x64"),
        ("lenet5", "act=relu", "stage1.act, stage2.act, stage3.act and 1 more: function tanh, relu"),
        ("vgg11", "pool=average", "stage1.pool, stage2.pool, stage3.pool and 2 more: operator max_pool, avg_pool"),
        ("alexnet", "dropout(0.5, head, plain)", "head.dropout1, head.dropout2: form inverted, plain"),
        ("resnet20_cifar", "plain", "stage1.unit1, stage1.unit2, stage1.unit3 and 6 more: operator add, seq"),
        ("lenet5_1998", "dropconnect=0.5", "head.linear: dropconnect 0, 0.5"),
    ],
)
def test_the_line_of_a_change(name, text, line):
    found = trees_text(["a", "b"], [network(name), edit(network(name), text)])
    assert found.splitlines() == ["the tree of b against that of a", line]


def test_equal_changes_share_a_line_and_the_rest_is_counted():
    wide = trees_text(["a", "b"], [TREE, edit(TREE, "widen=2")]).splitlines()
    convs = "stage1.unit1.branch.conv1, stage1.unit1.branch.conv2, stage1.unit2.branch.conv1"
    assert wide[1:3] == ["only in b: stage1.unit1.shortcut.pad", f"{convs} and 3 more: channels 16, 32"]
    assert "stage2.unit1.shortcut.pad: before 8, 16; after 8, 16" in wide
    assert len(trees_as_json(["a", "b"], [TREE, edit(TREE, "widen=2")])[0]["changed"]) == 20
    (_, deep) = trees_text(["a", "b"], [TREE, network("resnet32_cifar")]).splitlines()
    assert deep == (
        "only in b: stage1.unit4 (5 layers), stage1.act4, stage1.unit5 (5 layers), stage1.act5, "
        "stage2.unit4 (5 layers), stage2.act4, stage2.unit5 (5 layers), stage2.act5 and 4 more"
    )


def test_many_different_changes_are_counted():
    def chain(first):
        layers = {f"conv{i}": Conv(first + 2 * i, 1) for i in range(20)}
        return replace(TREE, stages=(("body", seq(**layers)),))

    lines = trees_text(["a", "b"], [chain(3), chain(4)]).splitlines()
    assert lines[1:3] == ["body.conv0: channels 3, 4", "body.conv1: channels 5, 6"]
    assert lines[13:] == ["and 8 more changes"]


def test_modules_have_no_layers_to_compare():
    one, other = Foreign("modules.py:make", {}, ""), Foreign("modules.py:other", {}, "")
    assert trees_text(["a", "b"], [one, one]) == ""
    sentence = "{}:{} is not a convsmith network; it was imported from modules.py, so its layers cannot be compared"
    assert trees_text(["a", "b"], [TREE, one]) == sentence.format("b: modules.py", "make")
    assert trees_text(["a", "b"], [one, TREE]) == sentence.format("a: modules.py", "make")
    assert trees_text(["a", "b"], [one, other]) == sentence.format("b: modules.py", "other")
    assert trees_as_json(["a", "b"], [one, TREE])[0]["changed"] is None


def test_names_of_runs_cannot_write_over_the_terminal():
    text = trees_text(["a", "b\x1b[2J"], [TREE, edit(TREE, "classes=7")])
    assert "\x1b" not in text
    assert "b\\x1b[2J" in text


def test_by_the_command(command, digit_runs, photo_run):
    assert "the tree of" not in command("compare", *digit_runs).out
    text = command("compare", digit_runs[0], photo_run[0]).out
    assert f"\nthe tree of {photo_run[0].name} against that of {digit_runs[0].name}\n" in text
    found = command("compare", digit_runs[0], photo_run[0], "--json").json["trees"]
    assert found["against"] == str(digit_runs[0])
    assert [row["run"] for row in found["runs"]] == [str(photo_run[0])]
    assert found["runs"][0]["only_first"] or found["runs"][0]["changed"]
