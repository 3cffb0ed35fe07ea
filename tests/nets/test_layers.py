"""Layers that torch lacks, against their formulas written out."""

import pytest
import torch
from torch import nn

from convsmith.nets.build import build
from convsmith.nets.families.lenet import C3_CONNECTIONS
from convsmith.nets.families.resnet import basic, residual
from convsmith.nets.layers import Affine, ChannelSoftmax, DropPath, PadChannels, Rbf, ScaledTanh, Take
from convsmith.nets.ops import Conv, LocalResponseNorm
from convsmith.nets.tree import seq
from convsmith.nets.zoo import network


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", [2, 7])
def test_local_response_normalisation_is_the_papers_formula(size, channels, one_stage):
    x = 30 * draw(2, channels, 4, 3)
    k, alpha, beta = 2.0, 1e-4, 0.75
    y = build(one_stage(LocalResponseNorm(size, alpha, beta, k), (channels, 4, 3)))(x)
    expected = torch.empty_like(x)
    for i in range(channels):
        neighbours = range(max(0, i - size // 2), min(channels - 1, i + size // 2) + 1)
        expected[:, i] = x[:, i] / (k + alpha * sum(x[:, j] ** 2 for j in neighbours)) ** beta
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=1e-6)


def test_scaled_tanh_passes_through_one():
    x = torch.tensor([-1.0, 0.0, 1.0, 100.0])
    torch.testing.assert_close(ScaledTanh()(x), torch.tensor([-1.0, 0.0, 1.0, 1.7159]), rtol=0, atol=1e-4)
    assert torch.equal(ScaledTanh()(x), 1.7159 * torch.tanh(x * (2 / 3)))


def test_softmax_is_over_the_channels():
    y = ChannelSoftmax()(draw(2, 5, 3))
    torch.testing.assert_close(y.sum(1), torch.ones(2, 3))


def test_take_and_pad():
    x = draw(2, 4, 3, 3)
    assert torch.equal(Take((3, 0, 0))(x), torch.stack([x[:, 3], x[:, 0], x[:, 0]], 1))
    y = PadChannels(1, 2)(x)
    assert y.shape == (2, 7, 3, 3)
    assert torch.equal(y[:, 1:5], x)
    assert not y[:, [0, 5, 6]].any()
    assert PadChannels(1, 2)(x[:, :, 0, 0]).shape == (2, 7)


def test_affine_starts_as_the_identity_and_learns_both():
    layer, x = Affine(3), draw(2, 3, 4, 4)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, -1.0)
    assert torch.equal(layer(x), 2 * x - 1)
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum((0, 2, 3)))


def test_rbf_is_minus_the_squared_distance_to_codes_of_one():
    layer, x = Rbf(84, 10), draw(3, 84)
    assert set(layer.codes.unique().tolist()) == {-1.0, 1.0}
    assert len(layer.codes.unique(dim=0)) == 10
    torch.testing.assert_close(layer(x), -(torch.cdist(x, layer.codes) ** 2), rtol=1e-4, atol=1e-3)
    assert not list(layer.parameters())
    assert layer(layer.codes).argmax(1).tolist() == list(range(10))


def test_rbf_codes_do_not_depend_on_the_seed():
    torch.manual_seed(1)
    a = Rbf(84, 10).codes
    torch.manual_seed(2)
    assert torch.equal(a, Rbf(84, 10).codes)
    assert torch.equal(a, build(network("lenet5_1998"), seed=9).state_dict()["head.rbf.codes"])


def test_drop_path_is_the_identity_in_evaluation_and_at_rate_zero():
    x = draw(4, 3, 2)
    assert DropPath(0.5, "sample").eval()(x) is x
    assert DropPath(0.0, "batch").train()(x) is x


def test_drop_path_drops_each_sample_by_itself_and_keeps_the_mean():
    torch.manual_seed(0)
    y = DropPath(0.3, "sample")(torch.ones(20_000, 2, 2))
    flat = y.flatten(1)
    assert torch.equal(flat.min(1).values, flat.max(1).values)
    torch.testing.assert_close(flat.unique(), torch.tensor([0, 1 / 0.7]))
    assert abs(y.mean().item() - 1) < 4 * (0.3 / 0.7 / 20_000) ** 0.5


