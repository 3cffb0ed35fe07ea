"""The network of the CIFAR-10 speed records, and filters that whiten patches."""

import pytest
import torch
from torch import nn

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.modules.whitening import whiten, whitening_filters
from convsmith.nets.zoo import network, widen


@pytest.mark.parametrize(
    ("name", "widths"), [("airbench_cifar", (64, 256, 256)), ("airbench_half_cifar", (32, 128, 128))]
)
def test_counts(name, widths):
    # Pairs of 3x3 convolutions, the first before its pooling, and a shift and a scale for each of two norms.
    params, macs, before, side = 24 * 12 + 24, 24 * 12 * 31**2, 24, 31
    for width in widths:
        params += 9 * (before * width + width**2) + 4 * width
        macs += 9 * (before * width * side**2 + width**2 * (side // 2) ** 2)
        before, side = width, side // 2
    found = cost(network(name))
    assert (found.params, found.macs) == (params + 10 * before, macs + 10 * before)


def test_it_computes_as_the_records_network(filled):
    """The layers of the released script, in its order, with the same weights in both."""

    def published():
        layers, before = [nn.Conv2d(3, 24, 2), nn.GELU()], 24
        for width in (64, 256, 256):
            layers += [nn.Conv2d(before, width, 3, padding="same", bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(width, 1e-12, 0.4), nn.GELU()]
            layers += [nn.Conv2d(width, width, 3, padding="same", bias=False), nn.BatchNorm2d(width, 1e-12, 0.4)]
            layers += [nn.GELU()]
            before = width
        return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False))

    theirs, state = filled(published)
    ours = build(network("airbench_cifar")).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), state.values(), strict=True)))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images) / 9, rtol=1e-4, atol=1e-4)


def test_it_takes_other_sizes_and_widths():
    module = build(widen(network("airbench_cifar"), 0.25))
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    # The filters that whiten are as many as the patches have numbers, twice.
    assert [layer.out_channels for layer in convolutions] == [24, 16, 16, 64, 64, 64, 64]
    assert module(torch.randn(2, 3, 24, 24)).shape == (2, 10)


def test_whitened_patches_are_uncorrelated_and_of_one_variance():
    torch.manual_seed(0)
    # Correlated colors and neighbors, as in photographs.
    images = nn.functional.avg_pool2d(torch.randn(200, 3, 18, 18) + 2 * torch.randn(200, 1, 18, 18), 2, 1) * 3
    filters = whitening_filters(images, (2, 2))
    answers = nn.functional.conv2d(images, filters).permute(0, 2, 3, 1).reshape(-1, 12).double()
    covariance = answers.T @ answers / len(answers)
    torch.testing.assert_close(covariance, torch.eye(12, dtype=torch.float64), atol=0.02, rtol=0)
    # The same for the same images, whatever the sign that the solver chose.
    largest = filters.flatten(1).gather(1, filters.flatten(1).abs().argmax(dim=1, keepdim=True))
    assert bool((largest > 0).all())


def test_whiten_fills_both_signs():
    torch.manual_seed(0)
    images = torch.randn(50, 3, 8, 8)
    module = build(network("airbench_cifar"), seed=0)
    whiten(module, "whiten.conv", images)
    weight = module.get_submodule("whiten.conv").weight
    assert torch.equal(weight[:12], whitening_filters(images, (2, 2)))
    assert torch.equal(weight[12:], -weight[:12])


def test_what_cannot_be_whitened():
    images = torch.randn(5, 3, 8, 8)
    module = build(network("airbench_cifar"))
    with pytest.raises(UsageError, match=r"a 2-d convolution such as whiten\.conv, received 'stem'"):
        whiten(module, "stem", images)
    with pytest.raises(UsageError, match=r"stage1.conv1 has filters of shape \(64, 24, 3, 3\).*\(54, 3, 3, 3\)"):
        whiten(module, "stage1.conv1", images)
