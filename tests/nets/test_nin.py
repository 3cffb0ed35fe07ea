"""Network in Network, layer by layer as its authors' models have it."""

import torch
from torch import nn

from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.weights.pretrained import name_map
from convsmith.nets.zoo import edit, network

# Inputs, outputs, kernel of each convolution.
CIFAR = (
    (3, 192, 5), (192, 160, 1), (160, 96, 1), (96, 192, 5), (192, 192, 1), (192, 192, 1), (192, 192, 3), (192, 192, 1),
    (192, 10, 1),
)  # fmt: skip
IMAGENET = (
    (3, 96, 11), (96, 96, 1), (96, 96, 1), (96, 256, 5), (256, 256, 1), (256, 256, 1), (256, 384, 3), (384, 384, 1),
    (384, 384, 1), (384, 1024, 3), (1024, 1024, 1),
)  # fmt: skip


def params(table):
    return sum(after * (before * kernel**2 + 1) for before, after, kernel in table)


def sides(name):
    """Of each convolution and of the pool before it."""
    return [row.output[1] for row in cost(network(name)).layers if row.op in ("conv", "max_pool", "avg_pool")]


def test_counts():
    assert cost(network("nin_cifar")).params == params(CIFAR)
    assert round(cost(network("nin_cifar")).params / 1e6, 2) == 0.97
    assert cost(network("nin")).params == params((*IMAGENET, (1024, 1000, 1)))
    widths = 2 * 3 * (96 + 256 + 384 + 1024)
    assert cost(network("nin_bn")).params == params((*IMAGENET, (1024, 1024, 1))) + widths + 1025 * 1000


def test_sides():
    assert sides("nin_cifar") == [32, 32, 32, 16, 16, 16, 16, 8, 8, 8, 8]
    assert sides("nin") == [54] * 3 + [27] * 4 + [13] * 4 + [6] * 4
    assert sides("nin_bn") == [56] * 3 + [28] * 4 + [14] * 4 + [7] * 4


def test_work():
    for name, table, last in (
        ("nin", (*IMAGENET, (1024, 1000, 1)), (54, 27, 13, 6)),
        ("nin_bn", (*IMAGENET, (1024, 1024, 1)), (56, 28, 14, 7)),
        ("nin_cifar", CIFAR, (32, 16, 8)),
    ):
        at = [side for side in last for _ in range(3)]
        macs = sum(a * b * k**2 * side**2 for (a, b, k), side in zip(table, at, strict=True))
        assert cost(network(name)).macs == macs + (1024 * 1000 if name == "nin_bn" else 0)


def test_the_cifar_form_computes_as_the_authors_model(filled):
    # The authors' Caffe model: the second pool takes the mean, a ReLU stands before the last mean.
    def published():
        layers = []
        for i, (before, after, kernel) in enumerate(CIFAR):
            layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
            if i == 2:
                layers += [nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout()]
            if i == 5:
                layers += [nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False), nn.Dropout()]
        return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten())

    peer, state = filled(published)
    ours = build(network("nin_cifar")).eval()
    ours.load_state_dict({mine: state[theirs] for theirs, mine in name_map(peer, ours, (3, 32, 32)).items()})
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours(x), expected)
    drops = [row.name for row in cost(network("nin_cifar")).layers if row.op == "dropout"]
    assert drops == ["stage1.dropout", "stage2.dropout"]


def test_the_form_with_batch_normalization_computes_as_its_torch_model(filled):
    def block(before, after, *numbers):
        layers = []
        for conv in (nn.Conv2d(before, after, *numbers), nn.Conv2d(after, after, 1), nn.Conv2d(after, after, 1)):
            layers += [conv, nn.BatchNorm2d(after, 1e-3), nn.ReLU()]
        return layers

    def published():
        return nn.Sequential(
            *block(3, 96, 11, 4, 5), nn.MaxPool2d(3, 2, 1), *block(96, 256, 5, 1, 2), nn.MaxPool2d(3, 2, 1),
            *block(256, 384, 3, 1, 1), nn.MaxPool2d(3, 2, 1), *block(384, 1024, 3, 1, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 10),
        )  # fmt: skip

    peer, state = filled(published)
    ours = build(network("nin_bn", classes=10)).eval()
    ours.load_state_dict({mine: state[theirs] for theirs, mine in name_map(peer, ours, (3, 224, 224)).items()})
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours(x), expected)


def test_classes_are_maps():
    tree = edit(network("nin_cifar"), "classes=7")
    assert tree.classes == 7
    assert [row.output for row in cost(tree).layers if row.op == "conv"][-1] == (7, 8, 8)
    assert not any(row.op == "linear" for row in cost(tree).layers)


def test_the_small_form_keeps_small_images():
    for name in ("nin", "nin_bn"):
        ends = edit(network(name, classes=10), "small_images").trace().stages
        assert ends["stage4"].shape.spatial == (4, 4)
