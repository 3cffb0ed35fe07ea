import json
import pickle
import random
import zipfile
from collections import OrderedDict

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from convsmith.base.errors import BadFile, MissingPath, WrongType
from convsmith.runs.weights import load_bundle, load_weights, save_bundle

TENSORS = {
    "conv.weight": torch.arange(6.0).reshape(2, 3),
    "norm.count": torch.tensor(3),
    "head": torch.ones(2).bfloat16(),
}
METADATA = {"network": {"kind": "seq"}, "classes": ["cat", "chièn"], "preprocess": {"mean": [0.5]}, "card": None}


def same(received):
    assert set(received) == set(TENSORS)
    assert all(torch.equal(received[n], t) and received[n].dtype == t.dtype for n, t in TENSORS.items())


class Canary:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_safetensors_are_read(tmp_path):
    save_file(TENSORS, tmp_path / "w.safetensors")
    same(load_weights(tmp_path / "w.safetensors"))
    same(load_weights(str(tmp_path / "w.safetensors")))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".th", ".tar", ".ckpt"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: OrderedDict(t),
        lambda t: {"state_dict": t, "epoch": 3, "best": 0.5},
        lambda t: {"model": t, "args": {"lr": 0.1}},
        lambda t: {"state_dict": {n: torch.nn.Parameter(v, v.is_floating_point()) for n, v in t.items()}},
        lambda t: {"ema": {"module": t, "decay": 0.9}},
        lambda t: {"epoch": 3, "anything": t},
    ],
)
def test_plain_torch_files_are_read(tmp_path, suffix, wrap):
    path = tmp_path / f"w{suffix}"
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=suffix != ".th")
    received = load_weights(path)
    same(received)
    assert not any(tensor.requires_grad for tensor in received.values())


def test_prefixes_stay_until_there_is_a_network(tmp_path):
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pt")
    assert set(load_weights(tmp_path / "w.pt")) == {"module.a", "b"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: {"state_dict": TENSORS, "hook": c}])
def test_pickled_objects_are_refused_and_never_run(tmp_path, legacy, wrap):
    canary, path = tmp_path / "canary", tmp_path / "w.pth"
    torch.save(wrap(Canary(canary)), path, _use_new_zipfile_serialization=not legacy)
    message = r"w.pth: (holds pickled objects|expected tensors of torch.save, received pickled objects, which could)"
    with pytest.raises(BadFile, match=message):
        load_weights(path)
    path.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(BadFile, match=message):
        load_weights(path)
    path.rename(tmp_path / "w.safetensors")
    with pytest.raises(BadFile, match=r"w.safetensors: (expected|holds pickled)"):
        load_weights(tmp_path / "w.safetensors")
    assert not canary.exists()


def test_whole_modules_and_other_contents_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(
        BadFile,
        match=r"holds pickled objects \(torch.nn.modules.linear.Linear\) besides tensors, and such .* not read; ",
    ):
        load_weights(path)
    torch.save([1, 2], path)
    with pytest.raises(BadFile, match=r"w.pt: expected tensors by name, received a list; mend with its own program"):
        load_weights(path)
    torch.save({"epoch": 3, "lr": 0.1}, path)
    with pytest.raises(BadFile, match=r"expected tensors by name, received other things under epoch, lr; mend with"):
        load_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
    with pytest.raises(BadFile, match=r"expected weights, received a zip archive \(x/constants.pkl\); unpack it first"):
        load_weights(path)


def test_absent_unknown_and_damaged_files_are_named(tmp_path):
    for name in ("no.safetensors", "no.pt", "no.h5"):
        with pytest.raises(MissingPath, match=rf"{name}: no such file; expected a file with weights"):
            load_weights(tmp_path / name)
    (tmp_path / "w.h5").touch()
    with pytest.raises(BadFile, match=r"w.h5: expected a weight file \(.safetensors, .pt, .*\), received .h5"):
        load_weights(tmp_path / "w.h5")
    for name in ("d.pt", "d.safetensors"):
        (tmp_path / name).mkdir()
        with pytest.raises(BadFile, match=rf"{name}: could not be read \(Is a directory\)"):
            load_weights(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pt", ".th", ".safetensors"])
def test_truncated_weights_are_refused(tmp_path, suffix):
    path, generator = tmp_path / f"w{suffix}", random.Random(0)
    if suffix == ".safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=suffix == ".pt")
    whole = path.read_bytes()
    for length in [0, len(whole) - 1, *(generator.randrange(len(whole)) for _ in range(20))]:
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile, match=rf"w{suffix}: (expected|holds pickled objects)"):
            load_weights(path)


def test_a_bundle_is_a_plain_safetensors_file(tmp_path):
    path = tmp_path / "net.safetensors"
    save_bundle(path, TENSORS, METADATA)
    first = path.read_bytes()
    tensors, metadata = load_bundle(path)
    same(tensors)
    assert metadata == {"format": 1, **METADATA}
    same(load_file(path))
    same(load_weights(path))
    with safetensors.safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["convsmith"])["classes"] == METADATA["classes"]
    save_bundle(path, tensors, metadata)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_every_change_of_a_bundle_is_detected(tmp_path):
    path, generator = tmp_path / "net.safetensors", random.Random(0)
    save_bundle(path, TENSORS, METADATA)
    whole = path.read_bytes()
    names_end = 8 + int.from_bytes(whole[:8], "little")
    metadata_end = whole.rfind(b'"}', 0, whole.find(b'"dtype"'))
    offsets = [*range(names_end, len(whole)), *(generator.randrange(30, metadata_end) for _ in range(150))]
    for offset in offsets:
        bit = 1 << generator.randrange(8)
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ bit]) + whole[offset + 1 :])
        with pytest.raises(BadFile, match=r"net.safetensors: "):
            load_bundle(path)
    for length in [0, 7, 8, *(generator.randrange(len(whole)) for _ in range(40))]:
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile, match=r"expected a whole safetensors file .*; fetch or export the bundle again"):
            load_bundle(path)


def test_what_is_no_bundle_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(MissingPath, match=r"net.safetensors: no such file"):
        load_bundle(path)
    save_file(TENSORS, path)
    with pytest.raises(BadFile, match=r"holds weights but no description of their network; give it as --weights"):
        load_bundle(path)
    save_file(TENSORS, path, {"convsmith": "{}"})
    with pytest.raises(
        BadFile, match=r"the bundle's metadata is damaged: expected a JSON object with the key 'sha256'"
    ):
        load_bundle(path)
    save_bundle(path, TENSORS, METADATA | {"format": 9})
    with pytest.raises(BadFile, match=r"is a bundle of format 9, this Convsmith reads format 1; update Convsmith"):
        load_bundle(path)
    save_bundle(path, TENSORS, METADATA)
    with safetensors.safe_open(path, "pt") as file:
        text = file.metadata()["convsmith"]
    save_file(TENSORS | {"head": torch.zeros(2).bfloat16()}, path, {"convsmith": text})
    with pytest.raises(BadFile, match=r"the weights differ from the SHA-256 in the bundle; fetch or export it again"):
        load_bundle(path)


def test_a_bundle_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(WrongType, match=r"metadata of .*x: expected data that JSON can hold"):
        save_bundle(tmp_path / "x", TENSORS, {"card": {1, 2}})
    with pytest.raises(
        BadFile, match=r"x: could not be written \(No such file or directory\); mend: there is no folder"
    ):
        save_bundle(tmp_path / "absent" / "x", TENSORS, METADATA)
    assert list(tmp_path.iterdir()) == []
