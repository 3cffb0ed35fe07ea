"""Activation checkpointing: the same results, bit for bit, with less memory."""

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.tree import Keep, Use, walk
from convsmith.nets.zoo import edit, network


def one_step(module, seed=0):
    """What a training step of an image network gives: output, gradients, buffers, and where the generator stands."""
    torch.manual_seed(seed)
    images = torch.randn(4, *module.tree.input)
    output = module.train()(images)
    output.square().sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"output": output.detach(), **gradients, **dict(module.named_buffers()), "next": torch.rand(1)}


# Random depth and dropout draw in each unit of the first; the second's children are concatenations.
ALIKE = {
    "resnet20_cifar": ("drop_path=0.5", "dropout(0.2, branch)", "size=16"),
    "densenet40_12_cifar": ("size=16",),
    "googlenet": ("classes=10", "size=64", "main_head"),
    "mobilenet_v2": ("size=64", "classes=10"),
    "vgg11_bn_cifar": (),
}


@pytest.mark.parametrize("group", ["recompute", "recompute=1", "recompute=100"])
@pytest.mark.parametrize("name", ALIKE)
def test_a_step_is_the_same_bit_for_bit(name, group):
    tree = network(name)
    for text in ALIKE[name]:
        tree = edit(tree, text)
    plain, again = one_step(build(tree, seed=1)), one_step(build(edit(tree, group), seed=1))
    assert list(plain) == list(again)
    assert [key for key in plain if not torch.equal(plain[key], again[key])] == []
    if any("num_batches_tracked" in key for key in again):
        assert {int(v) for key, v in again.items() if "num_batches_tracked" in key} == {1}


def saved(module):
    """Bytes that the gradient of one step keeps between the forward and the backward pass."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module.train()(torch.randn(8, *module.tree.input)).sum()
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    return sum(size for pointer, size in kept.items() if pointer not in own)


def test_memory_grows_with_the_root_of_the_depth():
    """A group is computed again whole, so that what stays is one value for each (Chen et al. 2016, section 4)."""
    stages = {name: build(edit(network(name), "recompute"), seed=0) for name in ("resnet56_cifar", "resnet110_cifar")}
    assert {name: m.tree.recompute for name, m in stages.items()} == {"resnet56_cifar": 4, "resnet110_cifar": 6}
    plain = {name: saved(build(network(name), seed=0)) for name in stages}
    less = {name: saved(module) for name, module in stages.items()}
    assert plain["resnet110_cifar"] / plain["resnet56_cifar"] == pytest.approx(110 / 56, rel=0.05)
    assert less["resnet56_cifar"] < plain["resnet56_cifar"] / 6
    assert less["resnet110_cifar"] / less["resnet56_cifar"] < 1.5


def test_children_that_keep_or_use_a_value_run_once():
    tree = edit(network("googlenet"), "recompute=3")
    module = build(tree, seed=0)
    wires = {name for name, stage in tree.stages for _, node in walk(stage, name) if isinstance(node, Keep | Use)}
    assert wires
    torch.manual_seed(0)
    output, aux = module.train()(torch.randn(2, 3, 64, 64), at=[name for name, _ in tree.heads if name != "head"])
    (output.sum() + sum(value.sum() for value in aux.values())).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_evaluation_computes_once(monkeypatch):
    def never(*args, **more):
        raise AssertionError("checkpointed in evaluation")

    monkeypatch.setattr("convsmith.nets.modules.recompute.checkpoint", never)
    tree = network("resnet20_cifar")
    images = torch.randn(2, *tree.input)
    modules = [build(t, seed=3).eval() for t in (tree, edit(tree, "recompute"))]
    assert torch.equal(modules[0](images), modules[1](images))
    with torch.no_grad():
        modules[1].train()(images)
    with pytest.raises(AssertionError, match="checkpointed"):
        modules[1](images)


def test_it_stays_in_json_through_other_edits_and_costs_nothing():
    tree = edit(edit(network("resnet56_cifar"), "recompute=5"), "widen=2")
    assert (tree.recompute, tree.edits) == (5, ("recompute(5)", "widen(2)"))
    assert Network.from_json(tree.to_json()) == tree
    assert "recompute" not in network("resnet56_cifar").to_json()
    assert cost(tree) == cost(edit(network("resnet56_cifar"), "widen=2"))


def test_groups_that_cannot_be():
    with pytest.raises(UsageError, match="groups of at least 1, or 0 to choose, received -1"):
        edit(network("resnet20_cifar"), "recompute=-1")
    with pytest.raises(UsageError, match="recompute: expected 0 or more, received -3"):
        Network.from_json({**network("resnet20_cifar").to_json(), "recompute": -3})
