"""Weights of others: the names that are known, and what is said when they do not fit."""

import re
from pathlib import Path

import pytest
import torch
import torchvision.models as peers
from safetensors.torch import load_file

from convsmith.base.errors import CheckFailed, UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.weights.peers import make_peer
from convsmith.nets.weights.pretrained import load_weights, name_map
from convsmith.nets.zoo import edit, network
from convsmith.report.text import many

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


def test_old_files_may_lack_the_counters_of_batch_normalization(trained):
    weights = {key: v for key, v in trained.state_dict().items() if not key.endswith("num_batches_tracked")}
    target = fresh()
    load_weights(target, weights)
    assert same_outputs(trained, target)


def test_a_missing_key_is_named(trained):
    weights = trained.state_dict()
    del weights["stage2.unit1.branch.conv1.weight"]
    with pytest.raises(UsageError) as error:
        load_weights(fresh(), weights, "w.pt")
    assert str(error.value) == (
        "w.pt: do not fit resnet20_cifar (read with Convsmith names); missing 1: stage2.unit1.branch.conv1.weight"
    )


def test_an_extra_key_is_named_with_the_nearest(trained):
    weights = trained.state_dict() | {"stem.conv.wieght": torch.zeros(1)}
    with pytest.raises(UsageError) as error:
        load_weights(fresh(), weights)
    assert str(error.value) == (
        "the weights: do not fit resnet20_cifar (read with Convsmith names); unknown 1: stem.conv.wieght "
        "(nearest stem.conv.weight)"
    )


def test_an_error_speaks_of_the_names_that_fit_best(trained):
    weights = {akamaster(key): value for key, value in trained.state_dict().items()}
    del weights["conv1.weight"]
    with pytest.raises(UsageError, match=r"akamaster\S* names\); missing 1: stem.conv.weight$"):
        load_weights(fresh(), weights)


def test_a_wrong_shape_is_named_and_nothing_is_loaded(trained):
    target = fresh(classes=5)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(UsageError) as error:
        load_weights(target, trained.state_dict(), "w.pt")
    assert str(error.value) == (
        "w.pt: do not fit resnet20_cifar (read with Convsmith names); of another shape 2: "
        "head.linear.weight (10, 64) where (5, 64) is needed, head.linear.bias (10,) where (5,) is needed; "
        "check the number of classes and channels"
    )
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_a_new_head_keeps_its_own_weights(trained):
    target = fresh(classes=5)
    head = target.state_dict()["head.linear.weight"].clone()
    assert load_weights(target, trained.state_dict(), adapt=True) == "Convsmith names, with a new last layer"
    loaded = target.state_dict()
    assert torch.equal(loaded["head.linear.weight"], head)
    for key, value in trained.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(loaded[key], value), key


def test_a_head_that_fits_is_loaded_even_where_a_new_one_is_allowed(trained):
    target = fresh()
    assert load_weights(target, trained.state_dict(), adapt=True) == "Convsmith names"
    assert same_outputs(trained, target)


@pytest.mark.parametrize("channels", [3, 1])
def test_adapting_does_not_excuse_other_shapes(trained, channels):
    weights = trained.state_dict()
    weights["stage1.unit1.branch.conv1.weight"] = torch.zeros(16, 8, 3, 3)
    target = fresh(classes=5, channels=channels)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(
        UsageError, match=r"of another shape .*\.conv1\.weight \(16, 8, 3, 3\) where \(16, 16, 3, 3\) is"
    ):
        load_weights(target, weights, adapt=True)
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


@pytest.mark.parametrize(("old", "new"), [(3, 1), (1, 3), (1, 4), (3, 6)])
def test_first_filters_for_other_channels_see_a_gray_image_as_before(old, new):
    source, target = build(network("resnet20_cifar", channels=old), seed=5), fresh(channels=new)
    said = load_weights(target, source.state_dict(), adapt=True)
    assert said == f"Convsmith names, first filters for {many(old, 'channel')} made to fit {new}"
    gray = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = source.eval()(gray.expand(-1, old, -1, -1))
        torch.testing.assert_close(target.eval()(gray.expand(-1, new, -1, -1)), expected, rtol=1e-4, atol=1e-5)


def test_one_channel_takes_the_sum_of_the_filters(filled):
    _, state = filled(lambda: peers.squeezenet1_1(weights=None))
    target = fresh("squeezenet1_1", channels=1)
    assert load_weights(target, state, adapt=True).startswith("torchvision names, first filters for 3 channels made")
    loaded = next(value for value in target.state_dict().values() if value.shape == (64, 1, 3, 3))
    torch.testing.assert_close(loaded, state["features.0.weight"].sum(dim=1, keepdim=True))


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
    assert load_weights(target, weights, adapt=True) == f"{names} names, with a new last layer"
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
    ("name", "conv", "size"), [("resnet18", "stem.conv", (64, 3, 7, 7)), ("alexnet", "stage1.conv1", (64, 3, 11, 11))]
)
def test_weights_for_another_number_of_channels_are_refused_in_words(name, conv, size):
    with torch.device("meta"):
        state = peers.get_model(name, weights=None).state_dict()
    with pytest.raises(UsageError) as error:
        load_weights(build(network(name, channels=1), device="meta"), state, "w.pt")
    needed = (64, 1, *size[2:])
    assert str(error.value).endswith(
        f"names); of another shape 1: {conv}.weight {size} where {needed} is needed; "
        "check the number of classes and channels"
    )


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


