"""A module that is no tree goes the whole way: train, be killed, resume, eval, predict, export, report."""

import json

import pytest
import torch

import convsmith as cs
from convsmith.runs.checkpoints import load_checkpoint


@pytest.fixture(params=["own file", "torchvision"])
def words(request, modules, shared_pictures):
    """The words that train it on the tiny images."""
    torchvision = [
        "torchvision:resnet18",
        "--batch",
        "16",
        "--lr",
        "0.005",
        "--length",
        "4steps",
        "--checkpoint_every",
        "2steps",
    ]
    own = [f"{modules}:make", "--batch", "8", "--epochs", "3", "--checkpoint_every", "2steps"]
    chosen = own if request.param == "own file" else torchvision
    return ["train", *chosen, "--data", shared_pictures, "--precision", "fp32", "--engine.threads", 1, "--quiet"]


def step(path):
    try:
        return json.loads((path / "last.json").read_text())["step"]
    except FileNotFoundError:
        return 0


def test_a_module_goes_the_whole_way(words, forks, command, shared_pictures, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert command(*words, "--out", straight).code == 0
    process = forks.start(*words, "--out", killed)
    process.until(lambda: step(killed) >= 2, pause=0)
    process.kill()
    if step(killed) < 2 or (killed / "result.json").exists():
        pytest.fail(f"killed too early or too late: {forks.log.read_text()}")
    assert command("train", "--resume", killed, "--quiet").code == 0
    one, other = load_checkpoint(cs.load(straight).directory), load_checkpoint(cs.load(killed).directory)
    assert one.model.keys() == other.model.keys()
    assert all(torch.equal(one.model[key], other.model[key]) for key in one.model)
    assert all(torch.equal(one.state[key], other.state[key]) for key in one.state)

    run = cs.load(killed)
    evaluated = command("eval", killed, "--split", "train", "--json").json
    assert evaluated["count"] == 48
    images = sorted(shared_pictures.rglob("*.png"))[:5]
    predicted = command("predict", killed, *images, "--json").json
    assert [p["top"][0]["label"] for p in predicted] == [p.label for p in run.predict(images)]
    exported = command("export", killed, "--to", "onnx", "--json")
    assert exported.code == 0, exported.err
    assert exported.json["ok"]
    assert (killed / "export" / "model.onnx").is_file()
    assert run.report().is_file()
