"""`--pretrained`: torchvision's weights, its download replaced by weights made here."""

import pytest
import torch
import torchvision.models as peers

from convsmith.base.errors import UsageError
from convsmith.recipes import prepare as preparing
from convsmith.recipes.recipe import Recipe


class Entry:
    """Stands for torchvision's entry of weights."""

    def __init__(self, state):
        self.state = state

    def get_state_dict(self, **options):
        assert options["check_hash"]
        if self.state is None:
            raise OSError("no route")
        return self.state


def plan():
    recipe = Recipe(network="resnet18", pretrained=True, stem="large", quick=True)
    return preparing.prepare(recipe.edit(data__source="digits", data__channels=3, data__size=32))


def test_all_but_the_last_layer_are_torchvisions(monkeypatch):
    torch.manual_seed(0)
    state = peers.resnet18(weights=None).state_dict()
    monkeypatch.setattr(preparing, "get_model_weights", lambda name: [Entry(state)])
    notes = []
    module = preparing.make_model(plan(), notes)
    own = module.state_dict()
    assert torch.equal(own["stem.conv.weight"], state["conv1.weight"])
    assert torch.equal(own["stage4.unit2.branch.conv2.weight"], state["layer4.1.conv2.weight"])
    assert own["head.linear.weight"].shape == (10, 512)
    assert notes == ["starts from torchvision's weights (torchvision and timm names, with a new last layer)"]


def test_a_download_that_fails_is_said(monkeypatch):
    monkeypatch.setattr(preparing, "get_model_weights", lambda name: [Entry(None)])
    with pytest.raises(UsageError, match=r"torchvision's weights for resnet18 could not be downloaded \(no route\)"):
        preparing.make_model(plan(), [])


def test_a_network_that_torchvision_has_no_weights_for():
    recipe = Recipe(network="lenet5", pretrained=True, quick=True).edit(data__source="digits", data__size=32)
    plan = preparing.prepare(recipe)
    with pytest.raises(UsageError, match="torchvision has no weights for 'lenet5'; give a file with --weights"):
        preparing.make_model(plan, [])
