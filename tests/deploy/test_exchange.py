"""Weights written for torchvision and timm: their own networks load them strictly and give our outputs."""

import json
from pathlib import Path

import pytest
import torch
import torchvision.models as peers
from safetensors import safe_open
from safetensors.torch import load_file

import convsmith as cs
from convsmith.base.errors import CheckFailed, UsageError
from convsmith.data.augment import normalize
from convsmith.data.dataset import open_data
from convsmith.data.loaders import decode_all
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput
from convsmith.deploy import exchange
from convsmith.deploy.exchange import export_weights
from convsmith.nets.modules.build import build
from convsmith.nets.source import Foreign
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import edit, network
from convsmith.runs.subject import Subject


@pytest.fixture(scope="module")
def made(shared_pictures):
    """`made("resnet18", "size=48")`: that network as a trained subject, weights and statistics random, and images."""

    def make(name, *edits, size=48, channels=3, **numbers):
        tree = network(name, classes=3, channels=channels, **numbers)
        for text in (f"size={size}", *edits):
            tree = edit(tree, text)
        module, generator = build(tree, seed=0).eval(), torch.Generator().manual_seed(1)
        for key, value in module.state_dict().items():
            if key.endswith(("running_mean", "running_var")):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        data = open_data(DataOptions(source=str(shared_pictures), size=size, channels=channels))
        subject = Subject(Path("none"), Path("none"), module, tree, data.preprocess, data.card, 1, channels_last=True)
        return subject, data.val

    return make


def outputs(subject, examples, peer):
    images = normalize(decode_all(examples, subject.preprocess, 1), subject.preprocess)
    with torch.no_grad():
        return subject.module(images), peer.eval()(images)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2"])
def test_torchvision_loads_the_file_strictly(name, suffix, made, tmp_path):
    subject, examples = made(name)
    path = tmp_path / f"weights{suffix}"
    file = export_weights(subject, examples, "torchvision", path)
    state = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    peer = peers.get_model(name, num_classes=3)
    peer.load_state_dict(state, strict=True)
    ours, theirs = outputs(subject, examples, peer)
    assert torch.equal(ours, theirs)
    assert (file.ok, file.comparison.images, file.tensors) == (True, 6, len(state))
    assert file.load == f"torchvision.models.get_model('{name}', num_classes=3)"
    report = json.loads((tmp_path / f"weights{suffix}.report.json").read_text())
    assert report == json.loads(json.dumps(file.to_json()))
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.report.json"]
    # The way back.
    again = build(subject.network, seed=5).eval()
    load_weights(again, state)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in subject.module.state_dict().items())


def test_the_safetensors_file_says_what_it_needs(made, tmp_path):
    subject, examples = made("squeezenet1_1")
    export_weights(subject, examples, "torchvision", tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        metadata = file.metadata()
    assert ImageInput.from_json(json.loads(metadata["preprocess"])) == subject.preprocess
    assert json.loads(metadata["labels"]) == ["bent", "flat", "round"]
    assert (metadata["format"], metadata["names"]) == ("pt", "torchvision")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mobilenet_v2_035", "mobilenetv2_035"),  # by the family's rules
        ("mnasnet0_5", "mnasnet_050"),  # as the layers execute
        ("regnet_y_400mf", "regnety_004"),  # by rules too: timm adds the summands in another order
    ],
)
def test_timm_loads_the_file_strictly(name, theirs, made, tmp_path):
    timm = pytest.importorskip("timm")
    subject, examples = made(name)
    file = export_weights(subject, examples, "timm", tmp_path / "w.safetensors")
    assert file.ok
    assert file.load == f"timm.create_model('{theirs}', num_classes=3)"
    peer = timm.create_model(theirs, num_classes=3)
    peer.load_state_dict(load_file(tmp_path / "w.safetensors"), strict=True)
    ours, outs = outputs(subject, examples, peer)
    torch.testing.assert_close(ours, outs, rtol=1e-4, atol=1e-4 * float(ours.abs().max()))


def test_timm_takes_gray_images(made, tmp_path):
    timm = pytest.importorskip("timm")
    subject, examples = made("mobilenet_v2_035", channels=1)
    file = export_weights(subject, examples, "timm", tmp_path / "w.pth")
    assert file.load == "timm.create_model('mobilenetv2_035', num_classes=3, in_chans=1)"
    peer = timm.create_model("mobilenetv2_035", num_classes=3, in_chans=1)
    peer.load_state_dict(torch.load(tmp_path / "w.pth", weights_only=True), strict=True)


