"""Pre-activation and wide ResNets: depths, closed forms of the papers' counts, and the unit computed by hand."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, batch_norm, conv2d, linear

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Conv, Dropout, Linear
from convsmith.nets.tree import walk
from convsmith.nets.zoo import edit, network


def layers(name, shortcuts):
    """Convolutions and linear layers, with or without those of the shortcuts."""
    tree = network(name)
    nodes = [item for part, node in tree.stages + tree.heads for item in walk(node, part)]
    return sum(isinstance(node, Conv | Linear) and (shortcuts or ".shortcut." not in path) for path, node in nodes)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("preresnet50", 50), ("preresnet101", 101), ("preresnet152", 152), ("preresnet200", 200),
        ("preresnet110_cifar", 110), ("preresnet164_cifar", 164), ("preresnet1001_cifar", 1001),
    ],
)  # fmt: skip
def test_a_preactivation_networks_number_counts_its_layers(name, depth):
    assert layers(name, shortcuts=False) == depth


@pytest.mark.parametrize(("name", "depth"), [("wrn16_8_cifar", 16), ("wrn28_10_cifar", 28), ("wrn40_4_cifar", 40)])
def test_a_wide_networks_number_counts_its_convolutions_those_of_shortcuts_too(name, depth):
    assert layers(name, shortcuts=True) - 1 == depth


def totals(width_in, stages, kernels, stride_at, positions):
    """Parameters and MACs of pre-activation stages: of each the units and the widths of a unit's convolutions."""
    params = macs = 0
    for stage, (units, widths) in enumerate(stages):
        for unit in range(units):
            inputs, before = (width_in, *widths[:-1]), positions
            after = positions // 4 if stage and unit == 0 else positions
            params += sum(2 * width for width in inputs)
            for i, (a, b, kernel) in enumerate(zip(inputs, widths, kernels, strict=True)):
                params += a * b * kernel**2
                macs += a * b * kernel**2 * (after if i >= stride_at else before)
            if width_in != widths[-1]:
                params += width_in * widths[-1]
                macs += width_in * widths[-1] * after
            positions, width_in = after, widths[-1]
    return params + 2 * width_in, macs


def test_preresnet200_follows_its_closed_form():
    stages = [(n, (64 * 2**i, 64 * 2**i, 256 * 2**i)) for i, n in enumerate((3, 24, 36, 3))]
    params, macs = totals(64, stages, (1, 3, 1), 1, 56 * 56)
    numbers = cost(network("preresnet200"))
    assert numbers.params == params + 3 * 64 * 49 + 2048 * 1000 + 1000
    assert numbers.macs == macs + 3 * 64 * 49 * 112 * 112 + 2048 * 1000


# Units, widths, kernels, and millions of parameters as the papers print them, normalizations not counted: He et al.
# 2016, "Identity mappings", table 4; Zagoruyko and Komodakis 2016, table 5.
CIFAR = {
    "preresnet110_cifar": ((18, (1, 1), (16, 32, 64)), (3, 3), 1.7),
    "preresnet164_cifar": ((18, (1, 1, 4), (16, 32, 64)), (1, 3, 1), 1.7),
    "preresnet1001_cifar": ((111, (1, 1, 4), (16, 32, 64)), (1, 3, 1), 10.2),
    "wrn16_8_cifar": ((2, (1, 1), (128, 256, 512)), (3, 3), 11.0),
    "wrn28_10_cifar": ((4, (1, 1), (160, 320, 640)), (3, 3), 36.5),
    "wrn40_4_cifar": ((6, (1, 1), (64, 128, 256)), (3, 3), 8.9),
}


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_forms_follow_their_closed_form_and_the_papers(name):
    (units, factors, widths), kernels, millions = CIFAR[name]
    stages = [(units, tuple(width * factor for factor in factors)) for width in widths]
    params, macs = totals(16, stages, kernels, 0, 32 * 32)
    last = stages[-1][1][-1]
    numbers = cost(network(name))
    assert numbers.params == params + 3 * 16 * 9 + 10 * last + 10
    assert numbers.macs == macs + 3 * 16 * 9 * 32 * 32 + 10 * last
    norms = sum(layer.params for layer in numbers.layers if layer.op == "batch_norm")
    assert round((numbers.params - norms) / 1e6, 1) == millions


