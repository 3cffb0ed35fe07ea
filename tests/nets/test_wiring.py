"""The combinators, `keep` and `use`, and the places a built network answers for."""

from dataclasses import replace

import pytest
import torch

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import WIRINGS, Feature, build
from convsmith.nets.modules.layers import Keeping, Using
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveAvgPool, AvgPool, Conv, Flatten, Linear, MaxPool
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, RESERVED, Keep, Seq, Use, add, cat, gate, rewrite, seq, walk
from convsmith.nets.zoo import network


def conv(channels, stride=1):
    return Conv(channels, 3, stride, 1)


def unet():
    """Two levels with skips, a bottom and an auxiliary head that reads the bottom."""
    down1 = seq(conv=conv(4), keep=Keep("skip1"), pool=MaxPool(2, 2))
    down2 = seq(conv=conv(6), keep=Keep("skip2"), pool=MaxPool(2, 2))
    merged = cat(up=Use("bottom"), skip=seq(use=Use("skip2"), pool=AvgPool(2, 2)))
    last = seq(use=Use("skip1"), conv=conv(3), pool=AvgPool(4, 4))
    return Network(
        name="unet",
        family="unet",
        input=Shape(1, (16, 16)),
        stages=(("down1", down1), ("down2", down2), ("bottom1", seq(conv=conv(8), keep=Keep("bottom"))),
                ("up", seq(merged=merged, conv=conv(5), both=cat(a=IDENTITY, b=last)))),
        heads=(("head", seq(flatten=Flatten(), linear=Linear(2))),
               ("aux", seq(use=Use("bottom"), pool=AdaptiveAvgPool(1), flatten=Flatten(), linear=Linear(3)))),
    )  # fmt: skip


@pytest.fixture
def image():
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def by_hand(module, x):
    part = {name: m for name, m in module.named_modules() if not list(m.children())}
    pool2, pool4 = torch.nn.AvgPool2d(2, 2), torch.nn.AvgPool2d(4, 4)
    skip1 = part["down1.conv"](x)
    skip2 = part["down2.conv"](torch.nn.functional.max_pool2d(skip1, 2))
    bottom = part["bottom1.conv"](torch.nn.functional.max_pool2d(skip2, 2))
    up = part["up.conv"](torch.cat([bottom, pool2(skip2)], 1))
    up = torch.cat([up, pool4(part["up.both.b.conv"](skip1))], 1)
    return {
        "skip1": skip1, "skip2": skip2, "bottom": bottom, "bottom1": bottom, "up": up,
        "head": part["head.linear"](up.flatten(1)), "aux": part["aux.linear"](bottom.mean((2, 3))),
    }  # fmt: skip


def test_kept_values_reach_their_uses(image):
    module = build(unet(), seed=0)
    expected = by_hand(module, image)
    output, found = module(image, at=["aux", "up", "skip1", "skip2", "bottom", "bottom1", "head"])
    assert list(found) == ["aux", "up", "skip1", "skip2", "bottom", "bottom1", "head"]
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])
    assert torch.equal(output, found["head"])
    assert torch.equal(module(image), output)


def test_the_tree_knows_the_shapes_of_what_is_kept(image):
    tree = unet()
    ends = tree.trace().stages
    _, found = build(tree, seed=0)(image, at=list(ends))
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == {
        n: tuple(s.shape) for n, s in ends.items()
    }
    assert tree.classes == 2


def test_a_kept_value_is_freed_after_its_last_use(image):
    module = build(unet(), seed=0)
    last = {path: m.last for path, m in module.named_modules() if isinstance(m, Using)}
    assert last == {"up.merged.up": False, "up.merged.skip.use": True, "up.both.b.use": True, "aux.use": True}
    held = []
    stage = module.get_submodule("up")
    stage.register_forward_hook(lambda layer, inputs, output: held.append(sorted(inputs[1].values)))
    module(image)
    module(image, at=["skip2"])
    assert held == [["bottom"], ["bottom", "skip2"]]


def test_a_value_kept_again_replaces_the_first(one_stage):
    tree = one_stage(
        seq(a=Keep("v"), c=conv(2), u=add(x=Use("v"), y=IDENTITY), again=Keep("v"), d=conv(2), w=Use("v")), (2, 4, 4)
    )
    module = build(tree, seed=0)
    x = torch.ones(1, 2, 4, 4)
    torch.testing.assert_close(module(x), x + module.get_submodule("stage1.c")(x))


