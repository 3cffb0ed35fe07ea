"""Weights of others: the names that are known, and what is said when they do not fit."""

import re
from pathlib import Path

import pytest
import torch
import torchvision.models as peers
from safetensors.torch import load_file

from convsmith.base.errors import CheckFailed, ConvsmithError, UsageError
from convsmith.nets.build import build
from convsmith.nets.pretrained import load_weights, name_map
from convsmith.nets.zoo import edit, network

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "weights" / "cifar10_resnet20.safetensors"


def akamaster(key):
    """Our name of a ResNet-20 tensor as akamaster/pytorch_resnet_cifar10 calls it."""
    key = re.sub(r"^stem\.conv\.", "conv1.", key)
    key = re.sub(r"^stem\.norm\.", "bn1.", key)
    key = re.sub(r"^head\.linear\.", "linear.", key)
    key = re.sub(r"^stage(\d)\.unit(\d+)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}", key)
    key = re.sub(r"\.branch\.conv(\d)", r".conv\1", key)
    key = re.sub(r"\.branch\.norm(\d)", r".bn\1", key)
    key = key.replace(".shortcut.conv.", ".shortcut.0.")
    return key.replace(".shortcut.norm.", ".shortcut.1.")


@pytest.fixture(scope="module")
def trained():
    """A ResNet-20 whose every tensor holds numbers of its own."""
    module = build(network("resnet20_cifar"), seed=3)
    generator = torch.Generator().manual_seed(4)
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if "var" in key else 0))
    return module.eval()


def same_outputs(a, b):
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.equal(a.eval()(x), b.eval()(x))


def fresh(name="resnet20_cifar", **numbers):
    return build(network(name, **numbers), seed=0)


