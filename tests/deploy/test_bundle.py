"""A run as one file: it predicts as the run does, other runs start from it, and what it cannot do it says."""

import json

import pytest
import torch
from safetensors import safe_open

from convsmith.base.errors import BadFile, CheckFailed, UsageError
from convsmith.nets.cost import cost
from convsmith.nets.zoo import network
from convsmith.runs.bundle import open_bundle
from convsmith.runs.subject import open_subject
from convsmith.runs.trained import is_bundle
from convsmith.runs.weights import save_bundle


@pytest.fixture(scope="module")
def bundle(photo_run, tmp_path_factory):
    from convsmith.cli import main

    path = tmp_path_factory.mktemp("bundle") / "mine.safetensors"
    assert main(["export", str(photo_run[0]), "--to", "bundle", "--out", str(path), "--json"]) == 0
    return path


def test_it_predicts_as_its_run_does(photo_run, bundle, command):
    run, folder = photo_run
    images = sorted(folder.rglob("*.png"))[:5]
    answers = [json.loads(command("predict", subject, *images, "--json").out) for subject in (run, bundle)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 5


def test_it_holds_what_the_run_knows_and_plain_safetensors_reads_it(photo_run, bundle):
    mine, of_run = open_subject(bundle), open_subject(photo_run[0])
    assert (mine.network, mine.preprocess, mine.card) == (of_run.network, of_run.preprocess, of_run.card)
    assert (mine.step, mine.temperature, mine.channels_last) == (of_run.step, 1.0, of_run.channels_last)
    with safe_open(bundle, framework="pt") as file:
        assert sorted(file.keys()) == sorted(of_run.module.state_dict())
        assert all(torch.equal(file.get_tensor(key), of_run.module.state_dict()[key]) for key in file.keys())  # noqa: SIM118
        assert str(photo_run[0].parent) not in file.metadata()["convsmith"]  # where it was trained is nobody's business


def test_an_edited_network_is_written_with_its_weights(photo_run, tmp_path, command):
    path = tmp_path / "folded.safetensors"
    said = command("export", photo_run[0], "--to", "bundle", "--edit", "fold_norm", "--out", path)
    assert said.code == 0
    assert "the same outputs, bit for bit" in said.out
    assert open_bundle(path).network.edits[-1] == "fold_norm"
    assert not any("running_mean" in key for key in open_subject(path).module.state_dict())


def test_fine_tuning_starts_from_it(photo_run, bundle, here, command):
    folder = photo_run[1]
    answer = command(
        "finetune", bundle, "--data", folder, "--mode", "probe", "--epochs", 1, "--out", "tuned", "--quiet"
    )
    assert answer.code == 0, answer.err
    begun, tuned = open_subject(bundle), open_subject("tuned")
    assert tuned.network == begun.network
    assert tuned.preprocess.size == begun.preprocess.size
    features = [key for key in begun.module.state_dict() if not key.startswith("head.")]
    assert all(torch.equal(begun.module.state_dict()[key], tuned.module.state_dict()[key]) for key in features)
    assert json.loads((here / "tuned" / "data.json").read_text())["card"]["classes"] == list(begun.labels)


def test_show_prints_its_network(bundle, command):
    shown = command("show", bundle, "--json").json
    assert shown["params"] == cost(open_bundle(bundle).network).params


def test_what_needs_the_run_says_so(bundle, refused):
    assert "for everything else name its run" in refused("export", bundle)
    assert "convsmith finetune" in refused("train", bundle, "--data", "photos")
    assert "a bundle is for predict, show and finetune" in refused("eval", bundle, code=1)
    assert "has weights of its own" in refused("finetune", bundle, "--data", "photos", "--weights", "other.pt")
    with pytest.raises(UsageError, match="holds one state of the weights, not the best one"):
        open_subject(bundle, "best")


def test_damaged_bundles(bundle, tmp_path):
    assert is_bundle(bundle)
    short = tmp_path / "short.safetensors"
    short.write_bytes(bundle.read_bytes()[:-100])
    with pytest.raises(BadFile, match="expected a whole safetensors file"):
        open_subject(short)
    for name, content in (("empty", b""), ("huge", b"\xff" * 8 + b"{}"), ("text", b"not a header at all")):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
        assert not is_bundle(tmp_path / f"{name}.safetensors")
    bare = tmp_path / "bare.safetensors"
    save_bundle(bare, {"a": torch.zeros(2)}, {"network": network("lenet5").to_json() | {"kind": "tree"}})
    with pytest.raises(BadFile, match="the bundle does not say its preprocess; export it again"):
        open_bundle(bare)


def test_a_bundle_that_reads_otherwise_is_not_kept(photo_run, tmp_path, monkeypatch, command):
    from convsmith.deploy import bundle as writing

    def other(path):
        subject = open_subject(photo_run[0])
        next(subject.module.parameters()).data.add_(1)
        return subject

    monkeypatch.setattr(writing, "open_subject", other)
    monkeypatch.chdir(tmp_path)
    answer = command("export", photo_run[0], "--to", "bundle", "--out", "x.safetensors")
    assert (answer.code, list(tmp_path.iterdir())) == (CheckFailed.exit_code, [])
    assert "not written, since the network gives other outputs" in answer.err