def test_features_skip_the_heads(image):
    module = build(unet(), seed=0)
    ran = []
    module.get_submodule("head").register_forward_hook(lambda *_: ran.append("head"))
    assert list(module.features(image)) == ["down1", "down2", "bottom1", "up"]
    assert list(module.features(image, ["up", "skip1"])) == ["up", "skip1"]
    assert not ran
    with pytest.raises(UnknownName, match=r"^unknown place in unet: 'head'; "):
        module.features(image, ["head"])


def test_feature_info_is_known_without_running():
    assert build(unet(), device="meta").feature_info() == [
        Feature("down1", 4, (2, 2)),
        Feature("down2", 6, (4, 4)),
        Feature("bottom1", 8, (4, 4)),
        Feature("up", 8, (4, 4)),
    ]
    info = build(network("resnet50"), device="meta").feature_info()
    assert [f.stride[0] for f in info] == [4, 4, 8, 16, 32]
    assert [f.channels for f in info] == [64, 256, 512, 1024, 2048]


@pytest.mark.parametrize("at", [["dwon1"], ["down1", "nothing"]])
def test_an_unknown_place_is_an_error_that_lists_the_places(at, image):
    with pytest.raises(UnknownName, match=rf"^unknown place in unet: '{at[-1]}'; (nearest: down1|known: )"):
        build(unet(), seed=0)(image, at=at)


def test_a_use_before_its_keep_is_an_error_that_names_it(one_stage):
    with pytest.raises(UnknownName, match=r"^unknown kept value at stage1\.u: 'skip'; there are none$"):
        build(one_stage(seq(u=Use("skip"), k=Keep("skip")), (1, 4, 4)))
    with pytest.raises(UnknownName, match=r"^unknown kept value at stage1\.u: 'skpi'; nearest: skip$"):
        cost(one_stage(seq(k=Keep("skip"), u=Use("skpi")), (1, 4, 4)))


def test_a_part_that_uses_anothers_value_cannot_run_alone(image):
    with pytest.raises(UsageError, match=r"the value 'bottom' is kept by another part: run the whole network"):
        build(unet(), seed=0).get_submodule("aux")(image)


def test_keep_and_use_alone(image):
    assert Keeping("v")(image) is image
    assert repr(Keeping("v")) == "Keeping('v')"
    assert repr(Using("v", last=True)) == "Using('v')"


