"""Weight files of other programs: wrappers, parts, backbones, and what is not a weight file."""

import argparse
import gzip
import re
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import save_file

import convsmith as cs
from convsmith.base.errors import BadFile, UnknownName, UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.weights.pretrained import last_layers, load_weights, unwrapped
from convsmith.nets.zoo import network
from convsmith.runs.weight_files import file_and_part, open_weights

TENSORS = {"a.weight": torch.ones(2, 2), "a.bias": torch.zeros(2)}
OTHER = {name: value + 1 for name, value in TENSORS.items()}


@pytest.fixture(scope="module")
def lenet() -> dict[str, torch.Tensor]:
    return dict(build(network("lenet5"), seed=3).state_dict())


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


WRAPPED = {
    "DataParallel": ("module.", {}),
    "torch.compile": ("_orig_mod.", {}),
    "compiled and parallel": ("_orig_mod.module.", {}),
    "parallel and compiled": ("module._orig_mod.", {}),
    "Lightning": ("model.", {}),
    "Lightning, compiled": ("model._orig_mod.", {}),
    "Lightning with a loss": ("net.", {"criterion.weight": torch.ones(3), "metric.total": torch.ones(())}),
    "self-supervised": ("module.encoder.", {"module.projector.weight": torch.ones(3, 3)}),
    "a word of its own": ("my_net.", {}),
    "teacher": ("teacher.", {"student.x": torch.ones(1)}),
    "four deep": ("module.model.backbone.net.", {}),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_what_wrappers_put_before_the_names_is_taken_off_and_said(how, lenet):
    prefix, more = WRAPPED[how]
    ours = build(network("lenet5"), seed=0)
    said = load_weights(ours, {**under(prefix, lenet), **more})
    rest = f" and {len(more)} other tensors left out" if more else ""
    assert said == f"Convsmith names, '{prefix}' before the names taken off{rest}"
    assert all(torch.equal(value, lenet[name]) for name, value in ours.state_dict().items())


def test_other_names_behind_a_prefix():
    import torchvision

    theirs = torchvision.models.get_model("squeezenet1_1", weights=None)
    state = under("_orig_mod.module.", theirs.state_dict())
    ours = build(network("squeezenet1_1"), seed=0)
    assert load_weights(ours, state) == "torchvision names, '_orig_mod.module.' before the names taken off"


def test_where_nothing_fits_the_prefix_is_named(lenet):
    with pytest.raises(UsageError) as error:
        load_weights(build(network("nin_cifar"), seed=0), under("model.", lenet), "w.ckpt")
    message = str(error.value)
    assert message.startswith("w.ckpt: do not fit nin_cifar (read with Convsmith names, without 'model.', with which ")
    assert "unknown 10: " in message


def test_the_ways_to_unwrap():
    assert [prefix for prefix, _ in unwrapped(under("module.model.", TENSORS))] == [
        "",
        "module.",
        "module.model.",
        "module.model.a.",
    ]
    assert [prefix for prefix, _ in unwrapped({**TENSORS, "b": torch.ones(1)})] == [""]


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_a_backbone_starts_a_network_with_a_new_last_layer(prefix, lenet):
    ours = build(network("lenet5"), seed=0)
    (last,) = last_layers(ours, lenet)
    body = {name: value for name, value in lenet.items() if not name.startswith(f"{last}.")}
    left = lenet.keys() - body.keys()
    assert left
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    said = load_weights(ours, under(prefix, body), adapt=True)
    assert said.endswith("with a new last layer")
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name] if name in left else lenet[name])
    with pytest.raises(UsageError, match=r"the file has no last layer; give the number of classes"):
        load_weights(build(network("lenet5"), seed=0), under(prefix, body))


def test_a_run_starts_from_a_backbone_of_lightning(lenet, pictures, command, tmp_path, trees):
    state = build(network("resnet20_cifar"), seed=1).state_dict()
    body = {f"model.{name}": value for name, value in state.items() if not name.startswith("head.")}
    file = tmp_path / "epoch=3.ckpt"
    torch.save({"state_dict": body, "hyper_parameters": {"lr": 0.1}, "epoch": 3}, file)
    words = [
        "train",
        "resnet20_cifar",
        "--data",
        pictures,
        "--weights",
        file,
        "--epochs",
        "1",
        "--out",
        tmp_path / "run",
    ]
    answer = command(*words)
    assert answer.code == 0, answer.err
    how = "Convsmith names, 'model.' before the names taken off, with a new last layer, the file's state_dict"
    assert f"starts from {file} ({how})" in answer.err


