"""What parts give while a network runs: every path of a tree, other modules, compiled and wrapped ones."""

import copy
import gc
from dataclasses import replace

import pytest
import torch
import torchvision.models as peers
from torch import nn
from torch.optim.swa_utils import AveragedModel

from convsmith.base.errors import UnknownName, UsageError, WrongType
from convsmith.nets.modules.build import build
from convsmith.nets.modules.in_place import work_in_place
from convsmith.nets.modules.taps import hooked, taps
from convsmith.nets.network import MAIN, Network
from convsmith.nets.ops import Act, BatchNorm, Conv, Flatten, Linear, MaxPool
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Keep, Unpool, Use, add, seq
from convsmith.nets.zoo import edit, network

NETWORKS = {
    "resnet20_cifar": "size=16",
    "resnet18": "size=64",
    "googlenet": "size=64",
    "densenet40_12_cifar": "size=16",
    "mobilenet_v3_small": "size=64",
    "shufflenet_v2_x0_5": "size=64",
    "lenet5_1998": "classes=7",
}


def kept():
    """Kept values, an unpooling and a stage that is a single layer."""
    down = seq(conv=Conv(4, 3, 1, 1), norm=BatchNorm(), act=Act(), keep=Keep("skip"), pool=MaxPool(2, 2))
    up = seq(conv=Conv(4, 3, 1, 1), up=Unpool("skip"), sum=add(this=seq(), that=Use("skip")), act=Act())
    return Network(
        name="kept",
        family="kept",
        input=Shape(1, (8, 8)),
        stages=(("down", down), ("up", up), ("last", Conv(2))),
        heads=((MAIN, seq(flatten=Flatten(), linear=Linear(3))),),
    )


def trees():
    made = [edit(network(name), text) for name, text in NETWORKS.items()]
    return [kept(), *(edit(tree, "recompute=2") if tree.name == "resnet18" else tree for tree in made)]


def images_of(tree):
    return torch.randn(2, *tree.input, generator=torch.Generator().manual_seed(0))


def no_hooks(model):
    return not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("tree", trees(), ids=lambda tree: tree.name)
def test_every_path_of_a_tree_gives_its_value_also_where_later_layers_write_over_it(tree):
    plain, inside = build(tree, seed=1).eval(), build(tree, seed=1).eval()
    work_in_place(inside)
    heads = [name for name, _ in tree.heads]
    steps = [step for step in tree.trace().steps if step.path.split(".")[0] not in heads[1:]]
    paths, images = [step.path for step in steps], images_of(tree)
    expected = {}
    handles = [
        plain.get_submodule(path).register_forward_hook(lambda *a, path=path: expected.update({path: a[-1]}))
        for path in paths
    ]
    with torch.no_grad():
        output = plain(images)
        with taps(inside, paths) as seen:
            assert torch.equal(inside(images), output)
    for handle in handles:
        handle.remove()
    assert sorted(seen) == sorted(paths)
    assert [path for path in paths if not torch.equal(seen[path], expected[path])] == []
    assert {step.path: tuple(seen[step.path].shape[1:]) for step in steps} == {s.path: tuple(s.y.shape) for s in steps}
    assert no_hooks(inside)


@pytest.mark.parametrize("tree", trees(), ids=lambda tree: tree.name)
def test_gradients_are_those_of_an_untouched_network(tree):
    """In training, with everything tapped: values, gradients there and gradients of weights."""
    plain, inside = build(tree, seed=1).train(), build(tree, seed=1).train()
    work_in_place(inside)
    images = torch.cat([images_of(tree)] * 2)
    paths = [name for name, _ in tree.stages]
    torch.manual_seed(0)
    output, ends = plain(images, at=paths)
    for value in ends.values():
        value.retain_grad()
    output.square().sum().backward()
    every = [step.path for step in tree.trace().steps]
    torch.manual_seed(0)
    with taps(inside, every, grad=True) as seen:
        again = inside(images)
        again.square().sum().backward()
    assert torch.equal(again, output)
    assert all(torch.equal(seen[path], ends[path]) for path in paths)
    assert all(torch.equal(seen[path].grad, ends[path].grad) for path in paths)
    weights = dict(plain.named_parameters())
    for name, weight in inside.named_parameters():
        assert (weight.grad is None) == (weights[name].grad is None)
        assert weight.grad is None or torch.equal(weight.grad, weights[name].grad), name
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), inside.buffers(), strict=True))
    assert all(value.grad is not None for path, value in seen.items() if path.split(".")[0] != "aux1")