def test_gradients_reach_every_part_of_a_network_with_skips(image):
    module = build(unet(), seed=0)
    output, found = module(image, at=["aux"])
    (output.sum() + found["aux"].sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_a_stage_may_be_a_single_operator(image):
    tree = Network(
        name="bare", family="bare", input=Shape(1, (16, 16)),
        stages=(("conv", conv(3)), ("keep", Keep("k")), ("act", Act("relu"))),
        heads=(("head", seq(use=Use("k"), flatten=Flatten(), linear=Linear(2))),),
    )  # fmt: skip
    module = build(tree, seed=0)
    output, found = module(image, at=["k", "conv", "act"])
    assert torch.equal(found["k"], found["conv"])
    assert torch.equal(found["act"], found["conv"].relu())
    assert output.shape == (2, 2)


def test_add_cat_and_gate_by_hand(one_stage):
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    module = build(one_stage(add(a=conv(4), b=IDENTITY, c=conv(4)), (4, 5, 5)), seed=0)
    a, c = (module.get_submodule(f"stage1.{n}") for n in "ac")
    assert torch.equal(module(x), a(x) + x + c(x))
    module = build(one_stage(cat(a=conv(2), b=IDENTITY), (4, 5, 5)), seed=0)
    assert torch.equal(module(x), torch.cat([module.get_submodule("stage1.a")(x), x], 1))
    squeeze = gate(pool=AdaptiveAvgPool(1), conv=Conv(4, 1), act=Act("sigmoid"))
    module = build(one_stage(squeeze, (4, 5, 5)), seed=0)
    torch.testing.assert_close(
        module(x), x * module.get_submodule("stage1.conv")(x.mean((2, 3), keepdim=True)).sigmoid()
    )


@pytest.mark.parametrize("map", [gate(conv=Conv(1, 3, padding=1)), gate(pool=AdaptiveAvgPool((1, 5)))])
def test_a_gate_may_broadcast(map, one_stage):
    tree = one_stage(map, (4, 5, 5))
    assert build(tree)(torch.ones(2, 4, 5, 5)).shape == (2, 4, 5, 5)
    assert tuple(tree.trace().stages["stage1"].shape) == (4, 5, 5)


MISFITS = {
    "add": (add(a=conv(4), b=conv(5)), "add needs branches of one shape, received 4x8x8, 5x8x8"),
    "add sizes": (add(a=conv(4), b=conv(4, 2)), "add needs branches of one shape, received 4x8x8, 4x4x4"),
    "cat": (cat(a=conv(4), b=conv(5, 2)), "cat needs branches of one spatial size, received 4x8x8, 5x4x4"),
    "gate channels": (gate(a=conv(4)), "a gate of 4x8x8 cannot scale an input of 3x8x8"),
    "gate sizes": (gate(a=conv(3, 2)), "a gate of 3x4x4 cannot scale an input of 3x8x8"),
    "gate vector": (gate(a=AdaptiveAvgPool(1), b=Flatten()), "a gate of 3 cannot scale an input of 3x8x8"),
    "no child": (add(), "add has no children"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_branches_that_do_not_fit_are_named_with_their_place(name, one_stage):
    node, text = MISFITS[name]
    with pytest.raises(UsageError) as error:
        one_stage(seq(conv=conv(3), unit=node), (3, 8, 8)).trace()
    assert str(error.value) == f"stage1.unit: {text}"


def test_the_empty_sequence_is_the_identity(one_stage):
    module = build(one_stage(IDENTITY, (3, 4)))
    x = torch.ones(2, 3, 4)
    assert module(x) is x
    assert module.state_dict() == {}
    assert cost(one_stage(IDENTITY, (3, 4))).elementwise == 0


def test_joins_count_their_element_operations(one_stage):
    size = 3 * 4 * 4
    assert cost(one_stage(add(a=IDENTITY, b=IDENTITY, c=IDENTITY), (3, 4, 4))).elementwise == 2 * size
    assert cost(one_stage(cat(a=IDENTITY, b=IDENTITY), (3, 4, 4))).elementwise == 0
    assert cost(one_stage(gate(a=Act("sigmoid")), (3, 4, 4))).elementwise == 2 * size


def test_reserved_names_are_all_that_torch_and_our_modules_hold():
    module = build(unet(), device="meta")
    parents = [torch.nn.Module(), module, *(wiring({}) for wiring in WIRINGS.values())]
    held = {name for parent in parents for name in dir(parent) if not name.startswith("_")}
    assert held - set(module._modules) <= RESERVED


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_is_refused(name):
    with pytest.raises(UsageError, match=f"a child cannot be called '{name}'"):
        Seq(((name, IDENTITY),))


@pytest.mark.parametrize("name", ["", "a.b", "1st", "_x", "a b", "../x", "a-b"])
def test_a_name_that_is_no_word_is_refused(name):
    with pytest.raises(UsageError, match=r"use letters, digits and underscores, no attribute of torch.nn.Module"):
        Seq(((name, IDENTITY),))


@pytest.mark.parametrize("name", ["name", "last", "stage", "conv", "norm", "weight", "bias", "only", "class"])
def test_other_names_are_free(name, one_stage):
    tree = replace(one_stage(seq(**{name: conv(2)}), (1, 4, 4)), stages=((name, seq(**{name: conv(2)})),))
    assert set(build(tree).state_dict()) == {f"{name}.{name}.weight", f"{name}.{name}.bias"}


def test_two_children_of_one_name_are_refused():
    with pytest.raises(UsageError, match=r"seq: two children have one name: a, b, a$"):
        Seq((("a", IDENTITY), ("b", IDENTITY), ("a", IDENTITY)))


def test_children_that_are_none_are_left_out():
    assert seq(a=None, b=IDENTITY) == seq(b=IDENTITY)
    assert add(a=None) == add()


def test_walk_and_rewrite():
    tree = seq(a=seq(b=conv(2), c=Act("relu")), d=add(e=IDENTITY))
    assert [path for path, _ in walk(tree)] == ["", "a", "a.b", "a.c", "d", "d.e"]
    assert [path for path, _ in walk(tree, "root")][:3] == ["root", "root.a", "root.a.b"]
    seen = []
    same = rewrite(tree, lambda path, node: seen.append(path) or node)
    assert same is tree
    assert seen == ["a.b", "a.c", "a", "d.e", "d", ""]
    wider = rewrite(tree, lambda _, node: replace(node, channels=5) if isinstance(node, Conv) else node)
    assert wider == seq(a=seq(b=conv(5), c=Act("relu")), d=add(e=IDENTITY))
