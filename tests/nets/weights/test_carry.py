"""Edits with weights: what the network says after them is what it said before, or the best approximation."""

from dataclasses import replace

import pytest
import torch

from convsmith.base.errors import CheckFailed, UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Act, BatchNorm, Conv, ConvTranspose, Flatten, Linear
from convsmith.nets.tree import IDENTITY, add, seq
from convsmith.nets.weights.carry import carry
from convsmith.nets.zoo import edit, network


def trained(tree, seed=0):
    """The network with weights and running statistics as after some training."""
    module = build(tree, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for key, value in module.state_dict().items():
        if key.endswith(("running_mean", "norm.bias")) or (".norm" in key and key.endswith("bias")):
            value.normal_(0, 0.3, generator=generator)
        elif key.endswith("running_var") or (".norm" in key and key.endswith("weight")):
            value.uniform_(0.5, 2, generator=generator)
    return module.eval()


def carried(tree, text):
    """The network's module and that of the edited one with its weights."""
    before = trained(tree)
    after, state = carry(tree, before.state_dict(), text)
    module = build(after)
    module.load_state_dict(state, strict=True)
    return before, module.eval()


def image(tree, seed=1):
    return torch.randn(2, *tree.input, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "name",
    ["resnet20_cifar", "resnet20_b_cifar", "resnet18", "vgg11_bn", "mobilenet_v2", "googlenet", "shufflenet_v2_x0_5"],
)
def test_folding_the_normalization_keeps_the_outputs(name):
    tree = edit(network(name, classes=10), "size=64") if network(name).input.spatial[0] > 64 else network(name)
    if name == "vgg11_bn":
        tree = edit(tree, "small_images")
    before, after = carried(tree, "fold_norm")
    x = image(tree)
    with torch.no_grad():
        expected, got = before(x), after(x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert not [m for m in after.modules() if isinstance(m, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize(
    "layer",
    [
        Conv(6, 3, padding=1, groups=2, bias=False),
        ConvTranspose(6, 3, 2, groups=2),
        ConvTranspose(6, 2, 2, bias=False),
    ],
)
def test_folding_into_every_kind_of_layer(layer, one_stage):
    before, after = carried(one_stage(seq(layer=layer, norm=BatchNorm()), (4, 6, 6)), "fold_norm")
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(after(x), before(x), rtol=1e-5, atol=1e-5)
    dense = one_stage(seq(flatten=Flatten(), layer=Linear(5), norm=BatchNorm()), (4, 6, 6))
    before, after = carried(dense, "fold_norm")
    torch.testing.assert_close(after(x), before(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_parallel_convolutions_become_one(groups, one_stage):
    unit = add(
        conv3=seq(conv=Conv(8, 3, padding=1, groups=groups, bias=False), norm=BatchNorm()),
        conv1=seq(conv=Conv(8, 1, groups=groups, bias=False), norm=BatchNorm()),
        identity=BatchNorm(),
    )
    tree = one_stage(seq(unit1=unit, unit2=add(a=Conv(8, 3, 2, 1), b=Conv(8, 1, 2))), (8, 9, 9))
    before, after = carried(tree, "reparameterise")
    x = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(after(x), before(x), rtol=1e-4, atol=1e-5)
    assert sorted(after.state_dict()) == [f"stage1.unit{i}.{kind}" for i in (1, 2) for kind in ("bias", "weight")]


def test_what_cannot_be_one_convolution_stays(one_stage):
    units = {
        "a": add(x=Conv(8, 3, padding=1), y=Conv(8, 3, padding=1, groups=2)),
        "b": add(x=seq(c=Conv(8, 1), d=Conv(8, 1)), y=IDENTITY),
        "c": add(x=Conv(8, 3, padding=2, dilation=2), y=IDENTITY),
        "d": add(x=IDENTITY, y=IDENTITY),
    }
    for unit in units.values():
        with pytest.warns(UserWarning, match="changed nothing"):
            edit(one_stage(unit, (8, 9, 9)), "reparameterise")


def test_repvgg_for_inference_says_the_same():
    tree = edit(network("repvgg_a0", classes=10), "size=64")
    before, after = carried(tree, "reparameterise")
    x = image(tree)
    with torch.no_grad():
        expected = before(x)
        torch.testing.assert_close(after(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    convs = [m for m in after.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.kernel_size == (3, 3) for m in convs)
    assert not [m for m in after.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_low_rank_is_exact_at_full_rank_and_nearest_below(one_stage):
    tree = one_stage(seq(first=Conv(6, 3, padding=1), second=Conv(8, 3, 2, 1)), (3, 9, 9))
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    before, after = carried(tree, "low_rank=3")
    torch.testing.assert_close(after(x), before(x), rtol=1e-4, atol=1e-5)
    errors = []
    for ratio in (0.25, 0.5, 1.0, 2.0):
        before, after = carried(tree, f"low_rank={ratio}")
        state = after.state_dict()
        vertical, horizontal = state["stage1.second.vertical.weight"], state["stage1.second.horizontal.weight"]
        product = torch.einsum("rck,orl->ockl", vertical[..., 0], horizontal[:, :, 0])
        weight = before.state_dict()["stage1.second.weight"]
        matrix = weight.permute(1, 2, 0, 3).reshape(18, 24)
        lost = torch.linalg.svdvals(matrix)[round(ratio * 8) :].square().sum().sqrt()
        torch.testing.assert_close((product - weight).norm(), lost, rtol=1e-3, atol=1e-5)
        errors.append(float(lost))
    assert errors == sorted(errors, reverse=True)


def test_linear_bottleneck_is_the_best_of_its_rank():
    tree = network("lenet5")
    before, after = carried(tree, "linear_bottleneck=30")
    state = after.state_dict()
    product = state["head.linear1.wide.weight"] @ state["head.linear1.narrow.weight"]
    weight = before.state_dict()["head.linear1.weight"]
    lost = torch.linalg.svdvals(weight)[30:].square().sum().sqrt()
    torch.testing.assert_close((product - weight).norm(), lost, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "vgg11", "resnet18", "squeezenet1_1"])
def test_fully_convolutional_heads_say_the_same(name):
    tree = network(name, classes=5)
    if name == "vgg11":
        tree = edit(tree, "small_images")
    before, after = carried(tree, "fully_convolutional")
    x = image(tree)
    with torch.no_grad():
        torch.testing.assert_close(after(x).flatten(1), before(x), rtol=1e-4, atol=1e-5)


def test_a_fully_convolutional_map_is_the_network_at_every_place():
    tree = network("lenet5")
    before, after = carried(tree, "fully_convolutional")
    x = torch.randn(1, 1, 40, 36, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        answers = after(x)
        assert answers.shape == (1, 10, 3, 2)
        torch.testing.assert_close(answers[:, :, 1, 1], before(x[:, :, 4:36, 4:36]), rtol=1e-4, atol=1e-5)


def test_gray_images_see_the_sum_of_the_filters():
    tree = network("resnet20_cifar")
    before, after = carried(tree, "channels=1")
    gray = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(after(gray), before(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    before, after = carried(network("lenet5"), "channels=3")
    gray = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(after(gray.expand(-1, 3, -1, -1)), before(gray), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", ["dilate=8", "drop_path=0.1", "dropout=0.1", "size=96"])
def test_edits_without_weights_keep_them(text):
    tree = network("resnet18")
    module = trained(tree)
    _, state = carry(tree, module.state_dict(), text)
    assert state.keys() == module.state_dict().keys()


LEAVES = {
    "act=silu": (Conv(4, 3, padding=1), Act("relu")),
    "fold_norm": (seq(conv=Conv(4, 3), norm=BatchNorm()), Act("relu")),
    "reparameterise": (add(a=Conv(3, 3, padding=1), b=Conv(3, 1)), Conv(4, 1)),
    "low_rank=4": (Conv(4, 3), Conv(4, 3, padding=1)),
    "dilate=1": (Conv(4, 3, 2, 1), Conv(4, 3, padding=1)),
}


@pytest.mark.parametrize("text", LEAVES)
def test_stages_that_are_one_node_are_carried(text, one_stage):
    first, second = LEAVES[text]
    tree = replace(one_stage(first, (3, 9, 9)), stages=(("first", first), ("second", second)))
    before, after = carried(tree, text)
    assert {key.split(".")[0] for key in before.state_dict()} <= {"first", "second"}
    x = image(tree)
    if text in ("fold_norm", "reparameterise", "low_rank=4"):
        torch.testing.assert_close(after(x), before(x), rtol=1e-4, atol=1e-5)
    elif text == "dilate=1":
        torch.testing.assert_close(after(x)[..., ::2, ::2], before(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg11", "alexnet", "squeezenet1_1", "googlenet"])
def test_dilated_pooling_keeps_the_features_away_from_the_far_border(name):
    tree = edit(network(name), "size=160")
    last = tree.stages[-1][0]
    stride = int(tree.trace().stages[last].field.jump[0]) // 2
    before = trained(tree)
    after, state = carry(tree, before.state_dict(), f"dilate={stride}")
    dense = build(after).eval()
    dense.load_state_dict(state)
    x = torch.randn(1, *tree.input, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        old, new = before.features(x, [last])[last], dense.features(x, [last])[last]
    torch.testing.assert_close(new[..., ::2, ::2][..., :1, :1], old[..., :1, :1], rtol=1e-3, atol=1e-4)
    assert new.shape[-1] >= 2 * old.shape[-1] - 1


def test_plain_leaves_the_shortcuts_weights_behind_but_renames_the_rest():
    with pytest.raises(
        CheckFailed, match=r"the edit plain has no weights for \d+ tensors, the first 'stage1.unit1.conv1.weight'"
    ):
        carry(network("resnet18"), build(network("resnet18")).state_dict(), "plain")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("se=16", "has no weights for 36 tensors"),
        ("separable", "has no weights for"),
        ("widen=2", "needs another shape for"),
        ("classes=3", "needs another shape for 2 tensors, the first 'head.linear.bias'"),
        ("norm=group", "leaves over 57 tensors"),
    ],
)
def test_edits_that_need_training_say_what_is_lacking(text, what):
    tree = network("resnet20_cifar")
    with pytest.raises(CheckFailed, match=f"{what}.*train it instead"):
        carry(tree, build(tree).state_dict(), text)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("resnet20_cifar", ("size=8",)),
        ("resnet20_b_cifar", ("size=8", "se=4")),
        ("preresnet110_cifar", ("deepen=0.17", "size=8")),
        ("plain20_cifar", ("size=8",)),
        ("mobilenet_v2", ("size=32",)),
        ("vgg11_bn_cifar", ()),
        ("resnet20_cifar", ("size=8", "norm=none")),
    ],
)
def test_identity_layers_keep_the_outputs_and_learn(name, start):
    tree = network(name, classes=10)
    for text in start:
        tree = edit(tree, text)
    before, after = carried(tree, "identity_layers=2")
    x = image(tree)
    with torch.no_grad():
        assert torch.equal(after(x), before(x))
    new = [key for key in after.state_dict() if "identity" in key and key.endswith("weight")]
    assert len(new) >= 2
    after.train()(x).square().sum().backward()
    gradients = dict(after.named_parameters())
    for layer in ("identity1.", "identity2."):
        assert any(gradients[key].grad.abs().max() > 0 for key in new if layer in key)


def test_identity_layers_can_be_added_again():
    tree = network("plain20_cifar")
    once = edit(edit(tree, "identity_layers=1"), "identity_layers=2")
    names = [name for name, _ in dict(once.stages)["stage1"].children]
    assert names[-6:] == [f"identity{kind}{i}" for i in (1, 2, 3) for kind in ("", "_act")]


def test_identity_layers_that_cannot_be():
    with pytest.raises(UsageError, match=r"lenet5 has neither residual units .* --edit act=relu"):
        edit(network("lenet5"), "identity_layers")
    with pytest.raises(UsageError, match="expected at least 1 layer for each stage, received 0"):
        edit(network("resnet18"), "identity_layers=0")
