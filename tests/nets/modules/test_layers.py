"""Layers that torch lacks, against their formulas written out."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.families.lenet import C3_CONNECTIONS
from convsmith.nets.families.residual import basic, residual
from convsmith.nets.modules.build import build
from convsmith.nets.modules.layers import (
    Affine,
    ChannelSoftmax,
    Chunk,
    LocalContrastNorm,
    PadChannels,
    Rbf,
    ScaledTanh,
    Take,
)  # fmt: skip
from convsmith.nets.modules.random_layers import DropPath, StochasticPool
from convsmith.nets.network import Network, node_from_json, node_to_json
from convsmith.nets.ops import (
    Conv,
    ConvTranspose,
    Dropout,
    FractionalMaxPool,
    GroupNorm,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Pad,
    PadSame,
    Upsample,
)  # fmt: skip
from convsmith.nets.parts import squeeze_excite, total_padding
from convsmith.nets.tree import Keep, Unpool, seq
from convsmith.nets.zoo import edit, network


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", [2, 7])
def test_local_response_normalization_is_the_papers_formula(size, channels, one_stage):
    x = 30 * draw(2, channels, 4, 3)
    k, alpha, beta = 2.0, 1e-4, 0.75
    y = build(one_stage(LocalResponseNorm(size, alpha, beta, k), (channels, 4, 3)))(x)
    expected = torch.empty_like(x)
    for i in range(channels):
        neighbors = range(max(0, i - size // 2), min(channels - 1, i + size // 2) + 1)
        expected[:, i] = x[:, i] / (k + alpha * sum(x[:, j] ** 2 for j in neighbors)) ** beta
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


def test_affine_may_be_a_scale_alone():
    layer = Affine(3, 1e-6, shift=False)
    assert [(n, p.tolist()) for n, p in layer.named_parameters()] == [("weight", pytest.approx([1e-6] * 3))]
    x = draw(2, 3, 4)
    torch.testing.assert_close(layer(x), 1e-6 * x)


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


FORMS = ("inverted", "plain")


def dropped(form, x, one_stage):
    """What dropout of a third makes of x in evaluation, and the layer in training."""
    layer = build(one_stage(Dropout(1 / 3, form), tuple(x.shape[1:])), seed=0)
    return layer.eval()(x), layer.train()


@pytest.mark.parametrize("form", FORMS)
def test_dropout_in_training_is_its_mask_times_the_values_and_a_scale(form, one_stage):
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    evaluated, layer = dropped(form, x, one_stage)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        y = layer(x)
    kept, scale = y != 0, 1 if form == "plain" else 1.5
    torch.testing.assert_close(y, x * kept * scale)
    assert kept.float().mean() == pytest.approx(2 / 3, abs=0.04)
    torch.testing.assert_close(evaluated, x * 2 / 3 if form == "plain" else x)
    if form == "plain":
        assert torch.equal(y[kept], x[kept])  # to the last bit


@pytest.mark.parametrize("form", FORMS)
def test_the_mean_of_dropouts_draws_is_its_evaluation(form, one_stage):
    x = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    evaluated, layer = dropped(form, x, one_stage)
    draws = 40_000
    with torch.random.fork_rng():
        torch.manual_seed(1)
        mean = layer(x.expand(draws, -1)).mean(0, keepdim=True)
    # A draw's deviation is sqrt(p (1 - p)) of the value, times 1.5 where inverted; five of the mean's.
    bound = 5 * x.abs() * (2 / 9 / draws) ** 0.5 * (1 if form == "plain" else 1.5)
    assert ((mean - evaluated).abs() <= bound).all()
    assert not torch.equal(mean, evaluated)


def test_plain_dropout_at_its_ends_keeps_type_and_gradient(one_stage):
    x = torch.ones(4, 5, dtype=torch.bfloat16, requires_grad=True)
    all_kept = build(one_stage(Dropout(0.0, "plain"), (5,)))
    none_kept = build(one_stage(Dropout(1.0, "plain"), (5,)))
    for mode in (True, False):
        assert torch.equal(all_kept.train(mode)(x), x)
        assert torch.equal(none_kept.train(mode)(x), torch.zeros_like(x))
    layer = build(one_stage(Dropout(0.5, "plain"), (5,))).train()
    y = layer(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert torch.equal(x.grad, y)  # of ones: the mask


def test_plain_dropout_with_the_weights_that_follow_scaled_is_the_inverted_one():
    """A network trained with one form is the other's with the next weights times the share kept."""
    tree = network("mlp_dropout_cifar")
    inverted = build(tree, seed=0)
    plain = build(edit(tree, "dropout(0.5, head, plain)"), seed=0)
    assert plain.state_dict().keys() == inverted.state_dict().keys()
    state = inverted.state_dict()
    after = [name for name, _ in inverted.named_parameters() if name.endswith("weight")][1:]
    plain.load_state_dict(state | {name: state[name] * 2 for name in after})
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x), inverted.eval()(x), rtol=1e-4, atol=1e-5)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            ours = plain.train()(x)
            torch.manual_seed(3)
            theirs = inverted.train()(x)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)  # mask for mask