def test_without_timm_the_names_come_from_rules_and_that_is_said(made, tmp_path, monkeypatch):
    subject, examples = made("mobilenet_v2_035")
    without = exchange.installed
    monkeypatch.setattr(exchange, "installed", lambda library: library != "timm" and without(library))
    file = export_weights(subject, examples, "timm", tmp_path / "w.safetensors")
    assert (file.comparison, file.ok) == (None, False)
    monkeypatch.undo()
    if without("timm"):
        subject, examples = made("mobilenet_v2_035")
        export_weights(subject, examples, "timm", tmp_path / "compared.safetensors")
        expected, found = load_file(tmp_path / "compared.safetensors"), load_file(tmp_path / "w.safetensors")
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_without_timm_and_without_rules_there_is_no_file(made, tmp_path, monkeypatch):
    subject, examples = made("mnasnet0_5")
    monkeypatch.setattr(exchange, "installed", lambda library: library != "timm")
    with pytest.raises(UsageError, match=r"timm's mnasnet_050 cannot take these weights: .*timm is not installed"):
        export_weights(subject, examples, "timm", tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("edits", ["small_images", "act=silu"])
def test_without_timm_no_edited_network_is_written(edits, made, tmp_path, monkeypatch):
    """Nothing could be compared, so that even what has the same names is refused."""
    subject, examples = made("mobilenet_v2_035", edits)
    monkeypatch.setattr(exchange, "installed", lambda library: library != "timm")
    with pytest.raises(UsageError, match="timm's mobilenetv2_035 cannot take these weights: nothing there stands for"):
        export_weights(subject, examples, "timm", tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_auxiliary_heads_says_how_the_peer_is_made(made, tmp_path):
    subject, examples = made("googlenet", size=64, auxiliary=False)
    file = export_weights(subject, examples, "torchvision", tmp_path / "w.safetensors")
    assert file.load == "torchvision.models.get_model('googlenet', num_classes=3, aux_logits=False)"
    with pytest.warns(FutureWarning):
        peer = peers.get_model("googlenet", num_classes=3, aux_logits=False)
    peer.load_state_dict(load_file(tmp_path / "w.safetensors"), strict=True)
    ours, theirs = outputs(subject, examples, peer)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("edits", [["drop_path=0.1"], ["dropout=0.3"], []])
def test_edits_of_training_alone_do_not_matter(edits, made, tmp_path):
    subject, examples = made("resnet18", *edits)
    assert export_weights(subject, examples, "torchvision", tmp_path / "w.safetensors").ok


@pytest.mark.parametrize(
    ("name", "edits", "library", "kind", "message"),
    [
        ("resnet18", ["small_images"], "torchvision", UsageError, "nothing there stands for small_images"),
        ("resnet18", ["drop_path=0.1", "se=16"], "torchvision", UsageError, "nothing there stands for se"),
        ("squeezenet1_1", ["dropout(0.3, head, plain)"], "torchvision", CheckFailed, "written, .* for dropout"),
        ("resnet18", ["act=silu"], "torchvision", CheckFailed, r"not written, .* 7\.\de-01 .*: nothing .* for act"),
        ("resnet18", ["channels=1"], "torchvision", UsageError, "torchvision's resnet18 takes 3 channels, this one 1"),
        ("resnet18_d", [], "torchvision", UsageError, "torchvision has no network that computes what resnet18_d does"),
        ("squeezenet1_1", [], "timm", UsageError, "timm has no network that computes what squeezenet1_1 does"),
        ("resnet18", [], "keras", UsageError, "export: expected torchvision or timm, received 'keras'"),
    ],
)  # fmt: skip
def test_what_the_other_library_cannot_express_is_refused(name, edits, library, kind, message, made, tmp_path):
    subject, examples = made(name, *edits)
    with pytest.raises(kind, match=message):
        export_weights(subject, examples, library, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_was_changed_by_hand(made, tmp_path):
    from dataclasses import replace

    subject, examples = made("squeezenet1_1")
    subject = replace(subject, network=replace(subject.network, name="squeezenet1_0"))
    with pytest.raises(UsageError, match=r"cannot take these weights: this tree is not the zoo's squeezenet1_0$"):
        export_weights(subject, examples, "torchvision", tmp_path / "w.pth")


def test_what_is_no_tree_or_no_weight_file_is_refused(made, tmp_path):
    from dataclasses import replace

    subject, examples = made("squeezenet1_1")
    with pytest.raises(UsageError, match=r"w\.onnx: expected a file name that ends in \.safetensors, \.pth, \.pt$"):
        export_weights(subject, examples, "torchvision", tmp_path / "w.onnx")
    foreign = replace(subject, network=Foreign("torchvision:resnet18", {}))
    with pytest.raises(UsageError, match="it was imported from torchvision, so its weights have its own names already"):
        export_weights(foreign, examples, "torchvision", tmp_path / "w.pth")


def test_a_run_exports_by_its_method(shared_pictures, tmp_path, monkeypatch):
    options = {"stem": "large", "size": 32, "batch": 8, "quick": True, "quiet": True}
    run = cs.train("squeezenet1_1", data=str(shared_pictures), out=tmp_path / "run", **options)
    file = run.export(to="torchvision")
    assert file.path == str(tmp_path / "run" / "export" / "torchvision.safetensors")
    peer = peers.squeezenet1_1(num_classes=3)
    peer.load_state_dict(load_file(file.path), strict=True)
    with pytest.raises(UsageError, match="unknown export format 'onx'; nearest: onnx"):
        run.export(to="onx")