# Auxiliary heads ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def googlenet(filled):
    """torchvision's GoogLeNet with random weights, and these."""
    return filled(lambda: make_peer("torchvision", "googlenet"))


def without_auxiliary(state):
    return {key: value for key, value in state.items() if not key.startswith("aux")}


def unfilled(name, **numbers):
    return build(network(name, **numbers), device="meta").to_empty(device="cpu").eval()


def test_auxiliary_heads_are_loaded_with_the_rest(googlenet):
    peer, state = googlenet
    ours = unfilled("googlenet")
    assert load_weights(ours, state) == "torchvision names"
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    taken = {}
    for head in ("aux1", "aux2"):
        getattr(peer, head).register_forward_pre_hook(lambda layer, args, head=head: taken.update({head: args[0]}))
    with torch.no_grad():
        logits, heads = ours(x, at=["aux1", "aux2"])
        assert torch.equal(logits, peer(x))
        kept = ours(x, at=["inception4a", "inception4d"])[1]
        assert torch.equal(heads["aux1"], peer.aux1(kept["inception4a"]))
        assert torch.equal(heads["aux2"], peer.aux2(kept["inception4d"]))
    assert set(taken) == {"aux1", "aux2"}


def test_weights_without_auxiliary_heads_leave_them_as_they_are(googlenet):
    peer, state = googlenet
    ours = build(network("googlenet"), seed=0).eval()
    before = {key: value.clone() for key, value in ours.state_dict().items() if key.startswith("aux")}
    assert load_weights(ours, without_auxiliary(state)) == "torchvision names, aux1, aux2 as initialized"
    assert before
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in before.items())
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(x), peer(x))


def test_weights_with_auxiliary_heads_fit_a_network_without(googlenet):
    peer, state = googlenet
    ours = unfilled("googlenet", auxiliary=False)
    assert load_weights(ours, state) == "torchvision names, without the weights' aux1, aux2"
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(x), peer(x))


def test_half_an_auxiliary_head_is_an_error(googlenet):
    _, state = googlenet
    weights = {key: value for key, value in state.items() if key != "aux1.fc2.weight"}
    with pytest.raises(UsageError, match=r"do not fit googlenet .*; missing 1: aux1\.linear2\.weight$"):
        load_weights(unfilled("googlenet"), weights)


def test_every_head_is_new_for_other_classes(googlenet):
    _, state = googlenet
    ours = build(network("googlenet", classes=7), seed=0)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    assert load_weights(ours, state, adapt=True) == "torchvision names, with a new last layer"
    same = {key for key, value in ours.state_dict().items() if torch.equal(value, before[key])}
    new = {
        f"{layer}.{part}" for layer in ("head.linear", "aux1.linear2", "aux2.linear2") for part in ("weight", "bias")
    }
    assert {key for key in same if not key.endswith("num_batches_tracked")} == new


# Other libraries' ways of writing ------------------------------------------------------------------------------------


def test_linear_layers_and_layer_scales_may_be_written_in_other_shapes(filled):
    peer, state = filled(lambda: make_peer("torchvision", "convnext_tiny"))
    assert any(key.endswith("layer_scale") and value.dim() == 3 for key, value in state.items())
    ours = unfilled("convnext_tiny")
    assert load_weights(ours, state) == "torchvision names"
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), peer(x), rtol=1e-4, atol=1e-4 * float(peer(x).abs().max()))


def test_old_names_of_densenet(filled):
    _, state = filled(lambda: make_peer("torchvision", "densenet121"))
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    ours, again = unfilled("densenet121"), unfilled("densenet121")
    assert load_weights(ours, old) == load_weights(again, state) == "torchvision names"
    loaded = again.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in ours.state_dict().items())


def test_another_networks_weights_are_refused_with_the_first_differences():
    with torch.device("meta"):
        state = peers.vgg11(weights=None).state_dict()
    with pytest.raises(UsageError) as error:
        load_weights(fresh("squeezenet1_1"), state, "vgg11.pth")
    text = str(error.value)
    assert text.startswith("vgg11.pth: do not fit squeezenet1_1 (read with ")
    assert re.search(r"; missing 5\d: \S+, \S+, \S+ and \d+ more; unknown ", text)
    assert "\n" not in text


def test_a_module_that_is_no_tree_takes_its_own_names():
    source, target = (torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, n)) for n in (2, 5))
    assert load_weights(target, source.state_dict(), adapt=True) == "the module's own names, with a new last layer"
    assert torch.equal(target[0].weight, source[0].weight)
    with pytest.raises(UsageError, match=r"w: do not fit the network \(read with the module's own names\); missing 2:"):
        load_weights(target, {key: v for key, v in source.state_dict().items() if key.startswith("1")}, "w")
