"""Published accuracies: torchvision's column is torchvision's, and each row belongs to a network of the zoo."""

import pytest
import torchvision.models as models

from convsmith.nets.views.accuracies import ACCURACIES, HUMAN_ERROR, WINNERS
from convsmith.nets.zoo import network

TORCHVISION = [name for name, row in ACCURACIES.items() if row.source.startswith("torchvision")]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_weights_say_the_same(name):
    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    metrics = weights.meta["_metrics"]["ImageNet-1K"]
    row = ACCURACIES[name]
    assert (row.top1, row.top5) == (metrics["acc@1"], metrics["acc@5"])
    assert [row.size] == weights.transforms().crop_size


@pytest.mark.parametrize("name", ACCURACIES)
def test_a_row_is_for_the_zoos_network_at_its_own_size(name):
    assert network(name).input == network(name, size=ACCURACIES[name].size).input


def test_the_top_five_are_right_more_often():
    assert all(row.top5 is None or row.top1 < row.top5 < 100 for row in ACCURACIES.values())


def test_squeeze_and_excitation_as_in_the_lectures():
    lectures = {
        "se_vgg16_bn": 74.78,
        "se_resnet50_caffe": 76.71,
        "se_resnet101_caffe": 77.62,
        "se_resnet152_caffe": 78.43,
    }
    assert {name: ACCURACIES[name].top1 for name in lectures} == lectures


def test_the_winners_get_better_and_deeper():
    errors = [winner.error for winner in WINNERS]
    assert errors == sorted(errors, reverse=True)
    assert [w.year for w in WINNERS] == sorted(w.year for w in WINNERS)
    assert [w.layers for w in WINNERS if w.layers] == [8, 8, 19, 22, 152, 152]
    assert {w.name: w.error for w in WINNERS}["AlexNet"] == 16.4
    assert next(w.year for w in WINNERS if w.error < HUMAN_ERROR) == 2015
    assert all(w.source for w in WINNERS)
