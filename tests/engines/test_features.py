"""The feature store: what a frozen network makes of images, computed once, and the network's own numbers."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from convsmith.base.errors import CheckFailed, UsageError
from convsmith.data.augment import normalize
from convsmith.data.dataset import open_data
from convsmith.data.loaders import decode_all
from convsmith.data.options import DataOptions
from convsmith.data.slots import list_stored
from convsmith.engines import features as store
from convsmith.engines.features import LAST, Frozen, features
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, Conv, Flatten, Linear
from convsmith.nets.shape import Shape
from convsmith.nets.source import Foreign
from convsmith.nets.tree import seq
from convsmith.training.engine import resolve
from convsmith.training.logistic import last_linear
from convsmith.training.options import EngineOptions

ENGINE = resolve(EngineOptions(device="cpu", precision="fp32", threads=1))


@pytest.fixture(autouse=True)
def kept_here(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(shared_pictures):
    """60 images, 48 of them to train on."""
    return open_data(DataOptions(source=str(shared_pictures), size=16))


def frozen(data, **last):
    head = seq(flat=Flatten(), hidden=Linear(5), linear=Linear(3), **last)
    tree = Network(
        name="made", family="made", input=Shape(3, (16, 16)), stages=(("stem", Conv(4, 3)),), heads=(("head", head),)
    )
    module = build(tree, seed=0).eval()
    return Frozen(tree, module, last_linear(module), data.preprocess, ENGINE)


def test_the_features_are_the_stages_means_and_what_the_last_layer_receives(data):
    network = frozen(data)
    found = features(network, data.train, DataOptions())
    images = normalize(decode_all(data.train, data.preprocess, 1), data.preprocess)
    with torch.no_grad():
        out, seen = network.module(images, at=["stem"])
        layer = network.module.get_submodule("head.linear")
        last = torch.from_numpy(found[:, network.columns[LAST]])
        torch.testing.assert_close(layer(last), out, rtol=1e-4, atol=1e-5)
    assert network.columns == {"stem": slice(0, 4), LAST: slice(4, 9)}
    np.testing.assert_allclose(found[:, :4], seen["stem"].mean(dim=(2, 3)).numpy(), atol=1e-5)


def test_an_image_is_computed_once(data, monkeypatch):
    network, seen = frozen(data), []
    monkeypatch.setattr(
        store, "automatic", lambda model, engine, batch, count, images, say: seen.append(count) or model.given()
    )
    with torch.no_grad():
        some = features(network, data.train.subset(range(10)), DataOptions())
        whole = features(network, data.train, DataOptions())
        again = features(network, data.train, DataOptions())
    assert seen == [10, 38]
    np.testing.assert_array_equal(whole[:10], some)
    np.testing.assert_array_equal(again, whole)
    (entry,) = list_stored()
    assert (entry.content, entry.size, entry.images) == ("features", (1, 9), 60)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-1], "{path} was damaged and is made again"),
        (lambda content: b"", "{path} was damaged and is made again"),
        (lambda content: content.replace(b"full", b"FULL", 1), "{path}: 1 of its 60 slots were damaged and are filled"),
    ],
    ids=["cut", "emptied", "flipped"],
)
def test_damage_is_said_in_one_line_and_made_good(data, change, said):
    network, lines = frozen(data), []
    with torch.no_grad():
        whole = features(network, data.train, DataOptions())
        (entry,) = list_stored()
        gc.collect()  # else the store is still open
        entry.path.write_bytes(change(entry.path.read_bytes()))
        again = features(network, data.train, DataOptions(), say=lines.append)
    # The last bits of an image's features depend on how many images are computed together.
    np.testing.assert_allclose(again, whole, rtol=1e-5, atol=1e-6)
    assert lines[0].startswith(f"features: {said.format(path=entry.path)}")
    assert sum("damaged" in line for line in lines) == 1


def test_other_weights_other_pictures_and_other_preprocessing_are_other_features(data):
    network = frozen(data)
    first = features(network, data.val, DataOptions())
    with torch.no_grad():
        network.module.get_submodule("stem").weight.mul_(2)
    assert not np.array_equal(features(network, data.val, DataOptions()), first)
    record = replace(data.preprocess, mean=(0.1,) * 3)
    assert not np.array_equal(features(replace(network, preprocess=record), data.val, DataOptions()), first)
    assert len(list_stored()) == 3
    # The last layer is what learns: its weights change no feature.
    with torch.no_grad():
        network.module.get_submodule("head.linear").weight.mul_(2)
    features(network, data.val, DataOptions())
    assert len(list_stored()) == 3


def test_nothing_is_kept_where_that_is_switched_off(data):
    features(frozen(data), data.val, DataOptions(cache="off"))
    assert list_stored() == []


def test_what_takes_time_is_said_before(data):
    said = []
    features(frozen(data), data.val, DataOptions(), say=said.append)
    assert said[0].startswith("6 images go through made once to compute its features: about ")
    features(frozen(data), data.val.subset([0]), DataOptions(), say=said.append)
    assert len(said) == 1


def test_what_follows_the_last_layer_is_noticed(data):
    with pytest.raises(CheckFailed, match="its outputs are not those of its last linear layer"):
        features(frozen(data, act=Act()), data.val, DataOptions())


def test_a_module_that_is_no_tree_has_the_last_layers_inputs_alone(data):
    module = nn.Sequential(nn.Flatten(), nn.Linear(768, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    network = Frozen(Foreign("own.py:net", {}, "0"), module, last_linear(module), data.preprocess, ENGINE)
    found = features(network, data.val, DataOptions())
    assert network.columns == {LAST: slice(0, 6)}
    images = normalize(decode_all(data.val, data.preprocess, 1), data.preprocess)
    np.testing.assert_allclose(found, module[:3](images).detach().numpy(), atol=1e-5)


def test_a_last_layer_that_is_not_linear_is_named():
    with pytest.raises(UsageError, match="the network's last layer is Conv2d"):
        last_linear(nn.Sequential(nn.Linear(4, 4), nn.Conv2d(3, 3, 1)))
    assert last_linear(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Linear(4, 4), nn.Dropout())) == "1"


def test_folds_over_a_stored_train_and_val_read_the_store(tmp_path, write_pictures, monkeypatch):
    for split, each in (("train", 12), ("val", 6)):  # of other sizes, else they are copies
        write_pictures(tmp_path / "halves" / split, count=each, size=each + 4, labels=("a", "b"))
    whole = open_data(DataOptions(source=str(tmp_path / "halves"), size=16))
    network = frozen(whole)
    rows = np.concatenate([features(network, whole.train, DataOptions()), features(network, whole.val, DataOptions())])
    places = [examples.place(i) for examples in (whole.train, whole.val) for i in range(len(examples))]
    monkeypatch.setattr(store, "_computed", None)
    for fold in ("1/3", "2/3"):
        data = open_data(DataOptions(source=str(tmp_path / "halves"), size=16, fold=fold), preprocess=whole.preprocess)
        found = features(network, data.train, DataOptions())
        np.testing.assert_array_equal(found, rows[[places.index(data.train.place(i)) for i in range(24)]])
