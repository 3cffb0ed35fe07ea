"""Edits that exchange layers: what they change, what it costs and what they refuse."""

import re
from dataclasses import replace

import pytest
import torch
import torchvision.models as peers

from convsmith.base.errors import NoChange, UnknownName, UsageError
from convsmith.nets import edits
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import (
    Act,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dropout,
    FractionalMaxPool,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    StochasticPool,
)
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Add, Gate, Keep, seq, walk
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import EDITS, edit, network, small_images


def nodes(tree, kind):
    roots = tree.stages + tree.heads
    return [(path, node) for name, root in roots for path, node in walk(root, name) if isinstance(node, kind)]


def paths(tree, kind):
    return [path for path, _ in nodes(tree, kind)]


# An edit that changes the network for each of these, and another that it leaves as it is.
EXAMPLES = {
    "classes": ("resnet18", "classes=7", "classes=1000"),
    "channels": ("resnet18", "channels=1", "channels=3"),
    "size": ("resnet18", "size=96", "size=224"),
    "main_head": ("googlenet", "main_head", "main_head"),
    "cut": ("googlenet", "cut=stage3", None),
    "small_images": ("resnet18", "small_images", None),
    "widen": ("resnet20_cifar", "widen=2", "widen=1"),
    "deepen": ("resnet20_cifar", "deepen=2", "deepen=1"),
    "scale": ("resnet20_cifar", "scale(1, 1, 2)", "scale"),
    "compound": ("efficientnet_b0", "compound=1", "compound=0"),
    "identity_layers": ("resnet20_cifar", "identity_layers=2", None),
    "plain": ("resnet20_cifar", "plain", None),
    "se": ("resnet20_cifar", "se=4", None),
    "drop_path": ("resnet20_cifar", "drop_path=0.2", None),
    "dropout": ("resnet20_cifar", "dropout=0.2", None),
    "dropconnect": ("lenet5", "dropconnect=0.5", "dropconnect=0"),
    "norm": ("resnet20_cifar", "norm=group", "norm=batch"),
    "pool": ("vgg11", "pool=average", "pool=max"),
    "act": ("resnet20_cifar", "act=silu", "act=relu"),
    "dilate": ("resnet18", "dilate=8", "dilate=32"),
    "separable": ("resnet20_cifar", "separable", None),
    "low_rank": ("resnet20_cifar", "low_rank=0.5", None),
    "linear_bottleneck": ("vgg11", "linear_bottleneck=64", "linear_bottleneck=4096"),
    "fully_convolutional": ("vgg11", "fully_convolutional", None),
    "fold_norm": ("resnet20_cifar", "fold_norm", None),
    "reparameterise": ("repvgg_a0", "reparameterise", None),
    "recompute": ("resnet20_cifar", "recompute", None),
}


