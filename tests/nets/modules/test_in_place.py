"""ReLUs that write over their input: the same bits, and never over a value that is read again."""

import pytest
import torch

from convsmith.nets.modules.build import build
from convsmith.nets.modules.in_place import work_in_place
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, Conv, Flatten
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Keep, Use, add, cat, gate, seq
from convsmith.nets.zoo import edit, network

# ReLUs after convolutions, norms, sums, concatenations and gates, and before them.
ALIKE = {
    "resnet20_cifar": "size=16",
    "preresnet110_cifar": "size=8",
    "densenet40_12_cifar": "size=16",
    "googlenet": "size=64",
    "mobilenet_v3_small": "size=64",
    "shufflenet_v2_x0_5": "size=64",
    "squeezenet1_1": "size=64",
    "regnet_y_400mf": "size=64",
    "vgg11_bn_cifar": "classes=7",
    "resnet18": "recompute=2",
}


def written_over(module):
    return [name for name, layer in module.named_modules() if getattr(layer, "inplace", False)]


def one_step(module):
    torch.manual_seed(0)
    images = torch.randn(4, *module.tree.input)
    output = module.train()(images)
    output.square().mean().backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"output": output.detach(), **gradients, **dict(module.named_buffers())}


@pytest.mark.parametrize("name", ALIKE)
def test_a_step_is_the_same_bit_for_bit(name):
    tree = edit(network(name), ALIKE[name])
    plain, inside = build(tree, seed=1), build(tree, seed=1)
    work_in_place(inside)
    assert not written_over(plain)
    assert written_over(inside)
    expected, found = one_step(plain), one_step(inside)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    images = torch.randn(2, *tree.input)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), inside.eval()(images))
    work_in_place(inside, False)
    assert not written_over(inside)


def made(**stages):
    return Network(
        name="made",
        family="made",
        input=Shape(4, (6, 6)),
        stages=tuple(stages.items()),
        heads=(("head", seq(flat=Flatten())),),
    )


def conv():
    return Conv(4, 3, 1, 1)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (seq(conv=conv(), act=Act()), ["stage.act"]),
        (seq(conv=conv(), act=Act("silu")), []),
        (seq(conv=conv(), keep=Keep("value"), act=Act(), again=add(this=seq(), that=Use("value"))), []),
        (seq(act=Act(), conv=conv()), []),
        (seq(first=Act("sigmoid"), second=Act()), []),
        (seq(conv=conv(), sum=add(branch=seq(act=Act(), conv=conv()), shortcut=seq())), []),
        (seq(sum=add(branch=conv(), shortcut=seq()), act=Act()), ["stage.act"]),
        (seq(sum=add(shortcut=seq()), act=Act()), []),
        (seq(both=cat(one=conv(), other=seq()), act=Act()), ["stage.act"]),
        (seq(gate=gate(conv=conv(), act=Act("hardsigmoid")), act=Act()), ["stage.act"]),
    ],
)
def test_only_what_nobody_else_reads_is_written_over(node, expected):
    tree = made(stage=node)
    module, plain = build(tree, seed=0), build(tree, seed=0)
    work_in_place(module)
    assert written_over(module) == expected
    images = torch.randn(2, 4, 6, 6)
    kept = images.clone()
    assert torch.equal(module(images), plain(images))
    assert torch.equal(images, kept)