def test_dropout_of_older_trees_is_the_inverted_one():
    assert node_from_json({"op": "dropout", "drop": 0.3}) == Dropout(0.3, "inverted")
    assert node_to_json(Dropout(0.3)) == {"op": "dropout", "drop": 0.3}
    assert node_from_json(node_to_json(Dropout(0.3, "plain"))) == Dropout(0.3, "plain")


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


# A convolution as a matrix on the values of an image: every column is what it makes of one of them.
def matrix_of(function, shape):
    columns = [function(unit.view(1, *shape)).flatten() for unit in torch.eye(math.prod(shape))]
    return torch.stack(columns, 1)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "groups", "size"), [
    (3, 1, 0, 1, 1, 6), (3, 2, 1, 1, 1, 7), (4, 2, 1, 1, 2, 8), ((3, 2), (1, 2), (1, 0), 1, 1, 6), (3, 1, 2, 2, 1, 7),
])  # fmt: skip
def test_a_transposed_convolution_is_the_transpose_of_the_banded_matrix(
    kernel, stride, padding, dilation, groups, size, one_stage
):
    conv = Conv(4, kernel, stride, padding, dilation, groups, bias=False)
    forward = build(one_stage(conv, (2, size, size)), seed=0)
    small = tuple(one_stage(conv, (2, size, size)).trace().stages["stage1"].shape)
    back = ConvTranspose(2, kernel, stride, padding, 0, dilation, groups, bias=False)
    plain = one_stage(back, small).trace().stages["stage1"].shape.spatial
    back = replace(back, output_padding=tuple(size - n for n in plain))
    backward = build(one_stage(back, small), seed=1)
    backward.load_state_dict({key: value.clone() for key, value in forward.state_dict().items()})
    with torch.no_grad():
        matrix, transposed = matrix_of(forward, (2, size, size)), matrix_of(backward, small)
    torch.testing.assert_close(transposed, matrix.T)
    assert (matrix == 0).any()


def test_a_transposed_convolution_multiplies_at_the_places_of_its_input(one_stage):
    tree = one_stage(ConvTranspose(5, 3, 2, groups=1), (4, 6, 7))
    assert cost(tree).macs == 4 * 5 * 9 * 6 * 7
    with FlopCounterMode(display=False) as counter:
        build(tree, device="meta")(torch.empty(1, 4, 6, 7, device="meta"))
    assert counter.get_total_flops() == 2 * cost(tree).macs


