"""`convsmith export --to torchvision` and `--to timm`."""

import pytest
import torch
import torchvision.models as peers
from safetensors.torch import load_file

import convsmith as cs


@pytest.fixture(scope="module")
def run(shared_pictures, tmp_path_factory):
    """A run of MobileNetV2, which both libraries have."""
    out = tmp_path_factory.mktemp("mobilenet") / "run"
    options = {"stem": "large", "size": 32, "batch": 8, "lr": 0.001, "quick": True, "quiet": True}
    cs.train("mobilenet_v2", data=str(shared_pictures), out=out, **options)
    return out


def test_weights_for_torchvision(run, command):
    answer = command("export", run, "--to", "torchvision")
    assert (answer.code, answer.err) == (0, "")
    path = run / "export" / "torchvision.safetensors"
    first, second, third = answer.out.splitlines()
    assert first.startswith(f"{path}  ")
    assert first.endswith(" tensors by torchvision's names")
    assert second == "  for torchvision.models.get_model('mobilenet_v2', num_classes=3)"
    assert third.startswith("  loaded there and run on validation images: largest difference ")
    assert third.endswith("/6 same class")
    peers.get_model("mobilenet_v2", num_classes=3).load_state_dict(load_file(path), strict=True)


def test_weights_for_timm_as_json(run, command, tmp_path):
    timm = pytest.importorskip("timm")
    path = tmp_path / "w.pth"
    answer = command("export", run, "--to", "timm", "--out", path, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["ok"]
    assert (answer.json["network"], answer.json["path"]) == ("mobilenetv2_100", str(path))
    state = torch.load(path, weights_only=True)
    timm.create_model("mobilenetv2_100", num_classes=3).load_state_dict(state, strict=True)


def test_what_is_not_compared_is_said(run, command, monkeypatch, tmp_path):
    from convsmith.deploy import exchange

    monkeypatch.setattr(exchange, "installed", lambda library: library != "timm")
    answer = command("export", run, "--to", "timm", "--out", tmp_path / "w.pth")
    assert (answer.code, answer.err) == (0, "")
    assert "  not compared: timm is not installed; the names come from rules that were read backwards" in answer.out


def test_mistakes(run, refused, photo_run):
    message = refused("export", photo_run[0], "--to", "torchvision")
    assert message.startswith("torchvision has no network that computes what resnet_cifar does")
    assert "expected a file name that ends in .safetensors" in refused("export", run, "--to", "timm", "--out", "w.bin")
    message = refused("export", run, "--to", "tensorflow")
    assert message.startswith("export: there is no format tensorflow; there are onnx, bundle, torchvision, timm")