def test_every_edit_has_its_example():
    assert list(EXAMPLES) == list(EDITS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_edit_changes_is_recorded_reads_again_and_builds(name):
    start, text, _ = EXAMPLES[name]
    before = network(start)
    after = edit(before, text)
    assert replace(after, edits=()) != before
    assert after.edits == (after.edits[0],)
    assert edit(before, after.edits[0]) == after
    assert Network.from_json(after.to_json()) == after
    module = build(after, device="meta")
    assert sum(p.numel() for p in module.parameters()) == cost(after).params + cost(after).auxiliary_params
    assert module(torch.empty(2, *after.input, device="meta")).shape[:2] == (2, after.classes)


@pytest.mark.parametrize("name", [name for name, row in EXAMPLES.items() if row[2] not in (None, row[1])])
def test_an_edit_that_changes_nothing_warns(name):
    start, _, text = EXAMPLES[name]
    with pytest.warns(NoChange, match=f"changed nothing in {start}$"):
        after = edit(network(start), text)
    assert (after.stages, after.heads) == (network(start).stages, network(start).heads)


def test_edits_compose_in_any_order_that_makes_sense():
    a = edit(edit(edit(network("resnet50"), "se=16"), "drop_path=0.2"), "classes=10")
    b = edit(edit(edit(network("resnet50"), "classes=10"), "drop_path=0.2"), "se=16")
    assert (a.stages, a.heads) == (b.stages, b.heads)
    branch = dict(dict(dict(a.stages)["stage2"].children)["unit1"].children)["branch"]
    assert [name for name, _ in branch.children][-2:] == ["se", "drop_path"]


# ----------------------------------------------------------------------------------------------------- squeeze-excite


def test_squeeze_excite_closes_each_branch_and_costs_what_the_paper_says():
    before, after = network("resnet50"), edit(network("resnet50"), "se=16")
    gates = paths(after, Gate)
    assert len(gates) == 16
    assert gates[0] == "stage1.unit1.branch.se"
    # Hu et al. 2018, equation 5: 2 / r times the sum of N C^2, about 2.5 million without biases.
    extra = sum(n * c * c for n, c in ((3, 256), (4, 512), (6, 1024), (3, 2048))) * 2 // 16
    biases = sum(n * (c + c // 16) for n, c in ((3, 256), (4, 512), (6, 1024), (3, 2048)))
    assert cost(after).params - cost(before).params == extra + biases
    assert extra == 2_514_944
    assert (cost(after).macs - cost(before).macs) / cost(before).macs < 0.01


def test_squeeze_excite_without_shortcuts_follows_each_activation_of_a_convolution():
    assert paths(edit(network("vgg16"), "se"), Gate)[:3] == ["stage1.se1", "stage1.se2", "stage2.se1"]
    assert len(paths(edit(network("vgg16_bn"), "se"), Gate)) == 13
    units = [path for path, node in nodes(network("repvgg_a0"), Add) if path.startswith("stage")]
    assert len(paths(edit(network("repvgg_a0"), "se"), Gate)) >= len(units) == 21


def test_squeeze_excite_twice_changes_nothing_more():
    once = edit(network("resnet20_cifar"), "se=4")
    with pytest.warns(NoChange):
        assert edit(once, "se=4").stages == once.stages


# ----------------------------------------------------------------------------------------------------------- one head


def test_without_auxiliary_heads_nothing_is_kept_for_them():
    tree = edit(network("googlenet"), "main_head")
    assert [name for name, _ in tree.heads] == ["head"]
    assert not nodes(tree, Keep)
    assert (cost(tree).params, cost(tree).auxiliary_params) == (cost(network("googlenet")).params, 0)
    with pytest.warns(NoChange):
        edit(tree, "main_head")
    cells = edit(network("nasnet_a_6_768_cifar"), "main_head")
    build(cells, device="meta")(torch.empty(2, 3, 32, 32, device="meta"))


def test_an_image_too_small_for_an_auxiliary_head_says_how_to_leave_it_out():
    with pytest.raises(
        UsageError,
        match=r"^aux1\.conv2: .*; the edit main_head leaves out aux1, which only training uses; the size 299 works$",
    ):
        edit(network("inception_v3"), "size=224")
    assert edit(edit(network("inception_v3"), "main_head"), "size=224").classes == 1000


# ------------------------------------------------------------------------------------------------------------- dropout


def test_dropout_changes_what_there_is_or_stands_before_the_last_layer():
    assert {node.drop for _, node in nodes(edit(network("alexnet"), "dropout=0.2"), Dropout)} == {0.2}
    tree = edit(network("resnet18"), "dropout=0.3")
    head = [name for name, _ in dict(tree.heads)["head"].children]
    assert head == ["pool", "flatten", "dropout", "linear"]
    assert tree.stages == network("resnet18").stages


def test_dropout_in_branches_stands_before_their_last_convolution():
    tree = edit(network("resnet20_cifar"), "dropout(0.3, 'branch')")
    branch = dict(dict(dict(tree.stages)["stage2"].children)["unit1"].children)["branch"]
    assert [name for name, _ in branch.children] == ["conv1", "norm1", "act1", "dropout", "conv2", "norm2"]
    assert len(nodes(tree, Dropout)) == 9
    again = edit(tree, "dropout(0.1, branch)")
    assert {node.drop for _, node in nodes(again, Dropout)} == {0.1}
    assert len(nodes(again, Dropout)) == 9


@pytest.mark.parametrize("place", ["head", "branch"])
def test_the_form_of_dropout_is_a_third_argument(place):
    tree = edit(network("resnet20_cifar"), f"dropout(0.3, {place}, plain)")
    assert {(node.drop, node.form) for _, node in nodes(tree, Dropout)} == {(0.3, "plain")}
    assert tree.edits == (f"dropout(0.3, '{place}', 'plain')",)
    assert Network.from_json(tree.to_json()) == tree
    inverted = edit(network("resnet20_cifar"), f"dropout(0.3, {place})")
    assert build(tree, device="meta").state_dict().keys() == build(inverted, device="meta").state_dict().keys()
    again = edit(tree, f"dropout(0.3, {place}, inverted)")
    assert (again.stages, again.heads) == (inverted.stages, inverted.heads)
    assert again.edits[1:] == inverted.edits


def test_dropconnect_is_on_hidden_linear_layers():
    layers = nodes(edit(network("vgg11"), "dropconnect=0.5"), Linear)
    assert [node.dropconnect for _, node in layers] == [0.5, 0.5, 0]
    layers = nodes(edit(network("resnet18"), "dropconnect=0.5"), Linear)
    assert [node.dropconnect for _, node in layers] == [0.5]


# ------------------------------------------------------------------------------------------- normalization, pool, act


def test_group_normalization_takes_the_largest_number_of_groups_that_fits():
    tree = edit(network("resnet20_cifar"), "norm=group")
    assert {node.groups for _, node in nodes(tree, GroupNorm)} == {16, 32}
    assert not nodes(tree, BatchNorm)
    assert cost(tree).params == cost(network("resnet20_cifar")).params
    assert {n.groups for _, n in nodes(edit(network("resnet20_cifar"), "norm(group, 12)"), GroupNorm)} == {8}
    assert nodes(edit(network("resnet18"), "norm=layer"), LayerNorm)


def test_without_normalization_the_layers_have_a_bias():
    tree = edit(network("resnet18"), "norm=none")
    assert not nodes(tree, BatchNorm)
    assert all(node.bias for _, node in nodes(tree, Conv))
    shifts = sum(row.output[0] for row in cost(network("resnet18")).layers if row.op == "batch_norm")
    assert cost(network("resnet18")).params - cost(tree).params == shifts


def test_batch_normalization_added_to_vgg_is_vgg_with_batch_normalization():
    tree = edit(network("vgg16"), "norm=batch")
    assert tree.stages == network("vgg16_bn").stages


@pytest.mark.parametrize(("kind", "operator"), [("average", AvgPool), ("stochastic", StochasticPool)])
def test_pooling_of_another_kind_gives_the_same_sizes(kind, operator):
    before, after = network("resnet18"), edit(network("resnet18"), f"pool={kind}")
    assert not nodes(after, MaxPool)
    assert len(nodes(after, operator)) == 1
    ends = [(name, signal.shape) for name, signal in before.trace().stages.items()]
    assert [(name, signal.shape) for name, signal in after.trace().stages.items()] == ends
    assert edit(network("alexnet"), f"pool={kind}").trace().stages["stage3"].shape == Shape(256, (6, 6))


def test_stochastic_pooling_keeps_incomplete_windows():
    tree = edit(network("squeezenet1_0"), "pool=stochastic")
    ends = {name: signal.shape for name, signal in network("squeezenet1_0").trace().stages.items()}
    assert {name: signal.shape for name, signal in tree.trace().stages.items()} == ends
    build(tree, device="meta")(torch.empty(1, 3, 224, 224, device="meta"))


def test_fractional_pooling_divides_by_the_root_of_two():
    tree = edit(network("vgg11_bn"), "pool=fractional")
    assert len(nodes(tree, FractionalMaxPool)) == 5
    sizes = [tree.trace().stages[f"stage{i}"].shape.spatial[0] for i in range(1, 6)]
    assert sizes == [158, 111, 78, 55, 38]


def test_activations_change_but_in_gates():
    tree = edit(edit(network("resnet20_cifar"), "se=4"), "act=gelu")
    functions = {node.function for path, node in nodes(tree, Act) if ".se." not in path}
    inside = {node.function for path, node in nodes(tree, Act) if ".se." in path}
    assert functions == {"gelu"}
    assert inside == {"relu", "sigmoid"}


# ------------------------------------------------------------------------------------------------------- convolutions


@pytest.mark.parametrize(("stride", "last"), [(8, (2, 4)), (16, (2,))])
def test_dilated_resnet50_is_torchvisions(stride, last, filled):
    dilated = [False, stride == 8, True]
    peer, state = filled(lambda: peers.resnet50(weights=None, replace_stride_with_dilation=dilated))
    tree = edit(network("resnet50"), f"dilate={stride}")
    assert {node.dilation for _, node in nodes(tree, Conv)} == {1, *last}
    assert tree.trace().stages["stage4"].field.jump == (stride, stride)
    ours = build(tree, device="meta").to_empty(device="cpu").eval()
    load_weights(ours, state)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(ours(x), peer(x))


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "mobilenet_v2", "googlenet"])
@pytest.mark.parametrize("stride", [2, 4, 8])
def test_dilation_keeps_parameters_and_reaches_the_stride(name, stride):
    before = network(name)
    after = edits.dilate(before, stride)
    assert cost(after).params == cost(before).params
    last = after.stages[-1][0]
    assert after.trace().stages[last].field.jump == (stride, stride)
    keys = build(after, device="meta").state_dict()
    assert {k: v.shape for k, v in keys.items()} == {
        k: v.shape for k, v in build(before, device="meta").state_dict().items()
    }


def test_dilation_reads_every_second_place_of_the_dense_map():
    """With stride 1 and dilation the map holds the strided one at every second place (away from padding)."""
    tree = network("resnet20_cifar")
    dense = edits.dilate(tree, 2)
    a, b = build(tree, seed=0).eval(), build(dense, seed=0).eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        strided, full = a.features(x)["stage3"], b.features(x)["stage3"]
    torch.testing.assert_close(full[..., ::2, ::2], strided, rtol=1e-4, atol=1e-5)


def test_separable_convolutions_cost_what_the_formula_says():
    before, after = network("vgg16"), edit(network("vgg16"), "separable")
    for row in cost(before).layers:
        if row.op != "conv" or row.name == "stage1.conv1":
            continue
        weights = row.params - row.output[0]
        inputs = weights // (9 * row.output[0])
        parts = [r for r in cost(after).layers if r.name.startswith(f"{row.name}.")]
        positions = row.output[1] * row.output[2]
        assert sum(part.macs for part in parts) == (9 * inputs + inputs * row.output[0]) * positions
    assert [name for name, _ in dict(dict(after.stages)["stage2"].children)["conv1"].children] == [
        "depthwise",
        "pointwise",
    ]


def test_low_rank_of_half_the_channels_costs_a_third():
    before, after = cost(network("vgg16")), cost(edit(network("vgg16"), "low_rank=0.5"))
    rows = {row.name: row for row in after.layers}
    # 512 to 512 with 3x3: 9 C^2; through 256: 3 C C/2 twice.
    assert rows["stage5.conv1.vertical"].params + rows["stage5.conv1.horizontal"].params == 3 * 512 * 512 + 512
    whole = next(row for row in before.layers if row.name == "stage5.conv1")
    assert rows["stage5.conv1.vertical"].macs + rows["stage5.conv1.horizontal"].macs == whole.macs // 3


def test_linear_bottleneck_leaves_what_it_would_not_make_smaller():
    tree = edit(network("vgg16"), "linear_bottleneck=512")
    assert paths(tree, Linear) == [
        "head.linear1.narrow", "head.linear1.wide", "head.linear2.narrow", "head.linear2.wide",
        "head.linear3.narrow", "head.linear3.wide",
    ]  # fmt: skip
    tree = edit(network("vgg16"), "linear_bottleneck=1024")
    assert paths(tree, Linear)[-1] == "head.linear3"


def test_fully_convolutional_gives_a_map_on_a_larger_image():
    tree = edit(network("vgg11"), "fully_convolutional")
    assert tree.trace().stages["head"].shape == Shape(1000, (1, 1))
    assert tree.trace(Shape(3, (320, 288))).stages["head"].shape == Shape(1000, (4, 3))
    assert cost(tree).params == cost(network("vgg11")).params
    assert cost(tree).macs == cost(network("vgg11")).macs


def test_fully_convolutional_needs_features_that_divide():
    with pytest.raises(UsageError, match="no window of one size does"):
        edit(edit(network("vgg11"), "size=288"), "fully_convolutional")


# ------------------------------------------------------------------------------------------------------------- scaling


def test_widening_a_cifar_resnet_multiplies_its_stages():
    tree = edit(network("resnet20_cifar"), "widen=4")
    widths = [tree.trace().stages[f"stage{i}"].shape.channels for i in (1, 2, 3)]
    assert widths == [64, 128, 256]


def test_scaling_makes_the_other_edits_again():
    tree = edit(edit(edit(network("resnet20_cifar"), "se=4"), "classes=7"), "deepen=2")
    assert tree.edits == ("se(4)", "classes(7)", "deepen(2)")
    assert len(paths(tree, Gate)) == 18
    assert tree.classes == 7
    more = edit(tree, "deepen=2")
    assert len(paths(more, Gate)) == 36


def test_scaling_refuses_a_tree_that_was_changed_otherwise():
    tree = edits.edit_stages(network("resnet20_cifar"), lambda _, node: AvgPool(1) if isinstance(node, Act) else node)
    with pytest.raises(UsageError, match="was changed by other means than its edits"):
        edit(tree, "widen=2")


def test_scaling_needs_a_rule_of_the_family(one_stage):
    with pytest.raises(UsageError, match="widen: the family 'tiny' has no rule for it; these have: "):
        edit(one_stage(Conv(4), (3, 8, 8), Conv(10, 1)), "widen=2")


def test_scaling_after_the_resolution_was_scaled():
    tree = edit(edit(network("resnet18"), "scale(1, 1, 2)"), "fully_convolutional")
    assert edit(tree, "widen=2").input == Shape(3, (448, 448))
    tree = edit(edit(network("efficientnet_b0"), "compound=1"), "classes=5")
    assert edit(tree, "deepen=2").input == tree.input


def test_scaling_of_a_tree_with_odd_numbers_says_which():
    tree = replace(network("resnet18"), numbers={"foo": 1})
    with pytest.raises(UnknownName, match="unknown number of the family resnet: 'foo'"):
        edit(tree, "widen=2")
    with pytest.raises(UsageError, match="widen: the numbers of resnet18 lack depths, block"):
        edit(replace(tree, numbers={}), "widen=2")


def test_dilation_behind_upsampling(one_stage):
    tree = one_stage(seq(up=ConvTranspose(4, 2, 2), conv=Conv(4, 3, 2, 1), more=Conv(4, 3, 2, 1)), (3, 8, 8))
    assert edit(tree, "dilate=1").trace().stages["stage1"].field.jump[0] <= 1
    with pytest.raises(UsageError, match="positions lie 3 pixels apart, no multiple of 2"):
        edit(one_stage(seq(a=Conv(4, 3, 3, 1), b=Conv(4, 3, 2, 1)), (3, 12, 12)), "dilate=2")


def test_scaling_of_the_resolution_alone():
    tree = edit(network("resnet20_cifar"), "scale(resolution=1.5)")
    assert tree.input == Shape(3, (48, 48))
    assert tree.stages == network("resnet20_cifar").stages


REFUSED = {
    "se=0": "se: expected a ratio of at least 1, received 0",
    "dropout=1": "dropout: expected a probability from 0 to below 1, received 1",
    "dropout(0.1, 'body')": "dropout: place is 'head' or 'branch', received 'body'",
    "dropout(0.1, head, plane)": "dropout: form is 'inverted' or 'plain', received 'plane'",
    "dropconnect=-1": "dropconnect: expected a probability from 0 to below 1, received -1",
    "norm(group, 0)": "norm: expected at least 1 group, received 0",
    "dilate=3": "dilate: expected an output stride of 1, 2, 4, 8, 16, ..., received 3",
    "low_rank=0": "low_rank: expected a ratio above 0, at most 4, received 0",
    "linear_bottleneck=0": "linear_bottleneck: expected a width of at least 1, received 0",
    "widen=0": "widen: expected a factor from 0.01 to 100, received 0",
    "deepen=-1": "deepen: expected a factor from 0.01 to 100, received -1",
    "deepen=1e9": "deepen: expected a factor from 0.01 to 100, received 1000000000.0",
    "scale(resolution=0)": "scale: resolution: expected a factor from 0.01 to 100, received 0",
    "scale(1, 1, 1e300)": "scale: resolution: expected a factor from 0.01 to 100, received 1e+300",
    "compound=1e6": "compound: expected a coefficient from -20 to 20, received 1000000.0",
}


@pytest.mark.parametrize("text", REFUSED)
def test_senseless_numbers_are_refused(text):
    with pytest.raises(UsageError, match=f"^{re.escape(REFUSED[text])}$"):
        edit(network("resnet18"), text)


@pytest.mark.parametrize("text", ["norm=bach", "pool=mex", "act=rellu"])
def test_unknown_kinds_name_the_nearest(text):
    with pytest.raises(UnknownName, match="nearest: "):
        edit(network("resnet18"), text)


def test_a_size_too_small_for_the_strides_says_where():
    with pytest.raises(UsageError, match=r"^stage3\.pool3: a pooling layer spans 3 positions and receives 2"):
        edit(network("alexnet"), "size=48")
    with pytest.raises(UsageError, match=r"^stage4\.pool: a pooling layer spans 2 positions and receives 1"):
        edit(network("vgg11"), "size=15")
    with pytest.raises(UsageError, match=r"; the size 63 works$"):
        edit(network("alexnet"), "size=20")
    assert edit(network("alexnet"), "size=63").classes == 1000


def test_small_images_then_edits():
    tree = edit(edit(small_images(network("resnet18", classes=10)), "se"), "drop_path=0.1")
    assert build(tree, device="meta")(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)