@pytest.mark.parametrize("scale", [2, 4])
def test_bilinear_upsampling_is_a_transposed_convolution_with_a_tent(scale, one_stage):
    """Inside the image; Long et al. 2015 start theirs so."""
    x = draw(1, 1, 6, 6)
    ours = build(one_stage(Upsample(scale, "bilinear"), (1, 6, 6)))(x)
    line = 1 - (torch.arange(2 * scale) - (2 * scale - 1) / 2).abs() / scale
    tent = (line[:, None] * line)[None, None]
    spread = nn.functional.conv_transpose2d(x, tent, stride=scale, padding=scale // 2)
    inside = (..., slice(scale, -scale), slice(scale, -scale))
    torch.testing.assert_close(ours[inside], spread[inside])
    torch.testing.assert_close(
        build(one_stage(Upsample(3), (1, 6, 6)))(x), x.repeat_interleave(3, 2).repeat_interleave(3, 3)
    )


@pytest.mark.parametrize("sizes", [(7,), (7, 6), (5, 6, 4)])
def test_layer_norm_is_over_the_channels_of_each_position(sizes, one_stage):
    x = 3 + 2 * draw(2, 8, *sizes)
    y = build(one_stage(LayerNorm(1e-6), (8, *sizes)))(x)
    torch.testing.assert_close(y, (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-6).sqrt())


def test_group_norm_of_one_group_is_over_the_whole_sample(one_stage):
    x = 3 + 2 * draw(2, 8, 5, 5)
    y = build(one_stage(GroupNorm(1), (8, 5, 5)))(x)
    mean, deviation = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(y, (x - mean) / deviation, rtol=1e-4, atol=1e-4)


def test_local_contrast_normalization_is_its_formula_at_one_position():
    layer, x = LocalContrastNorm(3, 2), 5 * draw(1, 2, 9, 9)
    window = layer.window[0, 0]
    mean = lambda v: sum(  # noqa: E731
        window[a, b] * v[:, :, 4 + a - 1, 4 + b - 1].mean() for a in range(3) for b in range(3)
    )
    centered = torch.zeros(1, 2, 9, 9)
    for i in range(1, 8):
        for j in range(1, 8):
            local = (window * x[0, :, i - 1 : i + 2, j - 1 : j + 2].mean(0)).sum()
            centered[0, :, i, j] = x[0, :, i, j] - local
    expected = centered[0, :, 4, 4] / max(1.0, mean(centered**2).sqrt())
    torch.testing.assert_close(layer(x)[0, :, 4, 4], expected)
    assert window.sum() == pytest.approx(1)
    flat = layer(torch.full((1, 2, 9, 9), 7.0))
    torch.testing.assert_close(flat, torch.zeros_like(flat), atol=1e-5, rtol=0)
    assert not layer.state_dict()


def test_stochastic_pooling_picks_in_proportion_and_averages_in_evaluation():
    layer = StochasticPool((2, 2), (2, 2))
    x = torch.tensor([[1.0, 2.0], [-5.0, 5.0]]).expand(20_000, 1, 2, 2)
    torch.manual_seed(0)
    picked = layer(x).flatten()
    assert set(picked.unique().tolist()) == {1.0, 2.0, 5.0}
    for value in (1.0, 2.0, 5.0):
        share = (picked == value).double().mean().item()
        assert abs(share - value / 8) < 4 * (value / 8 * (1 - value / 8) / 20_000) ** 0.5
    torch.testing.assert_close(layer.eval()(x[:1]).flatten(), torch.tensor([(1 + 4 + 25) / 8]))
    assert not layer(torch.zeros(1, 1, 2, 2)).any()
    assert not layer.train()(torch.full((1, 1, 2, 2), -1.0)).any()


def test_fractional_pooling_is_random_in_training_and_fixed_in_evaluation(one_stage):
    x = draw(2, 3, 20, 20)
    module = build(one_stage(FractionalMaxPool(), (3, 20, 20)))
    assert module(x).shape == (2, 3, 14, 14)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))
    assert set(module(x).flatten().tolist()) <= set(x.flatten().tolist())
    assert build(one_stage(FractionalMaxPool(1.5), (3, 9, 9, 9))).eval()(draw(2, 3, 9, 9, 9)).shape == (2, 3, 6, 6, 6)


def test_dropconnect_drops_weights_in_training_only(one_stage):
    module = build(one_stage(Linear(1, bias=False, dropconnect=0.25), (400,)))
    nn.init.ones_(module.stage1.weight)
    x = torch.ones(3, 400)
    torch.manual_seed(0)
    values = torch.stack([module(x)[:, 0] for _ in range(500)])
    # The weights of a batch are dropped together.
    torch.testing.assert_close(values.min(1).values, values.max(1).values)
    assert values[:, 0].std() > 5
    assert abs(values.mean().item() - 400) < 4 * (400 * 0.25 / 0.75 / 500) ** 0.5
    torch.testing.assert_close(module.eval()(x), torch.full((3, 1), 400.0))