def test_a_kept_value_has_its_name():
    tree = kept()
    module, images = build(tree, seed=0).eval(), images_of(tree)
    _, expected = module(images, at=["skip"])
    with taps(module, "skip") as seen:
        module(images)
    assert torch.equal(seen["skip"], expected["skip"])


@pytest.mark.parametrize("recompute", [0, 2])
def test_a_frozen_network_has_gradients_too(recompute):
    tree = edit(network("resnet18"), "size=64")
    module, plain = (build(of, seed=0).train() for of in (replace(tree, recompute=recompute), tree))
    module.requires_grad_(False)
    images, paths = images_of(tree), ["stem.conv", "stage1.unit1.branch.act1", "stage2"]
    expected = {}
    for path in paths:
        part = plain.get_submodule(path)
        part.register_forward_hook(lambda *a, path=path: (a[-1].retain_grad(), expected.update({path: a[-1]}))[1])
    plain(images)[:, 3].sum().backward()
    with taps(module, paths, grad=True) as seen:
        module(images)[:, 3].sum().backward()
    assert all(torch.equal(seen[path].grad, expected[path].grad) for path in paths)
    assert all(weight.grad is None for weight in module.parameters())


def test_modules_of_others_have_dotted_names():
    peer = peers.resnet18(weights=None).eval()  # its ReLUs write over their input
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        output = peer(images)
        by_hand = peer.bn1(peer.conv1(images))
        with taps(peer, ["bn1", "relu", "layer1.0.bn2", "fc", ""]) as seen:
            assert torch.equal(peer(images), output)
    assert torch.equal(seen["bn1"], by_hand)
    assert torch.equal(seen["relu"], by_hand.clamp_min(0))
    assert torch.equal(seen["fc"], output)
    assert torch.equal(seen[""], output)
    with pytest.raises(UnknownName, match=r"^unknown path in ResNet: 'layer1\.0\.bn3'; nearest: layer1\.0\.bn2, "):
        taps(peer, ["layer1.0.bn3"]).__enter__()


def test_outputs_of_several_tensors_keep_their_form():
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.relu = nn.LSTM(4, 3, batch_first=True), nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.lstm(x)[0])

    model, x = Read(), torch.randn(2, 5, 4)
    expected, (hidden, cell) = model.lstm(x)
    with taps(model, ["lstm"], grad=True) as seen:
        model(x).sum().backward()
    values, state = seen["lstm"]
    assert torch.equal(values, expected)
    assert torch.equal(values.grad, (expected > 0).float())
    assert torch.equal(state[0], hidden)
    assert torch.equal(state[1], cell)


@pytest.mark.parametrize("how", ["in place", "wrapped", "a part", "average", "both"])
def test_compiled_and_wrapped_modules_run_as_they_are(how):
    tree = edit(network("resnet20_cifar"), "size=16")
    module, plain, images = build(tree, seed=0).eval(), build(tree, seed=0).eval(), images_of(tree)
    model = AveragedModel(module) if how in ("average", "both") else module
    if how == "in place":
        model.compile(backend="eager")
    if how in ("wrapped", "both"):
        model = torch.compile(model, backend="eager")
    if how == "a part":
        model.stage1 = torch.compile(model.stage1, backend="eager")
    paths = ["stem.norm", "stage1.unit2.branch.conv2", "stage3", "head.linear"]
    with torch.no_grad():
        expected = model(images)  # compiled before it is tapped
        with taps(plain, paths) as wanted:
            plain(images)
        with taps(model, paths) as seen:
            output = model(images)
    torch.testing.assert_close(output, expected)
    assert all(torch.equal(seen[path], wanted[path]) for path in paths)
    assert no_hooks(model)


def test_what_cannot_be_watched_says_why():
    class Plain(nn.Module):
        def forward(self, x):
            return x

    with pytest.warns(FutureWarning):
        scripted = torch.jit.trace(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))
    with pytest.raises(UsageError, match=r"^the model is TorchScript, whose parts cannot be watched; expected Python$"):
        taps(scripted, ["0"]).__enter__()
    outer = nn.Sequential(nn.Linear(2, 2), scripted)
    with pytest.raises(UsageError, match=r"^1 is TorchScript"):
        taps(outer, ["1.0"]).__enter__()
    with taps(outer, ["0"]) as seen:
        outer(torch.zeros(1, 2))
    assert seen["0"].shape == (1, 2)
    with pytest.raises(WrongType, match=r"^expected a torch.nn.Module, received a function; of an engine's compiled "):
        taps(lambda x: x, ["stage1"]).__enter__()
    with pytest.raises(WrongType, match=r"^expected the path of a part as text, received 3$"):
        taps(outer, [3]).__enter__()
    with pytest.raises(UnknownName, match=r"^unknown path in Plain: 'stem'; there are none$"):
        taps(Plain(), ["stem"]).__enter__()