def by_hand(state, x, units, kernels, stride_at):
    """The authors' network in torch functions: see KaimingHe/resnet-1k-layers."""

    def activated(x, name):
        mean, variance, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(x, mean, variance, weight, bias).relu()

    x = conv2d(x, state["stem.conv.weight"], padding=1)
    for stage in (1, 2, 3):
        for unit in range(1, units + 1):
            name, stride = f"stage{stage}.unit{unit}", 2 if stage > 1 and unit == 1 else 1
            common = f"{name}.norm1.weight" in state  # both paths see the activated input
            y = activated(x, f"{name}.norm1" if common else f"{name}.branch.norm1")
            inside = f"{name}.sum" if common else name
            shortcut = conv2d(y, state[f"{inside}.shortcut.conv.weight"], stride=stride) if common else x
            for i, kernel in enumerate(kernels):
                y = activated(y, f"{inside}.branch.norm{i + 1}") if i else y
                step = stride if i == stride_at else 1
                y = conv2d(y, state[f"{inside}.branch.conv{i + 1}.weight"], stride=step, padding=kernel // 2)
            x = y + shortcut
    x = adaptive_avg_pool2d(activated(x, "stage3.norm"), 1).flatten(1)
    return linear(x, state["head.linear.weight"], state["head.linear.bias"])


@pytest.mark.parametrize(
    ("name", "numbers", "units", "kernels"),
    [
        ("preresnet110_cifar", {"depth": 20}, 3, (3, 3)),
        ("preresnet164_cifar", {"depth": 29}, 3, (1, 3, 1)),
        ("wrn16_8_cifar", {"depth": 22, "widening": 2}, 3, (3, 3)),
        ("wrn16_8_cifar", {"depth": 16, "widening": 1}, 2, (3, 3)),
    ],
)
def test_outputs_are_those_of_the_unit_by_hand(name, numbers, units, kernels):
    module = build(network(name, **numbers), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    state = module.state_dict()
    for key, tensor in state.items():
        if "norm" in key and tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    x = torch.randn(2, 3, 32, 32, generator=generator)
    with torch.no_grad():
        assert torch.equal(module(x), by_hand(state, x, units, kernels, 0))


def test_only_units_that_change_the_shape_activate_for_both_paths():
    state = build(network("preresnet164_cifar"), device="meta").state_dict()
    common = {key.rsplit(".", 2)[0] for key in state if key.endswith(".norm1.weight") and ".branch." not in key}
    assert common == {"stage1.unit1", "stage2.unit1", "stage3.unit1"}
    state = build(network("preresnet110_cifar"), device="meta").state_dict()
    common = {key.rsplit(".", 2)[0] for key in state if key.endswith(".norm1.weight") and ".branch." not in key}
    assert common == {"stage2.unit1", "stage3.unit1"}


def test_dropout_stands_between_the_convolutions_of_every_branch():
    tree = network("wrn28_10_dropout_cifar")
    found = [(path, node) for name, stage in tree.stages for path, node in walk(stage, name)]
    assert [node for _, node in found if isinstance(node, Dropout)] == [Dropout(0.3)] * 12
    orders = [tuple(name for name, _ in node.children)[-4:] for path, node in found if path.endswith("branch")]
    assert orders == [("norm2", "act2", "dropout", "conv2")] * 12
    keys = [build(network(name), device="meta").state_dict().keys() for name in ("wrn28_10_cifar", tree.name)]
    assert keys[0] == keys[1]


def test_widen_and_deepen():
    assert edit(network("wrn28_10_cifar", widening=5), "widen(2)").stages == network("wrn28_10_cifar").stages
    assert edit(network("wrn16_8_cifar"), "deepen(2)").stages == network("wrn28_10_cifar", widening=8).stages
    assert edit(network("preresnet164_cifar", depth=56), "deepen(3)").stages == network("preresnet164_cifar").stages
    ends = edit(network("preresnet50"), "widen(2)").trace().stages
    assert [ends[name].shape.channels for name in ("stem", "stage1", "stage4")] == [64, 512, 4096]


WRONG = {
    ("preresnet164_cifar", "depth", 111): r"has 9n \+ 2 layers \(11, 20, 29, \.\.\.\), received depth 111",
    ("preresnet110_cifar", "depth", 111): r"has 6n \+ 2 layers \(8, 14, 20, \.\.\.\), received depth 111",
    ("wrn28_10_cifar", "depth", 26): r"a wide ResNet has 6n \+ 4 layers \(10, 16, 22, 28, \.\.\.\), received depth 26",
    ("wrn28_10_cifar", "widening", 0): r"widening is 0.0, expected a factor above 0, such as 10",
}


@pytest.mark.parametrize("case", WRONG)
def test_numbers_that_do_not_fit_are_refused(case):
    name, number, value = case
    with pytest.raises(UsageError, match=WRONG[case]):
        network(name, **{number: value})
