"""A module of others goes the whole way: train, be killed, resume, eval, predict, export, report."""

import json

import pytest
import torch

import convsmith as cs
from convsmith.base.user_code import TRUST
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run


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
    assert command("train", "--resume", killed, TRUST, "--quiet").code == 0
    one, other = load_checkpoint(open_run(straight)), load_checkpoint(open_run(killed))
    assert one.model.keys() == other.model.keys()
    assert all(torch.equal(one.model[key], other.model[key]) for key in one.model)
    assert all(torch.equal(one.state[key], other.state[key]) for key in one.state)

    run = cs.load(killed, trust_code=True)
    evaluated = command("eval", killed, "--split", "train", TRUST, "--json").json
    assert evaluated["count"] == 48
    images = sorted(shared_pictures.rglob("*.png"))[:5]
    predicted = command("predict", killed, *images, TRUST, "--json").json
    assert [p["top"][0]["label"] for p in predicted] == [p.label for p in run.predict(images)]
    exported = command("export", killed, "--to", "onnx", TRUST, "--json")
    assert exported.code == 0, exported.err
    assert exported.json["ok"]
    assert (killed / "export" / "model.onnx").is_file()
    assert run.report().is_file()


VIEWING = """
from torch import nn


class Viewing(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.out = nn.Linear(4 * 12 * 12, classes)

    def forward(self, images):
        return self.out(self.conv(images).relu().view(COUNT, -1))


def make(classes, channels):
    return Viewing(classes, channels)
"""


def test_a_module_that_views_its_images_gets_the_usual_layout(command, shared_pictures, tmp_path):
    (tmp_path / "viewing.py").write_text(VIEWING.replace("COUNT", "images.shape[0]"))
    words = [
        "--data",
        shared_pictures,
        "--precision",
        "fp32",
        "--epochs",
        "1",
        "--batch",
        "8",
        "--out",
        tmp_path / "run",
    ]
    answer = command("train", f"{tmp_path / 'viewing.py'}:make", *words)
    assert answer.code == 0
    assert "does not take images channels last; they keep the usual layout" in answer.err
    assert command("eval", tmp_path / "run", TRUST, "--json").json["count"] == 6
    assert command("predict", tmp_path / "run", shared_pictures / "bent", TRUST, "--json").code == 0
    assert command("export", tmp_path / "run", TRUST, "--json").json["ok"]


def test_a_module_that_fixes_the_number_of_images_is_not_exported(command, shared_pictures, tmp_path):
    (tmp_path / "fixing.py").write_text(VIEWING.replace("COUNT", "len(images)"))
    words = ["--data", shared_pictures, "--precision", "fp32", "--quick", "--batch", "8", "--out", tmp_path / "run"]
    assert command("train", f"{tmp_path / 'fixing.py'}:make", *words).code == 0
    answer = command("export", tmp_path / "run", TRUST)
    assert answer.code == 1
    assert "A module that asks len(images) fixes the number of images; images.shape[0] leaves it free" in answer.err
    assert not (tmp_path / "run" / "export").exists()


def test_a_good_start_is_not_taken_for_an_explosion(command, shared_pictures, tmp_path):
    first = ["--data", "digits", "--label_smoothing", "0", "--epochs", "8", "--out", tmp_path / "first", "--quiet"]
    assert command("train", "digits", *first).code == 0
    again = ["--weights", tmp_path / "first", "--label_smoothing", "0", "--batch", "16", "--epochs", "1", "--quiet"]
    assert command("train", "digits", *again, "--out", tmp_path / "again").code == 0