@pytest.mark.parametrize("name", ["resnet20_cifar", "resnet20_b_cifar"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_akamasters_names_are_ours(name, prefix):
    source = build(network(name), seed=5)
    weights = {prefix + akamaster(key): value for key, value in source.state_dict().items()}
    assert prefix + "layer3.2.bn2.running_var" in weights
    target = fresh(name)
    assert load_weights(target, weights) == "akamaster/pytorch_resnet_cifar10 names"
    assert same_outputs(source, target)


def test_the_public_resnet20_fits():
    if not SHARED.is_file():
        pytest.skip(f"needs the development weights {SHARED}")
    weights, target = load_file(SHARED), fresh()
    assert load_weights(target, weights) == "akamaster/pytorch_resnet_cifar10 names"
    loaded = target.state_dict()
    assert torch.equal(loaded["stem.conv.weight"], weights["conv1.weight"])
    assert torch.equal(loaded["stage2.unit1.branch.norm2.running_var"], weights["layer2.0.bn2.running_var"])
    assert torch.equal(loaded["head.linear.weight"], weights["linear.weight"])


def test_our_own_names_need_no_renaming(trained):
    target = fresh()
    assert load_weights(target, trained.state_dict()) == "Convsmith names"
    assert same_outputs(trained, target)


def test_old_files_may_lack_the_counters_of_batch_normalisation(trained):
    weights = {key: v for key, v in trained.state_dict().items() if not key.endswith("num_batches_tracked")}
    target = fresh()
    load_weights(target, weights)
    assert same_outputs(trained, target)


def test_a_missing_key_is_named(trained):
    weights = trained.state_dict()
    del weights["stage2.unit1.branch.conv1.weight"]
    with pytest.raises(UsageError) as error:
        load_weights(fresh(), weights, "w.pt")
    expected = "w.pt: do not fit the network; 1 keys are missing, first 'stage2.unit1.branch.conv1.weight'"
    assert str(error.value) == expected


def test_an_extra_key_is_named_with_the_nearest(trained):
    weights = trained.state_dict() | {"stem.conv.wieght": torch.zeros(1)}
    with pytest.raises(UsageError) as error:
        load_weights(fresh(), weights)
    assert str(error.value) == (
        "the weights: do not fit the network; 1 are unknown, first 'stem.conv.wieght' (nearest 'stem.conv.weight')"
    )


def test_an_error_speaks_of_the_names_that_fit_best(trained):
    weights = {akamaster(key): value for key, value in trained.state_dict().items()}
    del weights["conv1.weight"]
    with pytest.raises(UsageError, match=r"1 keys are missing, first 'stem.conv.weight'$"):
        load_weights(fresh(), weights)


def test_a_wrong_shape_is_named_and_nothing_is_loaded(trained):
    target = fresh(classes=5)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(UsageError) as error:
        load_weights(target, trained.state_dict(), "w.pt")
    assert str(error.value) == (
        "w.pt: head.linear.weight has shape (10, 64), the network needs (5, 64); "
        "check the number of classes and channels"
    )
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_a_new_head_keeps_its_own_weights(trained):
    target = fresh(classes=5)
    head = target.state_dict()["head.linear.weight"].clone()
    assert load_weights(target, trained.state_dict(), new_head=True) == "Convsmith names, with a new last layer"
    loaded = target.state_dict()
    assert torch.equal(loaded["head.linear.weight"], head)
    for key, value in trained.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(loaded[key], value), key


def test_a_head_that_fits_is_loaded_even_where_a_new_one_is_allowed(trained):
    target = fresh()
    assert load_weights(target, trained.state_dict(), new_head=True) == "Convsmith names"
    assert same_outputs(trained, target)


def test_a_new_head_does_not_excuse_other_shapes(trained):
    with pytest.raises(
        UsageError, match=r"stem\.conv\.weight has shape \(16, 3, 3, 3\), the network needs \(16, 1, 3,"
    ):
        load_weights(fresh(classes=5, channels=1), trained.state_dict(), new_head=True)


@pytest.mark.parametrize(
    ("name", "names", "head"),
    [("resnet18", "torchvision and timm", "head.linear."), ("alexnet", "torchvision", "head.linear3.")],
)
def test_torchvisions_weights_with_a_new_head(name, names, head):
    with torch.device("meta"):
        state = peers.get_model(name, weights=None).state_dict()
    weights = {key: torch.ones((), dtype=value.dtype).expand(value.shape) for key, value in state.items()}
    target = build(network(name, classes=7), device="meta").to_empty(device="cpu")
    for tensor in target.state_dict().values():
        tensor.zero_()
    assert load_weights(target, weights, new_head=True) == f"{names} names, with a new last layer"
    loaded = target.state_dict()
    new = {key for key, value in loaded.items() if not value.any()}
    assert new == {f"{head}weight", f"{head}bias"}
    assert all((value == (key not in new)).all() for key, value in loaded.items())


@pytest.mark.parametrize("fc", ["fc", "linear"])
def test_a_small_image_resnet_takes_the_names_of_its_kind(fc):
    peer = peers.resnet18(weights=None, num_classes=10)
    peer.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    peer.maxpool = torch.nn.Identity()
    target = build(edit(network("resnet18", classes=10), "small_images"), seed=0)
    weights = {re.sub(r"^fc\.", f"{fc}.", key): value for key, value in peer.state_dict().items()}
    assert load_weights(target, weights) == "torchvision and timm names"
    assert same_outputs(peer, target)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "resnet18",
            r"^w\.pt: stem\.conv\.weight has shape \(64, 3, 7, 7\), the network needs \(64, 1, 7, 7\); check the",
        ),
        ("alexnet", r"^alexnet: their features\.0 and our stage1\.conv1 differ in kind or shape$"),
    ],
)
def test_weights_for_another_number_of_channels_are_refused_in_words(name, text):
    with torch.device("meta"):
        state = peers.get_model(name, weights=None).state_dict()
    with pytest.raises(ConvsmithError, match=text):
        load_weights(build(network(name, channels=1), device="meta"), state, "w.pt")


def test_name_map_says_which_layers_differ():
    with torch.device("meta"):
        peer = peers.resnet18(weights=None)
    with pytest.raises(CheckFailed, match=r"^resnet34: they execute 41 layers with weights, we 73$"):
        name_map(peer, build(network("resnet34"), device="meta"), (3, 64, 64))
    with pytest.raises(CheckFailed, match=r"^resnet18: their fc and our head\.linear differ in kind or shape$"):
        name_map(peer, build(network("resnet18", classes=10), device="meta"), (3, 64, 64))


def test_name_map_leaves_the_mode_alone():
    with torch.device("meta"):
        peer = peers.resnet18(weights=None)
    ours = build(network("resnet18"), device="meta").eval()
    name_map(peer, ours, (3, 64, 64))
    assert peer.training
    assert not ours.training
    assert not any(layer._forward_hooks for layer in [*peer.modules(), *ours.modules()])