@pytest.mark.parametrize(
    ("data", "part", "more"),
    [
        ({"state_dict": TENSORS, "state_dict_ema": OTHER, "epoch": 1}, "state_dict", ["state_dict_ema"]),
        ({"model": TENSORS, "model_ema": OTHER, "optimizer": {"state": {}}}, "model", ["model_ema"]),
        ({"model": TENSORS, "optimizer": TENSORS}, "model", []),
        ({"ema": {"module": TENSORS, "decay": 0.9}}, "ema.module", []),
        ({"model_state_dict": TENSORS, "ema": OTHER}, "model_state_dict", ["ema"]),
        ({"something": TENSORS, "state_dict": OTHER}, "state_dict", ["something"]),
        ({"student": TENSORS, "teacher": OTHER}, "student", ["teacher"]),
        ({"net": TENSORS}, "net", []),
    ],
)
def test_the_part_that_is_taken_is_said(data, part, more, tmp_path):
    file = tmp_path / "w.pth"
    torch.save(data, file)
    found = open_weights(file)
    others = f"; the file has more: --weights {' or '.join(f'{file}:{name}' for name in more)}" if more else ""
    assert found.notes == (f"the file's {part}{others}",)
    for name in more:
        other = open_weights(f"{file}:{name}")
        assert other.notes == (f"the file's {name}",)
        assert not torch.equal(other.tensors["a.bias"], found.tensors["a.bias"])
    with pytest.raises(UnknownName, match=r"unknown part of .*w.pth 'emma'"):
        open_weights(f"{file}:emma")


def test_a_part_by_name_starts_a_network(lenet, tmp_path):
    file = tmp_path / "w.pth"
    average = {name: value * 2 for name, value in lenet.items()}
    torch.save({"state_dict": lenet, "state_dict_ema": average}, file)
    plain, averaged = (cs.pretrained("lenet5", weights=name) for name in (file, f"{file}:state_dict_ema"))
    for name, value in lenet.items():
        assert torch.equal(plain.module.state_dict()[name], value)
        assert torch.equal(averaged.module.state_dict()[name], value * 2)
    assert plain.subject.note.endswith(f"the file's state_dict; the file has more: --weights {file}:state_dict_ema")


def test_a_path_with_a_colon(tmp_path):
    file = tmp_path / "a:b.pth"
    assert file_and_part(f"{file}") == (tmp_path / "a", "b.pth")
    torch.save(TENSORS, file)
    assert file_and_part(str(file)) == (file, None)
    assert set(open_weights(file).tensors) == set(TENSORS)


def test_content_counts_and_not_the_name(tmp_path):
    save_file(TENSORS, tmp_path / "w.pth")
    torch.save(TENSORS, tmp_path / "w.safetensors")
    assert set(open_weights(tmp_path / "w.pth").tensors) == set(TENSORS)
    assert set(open_weights(tmp_path / "w.safetensors").tensors) == set(TENSORS)


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46827520\n"
NO_WEIGHTS = {
    "empty": (b"", "expected weights, received an empty file (0 bytes); fetch it again"),
    "page": (PAGE, "expected weights, received a web page (HTML): the address leads to a page and not to the file; "),
    "page with spaces": (b"\n  <html>", "expected weights, received a web page (HTML)"),
    "pointer": (POINTER, "expected weights, received a Git LFS pointer and not the file that it stands for; "),
    "gzip": (gzip.compress(b"x"), "expected weights, received a gzip archive; unpack it first"),
    "json": (b'{"error": "not found"}', "expected weights, received JSON text"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "expected weights, received an HDF5 file, as Keras writes it"),
    "picture": (b"\x89PNG\r\n", "expected weights, received a picture"),
    "noise": (b"\x00\x01\x02" * 400, "expected "),
    "text": (b"404: Not Found", "expected "),
}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_what_is_no_weight_file_is_said_in_our_words(kind, suffix, tmp_path):
    content, said = NO_WEIGHTS[kind]
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)
    with pytest.raises(BadFile) as error:
        open_weights(file)
    message = str(error.value)
    assert message.startswith(f"{file}: {said}")
    assert len(message) < len(str(file)) + 250
    assert not re.search(r"\x1b|weights_only|torch\.load|\[1m", message)


def test_archives_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("model/best.pt", b"x")
    with pytest.raises(BadFile, match=r"received a zip archive \(model/best.pt\); unpack it first"):
        open_weights(tmp_path / "w.pt")
    with tarfile.open(tmp_path / "w.tar", "w") as archive:
        archive.add(tmp_path / "w.pt", "w.pt")
    with pytest.raises(BadFile, match=r"received a tar archive; unpack it first"):
        open_weights(tmp_path / "w.tar")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"state_dict": TENSORS, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
    ],
)
def test_pickled_objects_are_named_and_not_read(data, name, tmp_path):
    file = tmp_path / "w.pth"
    torch.save(data, file)
    with pytest.raises(BadFile) as error:
        open_weights(file)
    assert str(error.value) == (
        f"{file}: holds pickled objects ({name}) besides tensors, and such objects could run code, so it is not read; "
        "if you trust it, mend with its own program: torch.save(model.state_dict(), FILE)"
    )
