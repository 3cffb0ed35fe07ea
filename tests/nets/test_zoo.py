"""Every row of the zoo as a tree: counts, JSON, names, forward and backward."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Linear
from convsmith.nets.shape import Shape
from convsmith.nets.source import open_network
from convsmith.nets.tree import RESERVED, Branching, rewrite, walk
from convsmith.nets.zoo import NETWORKS, edit, network, siblings

# Outputs of the networks that have neither ImageNet's 1000 nor, by their name, the 10 of small images.
OUTPUTS = {
    "perceptron": 1, "mlp_12mp": 2, "neocognitron": 10, "tdnn": 3, "c3d": 487, "r3d_18": 400, "mc3_18": 400,
    "r2plus1d_18": 400, "context_basic": 21, "context_large": 21, "context_figure1": 21,
    "autoencoder_vgg16": 3, "autoencoder_mnist": 1, "vae_mnist": 1,
}  # fmt: skip

# Parameters of every network; that they are right is a test of their own.
GOLDEN = (Path(__file__).parent / "golden").glob("*.json")
PARAMS = {name: row[0] for file in GOLDEN for name, row in json.loads(file.read_text()).items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_builds_without_memory_and_counts_agree(name):
    tree = network(name)
    module = build(tree, device="meta")
    assert sum(p.numel() for p in module.parameters()) == cost(tree).params + cost(tree).auxiliary_params
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
    assert tree.name == name
    assert tree.classes == OUTPUTS.get(name, 10 if name.startswith("lenet") or "cifar" in name else 1000)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_survives_json(name):
    tree = network(name)
    assert Network.from_json(json.loads(json.dumps(tree.to_json()))) == tree


@pytest.mark.spread(4)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_state_is_named_by_the_trees_paths(name):
    tree = network(name)
    paths = {path for root, node in tree.stages + tree.heads for path, _ in walk(node, root)}
    assert {key.rpartition(".")[0] for key in build(tree, device="meta").state_dict()} <= paths
    for root, node in tree.stages + tree.heads:
        for _, inner in walk(node, root):
            names = [child for child, _ in inner.children] if isinstance(inner, Branching) else []
            assert len(set(names)) == len(names)
            assert not RESERVED & set(names)


def small(name):
    """The row for ten classes and an image that is about as small as it takes."""
    tree = open_network(name, classes=10)
    if tree.family in ("autoencoder", "mirrored_vgg"):  # which has no classes, and its size by its number alone
        return edit(tree, "classes(10)")
    dense = len(tree.input.spatial) > 2 or tree.trace().stages["head"].shape.spatial
    for side in (16, 64, 96, 128, 160) if dense else (64, 96, 128, 160):
        if side < max(tree.input.spatial):
            with contextlib.suppress(UsageError):
                return edit(tree, f"size({side})")
    return tree


def with_small_linear_layers(tree):
    """Hidden linear layers of 16 outputs: those of VGG would take most of the time and memory."""

    def change(path, node):
        return replace(node, channels=16) if isinstance(node, Linear) and node.channels >= 1000 else node

    return replace(tree, heads=tuple((name, rewrite(node, change, name)) for name, node in tree.heads))


@pytest.mark.spread(4)
@pytest.mark.parametrize("name", [n for n in NETWORKS if "1202" not in n and PARAMS[n] < 80e6])
def test_outputs_and_gradients_are_finite(name):
    tree = with_small_linear_layers(small(name))
    module = build(tree, seed=1)
    generator = torch.Generator().manual_seed(0)
    heads = [head for head, _ in tree.heads if head != "head"]
    y, others = module(torch.randn((2, *tree.input), generator=generator), at=heads or ["head"])
    assert y.shape == (2, 10, *tree.trace().stages["head"].shape.spatial)
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()
    # Where the output is a map, each position has the image's label.
    labels = [torch.tensor([3, 7]).view(2, *(1,) * (out.dim() - 2)) for out in (y, *others.values())]
    outs = zip((y, *others.values()), labels, strict=True)
    sum(torch.nn.functional.cross_entropy(out, label.expand(2, *out.shape[2:])) for out, label in outs).backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown network 'resnet51'; nearest: resnet5\w*, "):
        network("resnet51")
    with pytest.raises(UnknownName, match=r"^unknown network 'VGG16'; nearest: vgg16, "):
        network("VGG16")


def test_an_unknown_number_names_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown number of resnet18: 'clases'; nearest: classes"):
        network("resnet18", clases=10)


def test_numbers_change_the_network_and_are_remembered():
    tree = network("resnet20_cifar", classes=7, channels=1, size=28)
    assert tree.input == Shape(1, (28, 28))
    assert tree.classes == 7
    assert tree.numbers == {"depth": 20, "classes": 7, "channels": 1, "size": 28}
    assert cost(tree).params == 269_722 - 2 * 16 * 9 - 3 * 65


@pytest.mark.parametrize("depth", [2, 6, 7, 19, 21, 0, -4])
def test_a_cifar_resnet_has_6n_plus_2_layers(depth):
    with pytest.raises(UsageError, match=rf"6n \+ 2 layers \(8, 14, 20, 32, \.\.\.\), received depth {depth}$"):
        network("resnet20_cifar", depth=depth)


def test_siblings_are_the_other_forms():
    assert siblings("alexnet") == ["alexnet_bn", "alexnet_2012", "alexnet_cs231n", "alexnet_d2l"]
    assert siblings("resnet50") == ["resnet50_v1", "resnet50_bias", "resnet50_d"]
    assert siblings("lenet5_1998") == ["lenet5", "lenet5_code", "lenet5_d2l"]


def test_a_network_is_a_value():
    assert network("resnet50") == network("resnet50")
    assert network("resnet50") != network("resnet50_v1")
    assert network("resnet50", classes=10).stages == network("resnet50").stages
    assert hash(network("vgg16").stages) == hash(network("vgg16").stages)


def test_a_network_needs_a_main_head_and_names_of_its_own():
    tree = network("lenet5")
    with pytest.raises(UsageError, match=r"lenet5: a network needs a head called 'head', has other$"):
        replace(tree, heads=(("other", tree.heads[0][1]),))
    with pytest.raises(UsageError, match=r"lenet5: two stages or heads have one name: stage1, stage1, head$"):
        replace(tree, stages=tree.stages[:1] * 2)
    with pytest.raises(UsageError, match=r"a child cannot be called 'forward'"):
        replace(tree, stages=(("forward", tree.stages[0][1]), *tree.stages[1:]))


def test_an_image_too_small_is_an_error_that_names_the_place():
    with pytest.raises(UsageError, match=r"^stage3\.conv: a convolution spans 5 positions and receives 4 "):
        cost(network("lenet5"), (1, 28, 28))
    with pytest.raises(UsageError, match=r"^stage3\.pool3: a pooling layer spans 3 positions and receives 2 "):
        cost(network("alexnet"), (3, 48, 48))


@pytest.mark.parametrize("input", [(), (3, 0, 4), (3, 4.5, 2), (-3, 8, 8)])
def test_an_input_shape_is_positive_whole_numbers(input):
    with pytest.raises(UsageError, match=r"expected an input shape such as \(3, 224, 224\), received \("):
        cost(network("lenet5"), input)


def test_edited_rows_survive_json():
    tree = edit(edit(network("resnet18", classes=5), "small_images"), "drop_path=0.2,batch")
    assert tree.edits == ("small_images", "drop_path(0.2, 'batch')")
    assert Network.from_json(json.loads(json.dumps(tree.to_json()))) == tree


@pytest.mark.parametrize("name", [name for name in NETWORKS if "cifar" in name])
def test_networks_for_cifar_answer_to_a_hundred_classes(name):
    tree = network(name, classes=100)
    assert tree.input == Shape(3, (32, 32))
    assert tree.classes == 100
    ten = network(name)
    assert ten.classes == 10
    assert tree.stages == ten.stages


WRONG_NUMBERS = {
    ("resnet18", "classes", "ten"): "resnet18: classes: expected a whole number, received 'ten'",
    ("resnet18", "classes", 0): "resnet18: classes is a whole number of at least 1, received 0",
    ("resnet18", "channels", 1.5): "resnet18: channels: expected whole number, received 1.5",
    ("resnet18", "size", True): "resnet18: size: expected whole number, received True",
    ("resnet50", "block", "x"): "unknown value for resnet50: block: 'x'",
    ("resnet50", "depths", (0, 0)): "resnet50: depths is a whole number of at least 1, received (0, 0)",
    ("resnet50", "depths", 3): "resnet50: depths: expected a list of whole number, received 3",
    ("mobilenet_v2", "width", "x"): "mobilenet_v2: width: expected a number, received 'x'",
    ("efficientnet_b0", "depth", 1e9): "depth is 1000000000.0, expected a multiplier above 0, at most 1000",
    ("resnet20_cifar", "depth", 10**9): "resnet20_cifar: depth is at most 10,000, received 1000000000",
    ("nasnet_a_mobile", "cells", 0): "nasnet_a_mobile: cells is a whole number of at least 1, received 0",
}


@pytest.mark.parametrize("case", WRONG_NUMBERS)
def test_numbers_are_what_the_family_declares(case):
    name, key, value = case
    with pytest.raises(UsageError) as error:
        network(name, **{key: value})
    assert str(error.value).startswith(WRONG_NUMBERS[case])


@pytest.mark.parametrize(
    "call",
    [
        lambda: edit("resnet18", "se"), lambda: cost("resnet18"), lambda: build("resnet18"),
        lambda: edit(network("resnet18"), None), lambda: network(5), lambda: cost(network("lenet5"), 5),
        lambda: cost(network("lenet5"), (1, True, 32)),
    ],
)  # fmt: skip
def test_wrong_types_in_python_are_one_clear_error(call):
    with pytest.raises(UsageError, match=r"expected .*, received |unknown network '5'"):
        call()


def test_a_single_name_is_taken_for_what_to_give_at():
    model = build(network("lenet5"), seed=0)
    _, found = model(torch.zeros(1, 1, 32, 32), at="stage1")
    assert list(found) == ["stage1"]
    assert list(model.features(torch.zeros(1, 1, 32, 32), at="stage2")) == ["stage2"]


@pytest.mark.parametrize("name", ["", "  ", "\x1b[31mred", "two\nlines"])
def test_a_name_is_printable(name):
    with pytest.raises(UsageError, match="a network's name and edits are printable text"):
        replace(network("lenet5"), name=name)
