"""Exact parameters and multiply-adds of every network, each with where the number comes from."""

import json
from pathlib import Path

import pytest
import torchvision.models as peers

from convsmith.nets.cost import cost
from convsmith.nets.zoo import NETWORKS, network

FILES = sorted((Path(__file__).parent / "golden").glob("*.json"))
# Name: parameters and MACs of the stages and the main head, the source, and for auxiliary heads their parameters.
GOLDEN = {name: row for file in FILES for name, row in json.loads(file.read_text()).items()}
# num_params, and _ops in billions to three places.
TORCHVISION = "torchvision's weight metadata"
IN_TORCHVISION = [name for name in NETWORKS if name in peers.list_models(module=peers)]


def test_every_network_has_its_golden_numbers():
    assert GOLDEN.keys() == set(NETWORKS)
    assert all(len(row[2]) > 10 for row in GOLDEN.values())
    assert {name for name, row in GOLDEN.items() if row[2] == TORCHVISION} == set(IN_TORCHVISION)


@pytest.mark.parametrize("name", GOLDEN)
def test_cost_is_the_golden_number(name):
    numbers = cost(network(name))
    params, macs, _, *auxiliary = GOLDEN[name]
    assert (numbers.params, numbers.macs) == (params, macs)
    assert numbers.auxiliary_params == sum(auxiliary)
    assert numbers.flops == 2 * numbers.macs


