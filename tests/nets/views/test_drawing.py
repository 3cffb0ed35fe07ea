"""The tree as a diagram: repeats drawn once, branches, gates and kept values shown, for every network of the zoo."""

from xml.etree import ElementTree

import pytest

from convsmith.nets.ops import Act, AdaptiveAvgPool, AvgPoolSame, Conv, DropPath, FractionalMaxPool, StochasticPool
from convsmith.nets.tree import IDENTITY, Keep, Use, add, gate, seq
from convsmith.nets.views.drawing import diagram, draw
from convsmith.nets.zoo import NETWORKS, edit, network
from convsmith.report.svg import BLUE, GREEN


def texts(drawing):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(drawing).iter() if node.tag.endswith("text")]


@pytest.mark.spread(4)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_drawn(name):
    tree = network(name)
    drawing = diagram(tree)
    found = texts(drawing)
    assert {stage for stage, _ in tree.stages} <= set(found)
    assert len(drawing) < 500_000
    ElementTree.fromstring(draw(tree))


def test_resnet50_shows_its_repeats_and_what_the_first_units_have_of_their_own():
    found = texts(diagram(network("resnet50")))
    assert [text for text in found if text.endswith("×")] == ["3×", "4×", "6×", "3×"]
    assert found.count("first: stride 2, 1×1 shortcut") == 3
    assert found.count("first: 1×1 shortcut") == 1
    assert found.count("+") == 4
    assert {"conv 7×7, 64 /2", "max pool 3×3 /2", "global average pool", "linear 1000", "512×28×28"} <= set(found)


def test_repeats_fold_whatever_their_rates_of_dropping():
    found = texts(diagram(edit(network("resnet20_cifar"), "drop_path=0.2")))
    assert [text for text in found if text.endswith("×")] == ["3×"] * 3
    assert "first: stride 2, padded shortcut" in found


def test_gates_and_kept_values_are_drawn(one_stage):
    squeeze = gate(pool=AdaptiveAvgPool(1), conv=Conv(4, 1), act=Act("sigmoid"))
    tree = one_stage(
        seq(conv=Conv(4, 3), keep=Keep("skip"), gate=squeeze, join=add(a=IDENTITY, b=Use("skip"))), (3, 9, 9)
    )
    found = texts(diagram(tree))
    assert {"×", "+", "keep skip", "use skip", "global average pool", "conv 1×1, 4", "sigmoid"} <= set(found)


def test_repeats_with_kept_values_of_their_own(one_stage):
    def unit(a, b):
        return seq(
            conv=Conv(4, 3, padding=1), join=add(a=seq(use=Use(a), conv=Conv(4, 1)), b=seq(use=Use(b), act=Act()))
        )

    kept = {"conv1": Conv(4, 1), "keep1": Keep("x"), "conv2": Conv(4, 3, padding=1), "keep2": Keep("y")}

    def drawn(**units):
        return texts(diagram(one_stage(seq(**kept, **units), (3, 9, 9))))

    alike = drawn(u1=unit("x", "y"), u2=unit("y", "x"), u3=unit("x", "y"))
    assert {"3×", "each with its own kept values"} <= set(alike)
    different = drawn(u1=unit("x", "y"), u2=unit("x", "x"), u3=unit("x", "y"))
    assert "3×" not in different
    same = drawn(u1=unit("x", "x"), u2=unit("x", "x"), u3=unit("x", "x"))
    assert "3×" in same
    assert "each with its own kept values" not in same


def test_the_first_of_repeats_may_lack_a_drop_path(one_stage):
    units = {f"u{i}": add(a=seq(conv=Conv(3, 1), drop=DropPath(i / 10) if i else None), b=IDENTITY) for i in range(3)}
    assert "3×" in texts(diagram(one_stage(seq(**units), (3, 9, 9))))


def test_the_picture_of_stages_leaves_out_auxiliary_heads():
    for name in NETWORKS:
        tree = network(name)
        if len(tree.heads) > 1:
            found = texts(draw(tree))
            assert "head" in found
            assert not {head for head, _ in tree.heads if head != "head"} & set(found)


@pytest.mark.parametrize("leaf", [AvgPoolSame(3, 2), StochasticPool(2), AdaptiveAvgPool(1), FractionalMaxPool(1.5)])
def test_every_pool_is_drawn_as_a_pool(leaf, one_stage):
    drawing = diagram(one_stage(seq(conv=Conv(4), pool=leaf), (3, 8, 8)))
    assert drawing.count(f'stroke="{BLUE}"') == 1
    assert drawing.count(f'stroke="{GREEN}"') == 1
