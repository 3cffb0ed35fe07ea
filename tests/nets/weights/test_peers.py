"""Networks of torchvision and timm under our names."""

import pytest
import torch
from torch import nn

from convsmith.base.errors import CheckFailed
from convsmith.nets.modules.build import build
from convsmith.nets.ops import Affine, BatchNorm, Conv
from convsmith.nets.tree import seq
from convsmith.nets.weights import peers
from convsmith.nets.weights.name_map import name_map, written_alike
from convsmith.nets.weights.peers import TIMM, check_equal, current, make_peer, names_of, peer_name
from convsmith.nets.zoo import NETWORKS, network


def test_torchvisions_names_are_ours_where_it_has_the_network():
    assert peer_name("torchvision", "resnet18") == "resnet18"
    assert peer_name("torchvision", "lenet5") is None


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "regnet_x_400mf"])
def test_torchvisions_difficult_networks_are_made_without_weights_or_warnings(name):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    peer = make_peer("torchvision", name, classes=7)
    assert {p.device.type for p in peer.parameters()} == {"meta"}
    assert torch.equal(before, torch.random.get_rng_state())
    assert not any("ux" in key for key in make_peer("torchvision", name, auxiliary=False).state_dict())
    names = names_of("torchvision", name)
    assert names.keys() == make_peer("torchvision", name).state_dict().keys()
    assert sorted(names.values()) == sorted(build(network(name), device="meta").state_dict())


def test_every_line_of_the_table_names_networks_that_are_there():
    timm = pytest.importorskip("timm")
    assert [name for name in TIMM if name not in NETWORKS] == []
    assert [theirs for theirs in TIMM.values() if not timm.is_model(theirs)] == []


@pytest.mark.parametrize("name", ["vgg11", "regnet_x_400mf", "convnext_tiny", "efficientnet_b0"])
def test_timms_names_are_found_by_values(name):
    """VGG's linear layers are convolutions there, and RegNet's shortcut comes after the branch."""
    pytest.importorskip("timm")
    names = names_of("timm", name)
    assert names.keys() == make_peer("timm", name).state_dict().keys()
    assert sorted(names.values()) == sorted(build(network(name), device="meta").state_dict())


def test_a_network_that_nobody_has():
    with pytest.raises(CheckFailed, match="torchvision has no network that computes what lenet5 does, or is not inst"):
        make_peer("torchvision", "lenet5")
    with pytest.raises(CheckFailed, match="my_own is not a network of the zoo"):
        names_of("timm", "my_own")


def test_a_library_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(CheckFailed, match="timm has no network that computes what vgg13 does, or is not installed"):
        names_of("timm", "vgg13")


def test_weights_are_the_same_but_for_axes_of_one_position():
    def alike(*shapes):
        return written_alike(*(torch.empty(shape) for shape in shapes))

    assert alike((8, 4), (8, 4))
    assert alike((8, 4), (8, 4, 1, 1))
    assert alike((8, 36), (8, 4, 3, 3))
    assert alike((8, 1, 1), (8,))
    assert not alike((8, 4), (4, 8))
    assert not alike((8, 4, 3, 3), (8, 9, 2, 2))
    assert not alike((8, 4, 1, 3), (8, 4, 3, 1))


class Peer(nn.Module):
    """A block that holds a scale of its own besides its layers, and whose head only training runs."""

    def __init__(self, eps=1e-5, head=True):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=eps)
        if head:
            self.extra = nn.Linear(4, 2)

    def forward(self, x):
        x = self.norm(self.conv(x)) * self.scale
        if self.training and hasattr(self, "extra"):
            self.extra(x.mean((2, 3)))
        return x


@pytest.fixture
def tree(one_stage):
    stage = seq(conv=Conv(4), norm=BatchNorm(), scale=Affine(shift=False))
    return one_stage(stage, (3, 2, 2))


def test_a_block_with_parameters_of_its_own_pairs_where_it_ends(tree):
    peer, ours = Peer(), build(tree)
    names = name_map(peer, ours, (3, 2, 2))
    assert names["scale"] == "stage1.scale.weight"
    assert names.keys() == {key for key in peer.state_dict() if not key.startswith("extra")}
    assert peer.training


def test_another_eps_is_no_match(tree):
    with pytest.raises(CheckFailed, match=r"tiny: their norm and our stage1\.norm differ in eps: 0\.001 and 1e-05"):
        name_map(Peer(eps=1e-3), build(tree), (3, 2, 2))


def test_outputs_decide(tree):
    names = name_map(Peer(head=False), build(tree), (3, 2, 2))

    class Other(Peer):
        def forward(self, x):
            return super().forward(x) + 0.01

    for peer, good in ((Peer, True), (Other, False)):
        with torch.device("meta"):
            made = peer(head=False)
        if good:
            check_equal(made, build(tree, device="meta"), names)
        else:
            with pytest.raises(CheckFailed, match="tiny: with the same weights the outputs differ by "):
                check_equal(made, build(tree, device="meta"), names)


def test_old_names_of_densenet_are_todays():
    assert current("features.denseblock1.denselayer2.norm.1.weight") == "features.denseblock1.denselayer2.norm1.weight"
    assert current("features.norm0.weight") == "features.norm0.weight"
    state = make_peer("torchvision", "densenet121").state_dict()
    assert all(current(key) == key for key in state)