def test_drop_path_by_batch_drops_all_or_none_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = DropPath(0.3, "batch")
    draws = torch.stack([layer(torch.ones(5, 1)).flatten() for _ in range(4_000)])
    assert torch.equal(draws.min(1).values, draws.max(1).values)
    assert abs(draws[:, 0].mean().item() - 1) < 4 * (0.3 / 0.7 / 4_000) ** 0.5


def test_drop_path_keeps_the_type():
    assert DropPath(0.5, "sample")(torch.ones(4, 2).bfloat16()).dtype == torch.bfloat16


def test_a_grouped_convolution_is_parallel_convolutions_concatenated(one_stage):
    grouped = build(one_stage(Conv(8, 3, 2, 1, groups=4), (12, 9, 9)), seed=0)
    weight, bias = grouped.state_dict().values()
    x = draw(2, 12, 9, 9)
    columns = [
        nn.functional.conv2d(x[:, 3 * g : 3 * g + 3], weight[2 * g : 2 * g + 2], bias[2 * g : 2 * g + 2], 2, 1)
        for g in range(4)
    ]
    torch.testing.assert_close(grouped(x), torch.cat(columns, 1))


def test_option_a_takes_every_other_position_and_adds_zero_channels(one_stage):
    unit = residual(basic(32, 2), 16, 32, 2, "pad")
    module = build(one_stage(unit, (16, 8, 8)), seed=0).eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    x = draw(2, 16, 8, 8)
    # akamaster/pytorch_resnet_cifar10: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4))
    assert torch.equal(module(x), nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8)))


def test_option_a_of_odd_images_keeps_the_size_of_the_branch(one_stage):
    unit = residual(basic(7, 2), 4, 7, 2, "pad")
    assert build(one_stage(unit, (4, 9, 11)), seed=0)(draw(2, 4, 9, 11)).shape == (2, 7, 5, 6)


def test_the_identity_shortcut_has_no_parameters(one_stage):
    keys = build(one_stage(residual(basic(4, 1), 4, 4, 1, "projection"), (4, 8, 8)), device="meta").state_dict()
    assert not [key for key in keys if "shortcut" in key]


def test_lenets_third_layer_sees_the_maps_of_table_1():
    # LeCun et al. 1998, table I: S2 maps (rows) that C3 maps (columns) are joined to.
    table = [
        "X...XXX..XXXX.XX",
        "XX...XXX..XXXX.X",
        "XXX...XXX..X.XXX",
        ".XXX..XXXX..X.XX",
        "..XXX..XXXX.XX.X",
        "...XXX..XXXX.XXX",
    ]
    columns = [tuple(row for row in range(6) if table[row][column] == "X") for column in range(16)]
    assert list(C3_CONNECTIONS) == columns


def test_lenets_third_layer_is_a_masked_convolution():
    module = build(network("lenet5_1998"), seed=0)
    partial = module.get_submodule("stage2.conv")
    weight, bias = torch.zeros(16, 6, 5, 5), torch.zeros(16)
    for i, maps in enumerate(C3_CONNECTIONS):
        conv = partial.get_submodule(f"map{i + 1}.conv")
        weight[i, list(maps)] = conv.weight.detach()[0]
        bias[i] = conv.bias.detach()[0]
    x = draw(2, 6, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(partial(x), nn.functional.conv2d(x, weight, bias))


def test_the_lenets_of_the_lectures_differ_where_they_should():
    with_tanh, without = network("lenet5"), network("lenet5_code")
    modules = [build(tree, seed=1) for tree in (with_tanh, without)]
    x = draw(2, 1, 32, 32)
    inner = modules[1].features(x, ["stage3"])["stage3"]
    assert torch.equal(modules[0].features(x, ["stage3"])["stage3"], inner.tanh())
    listing = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2, 2),
        nn.Conv2d(16, 120, 5), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    listing.load_state_dict(dict(zip(listing.state_dict(), modules[1].state_dict().values(), strict=True)))
    assert torch.equal(modules[1](x), listing(x))


def test_layers_say_what_they_are():
    printed = repr(seq()), repr(Take((1, 2))), repr(PadChannels(1, 2)), repr(DropPath(0.25, "batch"))
    assert printed == ("Seq(children=())", "Take((1, 2))", "PadChannels(1, 2)", "DropPath(0.25, by batch)")