@pytest.mark.parametrize("name", IN_TORCHVISION)
def test_cost_is_what_torchvision_says(name):
    tree = network(name)
    numbers = cost(tree)
    said = [
        w.meta for w in peers.get_model_weights(name) if f"crop_size=[{tree.input.spatial[0]}]" in str(w.transforms())
    ]
    assert said
    for meta in said:
        assert meta["num_params"] in (numbers.params, numbers.params + numbers.auxiliary_params)
        assert round(numbers.macs / 1e9, 3) == meta["_ops"]


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_stride_in_the_first_1x1_saves_its_work_on_three_entries(name):
    later, paper = cost(network(name)), cost(network(f"{name}_v1"))
    # the first 1x1 of an entry, from 2 * planes to planes channels, runs on a quarter of the positions
    saved = sum(2 * planes * planes * (112 * 64 // planes) ** 2 * 3 // 4 for planes in (128, 256, 512))
    assert later.macs - paper.macs == saved == 231_211_008
    assert later.params == paper.params


@pytest.mark.parametrize("name", ["18", "34"])
def test_plain_imagenet_networks_lack_three_projections(name):
    residual, plain = cost(network(f"resnet{name}")), cost(network(f"plain{name}"))
    widths = (64, 128, 256)
    assert residual.params - plain.params == sum(w * 2 * w + 2 * 2 * w for w in widths) == 173_824
    assert residual.macs - plain.macs == 3 * 64 * 128 * 28 * 28


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110, 1202])
def test_cifar_resnets_follow_their_closed_form(depth):
    n = (depth - 2) // 6
    conv = 16 * 16 * 9
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    stages = conv * 2 * n + (4 * conv * (2 * n - 1) + 2 * conv) + (16 * conv * (2 * n - 1) + 8 * conv)
    params = 3 * 16 * 9 + stages + norms + 650
    macs = 3 * 16 * 9 * 1024 + conv * 1024 * (6 * n - 2) + 2 * (conv * 1024 // 2) + 640
    a, b, plain = (cost(network(f"{kind}_cifar")) for kind in (f"resnet{depth}", f"resnet{depth}_b", f"plain{depth}"))
    assert (a.params, a.macs) == (plain.params, plain.macs) == (params, macs)
    assert b.params - a.params == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert b.macs - a.macs == 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8


def test_batch_normalization_adds_two_numbers_for_each_channel():
    assert cost(network("vgg16_bn")).params - cost(network("vgg16")).params == 2 * (
        2 * 64 + 2 * 128 + 3 * 256 + 6 * 512
    )


PER_LAYER = {
    # The lectures' table of AlexNet against LeNet, exact: weights alone and multiply-adds
    ("alexnet_d2l", "stage1.conv1"): (34_848, 101_616_768),
    ("alexnet_d2l", "stage2.conv2"): (614_400, 415_334_400),
    ("alexnet_d2l", "stage3.conv3"): (884_736, 127_401_984),
    ("alexnet_d2l", "stage3.conv4"): (1_327_104, 191_102_976),
    ("alexnet_d2l", "stage3.conv5"): (884_736, 127_401_984),
    ("alexnet_d2l", "head.linear1"): (26_214_400, 26_214_400),
    ("alexnet_d2l", "head.linear2"): (16_777_216, 16_777_216),
    ("lenet5_d2l", "stage1.conv"): (150, 117_600),
    ("lenet5_d2l", "stage2.conv"): (2_400, 240_000),
    ("lenet5_d2l", "head.linear1"): (48_000, 48_000),
    ("lenet5_d2l", "head.linear2"): (10_080, 10_080),
}


@pytest.mark.parametrize(("name", "layer"), PER_LAYER)
def test_layers_of_the_lectures_comparison(name, layer):
    row = next(row for row in cost(network(name)).layers if row.name == layer)
    weights, macs = PER_LAYER[name, layer]
    assert (row.params - row.output[0], row.macs) == (weights, macs)


def test_totals_of_the_lectures_comparison():
    large = [row for row in cost(network("alexnet_d2l")).layers if row.macs and row.name != "head.linear3"]
    small = [row for row in cost(network("lenet5_d2l")).layers if row.macs and row.name != "head.linear3"]
    weights = [sum(row.params - row.output[0] for row in rows) for rows in (large, small)]
    macs = [sum(row.macs for row in rows) for rows in (large, small)]
    assert weights == [46_737_440, 60_630]
    assert [round(weights[0] / weights[1]), round(macs[0] / macs[1], -1)] == [771, 2420]
    assert sum(row.macs for row in large if "stage3" in row.name) == 445_906_944


def test_the_lectures_vgg16_lacks_a_convolution_in_stage_three():
    mebibytes = {}
    for depths in ((2, 2, 2, 3, 3), (2, 2, 3, 3, 3)):
        numbers = cost(network("vgg16", depths=depths))
        convs = sum(row.activations for row in numbers.layers if row.op == "conv")
        mebibytes[depths] = (round(numbers.macs / 1e9, 2), round(4 * convs / 2**20, 2))
    assert mebibytes == {(2, 2, 2, 3, 3): (13.62, 48.62), (2, 2, 3, 3, 3): (15.47, 51.68)}


def test_alexnet_in_the_lectures_chart():
    numbers = cost(network("alexnet"))
    convs = 4 * sum(row.activations for row in numbers.layers if row.op == "conv")
    assert round(numbers.activation_bytes / 2**20, 2) == 1.89
    assert convs < numbers.activation_bytes
    dense = sum(row.params for row in numbers.layers if row.op == "linear")
    assert dense / numbers.params > 0.95
    assert max(numbers.layers, key=lambda row: row.activations).name == "stage1.conv1"


def test_lenet_of_1998_counts_as_the_paper_does():
    layers = {row.name: row for row in cost(network("lenet5_1998")).layers}
    counted = {
        "C1": layers["stage1.conv"].params,
        "S2": layers["stage1.affine"].params,
        "C3": sum(row.params for name, row in layers.items() if name.startswith("stage2.conv.")),
        "S4": layers["stage2.affine"].params,
        "C5": layers["stage3.conv"].params,
        "F6": layers["head.linear"].params,
        "output": layers["head.rbf"].params,
    }
    assert counted == {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "output": 0}


def test_sizes_within_the_forms_of_alexnet():
    def sizes(name):
        layers = {row.name: row.output for row in cost(network(name)).layers}
        return [layers[f"stage{i}.{part}"][1] for i, part in ((1, "conv1"), (1, "pool1"), (2, "pool2"), (3, "pool3"))]

    assert sizes("alexnet_d2l") == [54, 26, 12, 5]
    assert sizes("alexnet_cs231n") == sizes("alexnet_2012") == [55, 27, 13, 6]
    assert sizes("alexnet") == [55, 27, 13, 6]


def test_dropout_stands_before_the_hidden_layers_in_torchvisions_form_and_after_them_in_the_others():
    def order(name):
        ops = [row.op for row in cost(network(name)).layers if row.name.startswith("head.")]
        return [op for op in ops if op in ("dropout", "linear")]

    assert order("alexnet") == ["dropout", "linear", "dropout", "linear", "linear"]
    for name in ("alexnet_2012", "alexnet_cs231n", "alexnet_d2l", "vgg16"):
        assert order(name) == ["linear", "dropout", "linear", "dropout", "linear"]


def test_normalization_of_the_forms_of_alexnet():
    def order(name):
        rows = [row for row in cost(network(name)).layers if row.name.startswith("stage1.")]
        return [row.op for row in rows]

    assert order("alexnet_2012") == ["conv", "act", "local_response_norm", "max_pool"]
    assert order("alexnet_cs231n") == ["conv", "act", "max_pool", "local_response_norm"]
    assert order("alexnet") == order("alexnet_d2l") == ["conv", "act", "max_pool"]


def test_resnet50_stage_table():
    ends = network("resnet50").trace().stages
    assert [(ends[name].shape.channels, ends[name].shape.spatial[0]) for name in ends if name != "head"] == [
        (64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)
    ]  # fmt: skip