def test_padding_by_side_mirror_edge_and_crop(one_stage):
    x = torch.arange(12.0).view(1, 1, 3, 4)
    run = lambda leaf: build(one_stage(leaf, (1, 3, 4)))(x)[0, 0]  # noqa: E731
    assert torch.equal(run(Pad((1, 0), (0, 2)))[1:, :4], x[0, 0])
    assert run(Pad((1, 0), (0, 2)))[0].tolist() == [0] * 6
    assert run(Pad((0, 1), 0, "reflect"))[0].tolist() == [1, 0, 1, 2, 3]
    assert run(Pad((0, 1), (0, 1), "replicate"))[2].tolist() == [8, 8, 9, 10, 11, 11]
    assert run(Pad((-1, 0), (0, -1))).tolist() == [[4, 5, 6], [8, 9, 10]]


@pytest.mark.parametrize("kernel", range(1, 7))
def test_total_padding_keeps_the_size_and_puts_the_odd_zero_first(kernel, one_stage):
    tree = one_stage(seq(pad=total_padding(kernel), conv=Conv(1, kernel)), (1, 9, 9))
    assert tree.trace().stages["stage1"].shape.spatial == (9, 9)
    pad = total_padding(kernel)
    assert (pad.before, pad.after) == (math.ceil((kernel - 1) / 2), (kernel - 1) // 2)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 8, 9])
def test_same_padding_divides_the_size_by_the_stride(kernel, stride, size, one_stage):
    tree = one_stage(seq(pad=PadSame(kernel, stride), conv=Conv(1, kernel, stride)), (1, size, size))
    out = -(-size // stride)
    assert tree.trace().stages["stage1"].shape.spatial == (out, out)
    assert build(tree)(draw(1, 1, size, size)).shape == (1, 1, out, out)
    total = max((out - 1) * stride + kernel - size, 0)
    padded = build(one_stage(PadSame(kernel, stride, fill="lowest"), (1, size, size)))(draw(1, 1, size, size))
    assert padded.isinf().all(2)[0, 0].tolist() == [True] * (total // 2) + [False] * size + [True] * (
        total - total // 2
    )


def test_chunks_and_shuffles():
    x = torch.arange(6.0).view(1, 6, 1)
    assert Chunk(1, 3)(x).flatten().tolist() == [2, 3]
    assert nn.ChannelShuffle(2)(x[..., None]).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_squeeze_excite_scales_each_channel_by_the_whole_image(one_stage):
    tree = one_stage(seq(se=squeeze_excite(8, 2)), (8, 5, 5))
    module, x = build(tree, seed=0), draw(2, 8, 5, 5)
    w = module.state_dict()
    hidden = torch.relu(x.mean((2, 3)) @ w["stage1.se.conv1.weight"].flatten(1).T + w["stage1.se.conv1.bias"])
    scale = torch.sigmoid(hidden @ w["stage1.se.conv2.weight"].flatten(1).T + w["stage1.se.conv2.bias"])
    torch.testing.assert_close(module(x), x * scale[:, :, None, None])
    assert cost(tree).params == 8 * 2 + 2 + 2 * 8 + 8
    assert cost(tree).gated


def test_unpooling_puts_values_back_where_the_maxima_were(one_stage):
    tree = one_stage(seq(keep=Keep("before"), pool=MaxPool(2, 2), unpool=Unpool("before")), (2, 5, 6))
    x = draw(3, 2, 5, 6)
    y = build(tree)(x)
    assert tuple(y.shape[1:]) == tuple(tree.trace().stages["stage1"].shape) == (2, 5, 6)
    pooled, places = nn.functional.max_pool2d(x, 2, 2, return_indices=True)
    assert torch.equal(y, nn.functional.max_unpool2d(pooled, places, 2, 2, output_size=(5, 6)))
    assert torch.equal(nn.functional.max_pool2d(y, 2, 2).clamp_min(0), pooled.clamp_min(0))
    assert Network.from_json(json.loads(json.dumps(tree.to_json()))) == tree


def test_unpooling_to_another_size_says_so(one_stage):
    with pytest.raises(UsageError, match=r"^stage1.unpool: unpooling to 'a', which pools to 2x2x3, receives 2x5x6$"):
        one_stage(seq(keep=Keep("a"), unpool=Unpool("a")), (2, 5, 6)).trace()
    with pytest.raises(UsageError, match=r"unknown kept value at stage1.unpool: 'b'; known: a"):
        one_stage(seq(keep=Keep("a"), unpool=Unpool("b")), (2, 5, 6)).trace()
