"""The older and smaller networks, layer by layer as their papers and authors have them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Linear
from convsmith.nets.tree import rewrite
from convsmith.nets.weights.pretrained import name_map
from convsmith.nets.zoo import edit, network


def rows(name, op):
    return [row for row in cost(network(name)).layers if row.op == op]


def conv(before, after, kernel):
    """Weights and biases of a two-dimensional convolution."""
    return after * (before * kernel**2 + 1)


def dense(before, after):
    return after * (before + 1)


def sides(name, *ops):
    return [row.output[1] for row in cost(network(name)).layers if row.op in ops]


# Neocognitron: Fukushima 1980, section 5


def test_the_neocognitron_has_the_cells_of_the_paper():
    layers = cost(network("neocognitron")).layers
    s_layers = [row.output for row in layers if row.op == "conv"]
    c_layers = [row.output for row in layers if row.op == "avg_pool"]
    assert cost(network("neocognitron")).input == (1, 16, 16)
    assert s_layers == [(24, 16, 16), (24, 8, 8), (24, 2, 2)]
    assert c_layers == [(24, 10, 10), (24, 6, 6), (24, 1, 1)]


def test_a_cell_of_the_neocognitron_has_the_synapses_of_the_paper():
    # excitatory: 5x5 in Us1, 5x5x24 in Us2 and Us3
    synapses = [row.params // 24 - 1 for row in rows("neocognitron", "conv")]
    assert synapses == [25, 25 * 24, 25 * 24]
    assert cost(network("neocognitron")).params == 24 * (26 + 601 + 601) + dense(24, 10)


def test_a_last_cell_of_the_neocognitron_sees_the_whole_input():
    module = build(network("neocognitron"), seed=0).double()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.fill_(1)
    x = torch.ones(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    module.features(x)["stage3"].sum().backward()
    assert (x.grad != 0).all()


def test_a_shift_changes_the_c_cells_of_the_neocognitron_less_than_the_s_cells():
    module = build(network("neocognitron"), seed=0).eval()
    x = torch.zeros(1, 1, 16, 16)
    x[..., 5:11, 7] = 1
    stage = module.get_submodule("stage1")
    s_layer = nn.Sequential(stage.get_submodule("conv"), stage.get_submodule("act"))

    def change(layer):
        before, after = layer(x), layer(x.roll(1, -1))
        return ((after - before).norm() / before.norm()).item()

    with torch.no_grad():
        assert change(stage) < 0.5 * change(s_layer)


# TDNN: Waibel et al. 1989, figure 2


def test_the_tdnn_has_the_units_and_windows_of_the_paper():
    numbers = cost(network("tdnn"))
    assert numbers.input == (16, 15)
    assert [row.output for row in numbers.layers if row.op == "conv"] == [(8, 13), (3, 9)]
    assert numbers.params == 8 * (16 * 3 + 1) + 3 * (8 * 5 + 1)
    assert numbers.macs == 13 * 8 * 16 * 3 + 9 * 3 * 8 * 5
    assert numbers.receptive_field == (7,)


def test_the_tdnn_sums_over_time():
    module = build(network("tdnn"), seed=0)
    x = torch.randn(2, 16, 15, generator=torch.Generator().manual_seed(0))
    hidden = torch.sigmoid(module.get_submodule("stage1.conv")(x))
    evidence = torch.sigmoid(module.get_submodule("head.conv")(hidden))
    assert evidence.shape == (2, 3, 9)
    torch.testing.assert_close(module(x), evidence.sum(2))
    assert build(edit(network("tdnn"), "classes=18"))(x).shape == (2, 18)


# ConvNetJS and CS231n


def test_convnetjs_counts_by_layer():
    parts = [row.params for row in cost(network("convnetjs_cifar")).layers if row.params]
    assert parts == [16 * 5 * 5 * 3 + 16, 20 * 5 * 5 * 16 + 20, 20 * 5 * 5 * 20 + 20, 10 * 320 + 10]
    assert sides("convnetjs_cifar", "conv", "max_pool") == [32, 16, 16, 8, 8, 4]


def test_the_tiny_vgg_is_conv_relu_conv_relu_pool_three_times_and_a_dense_layer():
    layers = cost(network("tiny_vgg_cifar")).layers
    assert [row.op for row in layers] == ["conv", "act", "conv", "act", "max_pool"] * 3 + ["flatten", "linear"]
    assert {row.output[0] for row in layers if row.op == "conv"} == {10}
    assert cost(network("tiny_vgg_cifar")).params == conv(3, 10, 3) + 5 * conv(10, 10, 3) + dense(160, 10)


# ZFNet: Zeiler and Fergus 2014, figure 3


@pytest.mark.parametrize("name", ["zfnet", "zfnet_512"])
def test_zfnet_has_the_sides_of_its_figure(name):
    assert sides(name, "conv", "max_pool") == [110, 55, 26, 13, 13, 13, 13, 6]
    ops = [row.op for row in cost(network(name)).layers]
    assert ops[:8] == ["conv", "act", "max_pool", "local_response_norm"] * 2


@pytest.mark.parametrize(("name", "last"), [("zfnet", (384, 384, 256)), ("zfnet_512", (512, 1024, 512))])
def test_zfnet_counts(name, last):
    third, fourth, fifth = last
    convs = conv(3, 96, 7) + conv(96, 256, 5) + conv(256, third, 3) + conv(third, fourth, 3) + conv(fourth, fifth, 3)
    numbers = cost(network(name))
    assert numbers.params == convs + dense(36 * fifth, 4096) + dense(4096, 4096) + dense(4096, 1000)
    at_13 = 9 * 169 * (256 * third + third * fourth + fourth * fifth)
    denses = 36 * fifth * 4096 + 4096 * 4096 + 4096 * 1000
    assert numbers.macs == 96 * 147 * 110**2 + 256 * 2400 * 26**2 + at_13 + denses


def test_zfnet_differs_from_alexnet_by_its_first_kernel():
    saved = cost(network("alexnet_cs231n")).params - cost(network("zfnet")).params
    assert saved == 96 * 3 * (11**2 - 7**2)


# CNN-F, -M and -S: Chatfield et al. 2014, table 1


def test_sides_of_the_vggs_of_2014():
    assert sides("vgg_f", "conv", "max_pool") == [54, 27, 27, 13, 13, 13, 13, 6]
    assert sides("vgg_m", "conv", "max_pool") == [109, 54, 26, 13, 13, 13, 13, 6]
    assert sides("vgg_s", "conv", "max_pool") == [109, 37, 33, 17, 17, 17, 17, 6]


def test_counts_of_the_vggs_of_2014():
    denses = dense(4096, 4096) + dense(4096, 1000)
    fast = conv(3, 64, 11) + conv(64, 256, 5) + 3 * conv(256, 256, 3) + dense(256 * 36, 4096)
    others = conv(3, 96, 7) + conv(96, 256, 5) + conv(256, 512, 3) + 2 * conv(512, 512, 3) + dense(512 * 36, 4096)
    assert cost(network("vgg_f")).params == fast + denses
    assert cost(network("vgg_m")).params == cost(network("vgg_s")).params == others + denses
    threes = 256 * 512 + 2 * 512 * 512
    tail = 512 * 36 * 4096 + 4096 * 4096 + 4096 * 1000
    assert cost(network("vgg_s")).macs == 96 * 147 * 109**2 + 256 * 2400 * 33**2 + 9 * 17**2 * threes + tail


def test_vgg_m_computes_as_the_published_model(filled):
    # The published Caffe model as Cadene/pretrained-models.pytorch lists it.
    def norm():
        return nn.LocalResponseNorm(5, 0.0005, 0.75, 2.0)

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    def published():
        return nn.Sequential(
            nn.Conv2d(3, 96, 7, 2), nn.ReLU(), norm(), pool(),
            nn.Conv2d(96, 256, 5, 2, 1), nn.ReLU(), norm(), pool(),
            nn.Conv2d(256, 512, 3, 1, 1), nn.ReLU(), nn.Conv2d(512, 512, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(512, 512, 3, 1, 1), nn.ReLU(), pool(), nn.Flatten(),
            nn.Linear(512 * 36, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(),
            nn.Linear(64, 10),
        )  # fmt: skip

    peer, state = filled(published)
    tree = network("vgg_m", classes=10)

    def narrow(path, node):
        return Linear(64) if path in ("head.linear1", "head.linear2") else node

    ours = build(replace(tree, heads=tuple((name, rewrite(head, narrow, name)) for name, head in tree.heads))).eval()
    names = name_map(peer, ours, (3, 224, 224))
    ours.load_state_dict({mine: state[theirs] for theirs, mine in names.items()})
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(ours(x), peer(x))


@pytest.mark.parametrize(("name", "side"), [("zfnet", 4), ("vgg_f", 4), ("vgg_m", 4), ("vgg_s", 2)])
def test_forms_for_small_images(name, side):
    tree = edit(network(name, classes=10), "small_images")
    assert next(row.output[1] for row in cost(tree).layers if row.op == "conv") == 32
    assert tree.trace().stages["stage3"].shape.spatial == (side, side)


def test_chains_are_widened_and_deepened():
    assert rows("vgg11", "conv")[0].output[0] == 64
    half = cost(edit(network("vgg11"), "widen=0.5"))
    assert [row.output[0] for row in half.layers if row.op == "conv"] == [32, 64, 128, 128, 256, 256, 256, 256]
    deep = cost(edit(network("vgg11"), "deepen=2"))
    assert sum(row.op == "conv" for row in deep.layers) == 16
    assert cost(edit(network("zfnet"), "widen=2")).layers[0].output[0] == 192


# BN-AlexNet, VGG for CIFAR


def test_alexnet_with_batch_normalization_normalizes_every_layer_but_the_last():
    normed, plain = cost(network("alexnet_bn")), cost(network("alexnet"))
    assert normed.params - plain.params == 2 * (64 + 192 + 384 + 256 + 256 + 4096 + 4096)
    assert normed.macs == plain.macs
    layers = [row for row in normed.layers if row.op in ("conv", "linear", "batch_norm", "act")]
    assert [row.op for row in layers] == [
        *["conv", "batch_norm", "act"] * 5, *["linear", "batch_norm", "act"] * 2, "linear"
    ]  # fmt: skip
    module = build(network("alexnet_bn"), device="meta")
    assert {m.eps for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)} == {1e-3}
    small = [cost(edit(network(name, classes=10), "small_images")).params for name in ("alexnet_bn", "alexnet")]
    assert small[0] - small[1] == normed.params - plain.params


@pytest.mark.parametrize(
    ("depth", "depths"), [(11, (1, 1, 2, 2, 2)), (13, (2,) * 5), (16, (2, 2, 3, 3, 3)), (19, (2, 2, 4, 4, 4))]
)
def test_vgg_for_small_images_has_one_linear_layer(depth, depths):
    large, small = network(f"vgg{depth}_bn"), network(f"vgg{depth}_bn_cifar")
    assert small.stages == large.stages
    numbers = cost(small)
    widths = (3, 64, 128, 256, 512, 512)
    layers = [
        (after if i else before, after, 32 // 2**stage)
        for stage, (before, after, count) in enumerate(zip(widths[:-1], widths[1:], depths, strict=True))
        for i in range(count)
    ]
    assert numbers.params == sum(conv(a, b, 3) + 2 * b for a, b, _ in layers) + dense(512, 10)
    assert numbers.macs == sum(9 * a * b * side**2 for a, b, side in layers) + 5120
    assert [row.params for row in numbers.layers if row.op == "linear"] == [dense(512, 10)]
    assert numbers.input == (3, 32, 32)


# Context network: Yu and Koltun 2016, table 1 and figure 1


@pytest.mark.parametrize(
    ("name", "channels", "fields"),
    [
        ("context_basic", [21] * 8, [3, 5, 9, 17, 33, 65, 67, 67]),
        ("context_large", [21 * n for n in (2, 2, 4, 8, 16, 32, 32, 1)], [3, 5, 9, 17, 33, 65, 67, 67]),
        ("context_figure1", [21] * 4, [3, 7, 15, 15]),
    ],
)
def test_the_context_network_has_the_fields_and_channels_of_its_table(name, channels, fields):
    convs = rows(name, "conv")
    assert [row.output[0] for row in convs] == channels
    assert [row.receptive_field for row in convs] == [(field, field) for field in fields]
    assert {row.output[1:] for row in convs} == {(64, 64)}
    acts = rows(name, "act")
    assert len(acts) == len(convs) - 1


def test_counts_of_the_context_networks():
    c = 21
    basic, large = cost(network("context_basic")), cost(network("context_large"))
    assert basic.params == 64 * c**2 + 8 * c  # "approximately 64 C^2"
    pairs = [(1, 2), (2, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 32)]
    assert large.params == (sum(9 * a * b for a, b in pairs) + 32) * c**2 + sum(b for _, b in pairs) * c + c
    assert basic.macs == 64 * c**2 * 64**2


def test_the_context_networks_output_is_a_map():
    tree = network("context_figure1", channels=5, classes=4, size=12)
    assert tree.classes == 4
    assert build(tree)(torch.zeros(2, 5, 9, 14)).shape == (2, 4, 9, 14)
    assert edit(tree, "classes=7").classes == 7