def test_an_unknown_path_has_its_nearest_and_the_edits_that_may_have_merged_it():
    tree = network("resnet20_cifar")
    with pytest.raises(
        UnknownName, match=r"^unknown path in resnet20_cifar: 'stem\.nrom'; nearest: stem\.norm, [^;]*$"
    ):
        taps(build(tree, device="meta"), ["stem.conv", "stem.nrom"]).__enter__()
    folded = build(edit(tree, "fold_norm"), device="meta")
    said = r"^unknown path in resnet20_cifar: 'stem\.norm'; .*; edits made: fold_norm$"
    with pytest.raises(UnknownName, match=said):
        taps(folded, ["stem.norm"]).__enter__()
    assert no_hooks(folded)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["body", "forward", "grad"])
def test_hooks_are_removed_after_any_exception(where, error):
    class Failing(nn.Module):
        def forward(self, x):
            if where == "forward":
                raise error("no")
            return x

    model = nn.Sequential(nn.Linear(2, 2), Failing())

    def fail():
        with taps(model, ["0", "1"], grad=True):
            with torch.set_grad_enabled(where != "grad"):
                model(torch.zeros(1, 2))
            raise error("no")

    with pytest.raises(UsageError if where == "grad" else error):
        fail()
    assert no_hooks(model)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_switched_off_are_said(off):
    model = nn.Sequential(nn.Linear(2, 2))
    said = r"^0: gradients are switched off \(torch\.no_grad or inference_mode\); expected them on$"
    with pytest.raises(UsageError, match=said), taps(model, ["0"], grad=True), off():
        model(torch.zeros(1, 2))
    with taps(model, ["0"]) as seen, off():
        model(torch.zeros(1, 2))
    assert seen["0"].shape == (1, 2)


def test_what_did_not_run_is_said_and_nothing_is_left_of_a_pass_before():
    tree = edit(network("googlenet"), "size=64")
    module, images = build(tree, seed=0).eval(), images_of(tree)
    with taps(module, ["aux1.linear1", "stage1"]) as seen:
        with pytest.raises(UsageError, match=r"^stage1 gave nothing: the model has not run inside `taps` yet, or "):
            seen["stage1"]
        with torch.no_grad():
            module(images, at=["aux1"])
            assert seen["aux1.linear1"].shape[0] == 2
            module(images)
    assert list(seen) == ["stage1"]
    with pytest.raises(UsageError, match=r"^aux1\.linear1 gave nothing: "):
        seen["aux1.linear1"]
    with pytest.raises(UnknownName, match=r"^unknown tapped path 'stage2'; nearest: stage1$"):
        seen["stage2"]


def test_each_pass_replaces_the_one_before_and_copies_made_inside_go_unseen():
    layer = nn.ReLU()
    model, x = nn.Sequential(nn.Linear(2, 2), layer, nn.Linear(2, 2), layer), torch.randn(3, 2)
    with taps(model, ["1", "3"]) as seen:
        last = model(x)
        assert torch.equal(seen["1"], last)  # one layer under two names: what it gave last
        assert torch.equal(seen["3"], last)
        model(x[:1])
        assert len(seen["1"]) == 1
        twin = copy.deepcopy(model)
    twin(x)
    assert len(seen["1"]) == 1
    del model, twin
    gc.collect()


def test_taps_inside_each_other():
    model, x = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True)), torch.randn(3, 2)
    with taps(model, ["0"], grad=True) as outer, taps(model, ["0", "1"], grad=True) as inner:
        model(x).sum().backward()
    assert torch.equal(outer["0"], inner["0"])
    assert torch.equal(outer["0"].grad, inner["0"].grad)
    assert no_hooks(model)


def test_hooks_before_a_part_hear_of_it_as_it_begins():
    model, heard = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    with hooked(model.named_children(), lambda name, layer, inputs: heard.append((name, len(inputs[0]))), before=True):
        model(torch.zeros(3, 2))
    model(torch.zeros(4, 2))
    assert heard == [("0", 3), ("1", 3)]
